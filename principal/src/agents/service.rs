//! The gRPC service that agents call: `Attach` makes a session, `Pipe` opens a pipe of it.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use common::{
    AgentName, Report, drain, proto,
    proto::tunnel_server::Tunnel,
    tunnel::{
        PIPE_HEADER, PipeId, SESSION_HEADER, SessionId, call,
        event::{AgentEvent, GoAwayReason, PrincipalEvent, Welcome},
        flow::{Flow, Windows},
        limits::STREAM_WINDOW,
        liveness::Liveness,
        stream::Outgoing,
    },
};
use futures_util::{Stream, StreamExt, future::OptionFuture, stream};
use http::{Extensions, HeaderMap};
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Request, Response, Status, Streaming, body::Body};
use tracing::{debug, info, info_span, warn};

use super::{
    Newcomers, Registry,
    auth::{Authenticator, Entrance, Grant, Unknown},
    handshake::{self, Liveliness},
    metrics::{RefusedCall, TunnelMetrics},
    session::{About, Events, Session},
};

/// The service; one serves every connection.
#[derive(Debug, Clone)]
pub struct TunnelService {
    registry: Arc<Registry>,
    authenticator: Arc<Authenticator>,
    liveliness: Liveliness,
    /// What an agent may send of a pipe before it is granted more.
    window: u32,
    metrics: TunnelMetrics,
    drain: drain::Watch,
    newcomers: Option<Arc<dyn Newcomers>>,
}

/// Who is at the other end of a connection; in the extensions of each of its requests.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// What it has shown, and which agent it turned out to be.
    entrance: Arc<Entrance>,
    /// Says that the connection is in use.
    used: CancellationToken,
    /// Ends the whole connection.
    kill: CancellationToken,
    /// Sessions whose control stream is one of the connection's. A service mesh may carry those of several agents.
    sessions: Arc<AtomicUsize>,
}

/// What the principal says on a control stream: the Welcome, then cancels before anything else.
#[derive(Debug)]
pub struct ControlStream {
    welcome: Option<Welcome>,
    events: Events,
    flow: Arc<Flow>,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
}

// === impl TunnelService ===

impl TunnelService {
    /// A service that attaches agents to `registry`.
    #[must_use]
    pub fn new(
        registry: Arc<Registry>,
        authenticator: Arc<Authenticator>,
        liveliness: Liveliness,
        metrics: TunnelMetrics,
        drain: drain::Watch,
    ) -> Self {
        Self { registry, authenticator, liveliness, window: STREAM_WINDOW, metrics, drain, newcomers: None }
    }

    /// Tells `newcomers` of each session.
    #[must_use]
    pub fn telling(self, newcomers: Arc<dyn Newcomers>) -> Self {
        Self { newcomers: Some(newcomers), ..self }
    }

    /// The same, where an agent may send so many bytes of a pipe before it is granted more.
    #[must_use]
    pub(super) fn with_window(self, window: u32) -> Self {
        Self { window, ..self }
    }

    /// How many exchanges a session may have in flight.
    pub(super) fn per_agent(&self) -> usize {
        self.registry.per_agent()
    }

    fn refused(&self, unknown: &Unknown) -> Status {
        self.metrics.refuse(RefusedCall::Unauthenticated);
        info!(reason = unknown.text(), "agent refused");
        unknown.status()
    }

    /// Answers a `Pipe` call.
    pub(super) fn pipe(&self, request: http::Request<Incoming>) -> http::Response<Body> {
        self.open_pipe(request).map_or_else(Status::into_http, call::response)
    }

    fn open_pipe(&self, request: http::Request<Incoming>) -> Result<Outgoing, Status> {
        let (head, body) = request.into_parts();
        let incoming = call::accepted(&head.headers, body)?;
        let peer = Peer::of(&head.extensions)?;
        let known = self.authenticator.pipe(&peer.entrance, &head.headers);
        let agent = known.map_err(|unknown| self.refused(&unknown))?;
        peer.used.cancel();
        let session = self.session_of(&agent, id(&head.headers, SESSION_HEADER)?)?;
        let pipe: PipeId = id(&head.headers, PIPE_HEADER)?;
        session.attach(pipe, incoming).map_err(|_unknown| {
            self.metrics.refuse(RefusedCall::UnknownPipe);
            debug!(%agent, %pipe, "unknown pipe refused");
            Status::not_found("no such pipe of this session")
        })
    }

