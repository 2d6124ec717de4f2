//! The `argocd-agent` binary: reads the command line, starts log and runtime, runs one half until it is told to stop.
//!
//! It holds no logic of either half. What it says on stderr before the log exists is one line; it exits with 0 after a
//! drain, with 1 when a half cannot start, and with 2 when the command line is to blame.

mod cli;
mod lifecycle;
mod version;

use std::{ffi::OsString, io::Write, num::NonZeroUsize, process::ExitCode, time::Duration};

use anyhow::Context;
use common::{
    build_info,
    config::{FlagError, LogConfig},
    drain,
    telemetry::logging::{self, Log},
};
use tracing::info;

use self::{
    cli::Invocation,
    lifecycle::{End, StopSignals},
};

/// Why the process does not do what it was started for.
enum Failure {
    /// A flag that cannot be taken.
    Flag(FlagError),
    /// Anything else, with its causes.
    Start(anyhow::Error),
}

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let (half, outcome) = match cli::parse(&words) {
        Ok(Invocation::Principal(args)) => ("principal", principal(*args)),
        Ok(Invocation::Agent(args)) => ("agent", agent(*args)),
        Ok(Invocation::Print(text)) => {
            // A reader that has seen enough and left is no error.
            let _ = writeln!(std::io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(refused) => return refused.show(),
    };
    match outcome {
        Ok(End::Finished) => ExitCode::SUCCESS,
        Ok(End::Cut) => ExitCode::FAILURE,
        Err(Failure::Flag(error)) => cli::Refused::flag(&error, half, &words).show(),
        Err(Failure::Start(error)) => {
            eprintln!("{}: {error:#}", cli::NAME);
            ExitCode::FAILURE
        }
    }
}

fn principal(args: principal::args::Args) -> Result<End, Failure> {
    let _log = start_log(&args.log()?)?;
    let threads = args.worker_threads();
    let config = principal::config::Config::try_from(args)?;
    tell_start("principal", &config.no_effect);
    let grace = config.drain_grace;
    Ok(run(threads, grace, |watch| async { principal::run(config, watch).await.context("cannot start") })?)
}

fn agent(args: agent::args::Args) -> Result<End, Failure> {
    let _log = start_log(&args.log()?)?;
    let threads = args.worker_threads();
    let config = agent::config::Config::try_from(args)?;
    tell_start("agent", &config.no_effect);
    let grace = config.drain_grace;
    Ok(run(threads, grace, |watch| async { agent::run(config, watch).await.context("cannot start") })?)
}

/// Runs one half on its own runtime; `threads` of 0 means one for every two processors. What a thread wakes on another
/// one costs more than most of a request does, and a single thread has a runtime of its own that wakes nobody.
fn run<F>(threads: usize, grace: Duration, half: impl FnOnce(drain::Watch) -> F) -> anyhow::Result<End>
where
    F: Future<Output = anyhow::Result<()>>,
{
    // Libraries that ask for the process's provider get the one that we name everywhere. It can only be set already.
    let _ = (*common::tls::provider()).clone().install_default();
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = if threads > 0 { threads } else { processors.div_ceil(2) };
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(threads).enable_all().build().context("cannot start the runtime")?;
    let end = runtime.block_on(async {
        let mut stops = StopSignals::listen().context("cannot listen for signals")?;
        let (signal, watch) = drain::channel();
        lifecycle::until_stopped(half(watch), signal, grace, async || stops.next().await).await
    });
    // A name look-up on a blocking thread may hang for long; nobody waits for its answer any more.
    runtime.shutdown_background();
    end
}

fn start_log(config: &LogConfig) -> anyhow::Result<Log> {
    logging::init(config).context("cannot start the log")
}

/// The first lines of the log.
fn tell_start(half: &'static str, no_effect: &[&'static str]) {
    info!(half, version = build_info::VERSION, commit = build_info::COMMIT, "starting");
    if !no_effect.is_empty() {
        info!(flags = no_effect.join(", "), "flags that are set have no effect in this version");
    }
}

// === impl Failure ===

impl From<FlagError> for Failure {
    fn from(error: FlagError) -> Self {
        Self::Flag(error)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Start(error)
    }
}
