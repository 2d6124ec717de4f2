//! What scenarios share whose answers are large: their figures, rounds and table.

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Named, Row, growth_by_part, mebibytes, most_growth, of, others, panel, ratio};
use crate::{
    contestants::{Contestant, Kind},
    load::Fetch,
    meter::{Cost, Memory, Meter},
    plot::{Bars, Panel},
    stage::Stage,
    table::{Table, optional},
};

/// All contestants with the same to deliver.
#[derive(Debug, Serialize)]
pub(super) struct Comparison<W> {
    #[serde(flatten)]
    pub(super) work: W,
    pub(super) rows: Vec<Row<Round>>,
}

/// One delivery by one contestant.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Round {
    bytes: u64,
    first_byte_ms: f64,
    total_ms: f64,
    cpu_us: Cost,
}

// === impl Round ===

impl Round {
    /// What was delivered while the meter ran.
    pub(super) fn of(fetch: Fetch, meter: Meter<'_>) -> Result<Self> {
        let cpu_us = meter.stop(1.0)?;
        let Fetch { first_byte, total, bytes } = fetch;
        let milliseconds = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        Ok(Self { bytes, first_byte_ms: milliseconds(first_byte), total_ms: milliseconds(total), cpu_us })
    }

    fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / 1e3 / self.total_ms
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

    /// Lets the contestants take turns. A turn is told the contestant's place among all.
    pub(super) async fn measured(
        mut self,
        stage: &Stage,
        rounds: u32,
        turn: impl AsyncFn(&Contestant, usize) -> Result<Round>,
    ) -> Result<Self> {
        for number in 1..=rounds {
            for (place, (contestant, row)) in stage.contestants.iter().zip(&mut self.rows).enumerate() {
                let round = turn(contestant, place).await;
                let round = round.with_context(|| format!("{}, round {number}", contestant.kind))?;
                eprintln!("round {number}/{rounds}, {}: {:.0} MB/s", contestant.kind, round.megabytes_per_second());
                row.rounds.push(round);
            }
        }
        for (contestant, row) in stage.contestants.iter().zip(&mut self.rows) {
            row.memory = Memory::of(&contestant.at_rest)?;
        }
        Ok(self)
    }

    /// The table, under a title that says what was delivered, and how.
    pub(super) fn table(&self, what: &str, how: &str) -> Table {
        let bytes = whole(&self.rows);
        let rounds = self.rows.first().map_or(0, |row| row.rounds.len());
        let others = others(&self.rows, |round| &round.cpu_us);
        let title = format!(
            "{what} ({:.1} MB), {how}\n\
             medians of {rounds} rounds; all else on the machine kept {others:.2} cores busy",
            bytes as f64 / 1e6,
        );
        let mut table = Table::new(title, &HEADING);
        let direct = of(&self.rows, Kind::Direct);
        let chain = of(&self.rows, Kind::Chain);
        let unfiltered = of(&self.rows, Kind::OursNoFilter);
        // What is hidden has been read all the same: what counts is the time.
        let faster = |mine: &Round, theirs: &Round| theirs.total_ms / mine.total_ms;
        for row in &self.rows {
            let own = |figure: f64| (row.contestant != Kind::Direct).then_some(figure);
            let filtered = |ratio: Option<f64>| ratio.filter(|_| row.contestant == Kind::Ours);
            table.push(vec![
                row.contestant.to_string(),
                format!("{:.0}", row.median(Round::megabytes_per_second)),
                optional(row.against(direct, faster), ratio),
                optional(row.against(chain, faster), ratio),
                optional(filtered(row.against(unfiltered, faster)), ratio),
                format!("{:.1}", row.median(|round| round.first_byte_ms)),
                format!("{:.0}", row.median(|round| round.total_ms)),
                optional(own(row.median(|round| round.cpu_us.contestant)), |us| format!("{:.0}", us / 1e3)),
                format!("{:.0}", row.median(|round| round.cpu_us.api_server()) / 1e3),
                optional(mebibytes(&row.memory, |part| part.peak), |mib| format!("{mib:.1}")),
                growth_by_part(&row.memory),
            ]);
        }
        table
    }
}

/// Tables of what was delivered, at a glance.
pub(super) fn panels(tables: &[Named<'_, Round>]) -> [Panel; 3] {
    let mut speed = Bars::new("Speed, of all that was read", "MB/s");
    for (name, rows) in tables {
        // What is hidden has been read all the same: it counts for whoever hides it.
        let whole = whole(rows) as f64;
        let each = |row: &Row<Round>| (row.contestant, row.median(|round| whole / 1e3 / round.total_ms));
        speed.group(name, rows.iter().map(each));
    }
    [
        speed.into(),
        panel("CPU of the contestant", "ms", tables, |row| {
            (row.contestant != Kind::Direct).then(|| row.median(|round| round.cpu_us.contestant) / 1e3)
        }),
        panel("Memory: most growth of a process", "MiB", tables, |row| most_growth(&row.memory)),
    ]
}

/// Bytes of what nothing is left out of.
fn whole(rows: &[Row<Round>]) -> u64 {
    rows.iter().filter_map(|row| row.rounds.first()).map(|round| round.bytes).max().unwrap_or(0)
}

const HEADING: [&str; 11] = [
    "",
    "MB/s",
    "of direct",
    "of chain",
    "of no filter",
    "first byte ms",
    "total ms",
    "CPU ms",
    "API server ms",
    "peak RSS MiB",
    "growth by part, MiB",
];
