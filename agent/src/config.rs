//! What the agent needs to run: every default decided, every contradiction refused.
//!
//! A plain value that tests build by hand; the command line comes in by [`Config::try_from`], and what it refuses is one
//! line for the operator.

mod redis;

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use common::{
    AgentName,
    config::{
        CipherSuites, FlagError, TlsVersions,
        values::{given, items},
    },
    enrollment::JoinToken,
    label::{self, MOST_LABELS},
    proxy::Proxies,
    tls::{IdentitySource, RootsKey, RootsSource, SecretName},
    tunnel::limits,
};
use rustls::pki_types::ServerName;

use self::redis::redis;
pub use self::redis::{RedisConfig, RedisTls};
use crate::args::Args;
pub use crate::link::Creds;
pub use common::redis::Compression;

/// The settings of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Host and port of the principal.
    pub server: (String, u16),
    /// Who the agent is for the principal, and which principal it trusts; `None` where a service mesh sees to that.
    pub tls: Option<AgentTls>,
    /// How the agent proves who it is.
    pub creds: Creds,
    /// The file with a token that is exchanged for a certificate where there is none.
    pub join_token: Option<PathBuf>,
    /// The TLS versions that the agent speaks with the principal.
    pub tls_versions: TlsVersions,
    /// Where Applications are defined.
    pub mode: AgentMode,
    /// The namespace of Argo CD in this cluster.
    pub namespace: String,
    /// The namespaces whose Applications, AppProjects and ApplicationSets are Argo CD's own, as they were typed, patterns
    /// included; `namespace` is the first.
    pub application_namespaces: Vec<String>,
    /// Whether Applications have the namespace here that they have at the principal.
    pub destination_based_mapping: bool,
    /// The labels to ask for, for the cluster Secret in the control plane.
    pub cluster_labels: BTreeMap<String, String>,
    /// How to reach this cluster's API server.
    pub kube: KubeSource,
    /// Which way the principal is reached.
    pub proxies: Proxies,
    /// How to reach this cluster's Redis, and what is in it.
    pub redis: RedisConfig,
    /// Whether this cluster's Kubernetes API is served at all.
    pub resource_proxy: bool,
    /// Whether only what Argo CD manages is shown.
    pub managed_only: bool,
    /// Whether only what Argo CD manages may be created.
    pub managed_creates_only: bool,
    /// The port of the metrics endpoint, 0 for any free one; `None` when there is none.
    pub metrics_port: Option<u16>,
    /// The port of the health endpoints, 0 for any free one; `None` when there are none.
    pub healthz_port: Option<u16>,
    /// What the other end may send of a pipe before it is granted more, in bytes.
    pub stream_window: u32,
    /// The time that running requests have once draining begins.
    pub drain_grace: Duration,
    /// How many pipes may be open at a time.
    pub max_pipes: usize,
    /// How often the agent pings.
    pub ping_interval: Duration,
    /// After how long a silent principal is dead.
    pub silence: Duration,
    /// Flags that were set and have no effect in this version, without dashes.
    pub no_effect: Vec<&'static str>,
}

/// Where the parts of the agent's TLS are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentTls {
    /// Its certificate chain and key, if it has any. Where it proves by something else who it is, a Secret may be missing.
    pub identity: Option<IdentitySource>,
    /// The CA certificates that the principal's certificate is verified with; none where it is not verified, which is for
    /// experiments only.
    pub root_ca: Option<RootsSource>,
}

/// How to reach the API server: with neither, as the Pod's ServiceAccount, and outside a Pod by the default kubeconfig.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KubeSource {
    /// A kubeconfig file.
    pub kubeconfig: Option<PathBuf>,
    /// A context in it, or in the default one.
    pub context: Option<String>,
}

/// Where Applications are defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AgentMode {
    /// At the principal.
    Managed,
    /// In the workload cluster.
    Autonomous,
}

// === impl Config ===

impl TryFrom<Args> for Config {
    type Error = FlagError;

