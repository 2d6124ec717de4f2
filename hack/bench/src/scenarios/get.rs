//! GET of one object, warm: what a request costs.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Row, by_part, mebibytes, of, others};
use crate::{
    args,
    contestants::{Contestant, Kind},
    load::{Crew, Encoding, Expected, Protocol, fetch_whole},
    meter::{Cost, Memory, Meter},
    objects::ConfigMap,
    report::Report,
    stage::Stage,
    table::{Table, optional},
};

/// All contestants at one size and number of clients.
#[derive(Debug, Serialize)]
struct Comparison {
    value_bytes: usize,
    body_bytes: usize,
    clients: usize,
    protocol: Protocol,
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

pub(crate) async fn run(args: &args::Get) -> Result<()> {
    let stage = Stage::set(&args.contestants, &args.common).await?;
    let mut comparisons = Vec::new();
    for &size in &args.size {
        let object = ConfigMap::managed(format!("value-{size}"), size);
        stage.api_server.create(vec![object.clone()]).await?;
        let mut connection = stage.api_server.endpoint().connect(Protocol::Http1).await?;
        let body = fetch_whole(&mut connection, &object.path(), Encoding::Json).await?;
        for &clients in &args.clients {
            let comparison = Comparison {
                value_bytes: size,
                body_bytes: body.len(),
                clients,
                protocol: args.common.protocol(),
                seconds: args.seconds,
                rows: stage.contestants.iter().map(|contestant| Row::new(contestant.kind)).collect(),
            };
            let expected = Expected::object(body.clone());
            let comparison = comparison.measured(&stage, args.rounds, &object.path(), &expected).await?;
            println!("{}", comparison.table());
            comparisons.push(comparison);
        }
    }
    println!("{}", stage.surroundings.line());
    let report = Report { scenario: "get", surroundings: &stage.surroundings, tables: &comparisons };
    println!("all figures: {}", report.write()?.display());
    Ok(())
}

// === impl Comparison ===

impl Comparison {
    async fn measured(mut self, stage: &Stage, rounds: u32, path: &str, expected: &Expected) -> Result<Self> {
        for number in 1..=rounds {
            for (contestant, row) in stage.contestants.iter().zip(&mut self.rows) {
                let turn = Turn { stage, contestant, path, expected, clients: self.clients, protocol: self.protocol };
                let round = turn.take(Duration::from_secs_f64(self.seconds)).await;
                let round = round.with_context(|| format!("{}, round {number}", contestant.kind))?;
                eprintln!(
                    "round {number}/{rounds}, {}: p50 {:.3} ms, {:.0} requests/s",
                    contestant.kind, round.p50_ms, round.per_second
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
        let Self { value_bytes, clients, protocol, seconds, .. } = self;
        let rounds = self.rows.first().map_or(0, |row| row.rounds.len());
        let others = others(&self.rows, |round| &round.cpu_us);
        let title = format!(
            "GET of a ConfigMap of {value_bytes} bytes, {protocol}, clients: {clients}\n\
             medians of {rounds} rounds of {seconds} s; all else on the machine kept {others:.2} cores busy"
        );
        let mut table = Table::new(title, &HEADING);
        let direct = of(&self.rows, Kind::Direct);
        let chain = of(&self.rows, Kind::Chain);
        for row in &self.rows {
            let parts = row.rounds.first().map(|round| round.cpu_us.parts.keys().copied()).into_iter().flatten();
            let part = |name| (name, row.median(|round| round.cpu_us.parts.get(name).copied().unwrap_or_default()));
            let own = |figure: f64| (row.contestant != Kind::Direct).then_some(figure);
            table.push(vec![
                row.contestant.to_string(),
                format!("{:.3}", row.median(|round| round.p50_ms)),
                optional(row.against(direct, |mine, direct| mine.p50_ms - direct.p50_ms), |ms| format!("{ms:+.3}")),
                format!("{:.3}", row.median(|round| round.p99_ms)),
                format!("{:.0}", row.median(|round| round.per_second)),
                optional(row.against(direct, faster), ratio),
                optional(row.against(chain, faster), ratio),
                optional(own(row.median(|round| round.cpu_us.contestant)), |us| format!("{us:.0}")),
                optional(row.against(chain, dearer).and_then(own), ratio),
                format!("{:.0}", row.median(|round| round.cpu_us.api_server())),
                optional(mebibytes(&row.memory, |part| part.peak), |mib| format!("{mib:.1}")),
                optional(mebibytes(&row.memory, Memory::growth), |mib| format!("{mib:.1}")),
                by_part(parts.map(part), 0),
            ]);
        }
        table
    }
}

fn faster(mine: &Round, theirs: &Round) -> f64 {
    mine.per_second / theirs.per_second
}

fn dearer(mine: &Round, theirs: &Round) -> f64 {
    mine.cpu_us.contestant / theirs.cpu_us.contestant
}

fn ratio(ratio: f64) -> String {
    format!("{ratio:.2}")
}

/// What a turn consists of.
#[derive(Debug, Clone, Copy)]
struct Turn<'a> {
    stage: &'a Stage,
    contestant: &'a Contestant,
    path: &'a str,
    expected: &'a Expected,
    clients: usize,
    protocol: Protocol,
}

// === impl Turn ===

impl Turn<'_> {
    async fn take(self, time: Duration) -> Result<Round> {
        let mut crew = Crew::connect(&self.contestant.endpoint, self.protocol, self.clients).await?;
        crew.run(self.path, self.expected, WARM_UP).await.context("warming up")?;
        let meter = Meter::start(self.contestant.parts(), &self.stage.backend)?;
        let burst = crew.run(self.path, self.expected, time).await?;
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
}

const HEADING: [&str; 13] = [
    "",
    "p50 ms",
    "added",
    "p99 ms",
    "req/s",
    "of direct",
    "of chain",
    "CPU µs/req",
    "of chain",
    "API server µs",
    "peak RSS MiB",
    "growth",
    "CPU by part",
];

/// Opens what is opened on first use: upstream connections, pipes.
const WARM_UP: Duration = Duration::from_millis(300);
