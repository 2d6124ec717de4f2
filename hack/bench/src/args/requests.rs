//! Scenarios of one request after the other.

use std::fmt;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{Common, Turns, seconds, size};

#[derive(Debug, Args)]
pub(crate) struct GetOwned {
    /// Whether the agent has seen the Pod before; each is a table
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Cache::Warm, Cache::Cold])]
    pub(crate) cache: Vec<Cache>,

    /// Clients that ask at the same time, each on its own connection; every number is a table
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', default_values_t = [1, 16])]
    pub(crate) clients: Vec<usize>,

    /// How many Pods are asked for in each turn where none was before
    #[arg(long, value_name = "NUMBER", default_value_t = 200)]
    pub(crate) pods: usize,

    /// How long each contestant's turn takes where the same Pod is asked for
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    #[command(flatten)]
    pub(crate) turns: Turns,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// What an agent may know of a Pod that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cache {
    /// The same Pod was asked for just before
    Warm,
    /// Neither it nor those that own it were ever asked for
    Cold,
}

#[derive(Debug, Args)]
pub(crate) struct Mutate {
    /// How objects are changed; each is a table
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Change::Patch, Change::Put])]
    pub(crate) change: Vec<Change>,

    /// Clients that change an object each at the same time, each on its own connection; every number is a table
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', default_values_t = [1, 16])]
    pub(crate) clients: Vec<usize>,

    /// Size of the value of each ConfigMap
    #[arg(long, value_name = "SIZE", default_value = "1KiB", value_parser = size)]
    pub(crate) size: usize,

    /// How long each contestant's turn takes
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    #[command(flatten)]
    pub(crate) turns: Turns,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// How an object is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Change {
    /// A merge patch of one value
    Patch,
    /// The whole object
    Put,
}

#[derive(Debug, Args)]
pub(crate) struct Fresh {
    /// Clients that connect and ask at the same time; every number is a table
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', default_values_t = [1, 16])]
    pub(crate) clients: Vec<usize>,

    /// Size of the ConfigMap's value
    #[arg(long, value_name = "SIZE", default_value = "1KiB", value_parser = size)]
    pub(crate) size: usize,

    /// How long each contestant's turn takes
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    #[command(flatten)]
    pub(crate) turns: Turns,

    #[command(flatten)]
    pub(crate) common: Common,
}

// === impl Change ===

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Patch => "PATCH",
            Self::Put => "PUT",
        })
    }
}
