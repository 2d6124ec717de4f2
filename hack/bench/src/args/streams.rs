//! Scenarios of answers that go on: logs, commands, forwarded ports, and lists that nobody reads.

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{Common, Turns, large_size, seconds, size};

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// What is followed; each is a table for itself
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [LogPart::Fast, LogPart::Slow])]
    pub(crate) part: Vec<LogPart>,

    /// Size of the log that is followed at full speed, up to 512MiB
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = large_size)]
    pub(crate) size: usize,

    /// Slow follows at the same time, each on its own connection; every number is a table
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', default_values_t = [100])]
    pub(crate) follows: Vec<usize>,

    /// Lines that a slow follow sees per second
    #[arg(long, value_name = "NUMBER", default_value_t = 10.0, value_parser = super::rate)]
    pub(crate) rate: f64,

    /// How long each contestant's turn with slow follows takes
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    #[command(flatten)]
    pub(crate) turns: Turns,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// What of a log is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogPart {
    /// All of a large log, by one client
    Fast,
    /// Lines as they are written, by many
    Slow,
}

#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// What is done; each is a table
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_values_t = [ExecPart::Echo, ExecPart::Download, ExecPart::Upload]
    )]
    pub(crate) part: Vec<ExecPart>,

    /// Commands that echo at the same time, each on its own connection; every number is a table
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', default_values_t = [1, 16])]
    pub(crate) clients: Vec<usize>,

    /// What passes through a forwarded port, up to 512MiB
    #[arg(long, value_name = "SIZE", default_value = "100MiB", value_parser = large_size)]
    pub(crate) size: usize,

    /// How long each contestant's turn with echoes takes
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    #[command(flatten)]
    pub(crate) turns: Turns,

    #[command(flatten)]
    pub(crate) program: super::Program,
}

/// What is done with a Pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ExecPart {
    /// One byte to a command that says it back
    Echo,
    /// Many bytes from a forwarded port
    Download,
    /// Many bytes to a forwarded port
    Upload,
}

#[derive(Debug, Args)]
pub(crate) struct SlowReader {
    /// Clients that asked for a large list and do not read it; every number is a table
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', default_values_t = [1, 16, 64])]
    pub(crate) stalled: Vec<usize>,

    /// How many ConfigMaps of 20 kB the large list has
    #[arg(long, value_name = "NUMBER", default_value_t = 2000)]
    pub(crate) items: usize,

    /// Clients that read, each on its own connection
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) clients: usize,

    /// Size of the value of the ConfigMap that they get
    #[arg(long, value_name = "SIZE", default_value = "1KiB", value_parser = size)]
    pub(crate) size: usize,

    /// How long each contestant's turn takes: half of it alone, half of it beside those who do not read
    #[arg(long, value_name = "SECONDS", default_value_t = 4.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    #[command(flatten)]
    pub(crate) turns: Turns,

    #[command(flatten)]
    pub(crate) common: Common,
}
