//! Messages of an agent's Redis: how long until all who listen in the control plane have one, and at what price there.
//!
//! `direct` is as many subscribers at the agent's Redis itself. The clock starts before PUBLISH is sent.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use tokio::{
    time::{Instant, sleep, timeout},
    try_join,
};

use super::{Findings, Row, by_process, counted, growth_by_part, mebibytes, of, others, own, panel};
use crate::{
    args::{self, Part},
    contestants::Kind,
    load::resp::{Publisher, Subscribers},
    meter::{Cost, Memory, Meter},
    redis::{Place, Site, Way},
    stats::{Latencies, median},
    table::{Table, optional},
};

/// All contestants at one number of subscribers.
#[derive(Debug, Serialize)]
struct Comparison {
    part: Part,
    subscribers: usize,
    messages_per_second: f64,
    seconds: f64,
    rows: Vec<Row<Round>>,
}

/// One turn of one contestant.
#[derive(Debug, Clone, Serialize)]
struct Round {
    messages: usize,
    /// Of the subscriber in the middle, the median of all messages.
    middle_ms: f64,
    /// Of the last subscriber, the median of all messages.
    last_ms: f64,
    /// Of the last subscriber, the slowest message.
    slowest_ms: f64,
    /// From the last subscription's confirmation until the agent's Redis had the subscription.
    until_subscribed_ms: f64,
    /// At the agent's Redis.
    subscriptions: u64,
    /// For each message that was published.
    cpu_us: Cost,
}

pub(super) async fn run(site: &Site, args: &args::Redis, findings: &mut Findings) -> Result<()> {
    let ways = site.ways(Place::Agents);
    let mut comparisons = Vec::new();
    for &subscribers in &args.subscribers {
        site.forget_peak()?;
        let mut comparison = Comparison {
            part: Part::Subscribe,
            subscribers,
            messages_per_second: rate(subscribers),
            seconds: args.seconds,
            rows: ways.iter().map(|way| Row::new(way.kind)).collect(),
        };
        for number in 1..=args.rounds {
            for (way, row) in ways.iter().zip(&mut comparison.rows) {
                // An application of its own each time: no subscription of an earlier turn is in the figures.
                let turn = Turn {
                    site,
                    way,
                    application: format!("{}-{subscribers}-{number}", way.kind),
                    subscribers,
                    pause: Duration::from_secs_f64(1.0 / comparison.messages_per_second),
                    messages: comparison.messages_per_second * args.seconds,
                };
                let round = turn.take().await.with_context(|| format!("{}, round {number}", way.kind))?;
                eprintln!(
                    "subscribe, round {number}/{}, {}: {:.3} ms until the last of {subscribers}",
                    args.rounds, way.kind, round.last_ms
                );
                row.rounds.push(round);
            }
        }
        for (way, row) in ways.iter().zip(&mut comparison.rows) {
            row.memory = Memory::of(way.at_rest)?;
        }
        findings.add(&comparison.table(), &comparison)?;
        comparisons.push(comparison);
    }
    let tables = comparisons.iter().map(|one| (counted(one.subscribers, "subscriber"), one.rows.as_slice()));
    let tables = tables.collect::<Vec<_>>();
    let panels = [
        panel("Until the last subscriber has a message", "ms", &tables, |row| Some(row.median(|round| round.last_ms))),
        panel("Subscriptions at the agent's Redis", "of all subscribers", &tables, |row| {
            Some(row.median(|round| round.subscriptions as f64))
        }),
    ];
    findings.plot.section("subscribe: messages of the agent's Redis", panels);
    Ok(())
}

/// Messages per second that leave a machine of two cores room to breathe.
fn rate(subscribers: usize) -> f64 {
    (DELIVERIES / subscribers.max(1) as f64).clamp(1.0, MESSAGES)
}

/// What a turn consists of.
#[derive(Debug)]
struct Turn<'a> {
    site: &'a Site,
    way: &'a Way<'a>,
    application: String,
    subscribers: usize,
    pause: Duration,
    messages: f64,
}

// === impl Turn ===

