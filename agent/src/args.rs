//! What the operator typed for `argocd-agent agent`: every flag with its environment variable, type and default.
//!
//! A table of facts without decisions: what a flag leads to is in [`crate::config`]. Names, variables and defaults are
//! upstream's, so that manifests carry over; the tests of the binary hold the table.

use std::time::Duration;

use clap::{Command, FromArgMatches};
use common::{
    auth::Secret,
    config::{
        FlagError, LogConfig, LogFormat,
        command::{go_style, without_environment},
        values::{duration, items, number},
    },
};

use crate::config::{AgentMode, Compression};

/// The flags of `argocd-agent agent`.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub struct Args {
    #[command(flatten, next_help_heading = "Principal")]
    pub(crate) principal: Principal,
    #[command(flatten, next_help_heading = "TLS")]
    pub(crate) tls: Tls,
    #[command(flatten, next_help_heading = "Workload cluster")]
    pub(crate) cluster: Cluster,
    #[command(flatten, next_help_heading = "Managed filter")]
    pub(crate) filter: Filter,
    #[command(flatten, next_help_heading = "Redis")]
    pub(crate) redis: Redis,
    #[command(flatten, next_help_heading = "Health and metrics")]
    pub(crate) endpoints: Endpoints,
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
pub(crate) struct Principal {
    /// Name or address of the principal
    #[arg(long, env = "ARGOCD_AGENT_REMOTE_SERVER", value_name = "HOST")]
    pub(crate) server_address: Option<String>,

    /// Port of the principal
    #[arg(long, env = "ARGOCD_AGENT_REMOTE_PORT", value_name = "PORT", default_value = "443", value_parser = number::<u16>(1..=65535))]
    pub(crate) server_port: u16,

    /// How the agent proves who it is
    ///
    ///   mtls:any         by its client certificate, as without this flag
    ///   userpass:<file>  by name and password: the file's first line is
    ///                    <name>:<password>, read for every connection
    ///   header:          by nothing: a service mesh says who it is
    ///
    /// A client certificate is shown with each of them to a principal that
    /// asks for one; with the last two there need not be any.
    #[arg(long, env = "ARGOCD_AGENT_CREDS", value_name = "METHOD:CONFIG", verbatim_doc_comment)]
    pub(crate) creds: Option<String>,

    /// How often to ping the principal; 0 means every 10s, which is also the longest
    #[arg(long, env = "ARGOCD_AGENT_KEEP_ALIVE_PING_INTERVAL", value_name = "DURATION", default_value = "0", value_parser = duration)]
    pub(crate) keep_alive_ping_interval: Duration,

