//! What the operator typed for `argocd-agent principal`: every flag with its environment variable, type and default.
//!
//! A table of facts without decisions: what a flag leads to is in [`crate::config`]. Names, variables and defaults are
//! upstream's, so that manifests carry over; the tests hold the table.

use std::{net::SocketAddr, time::Duration};

use clap::{Command, FromArgMatches};
use common::config::{
    FlagError, LogConfig, LogFormat,
    command::{go_style, without_environment},
    values::{Withheld, duration, items, number, positive_duration},
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
    #[command(flatten, next_help_heading = "Resource proxy (the Kubernetes door)")]
    pub(crate) resource_proxy: ResourceProxy,
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

    /// Namespace of the control plane; needed only outside a cluster, where the Pod's own cannot be read
    #[arg(long, short, env = "ARGOCD_PRINCIPAL_NAMESPACE", value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct Identity {
    /// How an agent's certificate names it: `mtls:[subject:|uri:]<regex>`, where the regex's first group is the name;
    /// without a regex the name is the certificate's CN
    #[arg(long, env = "ARGOCD_PRINCIPAL_AUTH", value_name = "METHOD:CONFIG")]
    pub(crate) auth: Option<String>,

    /// Require client certificates of agents; the method mtls always does
    #[arg(long, env = "ARGOCD_PRINCIPAL_TLS_CLIENT_CERT_REQUIRE")]
    pub(crate) require_client_certs: bool,

    /// Require that the CN of an agent's certificate is the agent's name, wherever the name was found
    #[arg(long, env = "ARGOCD_PRINCIPAL_TLS_CLIENT_CERT_MATCH_SUBJECT")]
    pub(crate) client_cert_subject_match: bool,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct Tls {
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

    /// Secret with certificate and key; not read yet: give --tls-cert and --tls-key
    #[arg(
        long,
        env = "ARGOCD_PRINCIPAL_TLS_SECRET_NAME",
        value_name = "SECRET",
        default_value = "argocd-agent-principal-tls"
    )]
    pub(crate) tls_secret_name: String,

    /// Secret with the CA certificate; not read yet: give --root-ca-path
    #[arg(
        long,
        env = "ARGOCD_PRINCIPAL_TLS_SERVER_ROOT_CA_SECRET_NAME",
        value_name = "SECRET",
        default_value = "argocd-agent-ca"
    )]
    pub(crate) tls_ca_secret_name: String,

    /// Cipher suites to offer; so far only `list`, which shows them and exits
    #[arg(long, env = "ARGOCD_PRINCIPAL_TLS_CIPHERSUITES", value_name = "SUITES", value_delimiter = ',')]
    pub(crate) tls_ciphersuites: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct ResourceProxy {
    /// Whether to serve the Kubernetes APIs of the agents' clusters
    #[arg(long, env = "ARGOCD_PRINCIPAL_ENABLE_RESOURCE_PROXY", default_value = "true")]
    pub(crate) enable_resource_proxy: bool,

    /// Address to serve them on
    #[arg(long, env = "ARGOCD_PRINCIPAL_RESOURCE_PROXY_LISTEN", value_name = "ADDRESS:PORT", default_value = "0.0.0.0:9090", value_parser = socket_address)]
    pub(crate) resource_proxy_listen: SocketAddr,

    /// File with the certificate shown to callers
    #[arg(long, env = "ARGOCD_PRINCIPAL_RESOURCE_PROXY_TLS_CERT_PATH", value_name = "FILE")]
    pub(crate) resource_proxy_cert_path: Option<String>,

    /// File with the private key of that certificate
    #[arg(long, env = "ARGOCD_PRINCIPAL_RESOURCE_PROXY_TLS_KEY_PATH", value_name = "FILE")]
    pub(crate) resource_proxy_key_path: Option<String>,

    /// File with the CA certificates that callers' certificates are verified with
    #[arg(long, env = "ARGOCD_PRINCIPAL_RESOURCE_PROXY_TLS_CA_PATH", value_name = "FILE")]
    pub(crate) resource_proxy_ca_path: Option<String>,

    /// Time that an agent has until the headers of its response; what follows them may take any time
    #[arg(long, env = "ARGOCD_PRINCIPAL_RESOURCE_PROXY_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = positive_duration)]
    pub(crate) resource_proxy_timeout: Duration,

    /// Secret with certificate and key; not read yet: give the paths
    #[arg(
        long,
        env = "ARGOCD_PRINCIPAL_RESOURCE_PROXY_SECRET_NAME",
        value_name = "SECRET",
        default_value = "argocd-agent-resource-proxy-tls"
    )]
    pub(crate) resource_proxy_secret_name: String,

    /// Secret with the CA certificate; not read yet: give the path
    #[arg(
        long,
        env = "ARGOCD_PRINCIPAL_RESOURCE_PROXY_CA_SECRET_NAME",
        value_name = "SECRET",
        default_value = "argocd-agent-ca"
    )]
    pub(crate) resource_proxy_ca_secret_name: String,
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
    /// Bytes that a stream may send before its reader takes them
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

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct Later {
    /// INSECURE: Generate and use a temporary TLS certificate and key
    #[arg(long, env = "ARGOCD_PRINCIPAL_TLS_SERVER_ALLOW_GENERATE")]
    pub(crate) insecure_tls_generate: bool,

    /// INSECURE: Serve agents without TLS, behind a service mesh
    #[arg(long, env = "ARGOCD_PRINCIPAL_INSECURE_PLAINTEXT")]
    pub(crate) insecure_plaintext: bool,

    /// File with the key that signs the tokens of callers
    #[arg(long, env = "ARGOCD_PRINCIPAL_JWT_KEY_PATH", value_name = "FILE")]
    pub(crate) jwt_key: Option<String>,

    /// Serve agents over WebSocket
    #[arg(long, env = "ARGOCD_PRINCIPAL_ENABLE_WEBSOCKET")]
    pub(crate) enable_websocket: bool,

    /// Drop agents that ping more often than this
    #[arg(long, env = "ARGOCD_PRINCIPAL_KEEP_ALIVE_MIN_INTERVAL", value_name = "DURATION", default_value = "0", value_parser = duration)]
    pub(crate) keepalive_min_interval: Duration,

    /// Port of the profiling endpoint
    #[arg(long, env = "ARGOCD_PRINCIPAL_PPROF_PORT", value_name = "PORT", default_value = "0", value_parser = number::<u16>(0..=65535))]
    pub(crate) pprof_port: u16,

    /// OpenTelemetry collector to send traces to
    #[arg(long, env = "ARGOCD_PRINCIPAL_OTLP_ADDRESS", value_name = "HOST:PORT")]
    pub(crate) otlp_address: Option<String>,

    /// Map Applications to agents by spec.destination.name in place of their namespace
    #[arg(long, env = "ARGOCD_PRINCIPAL_DESTINATION_BASED_MAPPING")]
    pub(crate) destination_based_mapping: bool,

    /// Register the clusters of agents that connect
    #[arg(long, env = "ARGOCD_PRINCIPAL_ENABLE_SELF_CLUSTER_REGISTRATION")]
    pub(crate) enable_self_cluster_registration: bool,

    /// Run as one of a primary and its replicas
    #[arg(long, env = "ARGOCD_PRINCIPAL_HA_ENABLED")]
    pub(crate) ha_enabled: bool,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct NoEffect {
    /// Categories to log in full detail
    #[arg(long, env = "ARGOCD_PRINCIPAL_FULL_DETAIL", value_name = "CATEGORIES", value_delimiter = ',', value_parser = ["all", "actions", "events", "informers"])]
    pub(crate) full_detail: Vec<String>,

    /// Namespaces that Applications are synchronised in
    #[arg(long, env = "ARGOCD_PRINCIPAL_ALLOWED_NAMESPACES", value_name = "NAMESPACES", value_delimiter = ',')]
    pub(crate) allowed_namespaces: Vec<String>,

    /// Create namespaces for autonomous agents
    #[arg(long, env = "ARGOCD_PRINCIPAL_NAMESPACE_CREATE_ENABLE")]
    pub(crate) namespace_create_enable: bool,

    /// Create only namespaces that match this
    #[arg(long, env = "ARGOCD_PRINCIPAL_NAMESPACE_CREATE_PATTERN", value_name = "PATTERN")]
    pub(crate) namespace_create_pattern: Option<String>,

    /// Labels of created namespaces
    #[arg(long, env = "ARGOCD_PRINCIPAL_NAMESPACE_CREATE_LABELS", value_name = "LABELS", value_delimiter = ',')]
    pub(crate) namespace_create_labels: Vec<String>,

    /// Secret with the key that signs tokens
    #[arg(long, env = "ARGOCD_PRINCIPAL_JWT_SECRET_NAME", value_name = "SECRET", default_value = "argocd-agent-jwt")]
    pub(crate) jwt_secret_name: String,

    /// INSECURE: Generate and use a temporary key that signs tokens
    #[arg(long, env = "ARGOCD_PRINCIPAL_JWT_ALLOW_GENERATE")]
    pub(crate) insecure_jwt_generate: bool,

    /// Address of the resource proxy in the cluster Secrets of self-registered agents
    #[arg(
        long,
        env = "ARGOCD_PRINCIPAL_RESOURCE_PROXY_ADDRESS",
        value_name = "HOST:PORT",
        default_value = "argocd-agent-resource-proxy:9090"
    )]
    pub(crate) resource_proxy_address: String,

    /// The principal's Redis
    #[arg(
        long,
        env = "ARGOCD_PRINCIPAL_REDIS_SERVER_ADDRESS",
        value_name = "HOST:PORT",
        default_value = "argocd-redis:6379"
    )]
    pub(crate) redis_server_address: String,

    /// Password of the principal's Redis
    #[arg(long, env = "REDIS_PASSWORD", value_name = "PASSWORD")]
    pub(crate) redis_password: Option<Withheld>,

    /// Directory with the file `auth`, the password of the principal's Redis
    #[arg(long, env = "REDIS_CREDS_DIR_PATH", value_name = "DIR")]
    pub(crate) redis_creds_dir_path: Option<String>,

    /// Serve no Redis door; none is served yet
    #[arg(long, env = "ARGOCD_PRINCIPAL_DISABLE_REDIS_PROXY")]
    pub(crate) disable_redis_proxy: bool,

    /// Compression of values in Redis
    #[arg(long, env = "ARGOCD_PRINCIPAL_REDIS_COMPRESSION_TYPE", value_name = "TYPE", default_value = "gzip", value_parser = ["gzip", "none"])]
    pub(crate) redis_compression_type: String,

    /// Use TLS for Redis
    #[arg(long, env = "ARGOCD_PRINCIPAL_REDIS_TLS_ENABLED")]
    pub(crate) redis_tls_enabled: bool,

    /// File with the certificate of the Redis door
    #[arg(long, env = "ARGOCD_PRINCIPAL_REDIS_PROXY_SERVER_TLS_CERT_PATH", value_name = "FILE")]
    pub(crate) redis_proxy_server_tls_cert: Option<String>,

    /// File with the private key of that certificate
    #[arg(long, env = "ARGOCD_PRINCIPAL_REDIS_PROXY_SERVER_TLS_KEY_PATH", value_name = "FILE")]
    pub(crate) redis_proxy_server_tls_key: Option<String>,

    /// Secret with certificate and key of the Redis door
    #[arg(
        long,
        env = "ARGOCD_PRINCIPAL_REDIS_PROXY_SERVER_TLS_SECRET_NAME",
        value_name = "SECRET",
        default_value = "argocd-redis-proxy-tls"
    )]
    pub(crate) redis_proxy_server_tls_secret_name: String,

    /// File with the CA certificates for the principal's Redis
    #[arg(long, env = "ARGOCD_PRINCIPAL_REDIS_CA_PATH", value_name = "FILE")]
    pub(crate) redis_ca_path: Option<String>,

    /// Secret with the CA certificate for the principal's Redis
    #[arg(
        long,
        env = "ARGOCD_PRINCIPAL_REDIS_CA_SECRET_NAME",
        value_name = "SECRET",
        default_value = "argocd-redis-tls"
    )]
    pub(crate) redis_ca_secret_name: String,

    /// INSECURE: Do not verify the certificate of the principal's Redis
    #[arg(long, env = "ARGOCD_PRINCIPAL_REDIS_TLS_INSECURE")]
    pub(crate) redis_tls_insecure: bool,

    /// Largest gRPC message; nothing here travels whole
    #[arg(long, env = "ARGOCD_PRINCIPAL_GRPC_MAX_MESSAGE_SIZE", value_name = "BYTES", default_value = "209715200", value_parser = number::<u64>(0..=9223372036854775807))]
    pub(crate) grpc_max_message_size: u64,

    /// Events processed at a time
    #[arg(long, env = "ARGOCD_PRINCIPAL_EVENT_PROCESSORS", value_name = "NUMBER", default_value = "10", value_parser = number::<u64>(0..=9223372036854775807))]
    pub(crate) event_processors: u64,

    /// INSECURE: Send traces without TLS
    #[arg(long, env = "ARGOCD_PRINCIPAL_OTLP_INSECURE")]
    pub(crate) otlp_insecure: bool,

    /// Label selector of what is synchronised
    #[arg(long, env = "ARGOCD_PRINCIPAL_LABEL_SELECTOR", value_name = "SELECTOR")]
    pub(crate) label_selector: Option<String>,

    /// Kubeconfig of the control plane; no Kubernetes API is called yet
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<String>,

    /// Context in that kubeconfig
    #[arg(long, value_name = "CONTEXT")]
    pub(crate) kubecontext: Option<String>,

    /// Secret with the client certificate for self-registered clusters
    #[arg(long, env = "ARGOCD_PRINCIPAL_SELF_REGISTRATION_CLIENT_CERT_SECRET", value_name = "SECRET")]
    pub(crate) self_registration_client_cert_secret: Option<String>,

    /// Role to take first
    #[arg(long, env = "ARGOCD_PRINCIPAL_HA_PREFERRED_ROLE", value_name = "ROLE", default_value = "primary", value_parser = ["primary", "replica"])]
    pub(crate) ha_preferred_role: String,

    /// Address of the other principal
    #[arg(long, env = "ARGOCD_PRINCIPAL_HA_PEER_ADDRESS", value_name = "HOST:PORT")]
    pub(crate) ha_peer_address: Option<String>,

    /// Time until a replica takes over
    #[arg(long, env = "ARGOCD_PRINCIPAL_HA_FAILOVER_TIMEOUT", value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) ha_failover_timeout: Duration,

    /// Port of the administration of replicas
    #[arg(long, env = "ARGOCD_PRINCIPAL_HA_ADMIN_PORT", value_name = "PORT", default_value = "0", value_parser = number::<u16>(0..=65535))]
    pub(crate) ha_admin_port: u16,

    /// Peers that may replicate
    #[arg(
        long,
        env = "ARGOCD_PRINCIPAL_HA_ALLOWED_REPLICATION_CLIENTS",
        value_name = "IDENTITIES",
        value_delimiter = ','
    )]
    pub(crate) ha_allowed_replication_clients: Vec<String>,

    /// Time that the primary waits for a replica's first acknowledgement
    #[arg(long, env = "ARGOCD_PRINCIPAL_HA_REPLICATION_INITIAL_ACK_TIMEOUT", value_name = "DURATION", default_value = "0", value_parser = duration)]
    pub(crate) ha_replication_initial_ack_timeout: Duration,
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

fn socket_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "must be an IP address and a port, such as 0.0.0.0:9090")
}
