//! A list that is far larger than any buffer: whether bodies stream, and how fast.

mod population;

use anyhow::{Context, Result};
use serde::Serialize;

use super::transfer::{self, Comparison, Round};
use crate::{
    args::{self, Population},
    contestants::{Contestant, Task},
    load::{Encoding, Protocol, fetch},
    meter::Meter,
    plot::Plot,
    report::Report,
    stage::Stage,
};

/// What is asked for.
#[derive(Debug, Clone, Copy, Serialize)]
struct Work {
    population: Population,
    items: usize,
    /// Of each ConfigMap.
    value_bytes: usize,
    encoding: Encoding,
    protocol: Protocol,
}

pub(crate) async fn run(args: &args::List) -> Result<()> {
    let stage = Stage::set(Task::List, &args.turns.contestants, &args.common).await?;
    let protocol = args.common.protocol();
    let mut comparisons = Vec::new();
    for &population in &args.population {
        population.create(&stage, args).await?;
        let path = population.path();
        for &encoding in &args.encoding {
            let expected = population.expected(&stage, encoding).await?;
            let turn = async |contestant: &Contestant, place: usize| {
                let expected = expected.get(place).context("nothing is expected")?;
                let mut connection = contestant.endpoint.connect(protocol).await?;
                let meter = Meter::start(contestant.parts(), &stage.backend)?;
                Round::of(fetch(&mut connection, &path, expected).await?, meter)
            };
            let items = population.items(args);
            let work = Work { population, items, value_bytes: args.size, encoding, protocol };
            let comparison = Comparison::new(&stage, work)?.measured(&stage, args.turns.rounds, turn).await?;
            let title = format!("List of {}", population.title(items, args.size));
            println!("{}", comparison.table(&title, &format!("{encoding}, {protocol}")));
            comparisons.push(comparison);
        }
    }
    println!("{}", stage.surroundings.line());
    let report = Report { scenario: "list", surroundings: &stage.surroundings, tables: &comparisons };
    let mut plot = Plot::new(format!("One large list after the other, {protocol}"), stage.surroundings.line());
    for comparisons in comparisons.chunk_by(|one, next| one.work.population == next.work.population) {
        let title = comparisons.first().map(|Comparison { work, .. }| work.population.title(work.items, args.size));
        let named =
            comparisons.iter().map(|comparison| (comparison.work.encoding.to_string(), comparison.rows.as_slice()));
        plot.section(title.unwrap_or_default(), transfer::panels(&named.collect::<Vec<_>>()));
    }
    println!("{}", report.write(&plot)?);
    Ok(())
}
