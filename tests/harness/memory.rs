//! Principal and agent joined by pipes in memory: the real gRPC service and the real link, without sockets and TLS.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use agent::{
    dispatch::{Dispatch, Executor},
    link::{
        Creds, Link, LinkOptions,
        connect::{Connect, ConnectError, Driver, Grpc, http2},
        metrics::LinkMetrics,
    },
};
use bytes::BytesMut;
use common::{
    AgentName,
    auth::PeerIdentity,
    drain,
    tunnel::{Target, TunnelStream, limits},
};
use futures_util::future::BoxFuture;
use principal::{
    agents::{
        DialError, Dialer, Directory, Lease, Registry,
        auth::{Authenticator, CertificateRule, Entrance, Shown, Terms},
        handshake::Liveliness,
        metrics::TunnelMetrics,
        registry::Limits,
        serve::TunnelServe,
        service::TunnelService,
    },
    config::ClientCertificates,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, split},
    sync::{Notify, watch},
};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::line::Line;

/// A principal without listeners.
#[derive(Debug)]
pub struct Principal {
    /// The registry that doors would dial.
    pub registry: Arc<Registry>,
    /// Everything that the principal counts.
    pub metrics: Arc<prometheus_client::registry::Registry>,
    serve: TunnelServe,
    watch: drain::Watch,
    signal: Option<drain::Signal>,
}

/// An agent that dials a [`Principal`].
#[derive(Debug)]
pub struct Agent {
    /// Whether a session is attached.
    pub connected: watch::Receiver<bool>,
    /// Ends the agent's own processes gracefully.
    pub signal: drain::Signal,
    /// Cuts the connection that was made last.
    pub cut: Cut,
}

/// Cuts connections.
#[derive(Debug, Clone, Default)]
pub struct Cut(Arc<Mutex<CancellationToken>>, Arc<AtomicUsize>, Arc<Notify>);

/// What is between an agent and its principal.
#[derive(Debug, Clone, Copy)]
enum Between {
    Nothing,
    Line(Line),
    /// One of HTTP/2.
    Proxy,
}

/// An executor made of a function.
pub struct Scripted<F>(pub F);

struct Duplex {
    agent: AgentName,
    serve: TunnelServe,
    watch: drain::Watch,
    cut: Cut,
    between: Between,
}

// === impl Principal ===

impl Principal {
    /// A principal with the default limits.
    #[must_use]
    pub fn new() -> Self {
        let (signal, watch) = drain::channel();
        let mut metrics = prometheus_client::registry::Registry::default();
        let tunnel = TunnelMetrics::register(metrics.sub_registry_with_prefix("tunnel"));
        let directory = Arc::new(Directory::new(None));
        let registry = Arc::new(Registry::new(directory, Limits { per_agent: 4096, all: 65_536 }, tunnel.clone()));
        let liveliness = Liveliness { ping_interval: limits::PING_INTERVAL, silence: limits::SILENCE };
        let terms = Terms {
            principal_namespace: "argocd".into(),
            certificates: ClientCertificates::Required,
            matches_common_name: false,
        };
        let rule = CertificateRule::parse("").expect("a rule");
        let known = Authenticator::by_certificates(rule, terms, metrics.sub_registry_with_prefix("authentication"));
        let service = TunnelService::new(Arc::clone(&registry), Arc::new(known), liveliness, tunnel, watch.clone());
        let serve = TunnelServe::new(service, limits::STREAM_WINDOW);
        Self { registry, metrics: Arc::new(metrics), serve, watch, signal: Some(signal) }
    }

    /// Serves `io` as a connection of the agent `name`.
    pub fn accept(&self, io: DuplexStream, name: &str) {
        let (serve, watch, entrance) = (self.serve.clone(), self.watch.clone(), entrance(&parse(name)));
        self.watch.spawn(Span::none(), async move { serve.serve(io, entrance, watch).await });
    }

    /// Starts an agent called `name` whose pipes go to `executor`.
    pub async fn agent(&self, name: &str, executor: impl Executor) -> Agent {
        self.attach(Between::Nothing, name, executor).await
    }

    /// The same at the end of a line.
    pub async fn agent_at(&self, line: Line, name: &str, executor: impl Executor) -> Agent {
        self.attach(Between::Line(line), name, executor).await
    }

    /// The same behind a proxy that may let connections carry no new calls: [`Cut::politely`].
    pub async fn agent_behind_a_proxy(&self, name: &str, executor: impl Executor) -> Agent {
        self.attach(Between::Proxy, name, executor).await
    }

    async fn attach(&self, between: Between, name: &str, executor: impl Executor) -> Agent {
        let (signal, watch) = drain::channel();
        let dispatch = Dispatch::new(vec![(Target::Kube, Arc::new(executor) as _)], 8192);
        let cut = Cut::default();
        let duplex = Duplex {
            agent: parse(name),
            serve: self.serve.clone(),
            watch: self.watch.clone(),
            cut: cut.clone(),
            between,
        };
        let (link, mut connected) = Link::new(duplex, link_options(), dispatch, LinkMetrics::default());
        watch.spawn(Span::none(), link.run(watch.clone()));
        connected.wait_for(|connected| *connected).await.expect("the link runs");
        Agent { connected, signal, cut }
    }

