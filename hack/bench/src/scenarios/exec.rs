//! Commands in a Pod, and ports of it, over WebSocket: how soon a byte is back, and how fast many are through.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    megabytes,
    speed::{self, WARM_UP},
    transfer,
};
use crate::{
    args::{self, ExecPart},
    contestants::{Contestant, Task},
    load::{Port, Protocol, Typist},
    meter::Meter,
    objects::{Object, pods},
    plot::Plot,
    report::Report,
    stage::Stage,
};

/// What is done.
#[derive(Debug, Clone, Copy, Serialize)]
struct Work {
    part: ExecPart,
    /// Of each round trip, or of each transfer.
    bytes: usize,
}

pub(crate) async fn run(args: &args::Exec) -> Result<()> {
    let stage = Stage::with_node(Task::Exec, &args.turns.contestants, &args.program).await?;
    stage.api_server.create([Object::managed_pod(POD)]).await?;
    let mut tables = Vec::<Value>::new();
    let mut plot = Plot::new("Commands in a Pod, and ports of it, over WebSocket", stage.surroundings.line());
    for &part in &args.part {
        match part {
            ExecPart::Echo => {
                let mut comparisons = Vec::new();
                for &clients in &args.clients {
                    let comparison = echo(&stage, args, clients).await?;
                    tables.push(serde_json::to_value(&comparison).context("writing JSON")?);
                    comparisons.push(comparison);
                }
                plot.section("A byte to a command and back", speed::panels(&comparisons));
            }
            ExecPart::Download | ExecPart::Upload => {
                let comparison = forward(&stage, args, part).await?;
                tables.push(serde_json::to_value(&comparison).context("writing JSON")?);
                let named = [(megabytes(args.size), comparison.rows.as_slice())];
                plot.section(title(part), transfer::panels(&named));
            }
        }
    }
    println!("{}", stage.surroundings.line());
    let report = Report { scenario: "exec", surroundings: &stage.surroundings, tables: &tables };
    println!("{}", report.write(&plot)?);
    Ok(())
}

async fn echo(stage: &Stage, args: &args::Exec, clients: usize) -> Result<speed::Comparison<Work>> {
    let time = Duration::from_secs_f64(args.seconds);
    let turn = async |contestant: &Contestant, _number: usize| {
        let mut crew = Typist::crew(&contestant.endpoint, &pod(), clients).await?;
        crew.run(WARM_UP).await.context("warming up")?;
        speed::Round::of_crew(stage, contestant, &mut crew, time).await
    };
    // WebSocket begins as HTTP/1.1.
    let work = Work { part: ExecPart::Echo, bytes: 1 };
    let comparison = speed::Comparison::new(stage, work, clients, Protocol::Http1, args.seconds);
    let comparison = comparison.measured(stage, args.turns.rounds, turn).await?;
    println!("{}", comparison.table("A byte to a command (exec) and back, WebSocket"));
    Ok(comparison)
}

async fn forward(stage: &Stage, args: &args::Exec, part: ExecPart) -> Result<transfer::Comparison<Work>> {
    let port = Port::open(args.size).await?;
    let pod = pod();
    let turn = async |contestant: &Contestant, _place: usize| {
        let meter = Meter::start(contestant.parts(), &stage.backend)?;
        let endpoint = &contestant.endpoint;
        let all = async {
            match part {
                ExecPart::Upload => port.upload(endpoint, &pod).await,
                ExecPart::Echo | ExecPart::Download => port.download(endpoint, &pod).await,
            }
        };
        transfer::Round::of(timeout(PATIENCE, all).await.context("it does not end")??, meter)
    };
    let comparison = transfer::Comparison::new(stage, Work { part, bytes: args.size })?;
    let comparison = comparison.measured(stage, args.turns.rounds, turn).await?;
    println!("{}", comparison.table(title(part), "WebSocket"));
    Ok(comparison)
}

fn title(part: ExecPart) -> &'static str {
    if part == ExecPart::Upload { "To a forwarded port" } else { "From a forwarded port" }
}

fn pod() -> String {
    format!("{}/{POD}", pods())
}

const POD: &str = "shell";

/// How long a transfer may take.
const PATIENCE: Duration = Duration::from_secs(120);