    /// Accepted: the pings keep the connection alive through proxies and service meshes, too
    #[arg(long, env = "ARGOCD_AGENT_HEARTBEAT_INTERVAL", value_name = "DURATION", default_value = "0", value_parser = duration)]
    pub(crate) heartbeat_interval: Duration,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct Tls {
    /// File with the agent's certificate
    #[arg(long, env = "ARGOCD_AGENT_TLS_CLIENT_CERT_PATH", value_name = "FILE")]
    pub(crate) tls_client_cert: Option<String>,

    /// File with the private key of that certificate
    #[arg(long, env = "ARGOCD_AGENT_TLS_CLIENT_KEY_PATH", value_name = "FILE")]
    pub(crate) tls_client_key: Option<String>,

    /// File with the CA certificates that the principal's certificate is verified with
    #[arg(long, env = "ARGOCD_AGENT_TLS_ROOT_CA_PATH", value_name = "FILE")]
    pub(crate) root_ca_path: Option<String>,

    /// INSECURE: Do not verify the principal's certificate
    #[arg(long, env = "ARGOCD_AGENT_TLS_INSECURE")]
    pub(crate) insecure_tls: bool,

    /// INSECURE: Connect without TLS, behind a service mesh that sees to it
    #[arg(long, env = "ARGOCD_AGENT_INSECURE_PLAINTEXT")]
    pub(crate) insecure_plaintext: bool,

    /// Lowest TLS version to use; none means tls1.2, and so does tls1.1
    #[arg(long, env = "ARGOCD_AGENT_TLS_MIN_VERSION", value_name = "VERSION", value_parser = ["tls1.1", "tls1.2", "tls1.3"])]
    pub(crate) tls_min_version: Option<String>,

    /// Highest TLS version to use; none means tls1.3
    #[arg(long, env = "ARGOCD_AGENT_TLS_MAX_VERSION", value_name = "VERSION", value_parser = ["tls1.1", "tls1.2", "tls1.3"])]
    pub(crate) tls_max_version: Option<String>,

    /// Secret with certificate and key, where --tls-client-cert and --tls-client-key are not given
    #[arg(
        long,
        env = "ARGOCD_AGENT_TLS_SECRET_NAME",
        value_name = "SECRET",
        default_value = "argocd-agent-client-tls"
    )]
    pub(crate) tls_secret_name: String,

    /// Secret with the CA certificate, where --root-ca-path is not given
    #[arg(
        long,
        env = "ARGOCD_AGENT_TLS_ROOT_CA_SECRET_NAME",
        value_name = "SECRET",
        default_value = "argocd-agent-ca"
    )]
    pub(crate) root_ca_secret_name: String,

    /// File with a join token (`argocd-agentctl agent join-token`), which is exchanged for a certificate where there is none yet
    ///
    /// The private key is made here. What comes of it is stored where the agent
    /// loads it from: in the files or Secrets that the flags above name, for
    /// which the agent needs `create` and `update` on Secrets in its namespace.
    /// It is renewed there before it ends. Without --server-address the token
    /// says where the principal is.
    #[arg(long, env = "ARGOCD_AGENT_JOIN_TOKEN_FILE", value_name = "FILE", verbatim_doc_comment)]
    pub(crate) join_token_file: Option<String>,

    /// Cipher suites to offer, by the names that `list` shows (and exits); without one of TLS 1.3 among them, all of TLS
    /// 1.3 are offered. None means all
    #[arg(long, env = "ARGOCD_AGENT_TLS_CIPHERSUITES", value_name = "SUITES", value_delimiter = ',')]
    pub(crate) tls_ciphersuites: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct Cluster {
    /// Namespace of Argo CD in this cluster
    #[arg(long, short, env = "ARGOCD_AGENT_NAMESPACE", value_name = "NAMESPACE", default_value = "argocd")]
    pub(crate) namespace: String,

    /// Further namespaces whose Applications are Argo CD's
    #[arg(long, env = "ARGOCD_AGENT_ALLOWED_NAMESPACES", value_name = "NAMESPACES", value_delimiter = ',')]
    pub(crate) allowed_namespaces: Vec<String>,

    /// Applications have the namespace here that they have at the principal, in place of all being in that of Argo CD
    #[arg(long, env = "ARGOCD_AGENT_DESTINATION_BASED_MAPPING")]
    pub(crate) destination_based_mapping: bool,

    /// Comma-separated <key>=<value>: labels to ask for, for the Secret by which the principal registers this cluster with
    /// Argo CD; which of them it sets is its own matter (its --self-registration-allowed-labels)
    #[arg(long, env = "ARGOCD_AGENT_CLUSTER_LABELS", value_name = "LABELS", value_delimiter = ',')]
    pub(crate) cluster_label: Vec<String>,

    /// Where Applications are defined: at the principal (managed) or in this cluster (autonomous)
    #[arg(long, env = "ARGOCD_AGENT_MODE", value_name = "MODE", default_value = "autonomous")]
    pub(crate) agent_mode: AgentMode,

    /// Kubeconfig of this cluster; none means the Pod's ServiceAccount, or outside a Pod the default kubeconfig
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<String>,

    /// Context in that kubeconfig
    #[arg(long, value_name = "CONTEXT")]
    pub(crate) kubecontext: Option<String>,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct Filter {
    /// Whether to serve this cluster's Kubernetes API at all
    #[arg(long, env = "ARGOCD_AGENT_ENABLE_RESOURCE_PROXY", default_value = "true")]
    pub(crate) enable_resource_proxy: bool,

    /// Show only what Argo CD manages; false shows all that the agent's RBAC allows
    ///
    /// Whatever is set here, a request can do no more than the agent's RBAC
    /// allows. To decide what is managed, the filter itself needs:
    ///
    ///   get               on every kind that callers may reach
    ///   get, list, watch  on the kinds of their owners (for a Pod: ReplicaSet
    ///                     and Deployment, Job and CronJob, ...), and on the
    ///                     kinds that events are about: where callers watch,
    ///                     or in the whole cluster if they watch that
    ///   get, list, watch  on ConfigMaps in the namespace of Argo CD, for
    ///                     argocd-cm, and on Applications there and in
    ///                     --allowed-namespaces
    ///
    /// Where one is missing and nothing else decides, the answer is 503 and
    /// names it; a watch that runs ends with that.
    #[arg(long, env = "ARGOCD_AGENT_MANAGED_RESOURCES_ONLY", default_value = "true", verbatim_doc_comment)]
    pub(crate) managed_resources_only: bool,

    /// Refuse to create what carries no tracking metadata and has no managed owner
    #[arg(long, env = "ARGOCD_AGENT_MANAGED_CREATES_ONLY")]
    pub(crate) managed_creates_only: bool,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct Redis {
    /// Redis of Argo CD in this cluster
    #[arg(long, env = "REDIS_ADDR", value_name = "HOST:PORT", default_value = "argocd-redis:6379")]
    pub(crate) redis_addr: String,

    /// Directory with the files `auth` (password) and `auth_username` (optional), read again for every connection
    #[arg(long, env = "REDIS_CREDS_DIR_PATH", value_name = "DIR")]
    pub(crate) redis_creds_dir_path: Option<String>,

    /// User, if not `default`
    #[arg(long, env = "REDIS_USERNAME", value_name = "USER")]
    pub(crate) redis_username: Option<String>,

    /// Password
    #[arg(long, env = "REDIS_PASSWORD", value_name = "PASSWORD")]
    pub(crate) redis_password: Option<Secret>,

    /// Number of the database
    #[arg(long, env = "ARGOCD_AGENT_REDIS_DB", value_name = "NUMBER", default_value = "0", value_parser = number::<u32>(0..=2147483647))]
    pub(crate) redis_db: u32,

    /// What Argo CD in this cluster puts before its keys (its ARGOCD_REDIS_KEY_PREFIX)
    #[arg(long, env = "ARGOCD_AGENT_REDIS_KEY_PREFIX", value_name = "PREFIX")]
    pub(crate) redis_key_prefix: Option<String>,

    /// How Argo CD in this cluster compresses its values (its REDIS_COMPRESSION)
    #[arg(long, env = "ARGOCD_AGENT_REDIS_COMPRESSION_TYPE", value_name = "TYPE", default_value = "gzip")]
    pub(crate) redis_compression_type: Compression,

    /// Use TLS
    #[arg(long, env = "ARGOCD_AGENT_REDIS_TLS_ENABLED")]
    pub(crate) redis_tls_enabled: bool,

    /// File with the CA certificates that its certificate is verified with
    #[arg(long, env = "ARGOCD_AGENT_REDIS_TLS_CA_PATH", value_name = "FILE")]
    pub(crate) redis_tls_ca_path: Option<String>,

    /// Secret with the CA certificate, where --redis-tls-ca-path is not given
    #[arg(
        long,
        env = "ARGOCD_AGENT_REDIS_TLS_CA_SECRET_NAME",
        value_name = "SECRET",
        default_value = "argocd-redis-tls"
    )]
    pub(crate) redis_tls_ca_secret_name: String,

    /// INSECURE: Do not verify its certificate
    #[arg(long, env = "ARGOCD_AGENT_REDIS_TLS_INSECURE")]
    pub(crate) redis_tls_insecure: bool,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct Endpoints {
    /// Port of the metrics endpoint; 0 means none
    #[arg(long, env = "ARGOCD_AGENT_METRICS_PORT", value_name = "PORT", default_value = "8181", value_parser = number::<u16>(0..=65535))]
    pub(crate) metrics_port: u16,

    /// Port of the health endpoints
    #[arg(long, env = "ARGOCD_AGENT_HEALTH_CHECK_PORT", value_name = "PORT", default_value = "8001", value_parser = number::<u16>(1..=65535))]
    pub(crate) healthz_port: u16,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct Logging {
    /// Comma-separated [component=]level; levels: trace, debug, info, warn, error; components: resource-proxy,
    /// redis-proxy, grpc-event, informer-event-buffer
    #[arg(long, env = "ARGOCD_AGENT_LOG_LEVEL", value_name = "LEVELS", default_value = "info", value_delimiter = ',')]
    pub(crate) log_level: Vec<String>,

    /// How log lines look
    #[arg(long, env = "ARGOCD_AGENT_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct Limits {
    /// Bytes that a stream may send before its reader takes them: what one holds that stalls. Fast ones on long lines get
    /// more, 64 MiB per session in all
    #[arg(long, env = "ARGOCD_AGENT_TUNNEL_STREAM_WINDOW", value_name = "BYTES", default_value = "1048576", value_parser = number::<u32>(65535..=2147483647))]
    pub(crate) tunnel_stream_window: u32,

    /// Pipes that may be open at a time; each carries one request
    #[arg(long, env = "ARGOCD_AGENT_MAX_PIPES", value_name = "NUMBER", default_value = "8192", value_parser = number::<usize>(1..=1048576))]
    pub(crate) max_pipes: usize,

    /// Time that running requests have after SIGTERM; keep it below the Pod's terminationGracePeriodSeconds
    #[arg(long, env = "ARGOCD_AGENT_DRAIN_GRACE", value_name = "DURATION", default_value = "25s", value_parser = duration)]
    pub(crate) drain_grace: Duration,

    /// Threads that do the work; 0 means one for every two processors
    #[arg(long, env = "ARGOCD_AGENT_WORKER_THREADS", value_name = "NUMBER", default_value = "0", value_parser = number::<usize>(0..=1024))]
    pub(crate) worker_threads: usize,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct Later {
    /// Connect over WebSocket
    #[arg(long, env = "ARGOCD_AGENT_ENABLE_WEBSOCKET")]
    pub(crate) enable_websocket: bool,

    /// Compress what is sent between agent and principal
    #[arg(long, env = "ARGOCD_AGENT_ENABLE_COMPRESSION")]
    pub(crate) enable_compression: bool,

    /// Port of the profiling endpoint
    #[arg(long, env = "ARGOCD_AGENT_PPROF_PORT", value_name = "PORT", default_value = "0", value_parser = number::<u16>(0..=65535))]
    pub(crate) pprof_port: u16,

    /// OpenTelemetry collector to send traces to
    #[arg(long, env = "ARGOCD_AGENT_OTLP_ADDRESS", value_name = "HOST:PORT")]
    pub(crate) otlp_address: Option<String>,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct NoEffect {
    /// Categories to log in full detail
    #[arg(long, env = "ARGOCD_AGENT_FULL_DETAIL", value_name = "CATEGORIES", value_delimiter = ',', value_parser = ["all", "actions", "events", "informers"])]
    pub(crate) full_detail: Vec<String>,

    /// How often to tell the principal what the cluster holds
    #[arg(long, env = "ARGOCD_AGENT_CACHE_REFRESH_INTERVAL", value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub(crate) cache_refresh_interval: Duration,

    /// Time that informers have to sync at start
    #[arg(long, env = "ARGOCD_AGENT_INFORMER_SYNC_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub(crate) informer_sync_timeout: Duration,

    /// Least time between updates of one Application
    #[arg(long, env = "ARGOCD_AGENT_BUFFER_INFORMER_EVENT_INTERVAL", value_name = "DURATION", default_value = "0", value_parser = duration)]
    pub(crate) buffer_informer_event_interval: Duration,

    /// Largest gRPC message; nothing here travels whole
    #[arg(long, env = "ARGOCD_AGENT_GRPC_MAX_MESSAGE_SIZE", value_name = "BYTES", default_value = "209715200", value_parser = number::<u64>(0..=9223372036854775807))]
    pub(crate) grpc_max_message_size: u64,

    /// INSECURE: Send traces without TLS
    #[arg(long, env = "ARGOCD_AGENT_OTLP_INSECURE")]
    pub(crate) otlp_insecure: bool,

    /// Create the namespaces of synchronised Applications
    #[arg(long, env = "ARGOCD_AGENT_CREATE_NAMESPACE")]
    pub(crate) create_namespace: bool,

    /// Ignore Applications that the principal did not make
    #[arg(long, env = "ARGOCD_AGENT_IGNORE_UNMANAGED_APPS")]
    pub(crate) ignore_unmanaged_apps: bool,

    /// What to do with an Application of another origin
    #[arg(long, env = "ARGOCD_AGENT_SOURCE_UID_MISMATCH_POLICY", value_name = "POLICY", default_value = "recreate", value_parser = ["recreate", "upsert"])]
    pub(crate) source_uid_mismatch_policy: String,

    /// What to do after an Application was deleted here and made again
    #[arg(long, env = "ARGOCD_AGENT_ON_APPLICATION_RECREATE", value_name = "ACTION", default_value = "ignore", value_parser = ["ignore", "clear-status", "resync"])]
    pub(crate) on_application_recreate: String,

    /// Label selector of what is synchronised
    #[arg(long, env = "ARGOCD_AGENT_LABEL_SELECTOR", value_name = "SELECTOR")]
    pub(crate) label_selector: Option<String>,

    /// Whether to take over Applications that are here already
    #[arg(long, env = "ARGOCD_AGENT_ADOPTION_POLICY", value_name = "POLICY", default_value = "always", value_parser = ["always", "never"])]
    pub(crate) adoption_policy: String,
}

// === impl Args ===

impl Args {
    /// Reads flags alone, without the program's name: the environment has no say.
    ///
    /// # Errors
    /// When a flag is unknown or its value not allowed.
    pub fn from_flags<'a>(flags: impl IntoIterator<Item = &'a str>) -> Result<Self, clap::Error> {
        let command = <Self as clap::Args>::augment_args(Command::new("agent").no_binary_name(true));
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
