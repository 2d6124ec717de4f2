//! A list that is far larger than any buffer: whether bodies stream, and how fast.

mod population;

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Row, by_part, mebibytes, of, others, ratio};
use crate::{
    args::{self, Population},
    contestants::{Contestant, Kind},
    load::{Encoding, Expected, Fetch, Protocol, fetch},
    meter::{Cost, Memory, Meter},
    report::Report,
    stage::Stage,
    table::{Table, optional},
};

/// All contestants with one list in one encoding.
#[derive(Debug, Serialize)]
struct Comparison {
    population: Population,
    items: usize,
    /// Of each ConfigMap.
    value_bytes: usize,
    encoding: Encoding,
    protocol: Protocol,
    rows: Vec<Row<Round>>,
}

/// One list from one contestant.
#[derive(Debug, Clone, Serialize)]
struct Round {
    bytes: u64,
    first_byte_ms: f64,
    total_ms: f64,
    cpu_us: Cost,
}

/// What a turn consists of.
#[derive(Debug, Clone, Copy)]
struct Turn<'a> {
    stage: &'a Stage,
    contestant: &'a Contestant,
    path: &'a str,
    expected: &'a Expected,
    protocol: Protocol,
}

pub(crate) async fn run(args: &args::List) -> Result<()> {
    let stage = Stage::set(&args.contestants, &args.common).await?;
    let mut comparisons = Vec::new();
    for &population in &args.population {
        population.create(&stage, args).await?;
        for &encoding in &args.encoding {
            // Whoever must find owners out does so in the first list of each encoding that is not looked at.
            let expected = population.expected(&stage, encoding).await?;
            for contestant in &stage.contestants {
                contestant.forget_peak()?;
            }
            let comparison = Comparison {
                population,
                items: population.items(args),
                value_bytes: args.size,
                encoding,
                protocol: args.common.protocol(),
                rows: stage.contestants.iter().map(|contestant| Row::new(contestant.kind)).collect(),
            };
            let comparison = comparison.measured(&stage, args.rounds, &expected).await?;
            println!("{}", comparison.table());
            comparisons.push(comparison);
        }
    }
    println!("{}", stage.surroundings.line());
    let report = Report { scenario: "list", surroundings: &stage.surroundings, tables: &comparisons };
    println!("all figures: {}", report.write()?.display());
    Ok(())
}

// === impl Turn ===

impl Turn<'_> {
    async fn take(self) -> Result<Round> {
        let mut connection = self.contestant.endpoint.connect(self.protocol).await?;
        let meter = Meter::start(self.contestant.parts(), &self.stage.backend)?;
        let Fetch { first_byte, total, bytes } = fetch(&mut connection, self.path, self.expected).await?;
        let cpu_us = meter.stop(1.0)?;
        let milliseconds = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        Ok(Round { bytes, first_byte_ms: milliseconds(first_byte), total_ms: milliseconds(total), cpu_us })
    }
}

// === impl Round ===

impl Round {
    fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / 1e3 / self.total_ms
    }
}

// === impl Comparison ===

impl Comparison {
    async fn measured(mut self, stage: &Stage, rounds: u32, expected: &[Expected]) -> Result<Self> {
        let path = self.population.path();
        for number in 1..=rounds {
            for ((contestant, expected), row) in stage.contestants.iter().zip(expected).zip(&mut self.rows) {
                let turn = Turn { stage, contestant, path: &path, expected, protocol: self.protocol };
                let round = turn.take().await;
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

    fn table(&self) -> Table {
        let bytes = self.rows.iter().filter_map(|row| row.rounds.first()).map(|round| round.bytes).max().unwrap_or(0);
        let rounds = self.rows.first().map_or(0, |row| row.rounds.len());
        let others = others(&self.rows, |round| &round.cpu_us);
        let title = format!(
            "List of {} ({:.1} MB), {}, {}\n\
             medians of {rounds} rounds; all else on the machine kept {others:.2} cores busy",
            self.population.title(self.items, self.value_bytes),
            bytes as f64 / 1e6,
            self.encoding,
            self.protocol
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
            let growth = |part: &Memory| (part.part, part.growth() as f64 / f64::from(1 << 20));
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
                by_part(row.memory.iter().map(growth), 1),
            ]);
        }
        table
    }
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
