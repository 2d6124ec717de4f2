//! Benchmarks: `cargo run --release -p bench -- get|list|…|all`.
//!
//! Each scenario runs all contestants in turn, round by round, in one run on one machine, as separate processes. What
//! is measured, what is fair and what is not is told in `docs/benchmarks.md`.

mod accounting;
mod apiserver;
mod args;
mod contestants;
mod line;
mod load;
mod meter;
mod objects;
mod pki;
mod plot;
mod process;
mod redis;
mod report;
mod scenarios;
mod stage;
mod stats;
mod table;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use args::Scenario;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

// One thread: the clients must not take more of the machine than they need, and processes must be started from a thread
// that lives as long as we do (see `process`).
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let command = args::Command::parse();
    match run(&command.scenario).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(scenario: &Scenario) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let scenario = scenarios::run(scenario);
    // Leaving drops what was started.
    tokio::select! {
        result = scenario => result,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}
