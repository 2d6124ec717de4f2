//! GET of one object, warm: what a request costs.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::speed::{self, Comparison, Round, WARM_UP};
use crate::{
    args,
    contestants::{Contestant, Task},
    load::{Encoding, Expected, Protocol, Reader, fetch_whole},
    objects::ConfigMap,
    plot::Plot,
    report::Report,
    stage::Stage,
};

/// What is asked for.
#[derive(Debug, Clone, Copy, Serialize)]
struct Work {
    value_bytes: usize,
    body_bytes: usize,
}

pub(crate) async fn run(args: &args::Get) -> Result<()> {
    let stage = Stage::set(Task::Get, &args.turns.contestants, &args.common).await?;
    let protocol = args.common.protocol();
    let time = Duration::from_secs_f64(args.seconds);
    let mut comparisons = Vec::new();
    for &size in &args.size {
        let object = ConfigMap::managed(format!("value-{size}"), size);
        stage.api_server.create([object.clone()]).await?;
        let mut connection = stage.api_server.endpoint().connect(Protocol::Http1).await?;
        let body = fetch_whole(&mut connection, &object.path(), Encoding::Json).await?;
        let work = Work { value_bytes: size, body_bytes: body.len() };
        let expected = Expected::object(body);
        let path = object.path();
        for &clients in &args.clients {
            let turn = async |contestant: &Contestant, _number: usize| {
                let mut crew =
                    Reader::crew(&contestant.endpoint, protocol, clients, &path, &contestant.expects(&expected))
                        .await?;
                crew.run(WARM_UP).await.context("warming up")?;
                Round::of_crew(&stage, contestant, &mut crew, time).await
            };
            let comparison = Comparison::new(&stage, work, clients, protocol, args.seconds);
            let comparison = comparison.measured(&stage, args.turns.rounds, turn).await?;
            println!("{}", comparison.table(&format!("GET of a ConfigMap of {size} bytes")));
            comparisons.push(comparison);
        }
    }
    println!("{}", stage.surroundings.line());
    let scenario = if protocol == Protocol::Http2 { "get-http2" } else { "get" };
    let report = Report { scenario, surroundings: &stage.surroundings, tables: &comparisons };
    let mut plot = Plot::new(format!("GET of a ConfigMap, {protocol}"), stage.surroundings.line());
    for comparisons in comparisons.chunk_by(|one, next| one.work.value_bytes == next.work.value_bytes) {
        let bytes = comparisons.first().map_or(0, |comparison| comparison.work.body_bytes);
        plot.section(format!("Answers of {bytes} bytes"), speed::panels(comparisons));
    }
    println!("{}", report.write(&plot)?);
    Ok(())
}
