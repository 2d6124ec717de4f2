//! GET of a value, warm: what a command costs that the door passes on, and one that it lets the agent answer.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::{
    APPLICATION, Findings, Row, by_process, counted, growth_by_part, mebibytes, of, others, own, panel, ratio,
};
use crate::{
    args::{self, Part},
    contestants::Kind,
    load::resp::Crew,
    meter::{Cost, Memory, Meter},
    redis::{Place, Site, Way, value},
    table::{Table, optional},
};

/// All contestants at one number of clients.
#[derive(Debug, Serialize)]
struct Comparison {
    part: Part,
    value_bytes: usize,
    clients: usize,
    seconds: f64,
    rows: Vec<Row<Round>>,
}

/// One turn of one contestant.
#[derive(Debug, Clone, Serialize)]
struct Round {
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    requests: f64,
    per_second: f64,
    cpu_us: Cost,
}

pub(super) async fn run(site: &Site, part: Part, args: &args::Redis, findings: &mut Findings) -> Result<()> {
    let place = if part == Part::Local { Place::Principals } else { Place::Agents };
    let value = value(args.size);
    site.store(place, APPLICATION, &value).await?;
    let ways = site.ways(place);
    let mut comparisons = Vec::new();
    for &clients in &args.clients {
        let mut comparison = Comparison {
            part,
            value_bytes: args.size,
            clients,
            seconds: args.seconds,
            rows: ways.iter().map(|way| Row::new(way.kind)).collect(),
        };
        for number in 1..=args.rounds {
            for (way, row) in ways.iter().zip(&mut comparison.rows) {
                let round = turn(site, way, &value, clients, Duration::from_secs_f64(args.seconds)).await;
                let round = round.with_context(|| format!("{}, round {number}", way.kind))?;
                eprintln!(
                    "{part}, round {number}/{}, {}: p50 {:.3} ms, {:.0} requests/s",
                    args.rounds, way.kind, round.p50_ms, round.per_second
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
    let tables = comparisons.iter().map(|one| (counted(one.clients, "client"), one.rows.as_slice()));
    let tables = tables.collect::<Vec<_>>();
    let panels = [
        panel("From command to reply, p50", "ms", &tables, |row| Some(row.median(|round| round.p50_ms))),
        panel("From command to reply, p99", "ms", &tables, |row| Some(row.median(|round| round.p99_ms))),
        panel("CPU of principal and agent", "µs per command", &tables, |row| {
            own(row, row.median(|round| round.cpu_us.contestant))
        }),
        panel("All clients together", "commands per second", &tables, |row| Some(row.median(|round| round.per_second))),
    ];
    let title = format!("{part}: GET of {} bytes of {} Redis", args.size, whose(part));
    findings.plot.section(title, panels);
    Ok(())
}

async fn turn(site: &Site, way: &Way<'_>, value: &[u8], clients: usize, time: Duration) -> Result<Round> {
    let get = way.get(APPLICATION, value);
    let mut crew = Crew::connect(way.endpoint, clients).await?;
    crew.run(&get, WARM_UP).await.context("warming up")?;
    let meter = Meter::start(way.parts(), &site.backend)?;
    let burst = crew.run(&get, time).await?;
    let cpu_us = meter.stop(burst.requests())?;
    Ok(Round {
        p50_ms: burst.latencies.percentile(50.0),
        p90_ms: burst.latencies.percentile(90.0),
        p99_ms: burst.latencies.percentile(99.0),
        requests: burst.requests(),
        per_second: burst.per_second(),
        cpu_us,
    })
}

// === impl Comparison ===

impl Comparison {
    fn table(&self) -> Table {
        let Self { part, value_bytes, clients, seconds, .. } = self;
        let whose = whose(*part);
        let rounds = self.rows.first().map_or(0, |row| row.rounds.len());
        let others = others(&self.rows, |round| &round.cpu_us);
        let title = format!(
            "{part}: GET of {value_bytes} bytes of {whose} Redis, clients: {clients}\n\
             medians of {rounds} rounds of {seconds} s; all else on the machine kept {others:.2} cores busy"
        );
        let mut table = Table::new(title, &HEADING);
        let direct = of(&self.rows, Kind::Direct);
        for row in &self.rows {
            let added = row.against(direct, |mine, direct| mine.p50_ms - direct.p50_ms);
            table.push(vec![
                row.contestant.to_string(),
                format!("{:.3}", row.median(|round| round.p50_ms)),
                optional(added, |ms| format!("{ms:+.3}")),
                format!("{:.3}", row.median(|round| round.p99_ms)),
                format!("{:.0}", row.median(|round| round.per_second)),
                optional(row.against(direct, |mine, direct| mine.per_second / direct.per_second), ratio),
                optional(own(row, row.median(|round| round.cpu_us.contestant)), |us| format!("{us:.1}")),
                format!("{:.1}", row.median(|round| round.cpu_us.backend())),
                format!("{:.1}", row.median(|round| round.cpu_us.client)),
                optional(mebibytes(&row.memory, |part| part.peak), |mib| format!("{mib:.1}")),
                growth_by_part(&row.memory),
                by_process(row, |round| &round.cpu_us),
            ]);
        }
        table
    }
}

fn whose(part: Part) -> &'static str {
    if part == Part::Local { "the principal's" } else { "the agent's" }
}

const HEADING: [&str; 12] = [
    "",
    "p50 ms",
    "added",
    "p99 ms",
    "req/s",
    "of direct",
    "CPU µs/req",
    "Redis µs",
    "client µs",
    "peak RSS MiB",
    "growth by part, MiB",
    "CPU by part",
];

/// Opens what is opened on first use: upstream connections, pipes.
const WARM_UP: Duration = Duration::from_millis(300);
