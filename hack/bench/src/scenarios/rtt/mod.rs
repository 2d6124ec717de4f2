//! A long way between the two hops: how often a request goes back and forth, and what a list is slowed down by.
//!
//! The line is the benchmark's own and lies between agent and principal, and between the two nginx.

mod list;

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::{task::JoinSet, time::Instant};

use super::of;
use crate::{
    args,
    contestants::{Contestant, Kind, Task},
    line::Line,
    load::{Encoding, Expected, Protocol, fetch, fetch_whole, next_data},
    objects::{ConfigMap, NAMESPACE, collection},
    plot::{Lines, Panel, Plot},
    report::Report,
    stage::Stage,
    stats::median,
    table::{Table, optional},
};

/// All contestants at one length of the line.
#[derive(Debug, Serialize)]
struct Comparison {
    round_trip_ms: f64,
    rows: Vec<super::Row<Round>>,
    lists: Vec<super::Row<list::Round>>,
}

/// One turn of one contestant, in milliseconds.
#[derive(Debug, Clone, Serialize)]
struct Round {
    warm_ms: f64,
    /// The slowest of many that are asked at once, where some need a connection or a pipe of their own.
    at_once_ms: f64,
    watch_ms: f64,
}

pub(crate) async fn run(args: &args::Rtt) -> Result<()> {
    let line = Line::new();
    let stage = Stage::set_far(Task::Rtt, &args.contestants, &args.common, &line).await?;
    eprintln!("creating {} ConfigMaps", args.items);
    let item = |number| ConfigMap::managed(format!("item-{number:05}"), args.size);
    stage.api_server.create((0..args.items).map(item)).await?;
    let object = ConfigMap::managed("value", 1024);
    stage.api_server.create(vec![object.clone()]).await?;
    let mut connection = stage.api_server.endpoint().connect(Protocol::Http1).await?;
    let body = fetch_whole(&mut connection, &object.path(), Encoding::Json).await?;
    let items = fetch_whole(&mut connection, &collection(NAMESPACE), Encoding::Json).await?;
    let (one, all) = (Expected::object(body), Expected::list(items, Encoding::Json)?);
    let mut comparisons = Vec::new();
    // Without length first: that is what a request takes anyway.
    for milliseconds in [0.0].into_iter().chain(args.round_trip.iter().copied()) {
        line.set_round_trip(Duration::from_secs_f64(milliseconds / 1e3));
        let row = |contestant: &Contestant| super::Row::new(contestant.kind);
        let mut comparison = Comparison {
            round_trip_ms: milliseconds,
            rows: stage.contestants.iter().map(row).collect(),
            lists: stage.contestants.iter().map(|contestant| super::Row::new(contestant.kind)).collect(),
        };
        for number in 1..=args.rounds {
            for (contestant, row) in stage.contestants.iter().zip(&mut comparison.rows) {
                let round = turn(contestant, args, &object.path(), &one).await;
                let round = round.with_context(|| format!("{}, round {number}", contestant.kind))?;
                eprintln!("{milliseconds} ms, round {number}, {}: {:.1} ms", contestant.kind, round.warm_ms);
                row.rounds.push(round);
            }
            for (contestant, row) in stage.contestants.iter().zip(&mut comparison.lists) {
                let round = list::turn(contestant, args.common.protocol(), &all).await;
                row.rounds.push(round.with_context(|| format!("{}, list {number}", contestant.kind))?);
            }
        }
        comparisons.push(comparison);
    }
    for comparison in &comparisons {
        println!("{}", comparison.table(comparisons.first()));
    }
    println!("{}", stage.surroundings.line());
    let report = Report { scenario: "rtt", surroundings: &stage.surroundings, tables: &comparisons };
    let mut plot = Plot::new("A long line between the two hops", stage.surroundings.line());
    plot.section(args.common.protocol().to_string(), panels(&comparisons));
    println!("{}", report.write(&plot)?);
    Ok(())
}

