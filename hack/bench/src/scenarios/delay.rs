//! What scenarios share that wait for what happens: how much later it is seen, in figures and a table.

use std::{fmt, time::Duration};

use anyhow::Result;
use serde::Serialize;
use tokio::time::Instant;

use super::{Named, Row, by_part, growth_by_part, mebibytes, of, others, panel, ratio};
use crate::{
    contestants::Kind,
    load::Burst,
    meter::{Cost, Memory, Meter},
    plot::Panel,
    stage::Stage,
    stats::Latencies,
    table::{Table, optional},
};

/// All contestants with the same to see.
#[derive(Debug, Serialize)]
pub(super) struct Comparison<W> {
    #[serde(flatten)]
    pub(super) work: W,
    pub(super) rows: Vec<Row<Round>>,
}

/// One turn of one contestant.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Round {
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    /// What all who waited saw together.
    events: usize,
    /// For each of these.
    cpu_us: Cost,
    /// How long GETs took beside.
    #[serde(skip_serializing_if = "Option::is_none")]
    gets: Option<Gets>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Gets {
    p50_ms: f64,
    p99_ms: f64,
}

// === impl Round ===

impl Round {
    /// What was seen while the meter ran.
    pub(super) fn of(delays: &Latencies, meter: Meter<'_>) -> Result<Self> {
        Ok(Self {
            p50_ms: delays.percentile(50.0),
            p90_ms: delays.percentile(90.0),
            p99_ms: delays.percentile(99.0),
            events: delays.count(),
            cpu_us: meter.stop(delays.count() as f64)?,
            gets: None,
        })
    }

    /// The same with what a client did beside.
    pub(super) fn beside(self, gets: &Burst) -> Self {
        let Burst { latencies, .. } = gets;
        Self { gets: Some(Gets { p50_ms: latencies.percentile(50.0), p99_ms: latencies.percentile(99.0) }), ..self }
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:+.3} ms, {} seen", self.p50_ms, self.events)
    }
}

// === impl Comparison ===

impl<W: Serialize> Comparison<W> {
    /// Forgets what memory was needed before.
    pub(super) fn new(stage: &Stage, work: W) -> Result<Self> {
        for contestant in &stage.contestants {
            contestant.forget_peak()?;
        }
        Ok(Self { work, rows: stage.contestants.iter().map(|contestant| Row::new(contestant.kind)).collect() })
    }

    /// The same with the memory that was needed.
    pub(super) fn remembering(mut self, stage: &Stage) -> Result<Self> {
        for (contestant, row) in stage.contestants.iter().zip(&mut self.rows) {
            row.memory = Memory::of(&contestant.at_rest)?;
        }
        Ok(self)
    }

    /// The table, under a title that says what happened; `event` is what one of it is called, and so many waited for it.
    pub(super) fn table(&self, what: &str, seconds: f64, event: &str, waited: usize) -> Table {
        let rounds = self.rows.first().map_or(0, |row| row.rounds.len());
        let others = others(&self.rows, |round| &round.cpu_us);
        let title = format!(
            "{what}\nmedians of {rounds} rounds of {seconds} s; all else on the machine kept {others:.2} cores busy"
        );
        let each = format!("CPU µs/{event}");
        let gets = self.rows.iter().flat_map(|row| &row.rounds).any(|round| round.gets.is_some());
        let heading = [
            "",
            "delay p50 ms",
            "added",
            "p99 ms",
            &each,
            "of chain",
            "API server µs",
            "peak RSS MiB",
            "growth by part, MiB",
            "KiB each",
            "CPU by part",
        ];
        let heading = heading.into_iter().chain(gets.then_some(["GET p50 ms", "p99 ms"]).into_iter().flatten());
        let mut table = Table::new(title, &heading.collect::<Vec<_>>());
        let direct = of(&self.rows, Kind::Direct);
        let chain = of(&self.rows, Kind::Chain);
        for row in &self.rows {
            let parts = row.rounds.first().map(|round| round.cpu_us.parts.keys().copied()).into_iter().flatten();
            let part = |name| (name, row.median(|round| round.cpu_us.parts.get(name).copied().unwrap_or_default()));
            let own = |figure: f64| (row.contestant != Kind::Direct).then_some(figure);
            let dearer = |mine: &Round, theirs: &Round| mine.cpu_us.contestant / theirs.cpu_us.contestant;
            let each = mebibytes(&row.memory, Memory::growth).map(|mib| mib * 1024.0 / waited.max(1) as f64);
            let got = |figure: fn(&Gets) -> f64| {
                gets.then(|| format!("{:.3}", row.median(|round| round.gets.as_ref().map_or(0.0, figure))))
            };
            let cells = vec![
                row.contestant.to_string(),
                format!("{:+.3}", row.median(|round| round.p50_ms)),
                optional(row.against(direct, |mine, direct| mine.p50_ms - direct.p50_ms), |ms| format!("{ms:+.3}")),
                format!("{:+.3}", row.median(|round| round.p99_ms)),
                optional(own(row.median(|round| round.cpu_us.contestant)), |us| format!("{us:.0}")),
                optional(row.against(chain, dearer).and_then(own), ratio),
                format!("{:.0}", row.median(|round| round.cpu_us.api_server())),
                optional(mebibytes(&row.memory, |part| part.peak), |mib| format!("{mib:.1}")),
                growth_by_part(&row.memory),
                optional(each, |kib| format!("{kib:.0}")),
                by_part(parts.map(part), 0),
            ];
            let gets = [got(|gets| gets.p50_ms), got(|gets| gets.p99_ms)];
            table.push(cells.into_iter().chain(gets.into_iter().flatten()).collect());
        }
        table
    }
}

/// Tables that differ in how many waited, at a glance; CPU is for each of what happened.
pub(super) fn panels(tables: &[Named<'_, Round>], per_event: &'static str) -> [Panel; 5] {
    [
        panel("Delay, p50", "ms", tables, |row| Some(row.median(|round| round.p50_ms))),
        panel("Delay, p99", "ms", tables, |row| Some(row.median(|round| round.p99_ms))),
        panel("CPU of the contestant", per_event, tables, |row| {
            (row.contestant != Kind::Direct).then(|| row.median(|round| round.cpu_us.contestant))
        }),
        panel("Memory: growth of the contestant", "MiB", tables, |row| mebibytes(&row.memory, Memory::growth)),
        panel("GETs beside, p99", "ms", tables, |row| {
            let beside = row.rounds.iter().any(|round| round.gets.is_some());
            beside.then(|| row.median(|round| round.gets.as_ref().map_or(0.0, |gets| gets.p99_ms)))
        }),
    ]
}

/// Nanoseconds from one moment to another that may be before it.
pub(super) fn delay(at: Instant, since: Instant) -> i64 {
    let nanoseconds = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    nanoseconds(at.saturating_duration_since(since)) - nanoseconds(since.saturating_duration_since(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_may_be_negative() {
        let now = Instant::now();
        let later = now + Duration::from_micros(3);
        assert_eq!(delay(later, now), 3_000);
        assert_eq!(delay(now, later), -3_000);
    }
}
