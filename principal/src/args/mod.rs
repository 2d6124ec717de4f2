//! What the operator typed for `argocd-agent principal`: every flag with its environment variable, type and default.
//!
//! A table of facts without decisions: what a flag leads to is in [`crate::config`]. Names, variables and defaults are
//! upstream's, so that manifests carry over; the tests hold the table.

mod doors;
mod enrollment;
mod registration;
mod unused;

use std::time::Duration;

use clap::{Command, FromArgMatches};
use common::config::{
    FlagError, LogConfig, LogFormat,
    command::{go_style, without_environment},
    values::{duration, items, number},
};

pub(crate) use self::{
    doors::{REDIS_CA_SECRET, RedisProxy, ResourceProxy, Tokens},
    enrollment::Enrollment,
    registration::Registration,
    unused::{Later, NoEffect},
};

/// The flags of `argocd-agent principal`.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub struct Args {
    #[command(flatten, next_help_heading = "Listener")]
    pub(crate) listener: Listener,
    #[command(flatten, next_help_heading = "Agents' identity")]
    pub(crate) identity: Identity,
    #[command(flatten, next_help_heading = "TLS")]
    pub(crate) tls: Tls,
    #[command(flatten, next_help_heading = "Agents' certificates")]
    pub(crate) enrollment: Enrollment,
    #[command(flatten, next_help_heading = "Resource proxy (the Kubernetes door)")]
    pub(crate) resource_proxy: ResourceProxy,
    #[command(flatten, next_help_heading = "Bearer tokens at the Kubernetes door")]
    pub(crate) tokens: Tokens,
    #[command(flatten, next_help_heading = "Self-registration (the principal writes agents' cluster Secrets)")]
    pub(crate) registration: Registration,
    #[command(flatten, next_help_heading = "Redis proxy (the Redis door)")]
    pub(crate) redis_proxy: RedisProxy,
    #[command(flatten, next_help_heading = "Control plane")]
    pub(crate) control_plane: ControlPlane,
    #[command(flatten, next_help_heading = "Logging")]
    pub(crate) logging: Logging,
    #[command(flatten, next_help_heading = "Limits")]
    pub(crate) limits: Limits,
    #[command(flatten, next_help_heading = "Not supported yet (accepted at their defaults, refused otherwise)")]
    pub(crate) later: Later,
    #[command(flatten, next_help_heading = "No effect in this version (accepted, so that manifests carry over)")]
    pub(crate) no_effect: NoEffect,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct Listener {
    /// Name or address of the host to listen on for agents; empty means every address
    #[arg(long, env = "ARGOCD_PRINCIPAL_LISTEN_HOST", value_name = "HOST")]
    pub(crate) listen_host: Option<String>,

    /// Port to listen on for agents; 0 means any free one
    #[arg(long, env = "ARGOCD_PRINCIPAL_LISTEN_PORT", value_name = "PORT", default_value = "8443", value_parser = number::<u16>(0..=65535))]
    pub(crate) listen_port: u16,

    /// Port of the metrics endpoint; 0 means none
    #[arg(long, env = "ARGOCD_PRINCIPAL_METRICS_PORT", value_name = "PORT", default_value = "8000", value_parser = number::<u16>(0..=65535))]
    pub(crate) metrics_port: u16,

    /// Port of the health endpoints
    #[arg(long, env = "ARGOCD_PRINCIPAL_HEALTH_CHECK_PORT", value_name = "PORT", default_value = "8003", value_parser = number::<u16>(1..=65535))]
    pub(crate) healthz_port: u16,

    /// Port on loopback that tells which agents are attached, for `argocd-agentctl agent list`, which gets there by a
    /// port-forward; 0 means none, and one that is taken does no harm
    #[arg(long, env = "ARGOCD_PRINCIPAL_ADMIN_PORT", value_name = "PORT", default_value = "8004", value_parser = number::<u16>(0..=65535))]
    pub(crate) admin_port: u16,

    /// Namespace of the control plane; needed only outside a cluster, where the Pod's own cannot be read
    #[arg(long, short, env = "ARGOCD_PRINCIPAL_NAMESPACE", value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct Identity {
    /// How agents are known, and how their names are found
    ///
    ///   mtls:[subject:|uri:]<regex>  by the client certificate; the regex's
    ///                                first group is the name. Without a regex
    ///                                the name is the certificate's CN
    ///   userpass:<file>              by name and password; each line of the
    ///                                file is <name>:<bcrypt hash>
    ///   header:<name>:<regex>        by a header that a service mesh sets; the
    ///                                regex's first group is the name. Only
    ///                                where TLS is the mesh's own matter, too
    #[arg(long, env = "ARGOCD_PRINCIPAL_AUTH", value_name = "METHOD:CONFIG", verbatim_doc_comment)]
    pub(crate) auth: Option<String>,

    /// Require client certificates of agents; the method mtls always does
    #[arg(long, env = "ARGOCD_PRINCIPAL_TLS_CLIENT_CERT_REQUIRE")]
    pub(crate) require_client_certs: bool,

    /// Require client certificates of agents, and that the CN is the agent's name, wherever the name was found
    #[arg(long, env = "ARGOCD_PRINCIPAL_TLS_CLIENT_CERT_MATCH_SUBJECT")]
    pub(crate) client_cert_subject_match: bool,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct Tls {
    /// INSECURE: Serve agents without TLS, behind a service mesh that sees to it
    #[arg(long, env = "ARGOCD_PRINCIPAL_INSECURE_PLAINTEXT")]
    pub(crate) insecure_plaintext: bool,

    /// INSECURE: Show agents a certificate that is made now and ends with the process; they need --insecure-tls
    #[arg(long, env = "ARGOCD_PRINCIPAL_TLS_SERVER_ALLOW_GENERATE")]
    pub(crate) insecure_tls_generate: bool,

    /// File with the certificate shown to agents
    #[arg(long, env = "ARGOCD_PRINCIPAL_TLS_SERVER_CERT_PATH", value_name = "FILE")]
    pub(crate) tls_cert: Option<String>,

    /// File with the private key of that certificate
    #[arg(long, env = "ARGOCD_PRINCIPAL_TLS_SERVER_KEY_PATH", value_name = "FILE")]
    pub(crate) tls_key: Option<String>,

    /// File with the CA certificates that agents' certificates are verified with
    #[arg(long, env = "ARGOCD_PRINCIPAL_TLS_SERVER_ROOT_CA_PATH", value_name = "FILE")]
    pub(crate) root_ca_path: Option<String>,

    /// Lowest TLS version to accept; tls1.1 means tls1.2
    #[arg(long, env = "ARGOCD_PRINCIPAL_TLS_MIN_VERSION", value_name = "VERSION", default_value = "tls1.3", value_parser = ["tls1.1", "tls1.2", "tls1.3"])]
    pub(crate) tls_min_version: String,

    /// Highest TLS version to accept; none means tls1.3
    #[arg(long, env = "ARGOCD_PRINCIPAL_TLS_MAX_VERSION", value_name = "VERSION", value_parser = ["tls1.1", "tls1.2", "tls1.3"])]
    pub(crate) tls_max_version: Option<String>,

    /// Secret with certificate and key, where --tls-cert and --tls-key are not given
    #[arg(
        long,
        env = "ARGOCD_PRINCIPAL_TLS_SECRET_NAME",
        value_name = "SECRET",
        default_value = "argocd-agent-principal-tls"
    )]
    pub(crate) tls_secret_name: String,

    /// Secret with the CA certificate, where --root-ca-path is not given
    #[arg(
        long,
        env = "ARGOCD_PRINCIPAL_TLS_SERVER_ROOT_CA_SECRET_NAME",
        value_name = "SECRET",
        default_value = "argocd-agent-ca"
    )]
    pub(crate) tls_ca_secret_name: String,

    /// Cipher suites to offer, by the names that `list` shows (and exits); without one of TLS 1.3 among them, all of TLS
    /// 1.3 are offered. None means all
    #[arg(long, env = "ARGOCD_PRINCIPAL_TLS_CIPHERSUITES", value_name = "SUITES", value_delimiter = ',')]
    pub(crate) tls_ciphersuites: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct ControlPlane {
    /// Map Applications to agents by spec.destination.name in place of their namespace
    #[arg(long, env = "ARGOCD_PRINCIPAL_DESTINATION_BASED_MAPPING")]
    pub(crate) destination_based_mapping: bool,

    /// Kubeconfig of the control plane's cluster; a Pod needs none there
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<String>,

    /// Context in that kubeconfig, or in the default one
    #[arg(long, value_name = "CONTEXT")]
    pub(crate) kubecontext: Option<String>,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct Logging {
    /// Comma-separated [component=]level; levels: trace, debug, info, warn, error; components: resource-proxy,
    /// redis-proxy, grpc-event, informer-event-buffer
    #[arg(
        long,
        env = "ARGOCD_PRINCIPAL_LOG_LEVEL",
        value_name = "LEVELS",
        default_value = "info",
        value_delimiter = ','
    )]
    pub(crate) log_level: Vec<String>,

    /// How log lines look
    #[arg(long, env = "ARGOCD_PRINCIPAL_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct Limits {
    /// Bytes that a stream may send before its reader takes them: what one holds that stalls. Fast ones on long lines get
    /// more, 64 MiB per session in all
    #[arg(long, env = "ARGOCD_PRINCIPAL_TUNNEL_STREAM_WINDOW", value_name = "BYTES", default_value = "1048576", value_parser = number::<u32>(65535..=2147483647))]
    pub(crate) tunnel_stream_window: u32,

    /// Connections that callers may hold open
    #[arg(long, env = "ARGOCD_PRINCIPAL_MAX_CONNECTIONS", value_name = "NUMBER", default_value = "16384", value_parser = number::<usize>(1..=1048576))]
    pub(crate) max_connections: usize,

    /// Requests in flight for one agent
    #[arg(long, env = "ARGOCD_PRINCIPAL_MAX_REQUESTS_PER_AGENT", value_name = "NUMBER", default_value = "4096", value_parser = number::<usize>(1..=1048576))]
    pub(crate) max_requests_per_agent: usize,

    /// Requests in flight for all agents together; the next one gets 429. Open watches count
    #[arg(long, env = "ARGOCD_PRINCIPAL_MAX_REQUESTS", value_name = "NUMBER", default_value = "65536", value_parser = number::<usize>(1..=1048576))]
    pub(crate) max_requests: usize,

    /// Time that running requests have after SIGTERM; keep it below the Pod's terminationGracePeriodSeconds
    #[arg(long, env = "ARGOCD_PRINCIPAL_DRAIN_GRACE", value_name = "DURATION", default_value = "25s", value_parser = duration)]
    pub(crate) drain_grace: Duration,

    /// Threads that do the work; 0 means one for every two processors
    #[arg(long, env = "ARGOCD_PRINCIPAL_WORKER_THREADS", value_name = "NUMBER", default_value = "0", value_parser = number::<usize>(0..=1024))]
    pub(crate) worker_threads: usize,
}

// === impl Args ===

impl Args {
    /// Reads flags alone, without the program's name: the environment has no say.
    ///
    /// # Errors
    /// When a flag is unknown or its value not allowed.
    pub fn from_flags<'a>(flags: impl IntoIterator<Item = &'a str>) -> Result<Self, clap::Error> {
        let command = <Self as clap::Args>::augment_args(Command::new("principal").no_binary_name(true));
        let matches = without_environment(go_style(command)).try_get_matches_from(flags)?;
        Self::from_arg_matches(&matches)
    }

    /// The settings of the log.
    ///
    /// # Errors
    /// When `--log-level` has an item that is not allowed.
    pub fn log(&self) -> Result<LogConfig, FlagError> {
        LogConfig::parse(&self.logging.log_level, self.logging.log_format)
    }

    /// Threads that do the work; 0 means one for every two processors.
    #[must_use]
    pub fn worker_threads(&self) -> usize {
        self.limits.worker_threads
    }

    /// Whether the operator only wants to see the cipher suites.
    #[must_use]
    pub fn lists_cipher_suites(&self) -> bool {
        items(&self.tls.tls_ciphersuites) == ["list"]
    }
}
