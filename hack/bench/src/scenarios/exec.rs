//! Commands in a Pod, and ports of it, over WebSocket: how soon a byte is back, and how fast many are through.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    speed::{self, WARM_UP},
    transfer,
};
use crate::{
    args::{self, ExecPart},
    contestants::{Contestant, Task},
    load::{Port, Protocol, Typist},
    meter::Meter,
    objects::{Object, pods},
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
    for &part in &args.part {
        match part {
            ExecPart::Echo => {
                for &clients in &args.clients {
                    let comparison = echo(&stage, args, clients).await?;
                    tables.push(serde_json::to_value(&comparison).context("writing JSON")?);
                }
            }
            ExecPart::Download | ExecPart::Upload => {
                let comparison = forward(&stage, args, part).await?;
                tables.push(serde_json::to_value(&comparison).context("writing JSON")?);
            }
        }
    }
    println!("{}", stage.surroundings.line());
    let report = Report { scenario: "exec", surroundings: &stage.surroundings, tables: &tables };
    println!("all figures: {}", report.write()?.display());
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
    let title = if part == ExecPart::Upload { "To a forwarded port" } else { "From a forwarded port" };
    println!("{}", comparison.table(title, "WebSocket"));
    Ok(comparison)
}

fn pod() -> String {
    format!("{}/{POD}", pods())
}

const POD: &str = "shell";

/// How long a transfer may take.
const PATIENCE: Duration = Duration::from_secs(120);