    /// A pipe to that agent.
    ///
    /// # Errors
    /// When it is not attached.
    pub fn dial(&self, name: &str) -> Result<(Lease, TunnelStream), DialError> {
        let lease = self.registry.reserve(&parse(name))?;
        let stream = self.registry.dial(lease.session, Target::Kube)?;
        Ok((lease, stream))
    }

    /// Drains; whether everything finished in time.
    pub async fn drain(&mut self, grace: Duration) -> bool {
        self.signal.take().expect("drained once").drain(grace).await
    }

    /// The metrics as text.
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.metrics).expect("a string takes any text");
        text
    }
}

impl Default for Principal {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Cut ===

impl Cut {
    /// Cuts the connection that was made last.
    pub fn now(&self) {
        self.0.lock().expect("not poisoned").cancel();
    }

    /// Lets a connection carry no new calls, as a proxy on the way does that is to be replaced: see
    /// [`Principal::agent_behind_a_proxy`].
    pub fn politely(&self) {
        self.2.notify_one();
    }

    /// How many connections were made.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.1.load(Ordering::SeqCst)
    }
}

// === impl Scripted ===

impl<F, R> Executor for Scripted<F>
where
    F: Fn(TunnelStream) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    fn serve(&self, stream: TunnelStream, _finish: drain::Watch) -> BoxFuture<'static, ()> {
        Box::pin((self.0)(stream))
    }
}

impl<F> fmt::Debug for Scripted<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

// === impl Duplex ===

impl Connect for Duplex {
    fn connect(&self) -> BoxFuture<'_, Result<(Grpc, Driver), ConnectError>> {
        let (near, agents) = tokio::io::duplex(BUFFER);
        let (principals, end) = tokio::io::duplex(BUFFER);
        let far = match self.between {
            Between::Nothing => agents,
            Between::Line(line) => {
                self.watch.spawn(Span::none(), line.carry(agents, principals));
                end
            }
            Between::Proxy => {
                self.watch.spawn(Span::none(), pass_on(agents, principals, Arc::clone(&self.cut.2)));
                end
            }
        };
        let token = CancellationToken::new();
        *self.cut.0.lock().expect("not poisoned") = token.clone();
        self.cut.1.fetch_add(1, Ordering::SeqCst);
        let (serve, watch, agent) = (self.serve.clone(), self.watch.clone(), self.agent.clone());
        self.watch.spawn(Span::none(), async move {
            token.run_until_cancelled(serve.serve(far, entrance(&agent), watch)).await;
        });
        Box::pin(http2(near, limits::STREAM_WINDOW))
    }
}

impl fmt::Debug for Duplex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Duplex")
    }
}

/// Passes on what an agent and a principal say, and says GOAWAY to the agent, once, when it is told to.
async fn pass_on(agent: DuplexStream, principal: DuplexStream, leave: Arc<Notify>) {
    let ((mut agent_read, mut agent_write), (mut principal_read, mut principal_write)) =
        (split(agent), split(principal));
    let frames = async {
        let mut said = BytesMut::new();
        loop {
            tokio::select! {
                count = principal_read.read_buf(&mut said) => if count? == 0 { return Ok(()) },
                () = leave.notified() => agent_write.write_all(&GO_AWAY).await?,
            }
            // A frame begins with the length of what follows its head.
            while let &[high, middle, low, ..] = &said[..]
                && let length = HEAD + (usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low))
                && said.len() >= length
            {
                agent_write.write_all_buf(&mut said.split_to(length)).await?;
            }
        }
    };
    // How it ends shows at its ends.
    let _ended = tokio::select! {
        ended = frames => ended,
        ended = tokio::io::copy(&mut agent_read, &mut principal_write) => ended.map(drop),
    };
}

/// A managed agent's, with the protocol's own numbers.
#[must_use]
pub fn link_options() -> LinkOptions {
    LinkOptions {
        mode: "managed".into(),
        namespace: "argocd".into(),
        creds: Creds::Certificate,
        cluster_labels: std::collections::BTreeMap::new(),
        ping_interval: limits::PING_INTERVAL,
        stream_window: limits::STREAM_WINDOW,
    }
}

/// Of a connection on which a certificate was shown that names `agent`.
fn entrance(agent: &AgentName) -> Entrance {
    Entrance::new(Shown::Certificate(Arc::new(PeerIdentity {
        common_name: Some(agent.to_string()),
        subject: format!("CN={agent}"),
        uri_sans: Vec::new(),
        fingerprint: String::new(),
        not_after: 0,
    })))
}

fn parse(name: &str) -> AgentName {
    AgentName::parse(name).expect("a name for tests")
}

/// Of a frame of HTTP/2 (RFC 9113, section 4.1).
const HEAD: usize = 9;

/// All calls that were made go on, and nothing is wrong (RFC 9113, section 6.8).
const GO_AWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];

const BUFFER: usize = 64 * 1024;
