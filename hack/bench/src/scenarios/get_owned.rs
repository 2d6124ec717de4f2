//! GET of a Pod that bears no mark: whether it is managed is told by the Deployment that owns the ReplicaSet that owns it.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::speed::{self, Comparison, Round, WARM_UP};
use crate::{
    args::{self, Cache},
    contestants::{Contestant, Task},
    load::{Connection, Encoding, Expected, Explorer, Protocol, Reader, fetch_whole},
    objects::{Object, pods},
    plot::Plot,
    report::Report,
    stage::Stage,
};

/// Which Pods are asked for.
#[derive(Debug, Clone, Copy, Serialize)]
struct Work {
    cache: Cache,
    /// Of each turn.
    pods: usize,
}

pub(crate) async fn run(args: &args::GetOwned) -> Result<()> {
    let stage = Stage::set(Task::GetOwned, &args.turns.contestants, &args.common).await?;
    let protocol = args.common.protocol();
    let mut connection = stage.api_server.endpoint().connect(Protocol::Http1).await?;
    let mut comparisons = Vec::new();
    for &cache in &args.cache {
        for &clients in &args.clients {
            let work = Work { cache, pods: if cache == Cache::Warm { 1 } else { args.pods } };
            let title = match cache {
                Cache::Warm => "GET of one Pod again and again, whose Deployment alone is tracked".to_owned(),
                Cache::Cold => {
                    format!("GET of {} Pods, each for the first time, whose Deployments alone are tracked", work.pods)
                }
            };
            let turns = if cache == Cache::Warm { 1 } else { args.turns.rounds as usize };
            let number_from = comparisons.len();
            let mut turns_pods = Vec::new();
            for turn in 0..turns {
                turns_pods.push(families(&stage, &mut connection, &format!("{number_from}-{turn}"), work.pods).await?);
            }
            let turn = async |contestant: &Contestant, number: usize| {
                let pods = turns_pods.get(number % turns).context("pods for this turn")?;
                let endpoint = &contestant.endpoint;
                let pods = pods.iter().map(|(path, expected)| (path.clone(), contestant.expects(expected)));
                let pods = pods.collect::<Vec<_>>();
                let (path, expected) = pods.first().context("no pods")?;
                match cache {
                    Cache::Warm => {
                        let mut crew = Reader::crew(endpoint, protocol, clients, path, expected).await?;
                        crew.run(WARM_UP).await.context("warming up")?;
                        let time = Duration::from_secs_f64(args.seconds);
                        Round::counted(&stage, contestant, &mut crew, time, &RESOURCES).await
                    }
                    Cache::Cold => {
                        let mut crew = Explorer::crew(endpoint, protocol, clients, &pods).await?;
                        Round::counted(&stage, contestant, &mut crew, LONG, &RESOURCES).await
                    }
                }
            };
            let comparison = Comparison::new(&stage, work, clients, protocol, args.seconds);
            let comparison = comparison.measured(&stage, args.turns.rounds, turn).await?;
            println!("{}", comparison.table(&title));
            comparisons.push(comparison);
        }
    }
    println!("{}", stage.surroundings.line());
    let report = Report { scenario: "get-owned", surroundings: &stage.surroundings, tables: &comparisons };
    let title = format!("GET of Pods whose Deployments alone are tracked, {protocol}");
    let mut plot = Plot::new(title, stage.surroundings.line());
    for comparisons in comparisons.chunk_by(|one, next| one.work.cache == next.work.cache) {
        let title = match comparisons.first().map(|comparison| comparison.work.cache) {
            Some(Cache::Cold) => "Each Pod for the first time",
            Some(Cache::Warm) | None => "One Pod again and again",
        };
        plot.section(title, speed::panels(comparisons));
    }
    println!("{}", report.write(&plot)?);
    Ok(())
}

/// Makes so many Pods, each with a ReplicaSet and a Deployment of its own, and says where they are and what they are.
async fn families(
    stage: &Stage,
    connection: &mut Connection,
    prefix: &str,
    families: usize,
) -> Result<Vec<(String, Expected)>> {
    eprintln!("creating {families} Pods of as many Deployments");
    let names = (0..families).map(|number| format!("owned-{prefix}-{number}")).collect::<Vec<_>>();
    let uids = stage.api_server.create(names.iter().map(|name| Object::deployment(name))).await?;
    let replica_sets = names.iter().zip(&uids).map(|(name, uid)| Object::replica_set(name, name, uid));
    let uids = stage.api_server.create(replica_sets).await?;
    stage.api_server.create(names.iter().zip(&uids).map(|(name, uid)| Object::pod(name, name, uid))).await?;
    let mut all = Vec::with_capacity(families);
    for name in names {
        let path = format!("{}/{name}", pods());
        let body = fetch_whole(connection, &path, Encoding::Json).await?;
        all.push((path, Expected::object(body)));
    }
    Ok(all)
}

/// What is asked for on the way to an answer.
const RESOURCES: [&str; 3] = ["pods", "replicasets", "deployments"];

/// Longer than any turn that ends when there is nothing left to ask for.
const LONG: Duration = Duration::from_secs(300);