    fn session_of(&self, agent: &AgentName, id: SessionId) -> Result<Arc<Session>, Status> {
        self.registry.session(id).filter(|session| session.agent() == agent).ok_or_else(|| {
            self.metrics.refuse(RefusedCall::ForeignPipe);
            debug!(%agent, session = %id, "pipe of an unknown session refused");
            Status::not_found("no such session of this agent")
        })
    }

    /// Runs a session until it ends, whoever ends it. What is large is boxed: an `async fn` holds it twice otherwise.
    async fn drive(
        self: Box<Self>,
        session: Arc<Session>,
        mut events: Box<Streaming<proto::AgentEvent>>,
        mut grant: Grant,
        peer: Peer,
    ) {
        let Liveliness { ping_interval, silence } = self.liveliness;
        let mut liveness = Liveness::new(ping_interval, silence, Instant::now());
        // There is one while the principal drains.
        let mut idle = None;
        let mut leaving = false;
        let mut kill = false;
        let why = loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => match AgentEvent::try_from(event) {
                        Ok(event) => {
                            leaving |= matches!(event, AgentEvent::GoAway(_));
                            self.hear(&session, &event, &mut liveness);
                        }
                        // An event of a later build, which it may send only where it does not matter.
                        Err(error) => debug!(error = %Report(&error), "event ignored"),
                    },
                    // How a connection ends does not matter after a good-bye.
                    Some(Err(status)) if !leaving => break format!("connection lost: {}", status.message()),
                    Some(Err(_)) | None => break "the agent left".to_owned(),
                },
                () = tokio::time::sleep_until(liveness.wake_at()) => {
                    let now = Instant::now();
                    if liveness.is_dead(now) {
                        // Whatever else runs on that connection waits for a peer that is gone.
                        kill = true;
                        break format!("silent for {} s", silence.as_secs());
                    }
                    if let Some(nonce) = liveness.ping_due(now) {
                        session.say(PrincipalEvent::Ping(nonce));
                    }
                }
                () = session.flow().ping_wanted() => {
                    session.say(PrincipalEvent::Ping(liveness.ping(Instant::now())));
                }
                () = session.ended().cancelled() => break "replaced".to_owned(),
                () = self.drain.draining(), if idle.is_none() => {
                    idle = Some(session.idle());
                    session.say(PrincipalEvent::GoAway(GoAwayReason::Draining));
                }
                Some(()) = OptionFuture::from(idle.as_mut()) => {
                    kill = true;
                    break "draining".to_owned();
                }
                () = grant.withdrawn() => {
                    kill = true;
                    break "the login is not valid any more".to_owned();
                }
            }
        };
        self.registry.detach(&session);
        peer.leave(kill);
        info!(reason = %why, "agent detached");
    }

    fn hear(&self, session: &Session, event: &AgentEvent, liveness: &mut Liveness) {
        let now = Instant::now();
        liveness.hear(now);
        match event {
            &AgentEvent::Ping(nonce) => {
                session.say(PrincipalEvent::Pong(nonce));
                if let Some(nonce) = liveness.ping_along(now) {
                    session.say(PrincipalEvent::Ping(nonce));
                }
            }
            &AgentEvent::Pong(nonce) => {
                if let Some(round_trip) = liveness.pong(nonce, now) {
                    session.took(round_trip);
                    self.metrics.round_trip.observe(round_trip.as_secs_f64());
                    debug!(round_trip_micros = round_trip.as_micros(), "pong");
                }
            }
            &AgentEvent::PipeRefused(pipe, reason) => {
                warn!(%pipe, %reason, "the agent refused a pipe");
                session.refused(pipe, reason);
            }
            AgentEvent::GoAway(reason) => {
                info!(?reason, "the agent takes no new pipes");
                self.registry.retire(session);
            }
            &AgentEvent::Grant(pipe, bytes) => session.flow().granted(pipe, bytes),
            AgentEvent::Hello(_) => debug!("second hello ignored"),
        }
    }
}

#[tonic::async_trait]
impl Tunnel for TunnelService {
    type AttachStream = ControlStream;
    type PipeStream = stream::Empty<Result<proto::Chunk, Status>>;

