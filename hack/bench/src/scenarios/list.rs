//! A list that is far larger than any buffer: whether bodies stream, and how fast.

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Row, by_part, mebibytes, of, others, ratio};
use crate::{
    args,
    contestants::{Contestant, Kind},
    load::{Encoding, Expected, Fetch, Protocol, fetch, fetch_whole},
    meter::{Cost, Memory, Meter},
    objects::{ConfigMap, NAMESPACE, collection},
    report::Report,
    stage::Stage,
    table::{Table, optional},
};

/// All contestants with one list in one encoding.
#[derive(Debug, Serialize)]
struct Comparison {
    items: usize,
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

pub(crate) async fn run(args: &args::List) -> Result<()> {
    let stage = Stage::set(&args.contestants, &args.common).await?;
    eprintln!("creating {} ConfigMaps", args.items);
    let object = |number| ConfigMap::managed(format!("item-{number:05}"), args.size);
    stage.api_server.create((0..args.items).map(object)).await?;
    let mut comparisons = Vec::new();
    for &encoding in &args.encoding {
        let mut connection = stage.api_server.endpoint().connect(Protocol::Http1).await?;
        let expected = fetch_whole(&mut connection, &collection(NAMESPACE), encoding).await?;
        for contestant in &stage.contestants {
            contestant.forget_peak()?;
        }
        let comparison = Comparison {
            items: args.items,
            value_bytes: args.size,
            encoding,
            protocol: args.common.protocol(),
            rows: stage.contestants.iter().map(|contestant| Row::new(contestant.kind)).collect(),
        };
        let comparison = comparison.measured(&stage, args.rounds, &Expected::list(expected, encoding)?).await?;
        println!("{}", comparison.table());
        comparisons.push(comparison);
    }
    println!("{}", stage.surroundings.line());
    let report = Report { scenario: "list", surroundings: &stage.surroundings, tables: &comparisons };
    println!("all figures: {}", report.write()?.display());
    Ok(())
}

async fn turn(stage: &Stage, contestant: &Contestant, protocol: Protocol, expected: &Expected) -> Result<Round> {
    let mut connection = contestant.endpoint.connect(protocol).await?;
    let meter = Meter::start(contestant.parts(), &stage.backend)?;
    let Fetch { first_byte, total, bytes } = fetch(&mut connection, &collection(NAMESPACE), expected).await?;
    let cpu_us = meter.stop(1.0)?;
    let milliseconds = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    Ok(Round { bytes, first_byte_ms: milliseconds(first_byte), total_ms: milliseconds(total), cpu_us })
}

// === impl Round ===

impl Round {
    fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / 1e3 / self.total_ms
    }
}

// === impl Comparison ===

impl Comparison {
    async fn measured(mut self, stage: &Stage, rounds: u32, expected: &Expected) -> Result<Self> {
        for number in 1..=rounds {
            for (contestant, row) in stage.contestants.iter().zip(&mut self.rows) {
                let round = turn(stage, contestant, self.protocol, expected).await;
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
        let bytes = self.rows.first().and_then(|row| row.rounds.first()).map_or(0, |round| round.bytes);
        let rounds = self.rows.first().map_or(0, |row| row.rounds.len());
        let others = others(&self.rows, |round| &round.cpu_us);
        let title = format!(
            "List of {} ConfigMaps of {} bytes ({:.1} MB), {}, {}\n\
             medians of {rounds} rounds; all else on the machine kept {others:.2} cores busy",
            self.items,
            self.value_bytes,
            bytes as f64 / 1e6,
            self.encoding,
            self.protocol
        );
        let mut table = Table::new(title, &HEADING);
        let direct = of(&self.rows, Kind::Direct);
        let chain = of(&self.rows, Kind::Chain);
        let unfiltered = of(&self.rows, Kind::OursNoFilter);
        let faster = |mine: &Round, theirs: &Round| mine.megabytes_per_second() / theirs.megabytes_per_second();
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
