//! Scenarios of the tunnel itself: many agents of one principal, a long line between the two.

use clap::Args;

use super::{Common, Program, seconds, size};
use crate::contestants::Kind;

#[derive(Debug, Args)]
pub(crate) struct Agents {
    /// How many agents; every number is a row, with a principal of its own
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', default_values_t = [1000, 10_000])]
    pub(crate) agents: Vec<usize>,

    /// How long they are left alone: a ping goes each way every 10 s
    #[arg(long, value_name = "SECONDS", default_value_t = 20.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    /// Clients, each of an agent of its own
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub(crate) clients: usize,

    #[command(flatten)]
    pub(crate) program: Program,
}

#[derive(Debug, Args)]
pub(crate) struct Rtt {
    /// Milliseconds there and back; every number is a table, beside one without any
    #[arg(long, value_name = "MILLISECONDS", value_delimiter = ',', default_values_t = [20.0, 100.0])]
    pub(crate) round_trip: Vec<f64>,

    /// How many ConfigMaps the list has
    #[arg(long, value_name = "NUMBER", default_value_t = 4000)]
    pub(crate) items: usize,

    /// Size of each one's value
    #[arg(long, value_name = "SIZE", default_value = "20000", value_parser = size)]
    pub(crate) size: usize,

    /// How many turns each contestant has per table
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,

    /// Who takes part
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kind::Chain, Kind::Ours])]
    pub(crate) contestants: Vec<Kind>,

    #[command(flatten)]
    pub(crate) common: Common,
}
