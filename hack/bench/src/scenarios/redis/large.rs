//! A value that is far larger than any buffer: whether values stream, and how fast.

use anyhow::{Context, Result};
use serde::Serialize;

use super::{
    APPLICATION, Findings, Row, growth_by_part, mebibytes, megabytes, most_growth, of, others, own, panel, ratio,
};
use crate::{
    args::{self, Part},
    contestants::Kind,
    load::{Fetch, resp::Exchange},
    meter::{Cost, Memory, Meter},
    redis::{Place, Site, Way, value},
    table::{Table, optional},
};

/// All contestants with the value of one Redis.
#[derive(Debug, Serialize)]
struct Comparison {
    part: Part,
    agents: bool,
    value_bytes: usize,
    rows: Vec<Row<Round>>,
}

/// One value from one contestant.
#[derive(Debug, Clone, Serialize)]
struct Round {
    first_byte_ms: f64,
    total_ms: f64,
    megabytes_per_second: f64,
    cpu_us: Cost,
}

pub(super) async fn run(site: &Site, args: &args::Redis, findings: &mut Findings) -> Result<()> {
    let value = value(args.large);
    let mut comparisons = Vec::new();
    for place in [Place::Principals, Place::Agents] {
        site.store(place, APPLICATION, &value).await?;
        site.forget_peak()?;
        let ways = site.ways(place);
        let mut comparison = Comparison {
            part: Part::Large,
            agents: place == Place::Agents,
            value_bytes: args.large,
            rows: ways.iter().map(|way| Row::new(way.kind)).collect(),
        };
        let gets = ways.iter().map(|way| way.get(APPLICATION, &value)).collect::<Vec<_>>();
        for number in 1..=args.rounds * VALUES_PER_ROUND {
            for ((way, get), row) in ways.iter().zip(&gets).zip(&mut comparison.rows) {
                let round = turn(site, way, get).await.with_context(|| format!("{}, value {number}", way.kind))?;
                eprintln!("large, value {number}, {}: {:.0} MB/s", way.kind, round.megabytes_per_second);
                row.rounds.push(round);
            }
        }
        for (way, row) in ways.iter().zip(&mut comparison.rows) {
            row.memory = Memory::of(way.at_rest)?;
        }
        findings.add(&comparison.table(), &comparison)?;
        comparisons.push(comparison);
    }
    let tables = comparisons.iter().map(|one| (format!("of {} Redis", one.whose()), one.rows.as_slice()));
    let tables = tables.collect::<Vec<_>>();
    let panels = [
        panel("Speed", "MB/s", &tables, |row| Some(row.median(|round| round.megabytes_per_second))),
        panel("Memory: most growth of a process", "MiB", &tables, |row| most_growth(&row.memory)),
    ];
    findings.plot.section(format!("large: GET of {}", megabytes(args.large)), panels);
    Ok(())
}

async fn turn(site: &Site, way: &Way<'_>, get: &Exchange) -> Result<Round> {
    let mut connection = way.endpoint.connect().await?;
    let meter = Meter::start(way.parts(), &site.backend)?;
    let Fetch { first_byte, total, bytes } = connection.exchange(get).await?;
    let cpu_us = meter.stop(1.0)?;
    Ok(Round {
        first_byte_ms: first_byte.as_secs_f64() * 1e3,
        total_ms: total.as_secs_f64() * 1e3,
        megabytes_per_second: bytes as f64 / 1e6 / total.as_secs_f64(),
        cpu_us,
    })
}

// === impl Comparison ===

impl Comparison {
    fn whose(&self) -> &'static str {
        if self.agents { "the agent's" } else { "the principal's" }
    }

    fn table(&self) -> Table {
        let whose = self.whose();
        let values = self.rows.first().map_or(0, |row| row.rounds.len());
        let others = others(&self.rows, |round| &round.cpu_us);
        let title = format!(
            "large: GET of {} of {whose} Redis, a new connection each time\n\
             medians of {values} values; all else on the machine kept {others:.2} cores busy",
            megabytes(self.value_bytes),
        );
        let mut table = Table::new(title, &HEADING);
        let direct = of(&self.rows, Kind::Direct);
        for row in &self.rows {
            let faster = |mine: &Round, theirs: &Round| mine.megabytes_per_second / theirs.megabytes_per_second;
            table.push(vec![
                row.contestant.to_string(),
                format!("{:.0}", row.median(|round| round.megabytes_per_second)),
                optional(row.against(direct, faster), ratio),
                format!("{:.1}", row.median(|round| round.first_byte_ms)),
                format!("{:.0}", row.median(|round| round.total_ms)),
                optional(own(row, row.median(|round| round.cpu_us.contestant)), |us| format!("{:.0}", us / 1e3)),
                format!("{:.0}", row.median(|round| round.cpu_us.backend()) / 1e3),
                optional(mebibytes(&row.memory, |part| part.peak), |mib| format!("{mib:.1}")),
                growth_by_part(&row.memory),
            ]);
        }
        table
    }
}

const HEADING: [&str; 9] =
    ["", "MB/s", "of direct", "first byte ms", "total ms", "CPU ms", "Redis ms", "peak RSS MiB", "growth by part, MiB"];

/// One takes a fraction of a second.
const VALUES_PER_ROUND: u32 = 3;
