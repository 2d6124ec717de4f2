//! The composition root: binds everything, keeps the link up, and serves until drained.

use std::{io, net::SocketAddr, sync::Arc};

use common::{
    api_server::ApiServer,
    config::TlsVersions,
    drain,
    telemetry::{Admin, Health, Healthz, Latch, Readiness, Registry as Metrics},
    tls::{ClientParts, ClientTls, Folders, LoadError, MaterialError, Materials, SecretError, Secrets, TlsError, What},
    tunnel::Target,
};
use tokio::{net::TcpListener, sync::watch};
use tracing::{Span, info, info_span, warn};

use crate::{
    config::{AgentTls, Config, Creds, RedisTls},
    dispatch::{Dispatch, Executor},
    enrollment::{self, EnrollmentMetrics, JoinError, Place, Renewal},
    executors::{
        kube::{self, KubeExecutor, KubeOptions},
        redis::{self, RedisExecutor, RedisOptions},
    },
    link::{
        Link, LinkOptions,
        connect::{ConnectError, Connector},
        metrics::LinkMetrics,
    },
};

/// An agent that runs.
#[derive(Debug)]
pub struct Agent {
    /// Where `/metrics` is, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Where `/healthz`, `/livez` and `/readyz` are, if anywhere.
    pub healthz: Option<SocketAddr>,
    /// Whether a session is attached to the principal.
    pub connected: watch::Receiver<bool>,
}

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate, key or CA cannot be loaded.
    #[error("cannot load the TLS material of the link ({})", .0.cure())]
    Material(#[source] MaterialError),
    /// No TLS can be spoken with what was loaded.
    #[error("cannot set up TLS for the link")]
    Tls(#[source] TlsError),
    /// There is no certificate, and none was to be had.
    #[error("cannot join")]
    Join(#[source] JoinError),
    /// The principal's address is none.
    #[error("cannot use the principal's address")]
    Address(#[source] ConnectError),
    /// The API server of this cluster cannot be used.
    #[error("cannot use the Kubernetes API of this cluster")]
    Kube(#[source] kube::StartError),
    /// There can be no client of it that loads Secrets.
    #[error("cannot load Secrets from the Kubernetes API")]
    Secrets(#[source] Box<::kube::Error>),
    /// The CA certificates of this cluster's Redis cannot be loaded.
    #[error("cannot load the CA certificates of Redis ({})", .0.cure())]
    RedisMaterial(#[source] MaterialError),
    /// No TLS can be spoken with this cluster's Redis.
    #[error("cannot set up TLS for Redis")]
    RedisTls(#[source] TlsError),
    /// What is known of this cluster's Redis cannot be used.
    #[error("cannot set up the Redis executor")]
    Redis(#[source] redis::StartError),
    /// The port of metrics or health cannot be bound.
    #[error("cannot listen on port {port} for {door}")]
    Admin {
        /// For whom.
        door: &'static str,
        /// Where.
        port: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Runs an agent until it is drained.
///
/// # Errors
/// When it cannot start.
pub async fn run(config: Config, drain: drain::Watch) -> Result<(), Error> {
    Agent::start(config, &drain).await?;
    drain.draining().await;
    Ok(())
}

// === impl Agent ===

impl Agent {
    /// Binds every socket, then runs in tasks that the drain waits for.
    ///
    /// # Errors
    /// When a file or Secret cannot be used or a socket cannot be bound; nothing runs then. A principal or Redis that cannot be
    /// reached is no error: the agent keeps trying.
    pub async fn start(config: Config, drain: &drain::Watch) -> Result<Self, Error> {
        let mut metrics = Metrics::new();
        let readiness = Readiness::new(drain.clone());
        let attached = readiness.latch("session with the principal");

        let folders = Arc::new(Folders::new());
        let api_server = api_server(&config, &folders, &mut metrics, drain).await?;
        let client = match api_server.as_ref().filter(|_| config.loads_secrets()) {
            Some(api_server) => Some(api_server.client().map_err(|error| Error::Secrets(error.into()))?),
            None => None,
        };
        let place = config.tls.as_ref().and_then(|tls| Place::new(tls, client.clone(), &config.namespace));
        if let (Some(token), Some(place)) = (&config.join_token, &place) {
            let joined = enrollment::join(place, token, &config.proxies, config.tls_versions, drain).await;
            joined.map_err(Error::Join)?;
        }
        let secrets = client.map(|client| Secrets::new(client, &config.namespace));
        let materials = Materials::new(folders, secrets, metrics.part("tls"), drain.clone());
        let tls = match &config.tls {
            Some(tls) => Some(link_tls(tls, &config.creds, config.tls_versions, &materials).await?),
            None => {
                warn!(
                    "INSECURE: the principal is reached without TLS; whoever is on the way can read and change all of it"
                );
                None
            }
        };
        let connector = || {
            let (host, port) = config.server.clone();
            Connector::new(host, port, tls.clone(), config.proxies.clone(), config.stream_window)
        };
        let (renewing, connector) = (connector().map_err(Error::Address)?, connector().map_err(Error::Address)?);
        let metrics_listener = bind_admin("metrics", config.metrics_port).await?;
        let healthz_listener = bind_admin("healthz", config.healthz_port).await?;

        let options = KubeOptions {
            api_server: api_server.filter(|_| config.resource_proxy),
            managed_only: config.managed_only,
            managed_creates_only: config.managed_creates_only,
            namespace: config.namespace.clone(),
            application_namespaces: config.application_namespaces,
        };
        let kube = KubeExecutor::start(options, drain, metrics.part("kube")).await.map_err(Error::Kube)?;
        let options = RedisOptions {
            tls: redis_tls(&config.redis.tls, &materials).await?,
            redis: config.redis,
            namespace: config.namespace.clone(),
            destination_based_mapping: config.destination_based_mapping,
        };
        let redis = RedisExecutor::start(options, drain, metrics.part("redis")).map_err(Error::Redis)?;
        let executors: Vec<(Target, Arc<dyn Executor>)> =
            vec![(Target::Kube, Arc::new(kube)), (Target::Redis, Arc::new(redis))];
        let dispatch = Dispatch::new(executors, config.max_pipes);
        let options = LinkOptions {
            mode: config.mode.as_str().to_owned(),
            namespace: config.namespace,
            creds: config.creds,
            cluster_labels: config.cluster_labels,
            ping_interval: config.ping_interval,
            stream_window: config.stream_window,
        };
        let (link, connected) = Link::new(connector, options, dispatch, LinkMetrics::register(metrics.part("link")));

        let started = Self {
            metrics: local_addr(metrics_listener.as_ref()),
            healthz: local_addr(healthz_listener.as_ref()),
            connected: connected.clone(),
        };
        drain.spawn(info_span!("link"), link.run(drain.clone()));
        // What is in files is renewed where the operator says so, and what is in a Secret where that says so.
        let always = config.join_token.is_some();
        if let Some(place) = place.filter(|place| always || place.is_a_secret()) {
            let metrics = EnrollmentMetrics::register(metrics.part("enrollment"));
            let renewal = Renewal { place, connector: renewing, always, metrics };
            drain.spawn(info_span!("renewal"), renewal.run(drain.clone()));
        }
        drain.spawn(Span::none(), follow(connected, attached.clone(), drain.clone()));
        let metrics = Arc::new(metrics);
        let health = Health { readiness, healthz: Healthz::While(attached) };
        let pages = [
            (metrics_listener, Admin { metrics: Some(metrics), ..Admin::default() }),
            (healthz_listener, Admin { health: Some(health), ..Admin::default() }),
        ];
        for (listener, admin) in pages {
            if let Some(listener) = listener {
                // These tell of the drain, so they outlive it.
                let (signal, pages) = drain::channel();
                drain.spawn_last(Span::none(), async move {
                    admin.serve(listener, pages).await;
                    drop(signal);
                });
            }
        }
        info!(version = common::build_info::VERSION, no_effect = ?config.no_effect, "agent started");
        Ok(started)
    }
}

/// Keeps the latch as the link is.
async fn follow(mut connected: watch::Receiver<bool>, latch: Latch, drain: drain::Watch) {
    loop {
        if *connected.borrow_and_update() {
            latch.release();
        } else {
            latch.close();
        }
        tokio::select! {
            changed = connected.changed() => if changed.is_err() { return },
            () = drain.draining() => return,
        }
    }
}

/// The API server, which is needed for requests and where a Secret is named, and left alone elsewhere.
async fn api_server(
    config: &Config,
    folders: &Arc<Folders>,
    metrics: &mut Metrics,
    drain: &drain::Watch,
) -> Result<Option<ApiServer>, Error> {
    if !config.resource_proxy && !config.loads_secrets() {
        return Ok(None);
    }
    let api_server = kube::api_server(&config.kube, folders, metrics.part("kube"), drain).await;
    api_server.map(Some).map_err(Error::Kube)
}

/// How the principal and the agent know each other. A certificate that is not needed may be missing from the cluster.
async fn link_tls(
    tls: &AgentTls,
    creds: &Creds,
    versions: TlsVersions,
    materials: &Materials,
) -> Result<ClientTls, Error> {
    let roots = tls.root_ca.as_ref().map(|ca| (What::PrincipalCa, ca));
    let identity = tls.identity.as_ref().map(|identity| (What::Agent, identity));
    let parts = ClientParts { identity, roots, versions, alpn: &[b"h2"] };
    let loaded = match materials.client(parts.clone()).await {
        Err(LoadError::Material(MaterialError::Secret { name, source: SecretError::Missing }))
            if *creds != Creds::Certificate && parts.identity.is_some() =>
        {
            // Where it is the CA that is missing, it is still missing.
            let loaded = materials.client(ClientParts { identity: None, ..parts }).await;
            info!(missing = %name, "there is no client certificate, and none is needed by --creds");
            loaded
        }
        loaded => loaded,
    };
    loaded.map_err(|error| match error {
        LoadError::Material(source) => Error::Material(source),
        LoadError::Tls(source) => Error::Tls(source),
    })
}

/// How this cluster's Redis is known, where it speaks TLS at all.
async fn redis_tls(tls: &RedisTls, materials: &Materials) -> Result<Option<ClientTls>, Error> {
    let roots = match tls {
        RedisTls::Off => return Ok(None),
        RedisTls::Verified(ca) => Some((What::RedisCa, ca)),
        RedisTls::Insecure => None,
    };
    let parts = ClientParts { identity: None, roots, versions: TlsVersions::ALL, alpn: &[] };
    materials.client(parts).await.map(Some).map_err(|error| match error {
        LoadError::Material(source) => Error::RedisMaterial(source),
        LoadError::Tls(source) => Error::RedisTls(source),
    })
}

/// As upstream: on every address.
async fn bind_admin(door: &'static str, port: Option<u16>) -> Result<Option<TcpListener>, Error> {
    let Some(port) = port else { return Ok(None) };
    let bound = TcpListener::bind(("0.0.0.0", port)).await;
    bound.map(Some).map_err(|source| Error::Admin { door, port, source })
}

fn local_addr(listener: Option<&TcpListener>) -> Option<SocketAddr> {
    listener.and_then(|listener| listener.local_addr().ok())
}
