//! The main job, to watch: builds `argocd-agent`, starts a workload cluster, two Redis servers, a principal and two agents,
//! and lets real kubectl and redis-cli work through them.
//!
//! ```text
//! kubectl ────► principal ◄── agent ───────► kube-apiserver    context demo: what Argo CD manages
//! redis-cli ──►           ◄── agent-full ──► Redis             context demo-full: everything
//! ```

mod args;
mod binary;
mod command;
mod demo;
mod kubeconfig;
mod kubectl;
mod pki;
mod ports;
mod process;
mod redis;
mod screen;
mod shell;
mod state;
mod tour;
mod tunnel;
mod workload;

use std::process::ExitCode;

use anyhow::{Error, Result};
use args::Args;
use clap::Parser;
use demo::{Demo, Interrupts};
use screen::{Look, Screen};

// One thread: the processes that it starts end with it (see `process`).
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let screen = Screen::new();
    match run(&args, &screen).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tell(&screen, &error);
            ExitCode::FAILURE
        }
    }
}

/// Returns whether all went well. An interruption is no failure, unless it keeps a tour from its end that was all there
/// was to do.
async fn run(args: &Args, screen: &Screen) -> Result<bool> {
    let mut interrupts = Interrupts::new()?;
    let mut demo = Demo::new(args)?;
    let outcome = tokio::select! {
        outcome = demo.run(args, screen) => outcome,
        () = interrupts.next() => Ok(()),
    };
    if let Err(error) = &outcome {
        demo.keep_state();
        tell(screen, error);
    }
    tokio::select! {
        ended = demo.end(screen) => ended?,
        // A second Ctrl-C does not wait: everything is killed as it is dropped.
        () = interrupts.next() => return Ok(false),
    }
    Ok(outcome.is_ok() && demo.toured().unwrap_or(!args.tour_only))
}

fn tell(screen: &Screen, error: &Error) {
    screen.line("");
    screen.verdict(false, screen.paint(Look::Bad, format!("{error:#}")));
}
