//! What the principal needs to run: every default decided, every contradiction refused.
//!
//! A plain value that tests build by hand; the command line comes in by [`Config::try_from`], and what it refuses is one
//! line for the operator.

mod agents;
mod enrollment;
mod redis;
mod registration;
mod tls;

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use common::{
    AgentName,
    config::{CipherSuites, FlagError, TlsVersions, values::given},
    tls::{AskClients, ClientAuth, IdentitySource, RootsSource},
    tunnel::limits,
};

pub use self::{
    enrollment::EnrollmentConfig,
    redis::{RedisConfig, RedisDoorConfig, RedisTls},
};
use crate::{agents::auth::AuthMethod, args::Args, registration::RegistrationConfig};

/// The settings of a principal.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where agents attach.
    pub grpc_listen: ListenAddress,
    /// Who the principal is for agents, and whose agents it takes; `None` where a service mesh sees to that.
    pub grpc_tls: Option<ServerTls>,
    /// The TLS versions that agents may speak.
    pub tls_versions: TlsVersions,
    /// How agents are known.
    pub auth: AuthMethod,
    /// Whether an agent must have a certificate.
    pub client_certificates: ClientCertificates,
    /// Whether the common name of an agent's certificate must be its name.
    pub client_cert_subject_match: bool,
    /// How agents get their certificates; `None` when not from this principal.
    pub enrollment: Option<EnrollmentConfig>,
    /// The Kubernetes door; `None` when it stays shut.
    pub kube_door: Option<KubeDoorConfig>,
    /// Where the key of callers' tokens is.
    pub jwt_key: JwtKeySource,
    /// Whether and how agents' clusters are registered with Argo CD; only where there are a Kubernetes door and API.
    pub registration: Option<RegistrationConfig>,
    /// The Redis door; `None` when it stays shut.
    pub redis_door: Option<RedisDoorConfig>,
    /// How Applications are mapped to agents.
    pub mapping: Mapping,
    /// How to reach the API server of the control plane's cluster; `None` when nothing says where it is.
    pub kube: Option<KubeSource>,
    /// The namespace of the control plane.
    pub namespace: String,
    /// The port of the metrics endpoint, 0 for any free one; `None` when there is none.
    pub metrics_port: Option<u16>,
    /// The port of the health endpoints, 0 for any free one; `None` when there are none.
    pub healthz_port: Option<u16>,
    /// Port on loopback where the attached agents are told of.
    pub admin_port: Option<u16>,
    /// What the other end may send of a pipe before it is granted more, in bytes.
    pub stream_window: u32,
    /// The time that running requests have once draining begins.
    pub drain_grace: Duration,
    /// How many connections callers may hold open.
    pub max_connections: usize,
    /// How many requests may be in flight for one agent.
    pub max_requests_per_agent: usize,
    /// How many requests may be in flight for all agents together.
    pub max_requests: usize,
    /// How often each end of a session pings.
    pub ping_interval: Duration,
    /// After how long a silent agent is dead.
    pub silence: Duration,
    /// Flags that were set and have no effect in this version, without dashes.
    pub no_effect: Vec<&'static str>,
}

/// A host that may have to be looked up, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    /// A name or an address; empty for every address of this machine.
    pub host: String,
    /// 0 for any free one.
    pub port: u16,
}

/// Where the parts of a server's TLS are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// Its certificate chain and key.
    pub identity: IdentitySource,
    /// The CA certificates that clients' certificates are verified with.
    pub client_ca: RootsSource,
}

/// Whether who connects must show a certificate. One that is shown is verified either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Without one, or with one that is not good, there is no connection.
    Required,
    /// Who has none is let in, and must say by other means who it is.
    IfGiven,
}

/// The settings of the Kubernetes door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeDoorConfig {
    /// Where callers connect.
    pub listen: SocketAddr,
    /// Who the door is for callers, and whose callers it takes.
    pub tls: ServerTls,
    /// The time until the headers of a response.
    pub response_timeout: Duration,
}

/// Where the key is that signs callers' tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwtKeySource {
    /// In a file.
    File(PathBuf),
    /// Nowhere: one is made, and ends with the process.
    Generated,
    /// In the field `jwt.key` of this Secret in the principal's namespace.
    Secret(String),
}

/// How an Application is mapped to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    /// By its namespace.
    Namespace,
    /// By `spec.destination.name`.
    Destination,
}

/// How to reach an API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KubeSource {
    /// As the ServiceAccount of this Pod.
    Pod,
    /// By a kubeconfig.
    Kubeconfig {
        /// The file; without one the file that kubectl would use.
        file: Option<PathBuf>,
        /// A context in it, in place of its current one.
        context: Option<String>,
    },
}