async fn turn(contestant: &Contestant, args: &args::Rtt, path: &str, expected: &Expected) -> Result<Round> {
    let protocol = args.common.protocol();
    let mut connection = contestant.endpoint.connect(protocol).await?;
    fetch(&mut connection, path, expected).await.context("warming up")?;
    let mut warm = Vec::new();
    for _ in 0..GETS {
        warm.push(fetch(&mut connection, path, expected).await?.total.as_secs_f64() * 1e3);
    }

    let mut connections = Vec::new();
    for _ in 0..AT_ONCE {
        connections.push(contestant.endpoint.connect(protocol).await?);
    }
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for mut connection in connections {
        let (path, expected) = (path.to_owned(), expected.clone());
        tasks.spawn(async move { fetch(&mut connection, &path, &expected).await });
    }
    while let Some(fetched) = tasks.join_next().await {
        fetched.context("a client")??;
    }
    let at_once_ms = start.elapsed().as_secs_f64() * 1e3;

    let watch = format!("{}?watch=true&fieldSelector=metadata.name=value", collection(NAMESPACE));
    let start = Instant::now();
    let mut body = connection.get(&watch, Encoding::Json).await?.into_body();
    next_data(&mut body).await?.context("a watch without an event")?;
    let watch_ms = start.elapsed().as_secs_f64() * 1e3;
    Ok(Round { warm_ms: median(warm), at_once_ms, watch_ms })
}

// === impl Comparison ===

impl Comparison {
    fn table(&self, without: Option<&Self>) -> Table {
        let length = self.round_trip_ms;
        let rounds = self.rows.first().map_or(0, |row| row.rounds.len());
        let title = format!(
            "{length} ms there and back between the two hops; medians of {rounds} rounds; GET and watch in round trips"
        );
        let mut table = Table::new(title, &HEADING);
        let chain = of(&self.lists, Kind::Chain);
        for (row, of_list) in self.rows.iter().zip(&self.lists) {
            let figure = |figure: fn(&Round) -> f64| {
                let near = without.and_then(|without| of(&without.rows, row.contestant));
                // Times that a request takes anyway are not the line's.
                let more = near.map(|near| row.median(figure) - near.median(figure)).filter(|_| length > 0.0);
                optional(more, |more| format!("{:.2}", more / length))
            };
            table.push(vec![
                row.contestant.to_string(),
                format!("{:.2}", row.median(|round| round.warm_ms)),
                figure(|round| round.warm_ms),
                figure(|round| round.watch_ms),
                format!("{:.0}", row.median(|round| round.at_once_ms)),
                format!("{:.1}", of_list.median(list::Round::megabytes_per_second)),
                optional(
                    of_list.against(chain, |mine, theirs| mine.megabytes_per_second() / theirs.megabytes_per_second()),
                    |ratio| format!("{ratio:.2}"),
                ),
            ]);
        }
        table
    }
}

/// What the line's length does, at a glance.
fn panels(comparisons: &[Comparison]) -> [Panel; 4] {
    let of_rounds = |title: &str, figure: fn(&Round) -> f64| {
        let figure = |row: &super::Row<Round>| row.median(figure);
        lines(comparisons, title, "ms", |comparison| &comparison.rows, figure)
    };
    [
        of_rounds("GET over a warm connection", |round| round.warm_ms),
        of_rounds("First event of a watch", |round| round.watch_ms),
        of_rounds("The slowest of 40 GETs at once", |round| round.at_once_ms),
        lines(
            comparisons,
            "List",
            "MB/s",
            |comparison| &comparison.lists,
            |row| row.median(list::Round::megabytes_per_second),
        ),
    ]
}

/// A contestant's line has a point for each length.
fn lines<R>(
    comparisons: &[Comparison],
    title: &str,
    unit: &'static str,
    rows: impl Fn(&Comparison) -> &Vec<super::Row<R>>,
    figure: impl Fn(&super::Row<R>) -> f64,
) -> Panel {
    let mut lines = Lines::new(title, "ms there and back", unit);
    for kind in comparisons.first().into_iter().flat_map(&rows).map(|row| row.contestant) {
        let point = |comparison: &Comparison| Some((comparison.round_trip_ms, figure(of(rows(comparison), kind)?)));
        lines.of(kind, comparisons.iter().filter_map(point));
    }
    lines.into()
}

const HEADING: [&str; 7] = ["", "GET ms", "GET", "watch", "40 at once ms", "list MB/s", "of chain"];

const GETS: usize = 5;

/// More than are kept idle, so that some of them need what is new.
const AT_ONCE: usize = 40;
