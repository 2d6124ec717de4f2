//! Watches: how much later an event comes than it comes to who watches the API server itself.
//!
//! Beside the contestant's watches runs one watch of the API server, the *yardstick*, in the same process. An event's
//! delay is the time from the yardstick's receipt of it to the contestant's, so neither the write nor etcd nor the API
//! server's own delay is in it. The delays of `direct` tell how far from zero that is where nothing is in between.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use tokio::{
    time::{Instant, timeout},
    try_join,
};

use super::{Row, by_part, mebibytes, of, others};
use crate::{
    args,
    contestants::{Contestant, Kind},
    load::{Editor, Encoding, Protocol, Sight, State, Watchers, fetch_whole},
    meter::{Cost, Memory, Meter},
    objects::{ConfigMap, NAMESPACE, collection},
    report::Report,
    stage::Stage,
    stats::Latencies,
    table::{Table, optional},
};

/// All contestants at one number of watches.
#[derive(Debug, Serialize)]
struct Comparison {
    value_bytes: usize,
    watches: usize,
    changes_per_second: f64,
    seconds: f64,
    protocol: Protocol,
    rows: Vec<Row<Round>>,
}

/// One turn of one contestant.
#[derive(Debug, Clone, Serialize)]
struct Round {
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    /// Events of all watches together.
    events: usize,
    /// For each of these.
    cpu_us: Cost,
}

pub(crate) async fn run(args: &args::Watch) -> Result<()> {
    let stage = Stage::set(&args.contestants, &args.common).await?;
    let objects = (0..OBJECTS).map(|number| ConfigMap::managed(format!("watched-{number}"), args.size));
    let objects = objects.collect::<Vec<_>>();
    let paths = objects.iter().map(ConfigMap::path).collect();
    stage.api_server.create(objects).await?;
    let mut editor = Editor::connect(stage.api_server.endpoint(), paths).await?;
    let mut comparisons = Vec::new();
    for &watches in &args.watches {
        for contestant in &stage.contestants {
            contestant.forget_peak()?;
        }
        let comparison = Comparison {
            value_bytes: args.size,
            watches,
            changes_per_second: args.rate.unwrap_or_else(|| rate(watches)),
            seconds: args.seconds,
            protocol: args.common.protocol(),
            rows: stage.contestants.iter().map(|contestant| Row::new(contestant.kind)).collect(),
        };
        let comparison = comparison.measured(&stage, args.rounds, &mut editor).await?;
        println!("{}", comparison.table());
        comparisons.push(comparison);
    }
    println!("{}", stage.surroundings.line());
    let report = Report { scenario: "watch", surroundings: &stage.surroundings, tables: &comparisons };
    println!("all figures: {}", report.write()?.display());
    Ok(())
}

/// Changes per second that leave a machine of two cores room to breathe.
fn rate(watches: usize) -> f64 {
    (DELIVERIES / watches.max(1) as f64).clamp(1.0, CHANGES)
}

// === impl Comparison ===

impl Comparison {
    async fn measured(mut self, stage: &Stage, rounds: u32, editor: &mut Editor) -> Result<Self> {
        for number in 1..=rounds {
            for (contestant, row) in stage.contestants.iter().zip(&mut self.rows) {
                let round = Turn {
                    stage,
                    contestant,
                    watches: self.watches,
                    pause: Duration::from_secs_f64(1.0 / self.changes_per_second),
                    changes: (self.changes_per_second * self.seconds).max(1.0),
                    protocol: self.protocol,
                };
                let round = round.take(editor).await;
                let round = round.with_context(|| format!("{}, round {number}", contestant.kind))?;
                eprintln!(
                    "round {number}/{rounds}, {}: p50 {:+.3} ms, {} events",
                    contestant.kind, round.p50_ms, round.events
                );
                row.rounds.push(round);
            }
        }
        for (contestant, row) in stage.contestants.iter().zip(&mut self.rows) {
            row.memory = Memory::of(&contestant.at_rest)?;
        }
        Ok(self)
    }

    fn table(&self) -> Table {
        let Self { value_bytes, watches, changes_per_second, seconds, protocol, .. } = self;
        let rounds = self.rows.first().map_or(0, |row| row.rounds.len());
        let others = others(&self.rows, |round| &round.cpu_us);
        let title = format!(
            "Watch of ConfigMaps of {value_bytes} bytes, {protocol}, watches: {watches}, changes/s: {changes_per_second}\n\
             medians of {rounds} rounds of {seconds} s; all else on the machine kept {others:.2} cores busy"
        );
        let mut table = Table::new(title, &HEADING);
        let direct = of(&self.rows, Kind::Direct);
        let chain = of(&self.rows, Kind::Chain);
        for row in &self.rows {
            let parts = row.rounds.first().map(|round| round.cpu_us.parts.keys().copied()).into_iter().flatten();
            let part = |name| (name, row.median(|round| round.cpu_us.parts.get(name).copied().unwrap_or_default()));
            let growth = |part: &Memory| (part.part, part.growth() as f64 / f64::from(1 << 20));
            let own = |figure: f64| (row.contestant != Kind::Direct).then_some(figure);
            let dearer = |mine: &Round, theirs: &Round| mine.cpu_us.contestant / theirs.cpu_us.contestant;
            table.push(vec![
                row.contestant.to_string(),
                format!("{:+.3}", row.median(|round| round.p50_ms)),
                optional(row.against(direct, |mine, direct| mine.p50_ms - direct.p50_ms), |ms| format!("{ms:+.3}")),
                format!("{:+.3}", row.median(|round| round.p99_ms)),
                optional(own(row.median(|round| round.cpu_us.contestant)), |us| format!("{us:.0}")),
                optional(row.against(chain, dearer).and_then(own), |ratio| format!("{ratio:.2}")),
                format!("{:.0}", row.median(|round| round.cpu_us.api_server())),
                optional(mebibytes(&row.memory, |part| part.peak), |mib| format!("{mib:.1}")),
                by_part(row.memory.iter().map(growth), 1),
                by_part(parts.map(part), 0),
            ]);
        }
        table
    }
}