    fn try_from(args: Args) -> Result<Self, FlagError> {
        refuse_later_work(&args)?;
        let namespace = namespace(&args)?;
        let creds = creds(&args)?;
        let mut application_namespaces = vec![namespace.clone()];
        for further in items(&args.cluster.allowed_namespaces) {
            if !application_namespaces.contains(&further) {
                application_namespaces.push(further);
            }
        }
        Ok(Self {
            server: server(&args)?,
            tls: tls(&args, &creds)?,
            join_token: match join_token(&args) {
                Some(file) if creds != Creds::Certificate => {
                    let allowed =
                        "must be left out with another --creds than mtls:any: it is exchanged for a certificate";
                    return Err(FlagError::not_allowed("join-token-file", file.display().to_string(), allowed));
                }
                file => file,
            },
            creds,
            mode: args.cluster.agent_mode,
            namespace,
            application_namespaces,
            destination_based_mapping: args.cluster.destination_based_mapping,
            cluster_labels: cluster_labels(&args.cluster.cluster_label)?,
            redis: redis(&args)?,
            kube: KubeSource {
                kubeconfig: given(args.cluster.kubeconfig.as_ref()).map(PathBuf::from),
                context: given(args.cluster.kubecontext.as_ref()).map(str::to_owned),
            },
            proxies: Proxies::read(|name| std::env::var(name).ok())?,
            resource_proxy: args.filter.enable_resource_proxy,
            managed_only: args.filter.managed_resources_only,
            managed_creates_only: args.filter.managed_creates_only,
            metrics_port: Some(args.endpoints.metrics_port).filter(|port| *port != 0),
            healthz_port: Some(args.endpoints.healthz_port),
            stream_window: args.limits.tunnel_stream_window,
            drain_grace: args.limits.drain_grace,
            max_pipes: args.limits.max_pipes,
            ping_interval: ping_interval(args.principal.keep_alive_ping_interval),
            silence: limits::SILENCE,
            no_effect: without_effect(&args),
            // Last, because it may warn: a refusal is one line and nothing else.
            tls_versions: TlsVersions::parse(
                given(args.tls.tls_min_version.as_ref()),
                given(args.tls.tls_max_version.as_ref()),
            )?
            .with_suites(CipherSuites::parse(&args.tls.tls_ciphersuites)?)?,
        })
    }
}

impl Config {
    /// Whether anything comes from a Secret.
    pub(crate) fn loads_secrets(&self) -> bool {
        let redis_ca = match &self.redis.tls {
            RedisTls::Verified(ca) => Some(ca),
            RedisTls::Off | RedisTls::Insecure => None,
        };
        let mut roots = self.tls.iter().filter_map(|tls| tls.root_ca.as_ref()).chain(redis_ca);
        self.tls.as_ref().is_some_and(|tls| matches!(tls.identity, Some(IdentitySource::Secret(_))))
            || roots.any(|roots| matches!(roots, RootsSource::Secret { .. }))
    }
}

// === impl AgentMode ===

impl AgentMode {
    /// The mode as the principal and the command line know it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Managed => "managed",
            Self::Autonomous => "autonomous",
        }
    }
}

impl fmt::Display for AgentMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Refuses what would make the process do something else than it was told to.
fn refuse_later_work(args: &Args) -> Result<(), FlagError> {
    let later = &args.later;
    let switches = [("enable-websocket", later.enable_websocket), ("enable-compression", later.enable_compression)];
    if let Some((flag, _)) = switches.into_iter().find(|(_, on)| *on) {
        return Err(FlagError::not_supported(flag, true));
    }
    if let Some(address) = given(later.otlp_address.as_ref()) {
        return Err(FlagError::not_supported("otlp-address", address));
    }
    if later.pprof_port != 0 {
        return Err(FlagError::not_supported("pprof-port", later.pprof_port));
    }
    Ok(())
}

fn namespace(args: &Args) -> Result<String, FlagError> {
    let namespace = args.cluster.namespace.trim();
    // A namespace and an agent's name obey the same rule.
    match AgentName::parse(namespace) {
        Ok(_) => Ok(namespace.to_owned()),
        Err(_) => Err(FlagError::not_allowed("namespace", namespace, "must be a DNS-1123 label")),
    }
}

/// The later of the same key counts.
fn cluster_labels(typed: &[String]) -> Result<BTreeMap<String, String>, FlagError> {
    let mut labels = BTreeMap::new();
    for text in items(typed) {
        let (key, value) =
            label::parse_pair(&text).map_err(|error| FlagError::not_allowed("cluster-label", &*text, error))?;
        labels.insert(key.as_str().to_owned(), value.as_str().to_owned());
    }
    if labels.len() > MOST_LABELS {
        let allowed = format!("must be at most {MOST_LABELS} labels");
        return Err(FlagError::not_allowed("cluster-label", typed.join(","), allowed));
    }
    Ok(labels)
}

