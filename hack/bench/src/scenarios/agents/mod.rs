//! Many agents of one principal: what each costs while it does nothing, and how they come back all at once.
//!
//! All agents are in the benchmark's own process and thread, with connections and certificates of their own; the
//! principal is a process of its own. They speak through the agent's own link, so back-off and pings are what users have.

mod callers;
mod certificates;
mod climb;
mod fleet;

use std::{fs, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use serde::Serialize;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use self::{
    callers::{Callers, Gets, Storm},
    certificates::Certificates,
    climb::Climb,
    fleet::Fleet,
};
use crate::{
    accounting::{Part, machine_cpu},
    args,
    contestants::{Kind, Ours, PrincipalPorts, Task, able},
    load::Protocol,
    pki::Pki,
    plot::{Bars, Lines, Plot},
    process::Process,
    redis::raise_limit,
    report::Report,
    stage::{Surroundings, Versions},
    table::Table,
};

/// One number of agents.
#[derive(Debug, Serialize)]
struct Figures {
    agents: usize,
    /// Bytes of the principal with no agent.
    at_rest: u64,
    first: Climb,
    idle: Idle,
    gets: Gets,
    /// From the moment at which the old principal was killed.
    storm: Climb,
    asked_meanwhile: Storm,
}

/// Agents that are asked for nothing, for some seconds.
#[derive(Debug, Serialize)]
struct Idle {
    seconds: f64,
    /// CPU time of the principal by that of the clock.
    cores: f64,
    /// The same of all agents together.
    agents_cores: f64,
    other_cores: f64,
    /// Bytes of the principal.
    resident: u64,
}

pub(crate) async fn run(args: &args::Agents) -> Result<()> {
    able(&args.program.rivals, Task::Agents, Protocol::Http1);
    let most = args.agents.iter().copied().max().unwrap_or_default();
    let limit = raise_limit((most + SPARE_FILES) as u64)?;
    if limit < (most + SPARE_FILES) as u64 {
        bail!("{most} agents need {} open files, and `ulimit -n` allows {limit}", most + SPARE_FILES);
    }
    let ours = Ours::given_or_build(&args.program).await?;
    let versions = Versions { argocd_agent: Some(ours.version.clone()), ..Versions::default() };
    let surroundings = Surroundings::new(versions, args.program.worker_threads).smoke(args.program.smoke);
    let dir = tempfile::Builder::new().prefix("bench-").tempdir().context("creating a directory")?;
    let pki = Pki::write(&dir.path().join("pki"))?;
    let mut all = Vec::new();
    for &agents in &args.agents {
        let dir = dir.path().join(agents.to_string());
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        all.push(measure(agents, args, &ours, &pki, &dir).await.with_context(|| format!("{agents} agents"))?);
    }
    println!("{}", table(&all, args));
    println!("{}", surroundings.line());
    let report = Report { scenario: "agents", surroundings: &surroundings, tables: &all };
    println!("{}", report.write(&plot(&all, surroundings.line()))?);
    Ok(())
}

async fn measure(agents: usize, args: &args::Agents, ours: &Ours, pki: &Pki, dir: &Path) -> Result<Figures> {
    let certificates = Certificates::of(pki, agents)?;
    let body = Bytes::from(vec![b'x'; BODY]);
    let ports = PrincipalPorts::free()?;
    let mut principal = ours.start_principal(dir, pki, ports).await?;
    let at_rest = Part::of(principal.name(), principal.pid())?.usage()?.resident;

    let start = Instant::now();
    let fleet = Fleet::start(ports.agents(), pki, &certificates, &body)?;
    let first = Climb::watch(&fleet, agents, &mut principal, start).await?;
    eprintln!("{agents} agents attached after {:.1} s", first.seconds);

    // What a connection needs only once is done.
    sleep(SETTLE).await;
    let idle = idle(&principal, Duration::from_secs_f64(args.seconds)).await?;
    eprintln!("idle: {:.3} cores, {:.1} KiB an agent", idle.cores, per_agent(idle.resident, at_rest, agents));

    let callers = Callers::new(ports.door(), &certificates, &fleet, args.clients, &body, dir)?;
    let gets = callers.ask().await?;
    eprintln!("GET: p50 {:.3} ms, p99 {:.3} ms", gets.p50_ms, gets.p99_ms);

    let over = Arc::new(Notify::new());
    let start = Instant::now();
    drop(principal);
    Climb::fallen(&fleet).await?;
    let mut principal = ours.start_principal(dir, pki, ports).await?;
    let climb = async {
        let climb = Climb::watch(&fleet, agents, &mut principal, start).await;
        over.notify_one();
        climb
    };
    let (storm, asked_meanwhile) = tokio::join!(climb, callers.storm(Arc::clone(&over)));
    let (storm, asked_meanwhile) = (storm?, asked_meanwhile?);
    eprintln!("{agents} agents are back after {:.1} s", storm.seconds);
    Ok(Figures { agents, at_rest, first, idle, gets, storm, asked_meanwhile })
}

async fn idle(principal: &Process, time: Duration) -> Result<Idle> {
    let (part, client) = (Part::of(principal.name(), principal.pid())?, Part::client());
    let (before, agents_before, machine, start) = (part.usage()?, client.usage()?, machine_cpu()?, Instant::now());
    sleep(time).await;
    let (after, agents_after) = (part.usage()?, client.usage()?);
    let seconds = start.elapsed().as_secs_f64();
    let cores = |time: Duration| time.as_secs_f64() / seconds;
    let (used, agents) = (after - before, agents_after - agents_before);
    let others = machine_cpu()?.saturating_sub(machine).saturating_sub(used).saturating_sub(agents);
    Ok(Idle {
        seconds,
        cores: cores(used),
        agents_cores: cores(agents),
        other_cores: cores(others),
        resident: after.resident,
    })
}

fn table(all: &[Figures], args: &args::Agents) -> Table {
    let title = format!(
        "agents of one principal; idle for {} s, then GETs of {} of them, then the principal is killed and started",
        args.seconds, args.clients
    );
    let mut table = Table::new(title, &HEADING);
    let mebibytes = |bytes: u64| format!("{:.0}", bytes as f64 / f64::from(1 << 20));
    for figures in all {
        let Figures { agents, at_rest, first, idle, gets, storm, asked_meanwhile } = figures;
        table.push(vec![
            agents.to_string(),
            format!("{:.1}", first.seconds),
            format!("{:.0}", 1e6 * first.cpu_seconds / *agents as f64),
            mebibytes(idle.resident),
            format!("{:.1}", per_agent(idle.resident, *at_rest, *agents)),
            format!("{:.1}", idle.cores * 100.0),
            format!("{:.2}", idle.other_cores),
            format!("{:.2}", gets.first_p50_ms),
            format!("{:.2}", gets.p50_ms),
            format!("{:.2}", gets.p99_ms),
            format!("{:.1}", storm.seconds),
            mebibytes(storm.peak),
            format!("{} of {}", asked_meanwhile.failed, asked_meanwhile.requests),
        ]);
    }
    table
}

/// What they do to the principal: as they come, and while they are there.
fn plot(all: &[Figures], surroundings: String) -> Plot {
    // By the share of all, so that numbers of agents can be compared.
    let mut attached = Lines::new("Agents that are attached", "seconds", "% of all");
    let mut resident = Lines::new("Memory of the principal meanwhile", "seconds", "MiB");
    for figures in all {
        for (what, climb) in [("at first", &figures.first), ("after a restart", &figures.storm)] {
            let name = format!("{} {what}", figures.agents);
            let share = |attached: usize| 100.0 * attached as f64 / figures.agents.max(1) as f64;
            attached.named(&name, climb.moments.iter().map(|moment| (moment.seconds, share(moment.attached))));
            let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            resident.named(&name, climb.moments.iter().map(|moment| (moment.seconds, mebibytes(moment.resident))));
        }
    }
    let bars = |title: &str, unit, figure: fn(&Figures) -> f64| {
        let mut bars = Bars::new(title, unit);
        for figures in all {
            bars.group(format!("{} agents", figures.agents), [(Kind::Ours, figure(figures))]);
        }
        bars.into()
    };
    let mut plot = Plot::new("Many agents of one principal", surroundings);
    plot.section("While they come", [attached.into(), resident.into()]);
    let idle = [
        bars("Memory of the principal", "KiB each", |one| per_agent(one.idle.resident, one.at_rest, one.agents)),
        bars("CPU of the principal", "% of one core", |one| 100.0 * one.idle.cores),
    ];
    plot.section("While they do nothing", idle);
    plot
}

/// KiB of the principal for each agent.
fn per_agent(resident: u64, at_rest: u64, agents: usize) -> f64 {
    resident.saturating_sub(at_rest) as f64 / 1024.0 / agents.max(1) as f64
}

const HEADING: [&str; 13] = [
    "agents",
    "attached s",
    "CPU µs each",
    "RSS MiB",
    "KiB each",
    "idle CPU %",
    "others",
    "new pipe ms",
    "p50 ms",
    "p99 ms",
    "back s",
    "peak MiB",
    "failed",
];

/// Files that either process has open beside the agents' connections.
const SPARE_FILES: usize = 500;

/// Bytes of an answer.
const BODY: usize = 1024;

const SETTLE: Duration = Duration::from_secs(3);
