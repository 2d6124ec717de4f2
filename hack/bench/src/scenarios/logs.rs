//! Logs of a Pod: one that is followed as fast as it comes, and many that are followed line by line.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::Value;
use tokio::{time::timeout, try_join};

use super::{counted, delay, megabytes, transfer};
use crate::{
    args::{self, LogPart},
    contestants::{Contestant, Task},
    load::{Expected, Followers, Protocol, Scribe, fetch, log},
    meter::Meter,
    objects::{CONTAINER, Object, pods},
    plot::Plot,
    report::Report,
    stage::Stage,
    stats::Latencies,
};

/// What is followed at full speed.
#[derive(Debug, Clone, Copy, Serialize)]
struct Fast {
    part: LogPart,
    bytes: usize,
    protocol: Protocol,
}

/// What is followed line by line.
#[derive(Debug, Clone, Copy, Serialize)]
struct Slow {
    part: LogPart,
    follows: usize,
    lines_per_second: f64,
    seconds: f64,
    protocol: Protocol,
}

pub(crate) async fn run(args: &args::Logs) -> Result<()> {
    let stage = Stage::with_node(Task::Logs, &args.turns.contestants, &args.common.program).await?;
    stage.api_server.create([POD, SLOW_POD].map(Object::managed_pod)).await?;
    let mut tables = Vec::<Value>::new();
    let title = format!("Logs that are followed, {}", args.common.protocol());
    let mut plot = Plot::new(title, stage.surroundings.line());
    for &part in &args.part {
        match part {
            LogPart::Fast => {
                let comparison = fast(&stage, args).await?;
                tables.push(serde_json::to_value(&comparison).context("writing JSON")?);
                let named = [(megabytes(args.size), comparison.rows.as_slice())];
                plot.section("At full speed", transfer::panels(&named));
            }
            LogPart::Slow => {
                let mut comparisons = Vec::new();
                for &follows in &args.follows {
                    let comparison = slow(&stage, args, follows).await?;
                    tables.push(serde_json::to_value(&comparison).context("writing JSON")?);
                    comparisons.push(comparison);
                }
                let named = comparisons.iter().map(|slow| (counted(slow.work.follows, "follow"), slow.rows.as_slice()));
                let title = format!("Line by line, {} a second", args.rate);
                plot.section(title, delay::panels(&named.collect::<Vec<_>>(), "µs per line"));
            }
        }
    }
    println!("{}", stage.surroundings.line());
    let report = Report { scenario: "logs", surroundings: &stage.surroundings, tables: &tables };
    println!("{}", report.write(&plot)?);
    Ok(())
}

async fn fast(stage: &Stage, args: &args::Logs) -> Result<transfer::Comparison<Fast>> {
    let protocol = args.common.protocol();
    let log = log(args.size);
    let file = stage.api_server.log_file(POD);
    fs::write(&file, &log).with_context(|| format!("writing {}", file.display()))?;
    // A follow has no end of its own; this one ends where the log does.
    let path = format!("{}&limitBytes={}", follow(POD), log.len());
    let expected = Expected::object(log.into());
    let turn = async |contestant: &Contestant, _place: usize| {
        let mut connection = contestant.endpoint.connect(protocol).await?;
        let meter = Meter::start(contestant.parts(), &stage.backend)?;
        let fetched = timeout(PATIENCE, fetch(&mut connection, &path, &expected)).await.context("it does not end")?;
        transfer::Round::of(fetched?, meter)
    };
    let work = Fast { part: LogPart::Fast, bytes: args.size, protocol };
    let comparison = transfer::Comparison::new(stage, work)?.measured(stage, args.turns.rounds, turn).await?;
    println!("{}", comparison.table("Log of a Pod, followed at full speed", &protocol.to_string()));
    Ok(comparison)
}

async fn slow(stage: &Stage, args: &args::Logs, follows: usize) -> Result<delay::Comparison<Slow>> {
    let work = Slow {
        part: LogPart::Slow,
        follows,
        lines_per_second: args.rate,
        seconds: args.seconds,
        protocol: args.common.protocol(),
    };
    let file = stage.api_server.log_file(SLOW_POD);
    let mut comparison = delay::Comparison::new(stage, work)?;
    for number in 1..=args.turns.rounds {
        for (contestant, row) in stage.contestants.iter().zip(&mut comparison.rows) {
            let round = turn(stage, contestant, &file, work).await;
            let round = round.with_context(|| format!("{}, round {number}", contestant.kind))?;
            eprintln!("round {number}/{}, {}: {round}", args.turns.rounds, contestant.kind);
            row.rounds.push(round);
        }
    }
    let comparison = comparison.remembering(stage)?;
    let Slow { lines_per_second, seconds, protocol, .. } = work;
    let title =
        format!("Log of a Pod, followed line by line, {protocol}, follows: {follows}, lines/s: {lines_per_second}");
    println!("{}", comparison.table(&title, seconds, "line", follows));
    Ok(comparison)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate times a time is a count")]
async fn turn(stage: &Stage, contestant: &Contestant, file: &Path, work: Slow) -> Result<delay::Round> {
    let mut scribe = Scribe::begin(file)?;
    let path = follow(SLOW_POD);
    let open = Followers::open(&contestant.endpoint, work.protocol, &path, work.follows);
    let mut followers = timeout(PATIENCE, open).await.context("a follow does not begin")??;
    let lines = (work.lines_per_second * work.seconds).max(1.0) as usize;
    let pause = Duration::from_secs_f64(1.0 / work.lines_per_second);
    let meter = Meter::start(contestant.parts(), &stage.backend)?;
    let all = async { try_join!(scribe.lines(lines, pause), followers.see(lines)) };
    let patience = Duration::from_secs_f64(work.seconds) + PATIENCE;
    let (written, seen) = timeout(patience, all).await.context("a line did not come")??;
    let delays =
        seen.iter().flat_map(|seen| seen.iter().zip(&written).map(|(seen, since)| delay::delay(*seen, *since)));
    let delays = Latencies::new(delays.collect());
    if delays.count() != lines * work.follows {
        bail!("{} lines were seen, of {lines} by {} follows", delays.count(), work.follows);
    }
    delay::Round::of(&delays, meter)
}

fn follow(pod: &str) -> String {
    format!("{}/{pod}/log?container={CONTAINER}&follow=true", pods())
}

const POD: &str = "talkative";
const SLOW_POD: &str = "quiet";

/// How long what is followed may be in coming.
const PATIENCE: Duration = Duration::from_secs(60);
