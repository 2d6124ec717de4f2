//! GETs beside clients that asked for large values of the same agent and stopped reading: whether they slow the others.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::time::timeout;

use super::{
    super::beside::{self, Round, Speed},
    APPLICATION, Findings, Row, counted,
};
use crate::{
    args::{self, Part},
    load::resp::{Crew, Exchange, Stalled},
    meter::Memory,
    redis::{Place, Site, Way, value},
    table::Table,
};

/// All contestants at one number of clients that read.
#[derive(Debug, Serialize)]
struct Comparison {
    part: Part,
    value_bytes: usize,
    large_bytes: usize,
    clients: usize,
    stalled: usize,
    seconds: f64,
    rows: Vec<Row<Round>>,
}

pub(super) async fn run(site: &Site, args: &args::Redis, findings: &mut Findings) -> Result<()> {
    let (small, large) = (value(args.size), value(args.large));
    site.store(Place::Agents, APPLICATION, &small).await?;
    site.store(Place::Agents, LARGE_APPLICATION, &large).await?;
    let ways = site.ways(Place::Agents);
    let gets = ways.iter().map(|way| [way.get(APPLICATION, &small), way.get(LARGE_APPLICATION, &large)]);
    let gets = gets.collect::<Vec<_>>();
    let mut comparisons = Vec::new();
    for &clients in &args.clients {
        site.forget_peak()?;
        let mut comparison = Comparison {
            part: Part::Stalled,
            value_bytes: args.size,
            large_bytes: args.large,
            clients,
            stalled: STALLED,
            seconds: args.seconds / 2.0,
            rows: ways.iter().map(|way| Row::new(way.kind)).collect(),
        };
        let time = Duration::from_secs_f64(comparison.seconds);
        for number in 1..=args.rounds {
            for ((way, gets), row) in ways.iter().zip(&gets).zip(&mut comparison.rows) {
                let round = turn(way, gets, clients, time).await;
                let round = round.with_context(|| format!("{}, round {number}", way.kind))?;
                eprintln!("stalled, round {number}/{}, {}: {round}", args.rounds, way.kind);
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
    let title = format!("stalled: GETs of the agent's Redis beside {STALLED} clients that do not read");
    findings.plot.section(title, beside::panels(&tables.collect::<Vec<_>>()));
    Ok(())
}

async fn turn(way: &Way<'_>, [small, large]: &[Exchange; 2], clients: usize, time: Duration) -> Result<Round> {
    let mut crew = Crew::connect(way.endpoint, clients).await?;
    crew.run(small, WARM_UP).await.context("warming up")?;
    let alone = Speed::of(&crew.run(small, time).await?);
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let begun = timeout(PATIENCE, Stalled::begin(way.endpoint, large)).await;
        stalled.push(begun.context("a large value did not begin")??);
    }
    // Until all buffers on the way are full the large values still flow.
    crew.run(small, WARM_UP).await.context("while the large values begin")?;
    let beside = Speed::of(&crew.run(small, time).await.context("beside clients that do not read")?);
    for client in stalled {
        timeout(PATIENCE, client.resume()).await.context("a large value did not go on")??;
    }
    Ok(Round { alone, beside })
}

// === impl Comparison ===

impl Comparison {
    fn table(&self) -> Table {
        let Self { value_bytes, large_bytes, clients, stalled, seconds, .. } = self;
        let rounds = self.rows.first().map_or(0, |row| row.rounds.len());
        let title = format!(
            "stalled: GET of {value_bytes} bytes of the agent's Redis, clients: {clients}, alone and beside {stalled} that \
             asked for {:.1} MB there and do not read\nmedians of {rounds} rounds of {seconds} s each",
            *large_bytes as f64 / 1e6,
        );
        beside::table(title, &self.rows)
    }
}

/// The application whose value is large.
const LARGE_APPLICATION: &str = "guestbook-large";

/// How many clients do not read.
const STALLED: usize = 4;

/// Opens what is opened on first use, and fills what is there to be filled.
const WARM_UP: Duration = Duration::from_millis(300);

/// How long a large value may be in coming.
const PATIENCE: Duration = Duration::from_secs(20);