// === impl Config ===

impl TryFrom<Args> for Config {
    type Error = FlagError;

    fn try_from(args: Args) -> Result<Self, FlagError> {
        refuse_later_work(&args)?;
        let namespace = namespace(&args)?;
        let kube = kube(&args);
        let reader = tls::Reader { reads_secrets: kube.is_some() };
        let auth = agents::auth(&args)?;
        let plaintext = args.tls.insecure_plaintext;
        let enrollment = enrollment::enrollment(&args, &auth, kube.as_ref())?;
        Ok(Self {
            grpc_listen: ListenAddress {
                host: given(args.listener.listen_host.as_ref()).unwrap_or_default().to_owned(),
                port: args.listener.listen_port,
            },
            client_certificates: match enrollment {
                // Who joins has none yet. Whoever has none cannot attach.
                Some(_) => ClientCertificates::IfGiven,
                None => agents::client_certificates(&args, &auth),
            },
            client_cert_subject_match: args.identity.client_cert_subject_match,
            auth,
            enrollment,
            grpc_tls: if plaintext { None } else { Some(tls::grpc(&args, reader)?) },
            kube_door: kube_door(&args, reader)?,
            jwt_key: jwt_key(&args)?,
            registration: registration::registration(&args, kube.is_some())?,
            redis_door: redis::redis_door(&args, reader)?,
            mapping: match args.control_plane.destination_based_mapping {
                true => Mapping::Destination,
                false => Mapping::Namespace,
            },
            kube,
            namespace,
            metrics_port: Some(args.listener.metrics_port).filter(|port| *port != 0),
            healthz_port: Some(args.listener.healthz_port),
            admin_port: Some(args.listener.admin_port).filter(|port| *port != 0),
            stream_window: args.limits.tunnel_stream_window,
            drain_grace: args.limits.drain_grace,
            max_connections: args.limits.max_connections,
            max_requests_per_agent: args.limits.max_requests_per_agent,
            max_requests: args.limits.max_requests,
            ping_interval: limits::PING_INTERVAL,
            silence: limits::SILENCE,
            no_effect: without_effect(&args),
            // Last, because it may warn: a refusal is one line and nothing else.
            tls_versions: TlsVersions::parse(
                Some(&args.tls.tls_min_version),
                given(args.tls.tls_max_version.as_ref()),
            )?
            .with_suites(CipherSuites::parse(&args.tls.tls_ciphersuites)?)?,
        })
    }
}

impl Config {
    /// Whether anything comes from a Secret.
    pub(crate) fn loads_secrets(&self) -> bool {
        let servers = self.kube_door.iter().map(|door| &door.tls).chain(&self.grpc_tls);
        let redis = self.redis_door.as_ref();
        let identities = servers.clone().map(|tls| &tls.identity).chain(redis.and_then(|door| door.tls.as_ref()));
        let redis_ca = redis.and_then(|door| match &door.redis.tls {
            Some(RedisTls::Verified { ca }) => Some(ca),
            Some(RedisTls::Insecure) | None => None,
        });
        let mut roots = servers.map(|tls| &tls.client_ca).chain(redis_ca);
        identities.into_iter().any(|identity| matches!(identity, IdentitySource::Secret(_)))
            || roots.any(|roots| matches!(roots, RootsSource::Secret { .. }))
    }
}

// === impl ClientCertificates ===

impl ClientCertificates {
    /// What that means for a TLS handshake.
    pub(crate) fn asked(self) -> AskClients {
        match self {
            Self::Required => ClientAuth::Required,
            Self::IfGiven => ClientAuth::Optional,
        }
    }
}

// === impl ListenAddress ===

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Refuses what would make the process do something else than it was told to.
fn refuse_later_work(args: &Args) -> Result<(), FlagError> {
    let later = &args.later;
    let switches = [("enable-websocket", later.enable_websocket), ("ha-enabled", later.ha_enabled)];
    if let Some((flag, _)) = switches.into_iter().find(|(_, on)| *on) {
        return Err(FlagError::not_supported(flag, true));
    }
    if let Some(address) = given(later.otlp_address.as_ref()) {
        return Err(FlagError::not_supported("otlp-address", address));
    }
    if !later.keepalive_min_interval.is_zero() {
        let interval = format!("{:?}", later.keepalive_min_interval);
        return Err(FlagError::not_supported("keepalive-min-interval", interval));
    }
    if later.pprof_port != 0 {
        return Err(FlagError::not_supported("pprof-port", later.pprof_port));
    }
    Ok(())
}