impl Turn<'_> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate times a time is a count")]
    async fn take(self) -> Result<Round> {
        let mut publisher = self.site.publisher(&self.application).await?;
        let channel = self.way.channel(&self.application);
        let mut subscribers = Subscribers::open(self.way.endpoint, channel, self.subscribers).await?;
        let until_subscribed = self.subscribed(&mut publisher).await?;
        self.burst(WARM_UP, &mut publisher, &mut subscribers).await.context("warming up")?;
        let meter = Meter::start(self.way.parts(), &self.site.backend)?;
        let messages = (self.messages as usize).max(1);
        let delays = self.burst(messages, &mut publisher, &mut subscribers).await?;
        let cpu_us = meter.stop(messages as f64)?;
        let subscriptions = publisher.subscriptions().await?;
        // That no message came twice shows in that this is the next to come.
        self.burst(1, &mut publisher, &mut subscribers).await.context("at the end")?;
        let last = |delays: &Latencies| delays.percentile(100.0);
        Ok(Round {
            messages,
            middle_ms: median(delays.iter().map(|delays| delays.percentile(50.0))),
            last_ms: median(delays.iter().map(last)),
            slowest_ms: delays.iter().map(last).fold(0.0, f64::max),
            until_subscribed_ms: until_subscribed.as_secs_f64() * 1e3,
            subscriptions,
            cpu_us,
        })
    }

    /// Waits until the agent's Redis has a subscription. The door confirms one as soon as the principal's Redis does.
    async fn subscribed(&self, publisher: &mut Publisher) -> Result<Duration> {
        let confirmed = Instant::now();
        while publisher.subscriptions().await? == 0 {
            if confirmed.elapsed() > PATIENCE {
                bail!("nobody has subscribed at the agent's Redis");
            }
            sleep(POLL).await;
        }
        Ok(confirmed.elapsed())
    }

    /// Publishes, waits until all have everything, and returns the delays of the subscribers for each message.
    async fn burst(
        &self,
        count: usize,
        publisher: &mut Publisher,
        subscribers: &mut Subscribers,
    ) -> Result<Vec<Latencies>> {
        let patience = self.pause.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)) + PATIENCE;
        let first = publisher.due();
        let all = async { try_join!(publisher.publish(count, self.pause), subscribers.hear(first, count)) };
        let (sent, heard) = timeout(patience, all).await.context("a message did not come")??;
        let delays = |(number, sent): (usize, &Instant)| {
            let at = heard.iter().filter_map(|moments| moments.get(number));
            let delay = |at: &Instant| at.saturating_duration_since(*sent).as_nanos();
            Latencies::new(at.map(|at| i64::try_from(delay(at)).unwrap_or(i64::MAX)).collect())
        };
        Ok(sent.iter().enumerate().map(delays).collect())
    }
}

// === impl Comparison ===

impl Comparison {
    fn table(&self) -> Table {
        let Self { subscribers, messages_per_second, seconds, .. } = self;
        let rounds = self.rows.first().map_or(0, |row| row.rounds.len());
        let others = others(&self.rows, |round| &round.cpu_us);
        let title = format!(
            "subscribe: messages of the agent's Redis, subscribers: {subscribers}, messages/s: {messages_per_second}\n\
             medians of {rounds} rounds of {seconds} s; all else on the machine kept {others:.2} cores busy"
        );
        let mut table = Table::new(title, &HEADING);
        let direct = of(&self.rows, Kind::Direct);
        for row in &self.rows {
            let added = |figure: fn(&Round) -> f64| {
                optional(row.against(direct, |mine, direct| figure(mine) - figure(direct)), |ms| format!("{ms:+.3}"))
            };
            table.push(vec![
                row.contestant.to_string(),
                format!("{:.3}", row.median(|round| round.middle_ms)),
                added(|round| round.middle_ms),
                format!("{:.3}", row.median(|round| round.last_ms)),
                added(|round| round.last_ms),
                format!("{:.3}", row.median(|round| round.slowest_ms)),
                format!("{:.0}", row.median(|round| round.subscriptions as f64)),
                optional(own(row, row.median(|round| round.cpu_us.contestant)), |us| format!("{us:.0}")),
                format!("{:.0}", row.median(|round| round.cpu_us.backend())),
                optional(mebibytes(&row.memory, |part| part.peak), |mib| format!("{mib:.1}")),
                growth_by_part(&row.memory),
                by_process(row, |round| &round.cpu_us),
            ]);
        }
        table
    }
}

const HEADING: [&str; 12] = [
    "",
    "middle ms",
    "added",
    "last ms",
    "added",
    "slowest ms",
    "subscriptions",
    "CPU µs/message",
    "Redis µs",
    "peak RSS MiB",
    "growth by part, MiB",
    "CPU by part",
];

/// Messages before the clock starts.
const WARM_UP: usize = 5;

/// How much later than planned the last message may come.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often the agent's Redis is asked for its subscriptions.
const POLL: Duration = Duration::from_millis(5);

/// Messages per second, at most.
const MESSAGES: f64 = 100.0;

/// Messages per second that all subscribers get together, at most.
const DELIVERIES: f64 = 10_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_subscribers_get_fewer_messages() {
        assert_eq!(rate(1), 100.0);
        assert_eq!(rate(1000), 10.0);
        assert_eq!(rate(1_000_000), 1.0);
    }
}
