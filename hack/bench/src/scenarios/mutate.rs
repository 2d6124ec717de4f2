//! PATCH and PUT of managed objects. Each client has an object of its own, so that none has to wait for another.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::speed::{self, Comparison, Round, WARM_UP};
use crate::{
    args::{self, Change},
    contestants::{Contestant, Task},
    load::{Changer, Protocol},
    objects::ConfigMap,
    plot::Plot,
    report::Report,
    stage::Stage,
};

/// What is done.
#[derive(Debug, Clone, Copy, Serialize)]
struct Work {
    change: Change,
    value_bytes: usize,
}

pub(crate) async fn run(args: &args::Mutate) -> Result<()> {
    let task = if args.change.contains(&Change::Put) { Task::Put } else { Task::Patch };
    let stage = Stage::set(task, &args.turns.contestants, &args.common).await?;
    let protocol = args.common.protocol();
    let time = Duration::from_secs_f64(args.seconds);
    let most = args.clients.iter().copied().max().unwrap_or_default();
    let objects = (0..most).map(|number| ConfigMap::managed(format!("changed-{number}"), args.size));
    let objects = objects.collect::<Vec<_>>();
    stage.api_server.create(objects.clone()).await?;
    let mut comparisons = Vec::new();
    for &change in &args.change {
        for &clients in &args.clients {
            let objects = objects.get(..clients).context("an object for each client")?;
            let turn = async |contestant: &Contestant, _number: usize| {
                let mut crew = Changer::crew(&contestant.endpoint, protocol, change, objects).await?;
                crew.run(WARM_UP).await.context("warming up")?;
                let round = Round::counted(&stage, contestant, &mut crew, time, &["configmaps"]).await?;
                let mut connection = stage.api_server.endpoint().connect(Protocol::Http1).await?;
                for changer in crew.dismissed() {
                    changer.verify(&mut connection, |stored| contestant.expects(stored)).await?;
                }
                Ok(round)
            };
            let work = Work { change, value_bytes: args.size };
            let comparison = Comparison::new(&stage, work, clients, protocol, args.seconds);
            let comparison = comparison.measured(&stage, args.turns.rounds, turn).await?;
            println!("{}", comparison.table(&format!("{change} of managed ConfigMaps of {} bytes", args.size)));
            comparisons.push(comparison);
        }
    }
    println!("{}", stage.surroundings.line());
    let report = Report { scenario: "mutate", surroundings: &stage.surroundings, tables: &comparisons };
    let title = format!("Changes of managed ConfigMaps of {} bytes, {protocol}", args.size);
    let mut plot = Plot::new(title, stage.surroundings.line());
    for comparisons in comparisons.chunk_by(|one, next| one.work.change == next.work.change) {
        let change = comparisons.first().map(|comparison| comparison.work.change.to_string());
        plot.section(change.unwrap_or_default(), speed::panels(comparisons));
    }
    println!("{}", report.write(&plot)?);
    Ok(())
}
