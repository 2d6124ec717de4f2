//! The composition root: binds everything, then serves until drained.

mod enrollment;
mod jwt;
mod ports;
mod redis;
mod tls;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use common::{
    api_server::ApiServer,
    drain,
    redis::EndpointError,
    roster,
    telemetry::{Admin, Health, Healthz, JsonPage, Readiness, Registry as Metrics},
    tls::{Folders, MaterialError, TlsError},
    tunnel::limits::HANDSHAKE,
};
use tracing::{Span, info, info_span, warn};

use self::{
    ports::{bind_admin, bind_local, local_addr},
    redis::{BoundRedisDoor, Serving},
    tls::Tls,
};
use crate::{
    agents::{
        self, Dialer, Directory, Registry, Router, Tokens,
        auth::{Authenticator, Entrance, Shown, Terms, UsersError},
        handshake::Liveliness,
        metrics::TunnelMetrics,
        registry::Limits,
        routes::By,
        serve::TunnelServe,
        service::TunnelService,
        tokens::KeyError,
    },
    config::{Config, KubeDoorConfig, Mapping},
    control_plane::{self, ClientError, ControlPlane},
    doors::kube::{KubeDoor, KubeDoorOptions},
    listen::{Connection, ListenError, ListenLimits, ListenMetrics, Listener, Security},
    registration,
    revocation::Blocklist,
};

/// A principal that serves.
#[derive(Debug)]
pub struct Principal {
    /// Where agents attach.
    pub grpc: SocketAddr,
    /// Where Kubernetes clients connect, when that door is open.
    pub kube_door: Option<SocketAddr>,
    /// Where Redis clients connect, when that door is open.
    pub redis_door: Option<SocketAddr>,
    /// Where `/metrics` is, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Where `/healthz`, `/livez` and `/readyz` are, if anywhere.
    pub healthz: Option<SocketAddr>,
    /// Where `/agents` is, if anywhere.
    pub admin: Option<SocketAddr>,
    /// Who is attached.
    pub agents: Arc<Registry>,
    /// Whose a key is, where the Redis door is open.
    pub routes: Option<Arc<Router>>,
}

