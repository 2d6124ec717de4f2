//! Connections that said HELLO and then nothing more: what each of them costs in memory.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::time::sleep;

use super::{Findings, counted};
use crate::{
    accounting::Part as Process,
    args::{self, Part},
    contestants::Kind,
    load::resp::{Crew, Exchange},
    plot::Bars,
    redis::{Place, Site, Way},
    table::{Table, optional},
};

/// All contestants.
#[derive(Debug, Serialize)]
struct Comparison {
    part: Part,
    wanted: usize,
    connections: usize,
    idle_seconds: f64,
    rows: Vec<Row>,
}

/// One contestant, once: memory that was needed is not given back as it was.
#[derive(Debug, Serialize)]
struct Row {
    contestant: Kind,
    /// What each process holds more for all connections, in bytes.
    growth: BTreeMap<&'static str, u64>,
    /// The same of the Redis servers.
    backend: BTreeMap<&'static str, u64>,
}

pub(super) async fn run(site: &Site, possible: usize, args: &args::Redis, findings: &mut Findings) -> Result<()> {
    let mut comparison = Comparison {
        part: Part::Idle,
        wanted: args.idle,
        connections: possible,
        idle_seconds: args.seconds,
        rows: Vec::new(),
    };
    for way in site.ways(Place::Principals) {
        let row = turn(site, &way, possible, Duration::from_secs_f64(args.seconds)).await;
        comparison.rows.push(row.with_context(|| way.kind.to_string())?);
    }
    findings.add(&comparison.table(), &comparison)?;
    let mut bars = Bars::new("Memory of the principal and the agent", "KiB each");
    let own = comparison.rows.iter().filter_map(|row| Some((row.contestant, comparison.each(row)?)));
    bars.group(counted(possible, "connection"), own);
    findings.plot.section("idle: connections that do nothing", [bars.into()]);
    Ok(())
}

async fn turn(site: &Site, way: &Way<'_>, connections: usize, time: Duration) -> Result<Row> {
    // Ten first: what is needed once is needed before they are counted.
    drop(Crew::connect(way.endpoint, 10).await?);
    let before = (resident(way.parts())?, resident(site.backend.iter())?);
    let mut crew = Crew::connect(way.endpoint, connections).await?;
    sleep(time).await;
    let after = (resident(way.parts())?, resident(site.backend.iter())?);
    crew.once(&Exchange::ping()).await.context("after they were idle")?;
    let growth = |before: &BTreeMap<_, u64>, after: BTreeMap<_, u64>| {
        let grown =
            |(name, bytes): (_, u64)| (name, bytes.saturating_sub(before.get(name).copied().unwrap_or_default()));
        after.into_iter().map(grown).collect()
    };
    Ok(Row { contestant: way.kind, growth: growth(&before.0, after.0), backend: growth(&before.1, after.1) })
}

fn resident<'a>(parts: impl Iterator<Item = &'a Process>) -> Result<BTreeMap<&'static str, u64>> {
    parts.map(|part| Ok((part.name, part.usage()?.resident))).collect()
}

// === impl Comparison ===

impl Comparison {
    /// KiB of a contestant's own processes for each connection.
    fn each(&self, row: &Row) -> Option<f64> {
        let grown = row.growth.values().sum::<u64>() as f64;
        (row.contestant != Kind::Direct).then_some(grown / 1024.0 / self.connections.max(1) as f64)
    }

    fn table(&self) -> Table {
        let Self { wanted, connections, idle_seconds, .. } = self;
        let why = if connections < wanted {
            format!(" ({wanted} were wanted; the limit of open files, `ulimit -n`, allows no more)")
        } else {
            String::new()
        };
        let title = format!("idle: {connections} connections, {idle_seconds} s after the last HELLO{why}");
        let mut table = Table::new(title, &HEADING);
        // Whoever comes later finds in the servers what the first made them take.
        for (number, row) in self.rows.iter().enumerate() {
            let each = |bytes: u64| bytes as f64 / 1024.0 / (*connections).max(1) as f64;
            let by_part = |parts: &BTreeMap<&'static str, u64>| {
                super::by_part(parts.iter().map(|(name, bytes)| (*name, each(*bytes))), 2)
            };
            table.push(vec![
                row.contestant.to_string(),
                optional(self.each(row), |kib| format!("{kib:.2}")),
                by_part(&row.growth),
                if number == 0 { by_part(&row.backend) } else { "-".to_owned() },
            ]);
        }
        table
    }
}

const HEADING: [&str; 4] = ["", "KiB/connection", "by part", "Redis by server"];
