//! `argocd-agentctl pki`.

use std::net::IpAddr;

use clap::{Args, Subcommand};
use common::AgentName;

use super::{
    key::{AuthorityLifetime, KeyArgs, Lifetime},
    values,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Pki {
    /// Make the authority that signs all certificates, in the principal's namespace
    Init(Init),
    /// Copy the authority's certificate to the agent's namespace
    Propagate(Propagate),
    /// Show the authority and the certificates of principal and Kubernetes door
    Inspect(Inspect),
    /// Stop trusting the authorities that were replaced (`pki init --force --keep-old`); agents' own certificates are not
    /// seen from the principal's side: issue those anew before
    DropOld(DropOld),
    /// Delete the authority
    Delete(Delete),
    /// Print the authority's certificate, key or both as PEM
    Dump(Dump),
    /// Issue a certificate and store it in its Secret
    #[command(subcommand, visible_alias = "new-cert")]
    Issue(Issue),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Issue {
    /// For the principal, to show to agents
    Principal(IssuePrincipal),
    /// For the Kubernetes door, to show to its callers
    ResourceProxy(IssueResourceProxy),
    /// For an agent, to show to the principal, in the agent's namespace; and there whom it trusts
    Agent(IssueAgent),
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Replace the authority that is there: all certificates have to be issued anew
    #[arg(long, short)]
    pub(crate) force: bool,

    /// Go on trusting the authority that is replaced, so that its certificates can be replaced one by one; see
    /// `pki drop-old`
    #[arg(long, requires = "force")]
    pub(crate) keep_old: bool,

    /// Make the authority of the doors' callers, argocd-agent-client-ca: where the principal's
    /// --resource-proxy-ca-secret-name names it, no agent's certificate opens a door
    #[arg(long)]
    pub(crate) client_ca: bool,

    #[command(flatten)]
    pub(crate) lifetime: AuthorityLifetime,

    #[command(flatten)]
    pub(crate) key: KeyArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Propagate {
    /// Replace what is there
    #[arg(long, short)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Also the certificates themselves, as PEM
    #[arg(long, short)]
    pub(crate) full: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Do not ask
    #[arg(long, short)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DropOld {
    /// Also where certificates of theirs are still in use
    #[arg(long, short)]
    pub(crate) force: bool,

    /// Of the doors' callers, argocd-agent-client-ca
    #[arg(long)]
    pub(crate) client_ca: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Dump {
    /// Certificate and key
    #[arg(long)]
    pub(crate) all: bool,

    /// The private key
    #[arg(long)]
    pub(crate) key: bool,

    /// The certificate
    #[arg(long)]
    pub(crate) cert: bool,
}

#[derive(Debug, Args)]
pub(crate) struct IssuePrincipal {
    /// Address that agents dial; may be repeated
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', default_value = "127.0.0.1")]
    pub(crate) ip: Vec<IpAddr>,

    /// DNS name that agents dial; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "localhost")]
    pub(crate) dns: Vec<String>,

    #[command(flatten)]
    pub(crate) common: IssueArgs,
}

#[derive(Debug, Args)]
pub(crate) struct IssueResourceProxy {
    /// Address that callers dial; may be repeated
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) ip: Vec<IpAddr>,

    /// DNS name that callers dial; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) dns: Vec<String>,

    /// Neither: only clients that check no name can then connect
    #[arg(long)]
    pub(crate) no_san: bool,

    #[command(flatten)]
    pub(crate) common: IssueArgs,
}

#[derive(Debug, Args)]
pub(crate) struct IssueAgent {
    /// Name of the agent
    #[arg(value_name = "AGENT", value_parser = values::agent_name)]
    pub(crate) name: AgentName,

    /// The agent is in the principal's cluster: use its context
    #[arg(long)]
    pub(crate) same_context: bool,

    #[command(flatten)]
    pub(crate) common: IssueArgs,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct IssueArgs {
    /// Replace the certificate if there is one
    #[arg(long, short)]
    pub(crate) upsert: bool,

    #[command(flatten)]
    pub(crate) lifetime: Lifetime,

    #[command(flatten)]
    pub(crate) key: KeyArgs,
}
