//! What may be asked of the benchmark.

mod all;
mod requests;
mod streams;
mod tunnel;

use std::{fmt, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::{
    contestants::{Kind, Rival},
    load::{Encoding, Protocol},
};

pub(crate) use all::All;
pub(crate) use requests::{Cache, Change, Fresh, GetOwned, Mutate};
pub(crate) use streams::{Exec, ExecPart, LogPart, Logs, SlowReader};
pub(crate) use tunnel::{Agents, Rtt};

/// Measures ways from a Kubernetes client to kube-apiserver, and from a Redis client to a Redis, in turn, in one run:
/// none in between, a chain of two nginx (not for Redis), a principal with its agent, and rivals of it that are given.
#[derive(Debug, Parser)]
pub(crate) struct Command {
    #[command(subcommand)]
    pub(crate) scenario: Scenario,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Scenario {
    /// GET of a managed ConfigMap over warm connections
    Get(Get),
    /// GET of a Pod that is managed because of the Deployment behind it
    GetOwned(GetOwned),
    /// PATCH and PUT of managed ConfigMaps
    Mutate(Mutate),
    /// GET of a managed ConfigMap over a new connection each time
    Fresh(Fresh),
    /// A list of many ConfigMaps
    List(List),
    /// Events of ConfigMaps that change at a steady rate
    Watch(Watch),
    /// Logs that are followed: one at full speed, many line by line
    Logs(Logs),
    /// Commands and forwarded ports: a byte and back, many bytes
    Exec(Exec),
    /// GETs beside clients that do not read what they asked for
    SlowReader(SlowReader),
    /// What the Redis door passes on: values of both Redis servers, messages, connections
    Redis(Redis),
    /// Many agents of one principal: attached, idle, asked, and all back after a restart
    Agents(Agents),
    /// A GET, a watch and a list with a long line between the two hops
    Rtt(Rtt),
    /// All of these, one after the other
    All(All),
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Clients that ask at the same time, each on its own connection; every number is a table
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', default_values_t = [1, 16])]
    pub(crate) clients: Vec<usize>,

    /// Size of the ConfigMap's value, such as 1KiB or 1MiB (the most that Kubernetes allows); every size is a table
    #[arg(long, value_name = "SIZE", value_delimiter = ',', default_value = "1KiB", value_parser = size)]
    pub(crate) size: Vec<usize>,

    /// How long each contestant's turn takes
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    #[command(flatten)]
    pub(crate) turns: Turns,

    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
#[command(mut_arg("rounds", |arg| arg.help("How many lists each contestant delivers per table").default_value("10")))]
pub(crate) struct List {
    /// What the list is of; each is a table
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Population::Managed])]
    pub(crate) population: Vec<Population>,

    /// How many ConfigMaps the list has
    #[arg(long, value_name = "NUMBER", default_value_t = 4000)]
    pub(crate) items: usize,

    /// How many Pods a list of Pods has
    #[arg(long, value_name = "NUMBER", default_value_t = 5000)]
    pub(crate) pods: usize,

    /// Size of each one's value
    #[arg(long, value_name = "SIZE", default_value = "20000", value_parser = size)]
    pub(crate) size: usize,

    /// What the list is written in; every encoding is a table
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_values_t = [Encoding::Json, Encoding::Protobuf]
    )]
    pub(crate) encoding: Vec<Encoding>,

    #[command(flatten)]
    pub(crate) turns: Turns,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// What a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Population {
    /// ConfigMaps that are all managed
    Managed,
    /// ConfigMaps of which every other one is
    Half,
    /// Pods of ReplicaSets whose Deployments are managed
    Pods,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Watches at the same time, each on its own connection; every number is a table
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', default_values_t = [1])]
    pub(crate) watches: Vec<usize>,

    /// Changes per second; 100 if not given, but fewer for more than 10 watches
    #[arg(long, value_name = "NUMBER", value_parser = rate)]
    pub(crate) rate: Option<f64>,

    /// Size of the value of each ConfigMap
    #[arg(long, value_name = "SIZE", default_value = "1KiB", value_parser = size)]
    pub(crate) size: usize,

    /// How long each contestant's turn takes
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    #[command(flatten)]
    pub(crate) turns: Turns,

    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Redis {
    /// What is measured, each with processes of its own
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_values_t = [Part::Local, Part::Agent, Part::Subscribe, Part::Large, Part::Stalled, Part::Idle]
    )]
    pub(crate) part: Vec<Part>,

    /// Clients that ask at the same time, each on its own connection; every number is a table
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', default_values_t = [1, 16])]
    pub(crate) clients: Vec<usize>,

    /// Subscribers of the same channel; every number is a table
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', default_values_t = [1, 50, 1000])]
    pub(crate) subscribers: Vec<usize>,

    /// Idle connections, or as many of them as may be open here
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    pub(crate) idle: usize,

    /// Size of a value, up to 1MiB
    #[arg(long, value_name = "SIZE", default_value = "2700", value_parser = size)]
    pub(crate) size: usize,

    /// Size of a large value, up to 512MiB
    #[arg(long, value_name = "SIZE", default_value = "32MiB", value_parser = large_size)]
    pub(crate) large: usize,

    /// How long each contestant's turn takes
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    /// How many turns each contestant has per table
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,

    /// Who takes part: direct, ours
    #[arg(
        long,
        value_name = "CONTESTANTS",
        value_delimiter = ',',
        default_values_t = [Kind::Direct, Kind::Ours],
        value_parser = redis_contestant
    )]
    pub(crate) contestants: Vec<Kind>,

    #[command(flatten)]
    pub(crate) program: Program,
}

