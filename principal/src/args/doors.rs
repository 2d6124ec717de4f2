//! The flags of the doors, each of which serves callers on a port of its own.

use std::{net::SocketAddr, time::Duration};

use common::{
    auth::Secret,
    config::values::{number, positive_duration},
    redis::Compression,
};

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct ResourceProxy {
    /// Whether to serve the Kubernetes APIs of the agents' clusters
    #[arg(long, env = "ARGOCD_PRINCIPAL_ENABLE_RESOURCE_PROXY", default_value = "true")]
    pub(crate) enable_resource_proxy: bool,

    /// Address to serve them on
    #[arg(long, env = "ARGOCD_PRINCIPAL_RESOURCE_PROXY_LISTEN", value_name = "ADDRESS:PORT", default_value = "0.0.0.0:9090", value_parser = socket_address("0.0.0.0:9090"))]
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

    /// Secret with certificate and key, where their paths are not given
    #[arg(
        long,
        env = "ARGOCD_PRINCIPAL_RESOURCE_PROXY_SECRET_NAME",
        value_name = "SECRET",
        default_value = "argocd-agent-resource-proxy-tls"
    )]
    pub(crate) resource_proxy_secret_name: String,

    /// Secret with the CA certificate, where its path is not given
    #[arg(
        long,
        env = "ARGOCD_PRINCIPAL_RESOURCE_PROXY_CA_SECRET_NAME",
        value_name = "SECRET",
        default_value = "argocd-agent-ca"
    )]
    pub(crate) resource_proxy_ca_secret_name: String,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct Tokens {
    /// File with the private key (RSA, PEM) that signs callers' tokens; read again when it changes. Comes before the Secret
    #[arg(long, env = "ARGOCD_PRINCIPAL_JWT_KEY_PATH", value_name = "FILE")]
    pub(crate) jwt_key: Option<String>,

    /// INSECURE: Generate a key that signs callers' tokens, which end with the process. Comes before the Secret
    #[arg(long, env = "ARGOCD_PRINCIPAL_JWT_ALLOW_GENERATE")]
    pub(crate) insecure_jwt_generate: bool,

    /// Secret whose jwt.key is the private key that signs callers' tokens; followed as it changes
    #[arg(long, env = "ARGOCD_PRINCIPAL_JWT_SECRET_NAME", value_name = "SECRET", default_value = "argocd-agent-jwt")]
    pub(crate) jwt_secret_name: String,
}

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct RedisProxy {
    /// Serve no Redis door
    #[arg(long, env = "ARGOCD_PRINCIPAL_DISABLE_REDIS_PROXY")]
    pub(crate) disable_redis_proxy: bool,

    /// Address to serve Argo CD's cache on: the principal's Redis, with what the agents have in theirs
    #[arg(long, env = "ARGOCD_PRINCIPAL_REDIS_PROXY_LISTEN", value_name = "ADDRESS:PORT", default_value = "0.0.0.0:6379", value_parser = socket_address("0.0.0.0:6379"))]
    pub(crate) redis_proxy_listen: SocketAddr,

    /// The principal's Redis, which judges every command
    #[arg(
        long,
        env = "ARGOCD_PRINCIPAL_REDIS_SERVER_ADDRESS",
        value_name = "HOST:PORT",
        default_value = "argocd-redis:6379"
    )]
    pub(crate) redis_server_address: String,

    /// Password of the principal's Redis, for what the principal itself says there; callers bring their own
    #[arg(long, env = "REDIS_PASSWORD", value_name = "PASSWORD")]
    pub(crate) redis_password: Option<Secret>,

    /// Directory with the file `auth`, the password of the principal's Redis; read again for every connection
    #[arg(long, env = "REDIS_CREDS_DIR_PATH", value_name = "DIR")]
    pub(crate) redis_creds_dir_path: Option<String>,

    /// How Argo CD compresses its values in the principal's Redis (its REDIS_COMPRESSION): the principal writes there how
    /// it stands with the clusters of the agents
    #[arg(long, env = "ARGOCD_PRINCIPAL_REDIS_COMPRESSION_TYPE", value_name = "TYPE", default_value = "gzip")]
    pub(crate) redis_compression_type: Compression,

    /// Use TLS for Redis, towards callers and towards the principal's
    #[arg(long, env = "ARGOCD_PRINCIPAL_REDIS_TLS_ENABLED")]
    pub(crate) redis_tls_enabled: bool,

    /// File with the certificate shown to callers
    #[arg(long, env = "ARGOCD_PRINCIPAL_REDIS_PROXY_SERVER_TLS_CERT_PATH", value_name = "FILE")]
    pub(crate) redis_proxy_server_tls_cert: Option<String>,

    /// File with the private key of that certificate
    #[arg(long, env = "ARGOCD_PRINCIPAL_REDIS_PROXY_SERVER_TLS_KEY_PATH", value_name = "FILE")]
    pub(crate) redis_proxy_server_tls_key: Option<String>,

    /// File with the CA certificates that the certificate of the principal's Redis is verified with
    #[arg(long, env = "ARGOCD_PRINCIPAL_REDIS_CA_PATH", value_name = "FILE")]
    pub(crate) redis_ca_path: Option<String>,

    /// INSECURE: Do not verify the certificate of the principal's Redis
    #[arg(long, env = "ARGOCD_PRINCIPAL_REDIS_TLS_INSECURE")]
    pub(crate) redis_tls_insecure: bool,

    /// Secret with certificate and key, where their paths are not given
    #[arg(
        long,
        env = "ARGOCD_PRINCIPAL_REDIS_PROXY_SERVER_TLS_SECRET_NAME",
        value_name = "SECRET",
        default_value = "argocd-redis-proxy-tls"
    )]
    pub(crate) redis_proxy_server_tls_secret_name: String,

    /// Secret with the CA certificate for the principal's Redis, where its path is not given
    #[arg(long, env = "ARGOCD_PRINCIPAL_REDIS_CA_SECRET_NAME", value_name = "SECRET", default_value = REDIS_CA_SECRET)]
    pub(crate) redis_ca_secret_name: String,

    /// Longest argument of a command, as proto-max-bulk-len of Redis
    #[arg(long, env = "ARGOCD_PRINCIPAL_REDIS_MAX_BULK", value_name = "BYTES", default_value = "536870912", value_parser = number::<u64>(1048576..=9223372036854775807))]
    pub(crate) redis_max_bulk: u64,

    /// Most arguments of a command
    #[arg(long, env = "ARGOCD_PRINCIPAL_REDIS_MAX_ARGS", value_name = "NUMBER", default_value = "1048576", value_parser = number::<u32>(1..=2147483647))]
    pub(crate) redis_max_args: u32,
}

/// A Secret of another name was meant to be read.
pub(crate) const REDIS_CA_SECRET: &str = "argocd-redis-tls";

fn socket_address(
    example: &'static str,
) -> impl Fn(&str) -> Result<SocketAddr, String> + Clone + Send + Sync + 'static {
    move |text| text.parse().map_err(|_| format!("must be an IP address and a port, such as {example}"))
}
