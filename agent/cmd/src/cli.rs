//! The command tree, and what is printed when a command line cannot be taken: one line on stderr, exit code 2.

use std::{ffi::OsString, process::ExitCode};

use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use common::{
    build_info,
    config::{
        CipherSuites, FlagError,
        command::{environment_source, go_style},
        usage::UsageLine,
    },
};

use crate::version::VersionArgs;

/// What the process is to do.
#[derive(Debug)]
pub(crate) enum Invocation {
    /// Run the principal.
    Principal(Box<principal::args::Args>),
    /// Run the agent.
    Agent(Box<agent::args::Args>),
    /// Print this and exit.
    Print(String),
}

/// A command line that starts nothing.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Help and the like, as clap prints it.
    Help(clap::Error),
    /// A refusal, less the program's name.
    Line(String),
}

/// Argo CD and kubectl reach clusters that nobody can dial into.
#[derive(Debug, Parser)]
#[command(name = NAME, version = build_info::VERSION, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Run the principal: in the control plane, where agents attach and Kubernetes clients connect
    Principal(Box<principal::args::Args>),
    /// Run the agent: in the workload cluster, dialling out to the principal
    Agent(Box<agent::args::Args>),
    /// Print the version
    Version(VersionArgs),
}

/// Reads the words of a command line, the program's own name first, and the environment.
pub(crate) fn parse(words: &[OsString]) -> Result<Invocation, Refused> {
    let refused = |error| Refused::clap(error, words);
    let matches = command().try_get_matches_from(words).map_err(refused)?;
    let cli = Cli::from_arg_matches(&matches).map_err(refused)?;
    Ok(match cli.command {
        Sub::Principal(args) if args.lists_cipher_suites() => Invocation::Print(cipher_suites()),
        Sub::Agent(args) if args.lists_cipher_suites() => Invocation::Print(cipher_suites()),
        Sub::Principal(args) => Invocation::Principal(args),
        Sub::Agent(args) => Invocation::Agent(args),
        Sub::Version(args) => Invocation::Print(args.render()),
    })
}

// === impl Refused ===

impl Refused {
    /// A flag that was read and cannot be taken by `half`.
    pub(crate) fn flag(error: &FlagError, half: &str, words: &[OsString]) -> Self {
        let source = error.flag().and_then(|flag| source(half, flag, words));
        Self::Line(format!("{error}{}", source.unwrap_or_default()))
    }

    fn clap(error: clap::Error, words: &[OsString]) -> Self {
        let Some(line) = UsageLine::from_clap(&error) else { return Self::Help(error) };
        let half = words.iter().filter_map(|word| word.to_str()).find(|word| HALVES.contains(word));
        let source = line.flag.zip(half).and_then(|(flag, half)| source(half, &flag, words));
        Self::Line(format!("{}{}", line.text, source.unwrap_or_default()))
    }

    /// Prints it and gives the exit code: 0 for help that was asked for, 2 for all else.
    pub(crate) fn show(self) -> ExitCode {
        match self {
            Self::Help(error) => {
                // Whoever asked may have left.
                let _ = error.print();
                if error.use_stderr() { BAD_USAGE.into() } else { ExitCode::SUCCESS }
            }
            Self::Line(line) => {
                eprintln!("{NAME}: {line}");
                BAD_USAGE.into()
            }
        }
    }
}

fn command() -> Command {
    go_style(Cli::command())
}

/// Which environment variable the flag's value came from, if it was not typed.
fn source(half: &str, flag: &str, words: &[OsString]) -> Option<String> {
    let command = command();
    let typed: Vec<_> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let variable = environment_source(command.find_subcommand(half)?, flag, &typed)?;
    Some(format!(" (set by {variable})"))
}

fn cipher_suites() -> String {
    CipherSuites::names().join("\n")
}

/// The program's name, whatever its file is called.
pub(crate) const NAME: &str = "argocd-agent";

const HALVES: [&str; 2] = ["principal", "agent"];

/// What shells and clap use for a command line that cannot be taken.
const BAD_USAGE: u8 = 2;

#[cfg(test)]
mod tests;
