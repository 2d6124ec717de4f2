//! `argocd-agentctl agent join-token` and `argocd-agentctl agent join`.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use common::{AgentName, config::values::positive_duration, grpc::Address};

use super::values;

#[derive(Debug, Args)]
pub(crate) struct JoinToken {
    /// Name of the agent
    #[arg(value_name = "AGENT", value_parser = values::agent_name)]
    pub(crate) name: AgentName,

    /// Address of the principal, as it is reached from the agent's cluster
    #[arg(long, value_name = "HOST:PORT", value_parser = values::address)]
    pub(crate) principal_address: Address,

    /// Time that the token is good for, 24h at most
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = positive_duration)]
    pub(crate) ttl: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Join {
    /// File with the token; - means stdin
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub(crate) token_file: PathBuf,

    /// Replace a certificate that is there
    #[arg(long, short)]
    pub(crate) upsert: bool,
}