/// What a turn consists of.
#[derive(Debug, Clone, Copy)]
struct Turn<'a> {
    stage: &'a Stage,
    contestant: &'a Contestant,
    watches: usize,
    pause: Duration,
    changes: f64,
    protocol: Protocol,
}

// === impl Turn ===

impl Turn<'_> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate times a time is a count")]
    async fn take(self, editor: &mut Editor) -> Result<Round> {
        let server = self.stage.api_server.endpoint();
        let path = format!("{}?watch=true&resourceVersion={}", collection(NAMESPACE), self.now().await?);
        let mut yardstick = Watchers::open(server, self.protocol, &path, 1).await?;
        let mut watchers = Watchers::open(&self.contestant.endpoint, self.protocol, &path, self.watches).await?;
        self.burst(WARM_UP, editor, &mut watchers, &mut yardstick).await.context("warming up")?;
        let meter = Meter::start(self.contestant.parts(), &self.stage.backend)?;
        let delays = self.burst(self.changes as usize, editor, &mut watchers, &mut yardstick).await?;
        let cpu_us = meter.stop(delays.count() as f64)?;
        // That no event came twice shows in that this is the next to come.
        self.burst(1, editor, &mut watchers, &mut yardstick).await.context("at the end")?;
        Ok(Round {
            p50_ms: delays.percentile(50.0),
            p90_ms: delays.percentile(90.0),
            p99_ms: delays.percentile(99.0),
            events: delays.count(),
            cpu_us,
        })
    }

    /// Lets changes happen and waits until all have seen them.
    async fn burst(
        self,
        changes: usize,
        editor: &mut Editor,
        watchers: &mut Watchers,
        yardstick: &mut Watchers,
    ) -> Result<Latencies> {
        let patience = self.pause.saturating_mul(u32::try_from(changes).unwrap_or(u32::MAX)) + PATIENCE;
        let all = async { try_join!(editor.edit(changes, self.pause), watchers.see(changes), yardstick.see(changes)) };
        let (states, seen, mut yardstick) = timeout(patience, all).await.context("an event did not come")??;
        let yardstick = yardstick.pop().unwrap_or_default();
        in_order(&states, &yardstick).context("the API server's own watch")?;
        let mut delays = Vec::with_capacity(seen.len() * changes);
        for watch in &seen {
            in_order(&states, watch)?;
            delays.extend(watch.iter().zip(&yardstick).map(|(mine, first)| delay(mine.at, first.at)));
        }
        Ok(Latencies::new(delays))
    }

    /// The resource version from which nothing has happened yet.
    async fn now(self) -> Result<String> {
        let mut connection = self.stage.api_server.endpoint().connect(Protocol::Http1).await?;
        let path = format!("{}?limit=1", collection(NAMESPACE));
        let list = fetch_whole(&mut connection, &path, Encoding::Json).await?;
        let list = serde_json::from_slice::<serde_json::Value>(&list).context("reading a list")?;
        let version = list.pointer("/metadata/resourceVersion").and_then(serde_json::Value::as_str);
        version.map(str::to_owned).context("a list without a resource version")
    }
}

/// Fails unless a watch saw every change once and in its order.
fn in_order(states: &[State], seen: &[Sight]) -> Result<()> {
    match states.iter().zip(seen).position(|(state, sight)| *state != sight.state) {
        None if states.len() == seen.len() => Ok(()),
        None => bail!("a watch saw {} events of {} changes", seen.len(), states.len()),
        Some(number) => bail!("event {number} of a watch is not the change that was made"),
    }
}

/// Nanoseconds from one moment to another that may be before it.
fn delay(at: Instant, since: Instant) -> i64 {
    let nanoseconds = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    nanoseconds(at.saturating_duration_since(since)) - nanoseconds(since.saturating_duration_since(at))
}

const HEADING: [&str; 10] = [
    "",
    "delay p50 ms",
    "added",
    "p99 ms",
    "CPU µs/event",
    "of chain",
    "API server µs",
    "peak RSS MiB",
    "growth by part, MiB",
    "CPU by part",
];

/// How many objects are changed in turn.
const OBJECTS: usize = 10;

/// Changes before the clock starts.
const WARM_UP: usize = 5;

/// How much later than planned the last event may come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Changes per second where nothing else is asked for.
const CHANGES: f64 = 100.0;

/// Events per second of all watches together, at most, where nothing else is asked for.
const DELIVERIES: f64 = 1000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_a_repeated_and_a_misplaced_event_are_noticed() {
        let [a, b, c] = [&b"a"[..], b"b", b"c"].map(State::of);
        let seen =
            |states: &[State]| states.iter().map(|&state| Sight { at: Instant::now(), state }).collect::<Vec<_>>();
        in_order(&[a, b, c], &seen(&[a, b, c])).unwrap();
        for bad in [&[a, b][..], &[a, a, b], &[a, c, b], &[a, c]] {
            in_order(&[a, b, c], &seen(bad)).unwrap_err();
        }
    }

    #[test]
    fn a_delay_may_be_negative() {
        let now = Instant::now();
        let later = now + Duration::from_micros(3);
        assert_eq!(delay(later, now), 3_000);
        assert_eq!(delay(now, later), -3_000);
    }

    #[test]
    fn many_watches_get_fewer_changes() {
        assert_eq!(rate(1), 100.0);
        assert_eq!(rate(200), 5.0);
        assert_eq!(rate(100_000), 1.0);
    }
}