fn server(args: &Args) -> Result<(String, u16), FlagError> {
    let allowed = "must be a host name or an IP address; its port is --server-port";
    let Some(host) = given(args.principal.server_address.as_ref()) else {
        return server_of_token(args);
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match ServerName::try_from(bare) {
        Ok(_) => Ok((bare.to_owned(), args.principal.server_port)),
        Err(_) => Err(FlagError::not_allowed("server-address", host, allowed)),
    }
}

fn join_token(args: &Args) -> Option<PathBuf> {
    given(args.tls.join_token_file.as_ref()).map(PathBuf::from)
}

/// Where the principal is that made the token: an agent that joins need not be told twice.
fn server_of_token(args: &Args) -> Result<(String, u16), FlagError> {
    let missing = |allowed: String| FlagError::missing(&["server-address"], allowed);
    let Some(file) = join_token(args) else {
        return Err(missing("must be the principal's host name or IP address".to_owned()));
    };
    let unknown = |why: &dyn fmt::Display| {
        missing(format!("must be the principal's host name or IP address, unless {} says it: {why}", file.display()))
    };
    let text = std::fs::read_to_string(&file).map_err(|error| unknown(&error))?;
    let principal = JoinToken::parse(&text).map_err(|error| unknown(&error))?.principal;
    Ok((principal.host().to_owned(), principal.port()))
}

fn creds(args: &Args) -> Result<Creds, FlagError> {
    // Upstream does not read what follows `mtls:`, and a missing value means the same here.
    let text = given(args.principal.creds.as_ref()).unwrap_or("mtls:any");
    match text.split_once(':') {
        Some(("mtls", _)) if args.tls.insecure_plaintext => {
            let allowed = "must be userpass:<file> or header: with --insecure-plaintext: without TLS there are no \
                           certificates";
            Err(FlagError::not_allowed("creds", text, allowed))
        }
        Some(("mtls", _)) => Ok(Creds::Certificate),
        Some(("userpass", file)) if !file.trim().is_empty() => Ok(Creds::Password(file.trim().into())),
        Some(("header", _)) => Ok(Creds::Mesh),
        _ => Err(FlagError::not_allowed("creds", text, "must be mtls:any, userpass:<file> or header:")),
    }
}

fn tls(args: &Args, creds: &Creds) -> Result<Option<AgentTls>, FlagError> {
    let tls = &args.tls;
    if tls.insecure_plaintext {
        return Ok(None);
    }
    let pair = "--tls-client-cert and --tls-client-key go together";
    let identity = match (given(tls.tls_client_cert.as_ref()), given(tls.tls_client_key.as_ref())) {
        (Some(certificate), Some(key)) => {
            Some(IdentitySource::Files { certificate: certificate.into(), key: key.into() })
        }
        (Some(_), None) => return Err(FlagError::missing(&["tls-client-key"], pair)),
        (None, Some(_)) => return Err(FlagError::missing(&["tls-client-cert"], pair)),
        (None, None) => match given(Some(&tls.tls_secret_name)) {
            None if *creds != Creds::Certificate => None,
            name => Some(IdentitySource::Secret(secret("tls-secret-name", name.unwrap_or_default())?)),
        },
    };
    let root_ca = match given(tls.root_ca_path.as_ref()) {
        _ if tls.insecure_tls => None,
        Some(path) => Some(RootsSource::File(path.into())),
        None => {
            let name = secret("root-ca-secret-name", &tls.root_ca_secret_name)?;
            Some(RootsSource::Secret { name, key: RootsKey::Copy })
        }
    };
    Ok(Some(AgentTls { identity, root_ca }))
}

fn secret(flag: &'static str, name: &str) -> Result<SecretName, FlagError> {
    let name = name.trim();
    SecretName::parse(name).map_err(|error| FlagError::not_allowed(flag, name, error))
}

/// Within bounds: a longer interval than the design's would make [`limits::SILENCE`] mistake a quiet peer for a dead
/// one, and a far shorter one is nothing but load.
fn ping_interval(asked: Duration) -> Duration {
    if asked.is_zero() { limits::PING_INTERVAL } else { asked.clamp(SHORTEST_PING_INTERVAL, limits::PING_INTERVAL) }
}

/// The flags that were set to something else than their default, and that nothing reads.
fn without_effect(args: &Args) -> Vec<&'static str> {
    let usual = Args::from_flags([]).expect("the defaults are allowed").no_effect;
    let set = &args.no_effect;
    [
        ("full-detail", set.full_detail != usual.full_detail),
        ("cache-refresh-interval", set.cache_refresh_interval != usual.cache_refresh_interval),
        ("informer-sync-timeout", set.informer_sync_timeout != usual.informer_sync_timeout),
        ("buffer-informer-event-interval", set.buffer_informer_event_interval != usual.buffer_informer_event_interval),
        ("grpc-max-message-size", set.grpc_max_message_size != usual.grpc_max_message_size),
        ("otlp-insecure", set.otlp_insecure != usual.otlp_insecure),
        ("create-namespace", set.create_namespace != usual.create_namespace),
        ("ignore-unmanaged-apps", set.ignore_unmanaged_apps != usual.ignore_unmanaged_apps),
        ("source-uid-mismatch-policy", set.source_uid_mismatch_policy != usual.source_uid_mismatch_policy),
        ("on-application-recreate", set.on_application_recreate != usual.on_application_recreate),
        ("label-selector", set.label_selector != usual.label_selector),
        ("adoption-policy", set.adoption_policy != usual.adoption_policy),
    ]
    .into_iter()
    .filter_map(|(flag, is_set)| is_set.then_some(flag))
    .collect()
}

const SHORTEST_PING_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