/// A part of what is measured of the Redis door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    /// GET of a value of the principal's Redis
    Local,
    /// GET of a value of the agent's Redis
    Agent,
    /// Messages that are published at the agent's Redis
    Subscribe,
    /// A large value of either Redis
    Large,
    /// GETs beside clients that do not read
    Stalled,
    /// Connections on which nothing happens
    Idle,
}

/// Who is measured, and how often.
#[derive(Debug, Args)]
pub(crate) struct Turns {
    /// How many turns each contestant has per table
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,

    /// Who takes part
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_values_t = [Kind::Direct, Kind::Chain, Kind::Ours, Kind::OursNoFilter]
    )]
    pub(crate) contestants: Vec<Kind>,
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Speak HTTP/2 to the contestants in place of HTTP/1.1
    #[arg(long)]
    http2: bool,

    #[command(flatten)]
    pub(crate) program: Program,
}

/// What is measured.
#[derive(Debug, Args)]
pub(crate) struct Program {
    /// Threads of principal and agent; their own default if not given
    #[arg(long, value_name = "NUMBER")]
    pub(crate) worker_threads: Option<usize>,

    /// Measure this argocd-agent in place of a release build of this checkout
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,

    /// A rival takes part as well: `argocd-agent=FILE`, the program in Go, or `konnectivity=DIRECTORY`, with proxy-server and
    /// proxy-agent in it. May be given once for each; it is left out, in a line that says why, of what it cannot do
    #[arg(long = "rival", value_name = "NAME=PATH")]
    pub(crate) rivals: Vec<Rival>,

    /// The figures are worth nothing: their file goes where it overwrites none that are
    #[arg(long, hide = true)]
    pub(crate) smoke: bool,
}

// === impl Common ===

impl Common {
    pub(crate) fn protocol(&self) -> Protocol {
        if self.http2 { Protocol::Http2 } else { Protocol::Http1 }
    }
}

// === impl Part ===

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Agent => "agent",
            Self::Subscribe => "subscribe",
            Self::Large => "large",
            Self::Stalled => "stalled",
            Self::Idle => "idle",
        })
    }
}

/// The other contestants speak nothing but HTTP.
fn redis_contestant(text: &str) -> Result<Kind, String> {
    match text {
        "direct" => Ok(Kind::Direct),
        "ours" => Ok(Kind::Ours),
        _ => Err("must be direct or ours".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("must be a number from 0.1 to 3600".to_owned()),
    }
}

fn size(text: &str) -> Result<usize, String> {
    match bytes(text) {
        Some(size @ 1..=LARGEST) => Ok(size),
        _ => Err("must be bytes, KiB or MiB, from 1 to 1MiB".to_owned()),
    }
}

fn large_size(text: &str) -> Result<usize, String> {
    match bytes(text) {
        Some(size @ 1..=LARGEST_VALUE) => Ok(size),
        _ => Err("must be bytes, KiB or MiB, from 1 to 512MiB".to_owned()),
    }
}

fn bytes(text: &str) -> Option<usize> {
    let (number, unit) = [("KiB", 1 << 10), ("MiB", 1 << 20)]
        .into_iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))
        .unwrap_or((text, 1));
    number.parse::<usize>().ok().and_then(|number| number.checked_mul(unit))
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.01..=10_000.0).contains(&rate) => Ok(rate),
        _ => Err("must be a number from 0.01 to 10000".to_owned()),
    }
}

/// The API server takes no ConfigMap with more data than this.
const LARGEST: usize = 1 << 20;

/// Redis takes no string that is longer (`proto-max-bulk-len`).
const LARGEST_VALUE: usize = 512 << 20;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Command::command().debug_assert();
    }

    #[test]
    fn a_rate_is_a_positive_number() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for bad in ["", "0", "-1", "NaN", "inf", "1/s"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_who_speaks_redis_takes_part_there() {
        assert_eq!(redis_contestant("direct"), Ok(Kind::Direct));
        assert_eq!(redis_contestant("ours"), Ok(Kind::Ours));
        for bad in ["chain", "ours-no-filter", ""] {
            assert!(redis_contestant(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_have_binary_units_and_a_limit() {
        assert_eq!(size("1KiB"), Ok(1024));
        assert_eq!(size("20000"), Ok(20_000));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        assert_eq!(large_size("32MiB"), Ok(32 << 20));
        assert!(large_size("513MiB").is_err());
        for bad in ["", "0", "-1", "1 KiB", "1k", "2MiB", "99999999999999999999MiB", "18446744073709551615KiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
