//! Watches: how much later an event comes than it comes to who watches the API server itself.
//!
//! Beside the contestant's watches runs one watch of the API server, the *yardstick*, in the same process. An event's
//! delay is the time from the yardstick's receipt of it to the contestant's, so neither the write nor etcd nor the API
//! server's own delay is in it. The delays of `direct` tell how far from zero that is where nothing is in between.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use tokio::{time::timeout, try_join};

use super::{
    counted,
    delay::{self, Comparison, Round, delay},
};
use crate::{
    args,
    contestants::{Contestant, Task},
    load::{Crew, Editor, Encoding, Expected, Protocol, Reader, Sight, State, Watchers, fetch_whole},
    meter::Meter,
    objects::{self, ConfigMap, NAMESPACE, collection},
    plot::Plot,
    report::Report,
    stage::Stage,
    stats::Latencies,
};

/// What is watched.
#[derive(Debug, Clone, Copy, Serialize)]
struct Work {
    value_bytes: usize,
    watches: usize,
    changes_per_second: f64,
    seconds: f64,
    protocol: Protocol,
}

pub(crate) async fn run(args: &args::Watch) -> Result<()> {
    let stage = Stage::set(Task::Watch, &args.turns.contestants, &args.common).await?;
    let objects = (0..OBJECTS).map(|number| ConfigMap::managed(format!("watched-{number}"), args.size));
    let objects = objects.collect::<Vec<_>>();
    let paths = objects.iter().map(ConfigMap::path).collect();
    stage.api_server.create(objects).await?;
    let mut editor = Editor::connect(stage.api_server.endpoint(), paths).await?;
    let mut comparisons = Vec::new();
    for &watches in &args.watches {
        let work = Work {
            value_bytes: args.size,
            watches,
            changes_per_second: args.rate.unwrap_or_else(|| rate(watches)),
            seconds: args.seconds,
            protocol: args.common.protocol(),
        };
        let mut comparison = Comparison::new(&stage, work)?;
        for number in 1..=args.turns.rounds {
            for (contestant, row) in stage.contestants.iter().zip(&mut comparison.rows) {
                let turn = Turn {
                    stage: &stage,
                    contestant,
                    watches,
                    pause: Duration::from_secs_f64(1.0 / work.changes_per_second),
                    changes: (work.changes_per_second * args.seconds).max(1.0),
                    protocol: work.protocol,
                };
                let round = turn.take(&mut editor).await;
                let round = round.with_context(|| format!("{}, round {number}", contestant.kind))?;
                eprintln!("round {number}/{}, {}: {round}", args.turns.rounds, contestant.kind);
                row.rounds.push(round);
            }
        }
        let comparison = comparison.remembering(&stage)?;
        let Work { value_bytes, changes_per_second, seconds, protocol, .. } = work;
        let title = format!(
            "Watch of ConfigMaps of {value_bytes} bytes, {protocol}, watches: {watches}, changes/s: {changes_per_second}"
        );
        println!("{}", comparison.table(&title, seconds, "event", watches));
        comparisons.push(comparison);
    }
    println!("{}", stage.surroundings.line());
    let report = Report { scenario: "watch", surroundings: &stage.surroundings, tables: &comparisons };
    let title = format!("Watches: how much later an event comes, {}", args.common.protocol());
    let mut plot = Plot::new(title, stage.surroundings.line());
    let named = comparisons.iter().map(|one| (counted(one.work.watches, "watch"), one.rows.as_slice()));
    plot.section(
        format!("ConfigMaps of {} bytes", args.size),
        delay::panels(&named.collect::<Vec<_>>(), "µs per event"),
    );
    println!("{}", report.write(&plot)?);
    Ok(())
}

/// Changes per second that leave a machine of two cores room to breathe.
fn rate(watches: usize) -> f64 {
    (DELIVERIES / watches.max(1) as f64).clamp(1.0, CHANGES)
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
        let round = Round::of(&delays, meter)?;
        // That no event came twice shows in that these are the next to come.
        let mut crew = self.crew().await?;
        let changes = (self.changes as usize).div_ceil(2);
        let time = self.pause.saturating_mul(u32::try_from(changes).unwrap_or(u32::MAX));
        let gets = async { crew.run(time).await.context("GETs beside") };
        let (_, gets) = try_join!(self.burst(changes, editor, &mut watchers, &mut yardstick), gets)?;
        Ok(round.beside(&gets))
    }

    /// One client that asks for what does not change, the same way as the watches.
    async fn crew(self) -> Result<Crew<Reader>> {
        let path = objects::ready().path();
        let mut connection = self.stage.api_server.endpoint().connect(Protocol::Http1).await?;
        let expected = Expected::object(fetch_whole(&mut connection, &path, Encoding::Json).await?);
        Reader::crew(&self.contestant.endpoint, self.protocol, 1, &path, &expected).await
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
    use tokio::time::Instant;

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
    fn many_watches_get_fewer_changes() {
        assert_eq!(rate(1), 100.0);
        assert_eq!(rate(200), 5.0);
        assert_eq!(rate(100_000), 1.0);
    }
}