    async fn attach(&self, request: Request<Streaming<proto::AgentEvent>>) -> Result<Response<ControlStream>, Status> {
        if self.drain.is_draining() {
            return Err(Status::unavailable("the principal is draining"));
        }
        let peer = Peer::of(request.extensions())?.clone();
        let known = self.authenticator.attach(&peer.entrance, request.metadata().as_ref()).await;
        let (agent, grant) = known.map_err(|unknown| self.refused(&unknown))?;
        peer.used.cancel();
        let mut events = request.into_inner();
        let (hello, version) = handshake::hello(&mut events).await.map_err(|error| {
            self.metrics.refuse(error.reason());
            info!(%agent, error = %Report(&error), "agent refused");
            error.status()
        })?;
        let about = About {
            build: hello.build.clone(),
            mode: hello.mode.clone(),
            namespace: hello.namespace.clone(),
            instance: hello.instance.clone(),
        };
        let windows = Windows { own: self.window, peers: hello.window };
        let (session, outgoing) = self.registry.attach(&agent, about, windows);
        let span = info_span!("session", %agent, session = %session.id());
        span.in_scope(|| {
            info!(build = %hello.build, mode = %hello.mode, namespace = %hello.namespace, version, "agent attached");
        });
        if let Some(newcomers) = &self.newcomers {
            newcomers.attached(&agent, &hello.cluster_labels);
        }
        let welcome = handshake::welcome(session.id(), version, self.liveliness, self.window);
        let control = ControlStream {
            welcome: Some(welcome),
            events: outgoing,
            flow: Arc::clone(session.flow()),
            ended: Box::pin(session.ended().clone().cancelled_owned()),
        };
        peer.sessions.fetch_add(1, Ordering::Relaxed);
        self.drain.spawn(span, Box::new(self.clone()).drive(session, Box::new(events), grant, peer));
        Ok(Response::new(control))
    }

    /// Pipes do not come this way: `serve.rs` hands them to the inherent method of that name.
    async fn pipe(&self, _request: Request<Streaming<proto::Chunk>>) -> Result<Response<Self::PipeStream>, Status> {
        Err(Status::unimplemented("a pipe is no call of tonic's"))
    }
}

// === impl Peer ===

impl Peer {
    pub(super) fn new(entrance: Entrance, used: CancellationToken, kill: CancellationToken) -> Self {
        Self { entrance: Arc::new(entrance), used, kill, sessions: Arc::default() }
    }

    fn of(extensions: &Extensions) -> Result<&Self, Status> {
        extensions.get::<Self>().ok_or_else(|| Status::internal("connection without a peer"))
    }

    /// What it has shown.
    pub(crate) fn entrance(&self) -> &Entrance {
        &self.entrance
    }

    /// A session has ended; `kill` ends the connection, too, unless it carries another one.
    fn leave(&self, kill: bool) {
        if self.sessions.fetch_sub(1, Ordering::Relaxed) == 1 && kill {
            self.kill.cancel();
        }
    }
}

// === impl ControlStream ===

impl Stream for ControlStream {
    type Item = Result<proto::PrincipalEvent, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(welcome) = this.welcome.take() {
            return Poll::Ready(Some(Ok(PrincipalEvent::Welcome(welcome).into())));
        }
        if let Poll::Ready(pipe) = this.events.session.cancels.poll_next(cx) {
            return Poll::Ready(Some(Ok(PrincipalEvent::Cancel(pipe).into())));
        }
        if let Poll::Ready(Some(event)) = this.events.control.poll_recv(cx) {
            return Poll::Ready(Some(Ok((*event).into())));
        }
        if let Poll::Ready((pipe, bytes)) = this.flow.grants().poll_next(cx) {
            return Poll::Ready(Some(Ok(PrincipalEvent::Grant(pipe, bytes).into())));
        }
        // The last word of a session may still be queued when it ends, so this comes last.
        this.ended.as_mut().poll(cx).map(|()| None)
    }
}

fn id<I: std::str::FromStr>(headers: &HeaderMap, name: &str) -> Result<I, Status> {
    let text = headers.get(name).and_then(|value| value.to_str().ok());
    text.and_then(|text| text.parse().ok()).ok_or_else(|| Status::invalid_argument(format!("{name} is no id")))
}
