//! The command tree: every command and flag, no IO. Names, aliases and defaults are upstream's, so that scripts carry
//! over; what a command does is in [`crate::commands`].

mod agent;
mod blocklist;
mod config;
mod join;
mod jwt;
mod key;
mod pki;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
pub(crate) mod values;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{
    Args, CommandFactory, FromArgMatches, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};
use clap_complete::Shell;
use common::{
    AgentName, build_info,
    config::{command::go_style, usage::UsageLine},
};

pub(crate) use self::{
    agent::{Agent, Create, Delete as AgentDelete, List, PrintTls, Reconfigure, Rotate, TlsPart},
    blocklist::{Blocklist, Tls},
    config::{Config, CreateConfig, EntryArgs, Kind},
    join::{Join, JoinToken},
    jwt::Jwt,
    key::CallerArgs,
    pki::{DropOld, Dump, Init, Issue, IssueAgent, IssueArgs, Pki, Propagate},
};
use crate::output::Format;

/// Connects clusters to the principal: certificates, agents, and what both read of them.
#[derive(Debug, Parser)]
#[command(
    name = NAME,
    version = build_info::VERSION,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The flags of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Context of the kubeconfig for the principal's cluster
    #[arg(long, env = "ARGOCD_AGENT_PRINCIPAL_CONTEXT", value_name = "CONTEXT", global = true)]
    pub(crate) principal_context: Option<String>,

    /// Namespace of the principal [default: argocd]
    #[arg(long, env = "ARGOCD_AGENT_PRINCIPAL_NAMESPACE", value_name = "NAMESPACE", global = true)]
    pub(crate) principal_namespace: Option<String>,

    /// Context of the kubeconfig for the agent's cluster
    #[arg(long, env = "ARGOCD_AGENT_AGENT_CONTEXT", value_name = "CONTEXT", global = true)]
    pub(crate) agent_context: Option<String>,

    /// Namespace of the agent [default: argocd]
    #[arg(long, env = "ARGOCD_AGENT_AGENT_NAMESPACE", value_name = "NAMESPACE", global = true)]
    pub(crate) agent_namespace: Option<String>,

    /// Principal by its name in the config file
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) principal: Option<String>,

    /// Agent by its name in the config file
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) agent: Option<String>,

    /// Config file [default: ~/.config/argocd-agent/ctl.conf]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,

    /// How to print the answer; each command has its default
    #[arg(long, short, value_name = "FORMAT", global = true)]
    pub(crate) output: Option<Format>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Inspect and manage agents: their cluster Secrets in the principal's namespace
    #[command(subcommand, visible_alias = "agents")]
    Agent(Agent),
    /// Manage the authority and the certificates of principal, doors and agents
    #[command(subcommand)]
    Pki(Pki),
    /// Manage the key that tokens are signed with
    #[command(subcommand)]
    Jwt(Jwt),
    /// Manage the certificates that are kept out
    #[command(subcommand)]
    Blocklist(Blocklist),
    /// Manage the config file: names for contexts and namespaces
    #[command(subcommand)]
    Config(Config),
    /// Check what principal and agents read
    #[command(subcommand, visible_alias = "check-config")]
    Validate(Validate),
    /// Walk the whole chain of one agent, and name the first broken link and its cure
    Doctor(Doctor),
    /// Print a kubeconfig that reaches an agent's cluster through the Kubernetes door
    Kubeconfig(Kubeconfig),
    /// Print a completion script for a shell
    Completion(Completion),
    /// Print the version
    Version(Version),
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Validate {
    /// Check the Secrets in the principal's namespace, and what stands around it of Argo CD
    Principal,
    /// Check the Secrets in the agent's namespace, against the principal's, and what stands around it of Argo CD
    Agent,
}

#[derive(Debug, Args)]
pub(crate) struct Kubeconfig {
    /// Name of the agent
    #[arg(value_name = "AGENT", value_parser = values::agent_name)]
    pub(crate) name: AgentName,

    /// Address of the Kubernetes door as it is reached from here; that of the cluster Secret, unless given
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) server: Option<String>,

    /// Name that the door's certificate is checked for, where it is reached by another
    #[arg(long, value_name = "HOST")]
    pub(crate) tls_server_name: Option<String>,

    /// Issue a certificate of its own, which can be revoked alone, in place of copying the cluster Secret's
    #[arg(long)]
    pub(crate) issue: bool,

    /// Write it to this file, which only its owner may read
    #[arg(long, value_name = "FILE")]
    pub(crate) output_path: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) certificate: CallerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Name of the agent
    #[arg(value_name = "AGENT", value_parser = values::agent_name)]
    pub(crate) name: AgentName,

    /// Address of the Kubernetes door as it is reached from here: a request is made through it, too
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) server: Option<String>,

    /// Name that the door's certificate is checked for, where it is reached by another
    #[arg(long, value_name = "HOST")]
    pub(crate) tls_server_name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Completion {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Version {
    /// Indent the JSON
    #[arg(long, short)]
    pub(crate) indent: bool,
}

/// A command line that starts nothing.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Help and the like, as clap prints it.
    Help(clap::Error),
    /// A refusal, less the program's name.
    Line(String),
}

/// A command line whose words are right one by one, and wrong together.
#[derive(Debug)]
pub(crate) struct BadUsage(pub(crate) String);

/// Reads the words of a command line, the program's own name first, and the environment.
pub(crate) fn parse(words: &[OsString]) -> Result<Cli, Refused> {
    let matches = command().try_get_matches_from(words).map_err(Refused::clap)?;
    Cli::from_arg_matches(&matches).map_err(Refused::clap)
}

/// The whole tree, as help and completion scripts see it.
pub(crate) fn command() -> clap::Command {
    go_style(Cli::command())
}

/// Prints why a command failed, in one line, and gives the exit code.
pub(crate) fn show_failure(error: &anyhow::Error) -> ExitCode {
    // Causes come from elsewhere, too: what they say stays on the line.
    let text = format!("{error:#}");
    eprintln!("{NAME}: {}", text.split_whitespace().collect::<Vec<_>>().join(" "));
    if error.downcast_ref::<BadUsage>().is_some() { BAD_USAGE.into() } else { ExitCode::FAILURE }
}

// === impl Global ===

impl Global {
    /// None where neither a file was given nor there is a home directory.
    pub(crate) fn config_path(&self) -> Option<PathBuf> {
        let home = || std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
        self.config.clone().or_else(|| Some(home()?.join(".config/argocd-agent/ctl.conf")))
    }
}

// === impl Refused ===

impl Refused {
    fn clap(error: clap::Error) -> Self {
        if let (ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(missing))) =
            (error.kind(), error.get(ContextKind::InvalidArg))
        {
            return Self::Line(format!("{} must be given", missing.join(" and ")));
        }
        match UsageLine::from_clap(&error) {
            Some(line) => Self::Line(line.text),
            None => Self::Help(error),
        }
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

// === impl BadUsage ===

impl std::fmt::Display for BadUsage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadUsage {}

/// The program's name, whatever its file is called.
pub(crate) const NAME: &str = "argocd-agentctl";

/// What shells and clap use for a command line that cannot be taken.
const BAD_USAGE: u8 = 2;
