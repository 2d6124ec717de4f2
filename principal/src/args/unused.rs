//! The flags that are known and lead to nothing.

use std::time::Duration;

use common::config::values::{duration, number};

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct Later {
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
