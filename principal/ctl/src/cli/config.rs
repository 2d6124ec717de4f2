//! `argocd-agentctl config`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Write the config file, asking about each context of a kubeconfig
    Create(CreateConfig),
    /// Add a name
    #[command(subcommand)]
    Add(Kind<EntryArgs>),
    /// Change what a name stands for
    #[command(subcommand)]
    Edit(Kind<EntryArgs>),
    /// Delete a name
    #[command(subcommand)]
    Delete(Kind<NameArg>),
    /// List the names
    #[command(subcommand)]
    List(Kind<Nothing>),
}

#[derive(Debug, Args)]
pub(crate) struct CreateConfig {
    /// Kubeconfig to read; the usual one, unless given
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig_path: Option<PathBuf>,

    /// File to write; the config file, unless given
    #[arg(long, value_name = "FILE")]
    pub(crate) output_path: Option<PathBuf>,
}

/// Of which of the two.
#[derive(Debug, Subcommand)]
pub(crate) enum Kind<T: Args> {
    /// A principal
    Principal(T),
    /// An agent
    Agent(T),
}

#[derive(Debug, Args)]
pub(crate) struct EntryArgs {
    /// The name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,

    /// Context of the kubeconfig
    #[arg(long, value_name = "CONTEXT")]
    pub(crate) context: Option<String>,

    /// Namespace
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,

    /// Use this principal where none is named (principals only)
    #[arg(long)]
    pub(crate) set_default: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NameArg {
    /// The name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Nothing {}