/// What was given, else the Pod's own namespace.
fn namespace(args: &Args) -> Result<String, FlagError> {
    let namespace = match given(args.listener.namespace.as_ref()) {
        Some(namespace) => namespace.to_owned(),
        None => std::fs::read_to_string(POD_NAMESPACE).map(|namespace| namespace.trim().to_owned()).map_err(|_| {
            FlagError::missing(&["namespace"], "must be the control plane's namespace outside a cluster")
        })?,
    };
    // A namespace and an agent's name obey the same rule.
    match AgentName::parse(&namespace) {
        Ok(_) => Ok(namespace),
        Err(_) => Err(FlagError::not_allowed("namespace", namespace, "must be a DNS-1123 label")),
    }
}

fn kube_door(args: &Args, reader: tls::Reader) -> Result<Option<KubeDoorConfig>, FlagError> {
    let proxy = &args.resource_proxy;
    if !proxy.enable_resource_proxy {
        return Ok(None);
    }
    Ok(Some(KubeDoorConfig {
        listen: proxy.resource_proxy_listen,
        tls: tls::kube_door(proxy, reader)?,
        response_timeout: proxy.resource_proxy_timeout,
    }))
}

/// The first of them that is given, in upstream's order.
fn jwt_key(args: &Args) -> Result<JwtKeySource, FlagError> {
    let flags = &args.tokens;
    if let Some(file) = given(flags.jwt_key.as_ref()) {
        return Ok(JwtKeySource::File(file.into()));
    }
    if flags.insecure_jwt_generate {
        return Ok(JwtKeySource::Generated);
    }
    match given(Some(&flags.jwt_secret_name)) {
        Some(name) if is_object_name(name) => Ok(JwtKeySource::Secret(name.to_owned())),
        Some(name) => Err(FlagError::not_allowed("jwt-secret-name", name, "must be a DNS-1123 subdomain")),
        None => Err(FlagError::missing(&["jwt-secret-name"], "must be the name of a Secret")),
    }
}

/// Whether a Secret can have that name: it becomes part of a question to the API server.
fn is_object_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME && name.split('.').all(|label| AgentName::parse(label).is_ok())
}

/// What was given, else the Pod's own. A kubeconfig that happens to lie about is not looked for: the principal would
/// believe whatever that cluster says.
fn kube(args: &Args) -> Option<KubeSource> {
    let file = given(args.control_plane.kubeconfig.as_ref()).map(PathBuf::from);
    let context = given(args.control_plane.kubecontext.as_ref()).map(str::to_owned);
    if file.is_some() || context.is_some() {
        return Some(KubeSource::Kubeconfig { file, context });
    }
    Path::new(POD_TOKEN).exists().then_some(KubeSource::Pod)
}

/// The flags that were set to something else than their default, and that nothing reads.
fn without_effect(args: &Args) -> Vec<&'static str> {
    let defaults = Args::from_flags([]).expect("the defaults are allowed");
    let (set, usual) = (&args.no_effect, &defaults.no_effect);
    [
        ("full-detail", set.full_detail != usual.full_detail),
        ("allowed-namespaces", set.allowed_namespaces != usual.allowed_namespaces),
        ("namespace-create-enable", set.namespace_create_enable != usual.namespace_create_enable),
        ("namespace-create-pattern", set.namespace_create_pattern != usual.namespace_create_pattern),
        ("namespace-create-labels", set.namespace_create_labels != usual.namespace_create_labels),
        ("grpc-max-message-size", set.grpc_max_message_size != usual.grpc_max_message_size),
        ("event-processors", set.event_processors != usual.event_processors),
        ("otlp-insecure", set.otlp_insecure != usual.otlp_insecure),
        ("label-selector", set.label_selector != usual.label_selector),
        ("ha-preferred-role", set.ha_preferred_role != usual.ha_preferred_role),
        ("ha-peer-address", set.ha_peer_address != usual.ha_peer_address),
        ("ha-failover-timeout", set.ha_failover_timeout != usual.ha_failover_timeout),
        ("ha-admin-port", set.ha_admin_port != usual.ha_admin_port),
        ("ha-allowed-replication-clients", set.ha_allowed_replication_clients != usual.ha_allowed_replication_clients),
        (
            "ha-replication-initial-ack-timeout",
            set.ha_replication_initial_ack_timeout != usual.ha_replication_initial_ack_timeout,
        ),
    ]
    .into_iter()
    .filter_map(|(flag, is_set)| is_set.then_some(flag))
    .chain(registration::without_effect(args, &defaults))
    .collect()
}

/// Of a DNS-1123 subdomain.
const LONGEST_NAME: usize = 253;

/// Where Kubernetes puts the token of a Pod's ServiceAccount, unless it has none.
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Where Kubernetes puts the namespace of a Pod.
const POD_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

#[cfg(test)]
mod tests;
