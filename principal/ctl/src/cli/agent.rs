//! `argocd-agentctl agent`.

use clap::{Args, Subcommand, ValueEnum};
use common::{AgentName, auth::Secret};

use super::{
    join::{Join, JoinToken},
    key::CallerArgs,
    values,
};
use crate::names::DEFAULT_RESOURCE_PROXY;

#[derive(Debug, Subcommand)]
pub(crate) enum Agent {
    /// Create an agent: the Secret by which Argo CD reaches its cluster
    Create(Create),
    /// List agents: a table at a terminal, else one name per line
    List(List),
    /// Show where an agent's cluster is reached, and the certificate for it
    #[command(visible_alias = "show")]
    Inspect(AgentArg),
    /// Print a part of an agent's TLS credentials as PEM
    #[command(visible_alias = "dump-tls")]
    PrintTls(PrintTls),
    /// Change an agent's cluster Secret
    Reconfigure(Reconfigure),
    /// Replace the certificate in an agent's cluster Secret, keeping all else
    Rotate(Rotate),
    /// Delete an agent's cluster Secret
    Delete(Delete),
    /// Make a token by which an agent gets its certificate, and print the one command that uses it
    JoinToken(JoinToken),
    /// Exchange a join token for the certificate of the agent, on the agent's side
    Join(Join),
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Name of the agent
    #[arg(value_name = "AGENT", value_parser = values::agent_name)]
    pub(crate) name: AgentName,

    /// Address of the Kubernetes door, as Argo CD reaches it
    #[arg(long, value_name = "HOST:PORT", default_value = DEFAULT_RESOURCE_PROXY)]
    pub(crate) resource_proxy_server: String,

    /// Label for the Secret, `key=value`; may be repeated
    #[arg(long, short, value_name = "LABEL", value_delimiter = ',', value_parser = values::label)]
    pub(crate) label: Vec<(String, String)>,

    /// Take certificate and key from this Secret (tls.crt, tls.key) in place of issuing them
    #[arg(long, value_name = "[NAMESPACE/]SECRET")]
    pub(crate) tls_from_secret: Option<String>,

    /// Take the CA certificate from this Secret (ca.crt); together with --tls-from-secret
    #[arg(long, value_name = "[NAMESPACE/]SECRET")]
    pub(crate) ca_from_secret: Option<String>,

    #[command(flatten)]
    pub(crate) certificate: CallerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only agents whose Secret has this label, `key=value` or `key`; may be repeated
    #[arg(long, short, value_name = "LABEL", value_delimiter = ',')]
    pub(crate) label: Vec<String>,

    /// A table also where there is no terminal: what state each is in, where it is reached, how long its certificate is
    /// valid
    #[arg(long, short)]
    pub(crate) wide: bool,

    /// Where the principal tells which agents are attached, `http://host:port`; without it through port-forwards to its
    /// Pods, for which you need the right to list Pods and to create pods/portforward
    #[arg(long, value_name = "URL", value_parser = values::http_address)]
    pub(crate) admin_address: Option<http::Uri>,

    /// The principal's --admin-port
    #[arg(long, value_name = "PORT", default_value_t = 8004, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) admin_port: u16,
}

#[derive(Debug, Args)]
pub(crate) struct AgentArg {
    /// Name of the agent
    #[arg(value_name = "AGENT", value_parser = values::agent_name)]
    pub(crate) name: AgentName,
}

#[derive(Debug, Args)]
pub(crate) struct PrintTls {
    /// Name of the agent
    #[arg(value_name = "AGENT", value_parser = values::agent_name)]
    pub(crate) name: AgentName,

    /// Which part
    #[arg(long = "type", short = 't', value_name = "PART", default_value = "cert")]
    pub(crate) part: TlsPart,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TlsPart {
    Cert,
    Key,
    Ca,
}

#[derive(Debug, Args)]
pub(crate) struct Reconfigure {
    /// Name of the agent
    #[arg(value_name = "AGENT", value_parser = values::agent_name)]
    pub(crate) name: AgentName,

    /// New address of the Kubernetes door
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) resource_proxy_server: Option<String>,

    /// Stored for Argo CD; the door does not read it
    #[arg(long, value_name = "NAME")]
    pub(crate) resource_proxy_username: Option<String>,

    /// Stored for Argo CD; the door does not read it
    #[arg(long, value_name = "PASSWORD")]
    pub(crate) resource_proxy_password: Option<Secret>,

    /// Issue the certificate anew
    #[arg(long)]
    pub(crate) reissue_client_cert: bool,

    #[command(flatten)]
    pub(crate) certificate: CallerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// Name of the agent
    #[arg(value_name = "AGENT", value_parser = values::agent_name)]
    pub(crate) name: AgentName,

    /// Put the old certificate on the blocklist, once the new one is in place
    #[arg(long)]
    pub(crate) revoke: bool,

    #[command(flatten)]
    pub(crate) certificate: CallerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Name of the agent
    #[arg(value_name = "AGENT", value_parser = values::agent_name)]
    pub(crate) name: AgentName,

    /// Put its certificate on the blocklist, before it is forgotten
    #[arg(long)]
    pub(crate) revoke: bool,

    /// Do not ask
    #[arg(long, short)]
    pub(crate) force: bool,
}
