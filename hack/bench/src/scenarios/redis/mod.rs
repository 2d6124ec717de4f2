//! The Redis door, part by part: what it costs to ask it and not a Redis.
//!
//! `direct` asks the Redis that has the answer, under the name that the answer has there: the principal's for what is
//! local, the agent's for what is an agent's. Nothing of Kubernetes runs beside it.

mod get;
mod idle;
mod large;
mod stalled;
mod subscribe;

use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

use super::{Row, by_part, counted, growth_by_part, mebibytes, megabytes, most_growth, of, others, panel, ratio};
use crate::{
    args::{self, Part},
    contestants::{Kind, Ours, Task, able},
    load::Protocol,
    meter::Cost,
    pki::Pki,
    plot::Plot,
    redis::{RedisServer, Site, raise_limit},
    report::Report,
    stage::{Surroundings, Versions, named_once},
    table::Table,
};

/// What the run has found so far.
#[derive(Debug)]
struct Findings {
    tables: Vec<Value>,
    plot: Plot,
}

pub(crate) async fn run(args: &args::Redis) -> Result<()> {
    named_once(&args.contestants)?;
    able(&args.program.rivals, Task::Redis, Protocol::Http1);
    let limit = raise_limit(open_files(args.idle))?;
    let ours = match args.contestants.contains(&Kind::Ours) {
        true => Some(Ours::given_or_build(&args.program).await?),
        false => None,
    };
    let versions = Versions {
        argocd_agent: ours.as_ref().map(|ours| ours.version.clone()),
        redis: Some(RedisServer::version().await?),
        ..Versions::default()
    };
    let surroundings = Surroundings::new(versions, args.program.worker_threads).smoke(args.program.smoke);
    let dir = tempfile::Builder::new().prefix("bench-").tempdir().context("creating a directory")?;
    let pki = Pki::write(&dir.path().join("pki"))?;

    let plot = Plot::new("The Redis door", surroundings.line());
    let mut findings = Findings { tables: Vec::new(), plot };
    for &part in &args.part {
        let possible = args.idle.min(connections(limit));
        let clients = args.subscribers.iter().chain(&args.clients).copied().max().unwrap_or_default();
        let folder = dir.path().join(part.to_string());
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let clients = clients.max(possible) + SPARE;
        let site = Site::start(&folder, &pki, &args.contestants, ours.as_ref(), clients).await?;
        let measured = match part {
            Part::Local | Part::Agent => get::run(&site, part, args, &mut findings).await,
            Part::Subscribe => subscribe::run(&site, args, &mut findings).await,
            Part::Large => large::run(&site, args, &mut findings).await,
            Part::Stalled => stalled::run(&site, args, &mut findings).await,
            Part::Idle => idle::run(&site, possible, args, &mut findings).await,
        };
        measured.with_context(|| format!("the part {part}"))?;
    }
    println!("{}", surroundings.line());
    let report = Report { scenario: "redis", surroundings: &surroundings, tables: &findings.tables };
    println!("{}", report.write(&findings.plot)?);
    Ok(())
}

// === impl Findings ===

impl Findings {
    /// Shows a table, and keeps its figures.
    fn add(&mut self, table: &Table, figures: &impl Serialize) -> Result<()> {
        println!("{table}");
        self.tables.push(serde_json::to_value(figures).context("writing JSON")?);
        Ok(())
    }
}

/// Files that a principal has open with so many connections to its door: each has one to the principal's Redis.
fn open_files(connections: usize) -> u64 {
    connections.saturating_mul(2).saturating_add(OTHER_FILES) as u64
}

/// How many connections so many open files allow.
fn connections(files: u64) -> usize {
    usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(OTHER_FILES) / 2
}

/// `principal 90, agent 80, redis-agent 12`: microseconds of contestant and servers, of those that did anything.
fn by_process<R>(row: &Row<R>, cost: impl Fn(&R) -> &Cost) -> String {
    let first = row.rounds.first().map(&cost);
    let names = first.into_iter().flat_map(|cost| cost.parts.keys().chain(cost.backend.keys()).copied());
    let figure = |name| {
        let spent = |round: &R| {
            let cost = cost(round);
            cost.parts.get(name).or_else(|| cost.backend.get(name)).copied().unwrap_or_default()
        };
        (name, row.median(spent))
    };
    by_part(names.map(figure).filter(|(_, figure)| *figure > 0.0), 1)
}

/// Of what a contestant itself costs, where it is more than the way to the server.
fn own<R>(row: &Row<R>, figure: f64) -> Option<f64> {
    (row.contestant != Kind::Direct).then_some(figure)
}

/// The application that values are stored for.
const APPLICATION: &str = "guestbook";

/// Clients of a Redis beside those that are measured.
const SPARE: usize = 64;

/// Files that a principal has open beside those of its clients, and the least that is needed to start.
const OTHER_FILES: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_connections_are_possible_as_files_were_asked_for() {
        for wanted in [0, 1, 10_000] {
            assert_eq!(connections(open_files(wanted)), wanted);
        }
        assert_eq!(connections(64), 0);
    }
}