/// Why a principal does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate, key or CA cannot be loaded.
    #[error("cannot load the TLS material of {door} ({})", source.cure())]
    Material {
        /// For whom.
        door: &'static str,
        /// Why.
        #[source]
        source: MaterialError,
    },
    /// No TLS can be offered with what was loaded.
    #[error("cannot set up TLS for {door}")]
    Tls {
        /// For whom.
        door: &'static str,
        /// Why.
        #[source]
        source: TlsError,
    },
    /// The file of users cannot be used.
    #[error("cannot use the file of users (--auth)")]
    Users(#[source] UsersError),
    /// What says where the control plane's API server is cannot be used.
    #[error("cannot set up the client of the control plane's Kubernetes API")]
    ControlPlane(#[source] ClientError),
    /// The key of callers' tokens cannot be used.
    #[error("cannot use {path}, the key of callers' tokens (--jwt-key)")]
    JwtKey {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// No key of callers' tokens can be made.
    #[error("cannot generate a key for callers' tokens: the system gives no random numbers")]
    GenerateJwtKey,
    /// Nobody says where Applications go.
    #[error(
        "--destination-based-mapping needs the control plane's Kubernetes API: give --kubeconfig outside of a Pod there"
    )]
    NoControlPlane,
    /// The address of the principal's Redis is none.
    #[error("cannot use {address:?}, the address of the principal's Redis")]
    RedisAddress {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: EndpointError,
    },
    /// A socket cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The port of metrics, health or the list of agents cannot be bound.
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

/// Runs a principal until it is drained.
///
/// # Errors
/// When it cannot start.
pub async fn run(config: Config, drain: drain::Watch) -> Result<(), Error> {
    Principal::start(config, &drain).await?;
    drain.draining().await;
    Ok(())
}

// === impl Principal ===

impl Principal {
    /// Binds every socket, then serves in tasks that the drain waits for.
    ///
    /// # Errors
    /// When a file or Secret cannot be used or a socket cannot be bound; nothing serves then.
    pub async fn start(config: Config, drain: &drain::Watch) -> Result<Self, Error> {
        let mut metrics = Metrics::new();
        let readiness = Readiness::new(drain.clone());
        let serving = readiness.latch("listeners");
        let listen_metrics = ListenMetrics::register(metrics.part("listen"));
        let limits = ListenLimits { max_connections: config.max_connections, handshake_timeout: HANDSHAKE };

        let folders = Arc::new(Folders::new());
        let api_server = match &config.kube {
            Some(source) => {
                let api_server =
                    control_plane::api_server(source, &folders, metrics.part("control_plane"), drain).await;
                Some(api_server.map_err(Error::ControlPlane)?)
            }
            None => None,
        };
        let tls = Tls::new(&config, folders, api_server.as_ref(), &mut metrics, drain)?;
        let grpc_tls = match &config.grpc_tls {
            Some(grpc) => tls.of_agents(grpc, config.client_certificates).await?,
            None => {
                warn!(
                    "INSECURE: agents are served without TLS; whoever reaches the port can read and change all of it"
                );
                Security::Plain
            }
        };
        let grpc = Listener::bind("grpc", &config.grpc_listen.host, config.grpc_listen.port).await?;
        let control_plane = control_plane(&config, api_server.as_ref(), &mut metrics, drain)?;
        let door = match &config.kube_door {
            Some(door) => Some(open_kube_door(door, &tls).await?),
            None => None,
        };
        let redis_door = match &config.redis_door {
            Some(door) => Some(BoundRedisDoor::bind(door, &tls).await?),
            None => None,
        };
        let metrics_listener = bind_admin("metrics", config.metrics_port).await?;
        let healthz_listener = bind_admin("healthz", config.healthz_port).await?;
        let terms = Terms {
            principal_namespace: config.namespace.clone(),
            certificates: config.client_certificates,
            matches_common_name: config.client_cert_subject_match,
        };
        let known = Authenticator::start(config.auth.clone(), terms, metrics.part("authentication"), drain).await;
        let authenticator = Arc::new(known.map_err(Error::Users)?);
        let admin_listener = bind_local(config.admin_port).await;
        // What is followed in the background is followed only once nothing can fail any more.
        let door = match door {
            Some(door) => {
                Some((door, jwt::keys(&config, control_plane.as_ref(), metrics.part("tokens"), drain).await?))
            }
            None => None,
        };

        let tunnel_metrics = TunnelMetrics::register(metrics.part("tunnel"));
        let limits_of_requests = Limits { per_agent: config.max_requests_per_agent, all: config.max_requests };
        let clusters = control_plane.as_ref().map(|control_plane| control_plane.cluster_secrets(&config.namespace));
        let directory = Arc::new(Directory::new(clusters.as_ref().map(|clusters| Arc::clone(&clusters.named))));
        directory.register(metrics.part("tunnel"));
        let agents = Arc::new(Registry::new(Arc::clone(&directory), limits_of_requests, tunnel_metrics.clone()));
        let routes = config.redis_door.as_ref().map(|_open| {
            let by = mapping(config.mapping, config.namespace.clone(), control_plane.as_ref());
            Arc::new(Router::new(Arc::clone(&directory), by))
        });
        let blocklist = blocklist(&config.namespace, control_plane.as_ref(), &mut metrics);
        let liveliness = Liveliness { ping_interval: config.ping_interval, silence: config.silence };
        let enrollment = enrollment::service(&config, control_plane.as_ref(), &authenticator, &mut metrics);
        let mut service =
            TunnelService::new(Arc::clone(&agents), authenticator, liveliness, tunnel_metrics, drain.clone());
        if let (Some(registration), Some(control_plane), Some(clusters), Some((_, keys))) =
            (config.registration, &control_plane, &clusters, &door)
        {
            let (registered, keys) = (Arc::clone(&clusters.self_registered), Arc::clone(keys));
            let metrics = metrics.part("registration");
            let namespace = &config.namespace;
            let registrar =
                registration::keep(registration, namespace, control_plane, registered, keys, metrics, drain);
            service = service.telling(registrar);
        }
        let serve = TunnelServe::new(service, config.stream_window).with_enrollment(enrollment);

        let started = Self {
            grpc: grpc.local_addr(),
            kube_door: door.as_ref().map(|((listener, _, _), _)| listener.local_addr()),
            redis_door: redis_door.as_ref().map(BoundRedisDoor::local_addr),
            metrics: local_addr(metrics_listener.as_ref()),
            healthz: local_addr(healthz_listener.as_ref()),
            admin: local_addr(admin_listener.as_ref()),
            agents: Arc::clone(&agents),
            routes: routes.clone(),
        };

        let listed = Arc::clone(&agents);
        let attach = {
            let (serve, blocklist, drain) = (Arc::new(serve), Arc::clone(&blocklist), drain.clone());
            move |connection| attach(connection, Arc::clone(&serve), Arc::clone(&blocklist), drain.clone())
        };
        drain.spawn(info_span!("grpc"), grpc.serve(grpc_tls, limits, listen_metrics.clone(), drain.clone(), attach));
        if let (Some(door), Some(routes)) = (redis_door, routes) {
            let (agents, listen_metrics) = (Arc::clone(&agents), listen_metrics.clone());
            let clusters = clusters.as_ref().map(|clusters| Arc::clone(&clusters.named));
            door.serve(Serving { agents, routes, clusters, metrics: &mut metrics, limits, listen_metrics, drain });
        }
        if let Some(((listener, tls, response_timeout), keys)) = door {
            let dialer: Arc<dyn Dialer> = agents;
            let tokens = Tokens::new(keys, clusters.map(|clusters| clusters.labelled), directory);
            let options = KubeDoorOptions { response_timeout, tokens: Some(Arc::new(tokens)) };
            let door = Arc::new(KubeDoor::new(dialer, options, metrics.part("door"), drain));
            let watch = drain.clone();
            let serve = move |connection: Connection| {
                let (door, blocklist, watch) = (Arc::clone(&door), Arc::clone(&blocklist), watch.clone());
                async move {
                    let standing = blocklist.standing("kube", connection.identity.as_ref()).await;
                    door.serve(connection, standing, watch).await;
                }
            };
            drain.spawn(info_span!("kube_door"), listener.serve(tls, limits, listen_metrics, drain.clone(), serve));
        }
        serving.release();
        let metrics = Arc::new(metrics);
        let health = Health { readiness, healthz: Healthz::Always };
        let roster = JsonPage { path: roster::PATH, make: Arc::new(move |query| agents::roster::page(&listed, query)) };
        let pages = [
            (metrics_listener, Admin { metrics: Some(metrics), ..Admin::default() }),
            (healthz_listener, Admin { health: Some(health), ..Admin::default() }),
            (admin_listener, Admin { json: Some(roster), ..Admin::default() }),
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
        info!(
            version = common::build_info::VERSION,
            grpc = %started.grpc,
            kube_door = ?started.kube_door,
            redis_door = ?started.redis_door,
            no_effect = ?config.no_effect,
            "principal started"
        );
        Ok(started)
    }
}

/// Serves one connection of an agent, or of a peer that is none or whose certificate is shut out: it is told so.
fn attach(
    connection: Connection,
    serve: Arc<TunnelServe>,
    blocklist: Arc<Blocklist>,
    drain: drain::Watch,
) -> impl Future<Output = ()> + Send {
    let Connection { io, identity, .. } = connection;
    // No `async fn`: that holds what it is called with twice.
    async move {
        let standing = blocklist.standing("grpc", identity.as_ref()).await;
        let shown = match identity {
            _ if standing.is_revoked() => Shown::Revoked,
            Some(identity) => Shown::Certificate(identity),
            None => Shown::Nothing,
        };
        standing.serve(serve.serve(io, Entrance::new(shown), drain)).await;
    }
}

/// The certificates that are shut out, if anything can say so.
fn blocklist(namespace: &str, control_plane: Option<&ControlPlane>, metrics: &mut Metrics) -> Arc<Blocklist> {
    let part = metrics.part("blocklist");
    match control_plane {
        Some(control_plane) => {
            let blocklist = Arc::new(Blocklist::awaited(part));
            control_plane.blocklist(namespace, Arc::clone(&blocklist));
            blocklist
        }
        None => Arc::new(Blocklist::none(part)),
    }
}

/// The API server that says who is an agent, where Applications go, which certificates are shut out, and by which key
/// tokens are signed, if anything says where that is.
fn control_plane(
    config: &Config,
    api_server: Option<&ApiServer>,
    metrics: &mut Metrics,
    drain: &drain::Watch,
) -> Result<Option<ControlPlane>, Error> {
    let Some(api_server) = api_server else {
        if config.mapping == Mapping::Destination && config.redis_door.is_some() {
            return Err(Error::NoControlPlane);
        }
        info!(
            "nothing says where the control plane's Kubernetes API is: only agents that have attached are known, \
             no certificate is on the blocklist, and no bearer token is valid"
        );
        return Ok(None);
    };
    let control_plane = ControlPlane::new(api_server, metrics.part("control_plane"), drain.clone());
    control_plane.map(Some).map_err(Error::ControlPlane)
}

fn mapping(mapping: Mapping, namespace: String, control_plane: Option<&ControlPlane>) -> By {
    match (mapping, control_plane) {
        (Mapping::Destination, Some(control_plane)) => {
            By::Destination { namespace, applications: control_plane.applications() }
        }
        (Mapping::Namespace, _) | (Mapping::Destination, None) => By::Namespace,
    }
}

async fn open_kube_door(door: &KubeDoorConfig, tls: &Tls) -> Result<(Listener, Security, Duration), Error> {
    let tls = tls.of_kube_door(&door.tls).await?;
    let listener = Listener::bind("kube", &door.listen.ip().to_string(), door.listen.port()).await?;
    Ok((listener, tls, door.response_timeout))
}
