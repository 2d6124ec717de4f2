//! GET of one object over a new TLS connection each time: what Argo CD's server does for most of what its users do.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::speed::{self, Comparison, Round, WARM_UP};
use crate::{
    args,
    contestants::{Contestant, Task},
    load::{Encoding, Expected, Newcomer, Protocol, fetch_whole},
    objects::ConfigMap,
    plot::Plot,
    report::Report,
    stage::Stage,
};

/// What is asked for.
#[derive(Debug, Clone, Copy, Serialize)]
struct Work {
    value_bytes: usize,
}

pub(crate) async fn run(args: &args::Fresh) -> Result<()> {
    let stage = Stage::set(Task::Fresh, &args.turns.contestants, &args.common).await?;
    let protocol = args.common.protocol();
    let time = Duration::from_secs_f64(args.seconds);
    let object = ConfigMap::managed("fresh", args.size);
    stage.api_server.create([object.clone()]).await?;
    let mut connection = stage.api_server.endpoint().connect(Protocol::Http1).await?;
    let expected = Expected::object(fetch_whole(&mut connection, &object.path(), Encoding::Json).await?);
    let mut comparisons = Vec::new();
    for &clients in &args.clients {
        let turn = async |contestant: &Contestant, _number: usize| {
            let expected = contestant.expects(&expected);
            let mut crew = Newcomer::crew(&contestant.endpoint, protocol, clients, &object.path(), &expected);
            crew.run(WARM_UP).await.context("warming up")?;
            Round::of_crew(&stage, contestant, &mut crew, time).await
        };
        let work = Work { value_bytes: args.size };
        let comparison = Comparison::new(&stage, work, clients, protocol, args.seconds);
        let comparison = comparison.measured(&stage, args.turns.rounds, turn).await?;
        let title = format!("GET of a ConfigMap of {} bytes, each over a new TLS connection", args.size);
        println!("{}", comparison.table(&title));
        comparisons.push(comparison);
    }
    println!("{}", stage.surroundings.line());
    let report = Report { scenario: "fresh", surroundings: &stage.surroundings, tables: &comparisons };
    let title = format!("GET of a ConfigMap of {} bytes, {protocol}, each over a new TLS connection", args.size);
    let mut plot = Plot::new(title, stage.surroundings.line());
    plot.section("New connections", speed::panels(&comparisons));
    println!("{}", report.write(&plot)?);
    Ok(())
}
