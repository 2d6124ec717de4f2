//! The door on real HTTP: in-memory connections of callers, and agents behind real pipes.

mod audit;
mod bad_input;
mod cancel;
mod deadline;
mod pipes;
mod refusals;
mod transparent;
mod upgrade;

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use bytes::Bytes;
use common::{auth::PeerIdentity, drain, tunnel::stream::End};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Body, Frame, Incoming},
    client::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prometheus_client::registry::Registry;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::mpsc,
    time::timeout,
};
use tracing::Span;

use super::{KubeDoor, KubeDoorOptions, route::Caller};
use crate::{
    doors::http::test_agent::{AgentPipe, TestAgents},
    revocation::Standing,
};

type TestBody = BoxBody<Bytes, io::Error>;

/// One door, and whatever is around it.
struct World {
    door: Arc<KubeDoor>,
    agents: Arc<TestAgents>,
    pipes: mpsc::Receiver<AgentPipe>,
    signal: drain::Signal,
    watch: drain::Watch,
    registry: Registry,
    /// Owns what is not the door's: callers and agents.
    _others: drain::Signal,
    others: drain::Watch,
}

impl World {
    /// A door whose agent `agent` is attached and serves nothing yet.
    fn new() -> Self {
        let (signal, watch) = drain::channel();
        let (others_signal, others) = drain::channel();
        let (agents, pipes) = TestAgents::new(others.clone());
        agents.attach("agent", 100);
        let mut registry = Registry::default();
        let options = KubeDoorOptions { response_timeout: Duration::from_secs(10), tokens: None };
        let door = Arc::new(KubeDoor::new(Arc::clone(&agents) as _, options, &mut registry, &watch));
        Self { door, agents, pipes, signal, watch, registry, _others: others_signal, others }
    }

    /// A door whose agents answer by `handler`, pipe after pipe. The receiver tells of each pipe's end.
    fn serving<H, F>(handler: H) -> (Self, mpsc::Receiver<End>)
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<TestBody>> + Send + 'static,
    {
        let mut world = Self::new();
        let (_none, empty) = mpsc::channel(1);
        let mut pipes = std::mem::replace(&mut world.pipes, empty);
        let (ends, ended) = mpsc::channel(1024);
        let watch = world.others.clone();
        world.others.spawn(Span::none(), async move {
            while let Some(AgentPipe { io, ended, .. }) = pipes.recv().await {
                let (handler, ends) = (handler.clone(), ends.clone());
                watch.spawn(Span::none(), async move {
                    ends.send(ended.await.unwrap()).await.unwrap_or_default();
                });
                watch.spawn(Span::none(), serve_pipe(io, handler));
            }
        });
        (world, ended)
    }

    /// The bytes of a connection whose client showed a certificate with that common name, or none.
    fn connect(&self, common_name: Option<&str>, alpn: Option<&'static [u8]>) -> DuplexStream {
        let (near, far) = duplex(16 * 1024);
        let identity = common_name.map(|name| {
            Arc::new(PeerIdentity {
                common_name: Some(name.to_owned()),
                subject: format!("CN={name}"),
                uri_sans: Vec::new(),
                fingerprint: String::new(),
                not_after: 0,
            })
        });
        let (door, watch) = (Arc::clone(&self.door), self.watch.clone());
        self.watch.spawn(Span::none(), async move {
            let caller = Caller { peer: ([192, 0, 2, 7], 4711).into(), identity, standing: Standing::good() };
            door.serve_io(far, caller, alpn, &watch).await;
        });
        near
    }

    /// A connection of `agent`'s client in HTTP/1.1.
    async fn h1(&self) -> http1::SendRequest<TestBody> {
        let io = TokioIo::new(self.connect(Some("agent"), None));
        let (sender, connection) = http1::handshake(io).await.unwrap();
        self.others.spawn(Span::none(), async move { connection.with_upgrades().await.unwrap_or_default() });
        sender
    }

    /// A connection of `agent`'s client in HTTP/2.
    async fn h2(&self) -> http2::SendRequest<TestBody> {
        let io = TokioIo::new(self.connect(Some("agent"), Some(b"h2")));
        let mut builder = http2::Builder::new(TokioExecutor::new());
        // As Go's: the client's own windows must not be what stalls.
        builder.initial_connection_window_size(1 << 30);
        let (sender, connection) = builder.handshake(io).await.unwrap();
        self.others.spawn(Span::none(), async move { connection.await.unwrap_or_default() });
        sender
    }

    /// Writes bytes to a connection of its own and reads until the door closes it; without the `Date`.
    async fn raw(&self, common_name: Option<&str>, bytes: &[u8]) -> String {
        let mut io = self.connect(common_name, None);
        io.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        within(io.read_to_end(&mut answer)).await.unwrap();
        without_date(&String::from_utf8_lossy(&answer))
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

async fn serve_pipe<T, H, F>(io: T, handler: H)
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Response<TestBody>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.auto_date_header(false);
    builder.serve_connection(TokioIo::new(io), service).with_upgrades().await.unwrap_or_default();
}

fn get(path: &str) -> Request<TestBody> {
    Request::get(path).header("host", "principal:9090").body(empty()).unwrap()
}

fn empty() -> TestBody {
    Empty::new().map_err(|never| match never {}).boxed()
}

fn full(bytes: impl Into<Bytes>) -> TestBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// A body that comes through a channel; dropping the sender ends it, an error cuts it.
fn channel() -> (mpsc::Sender<io::Result<Frame<Bytes>>>, TestBody) {
    let (sender, mut frames) = mpsc::channel(1);
    let frames = futures_util::stream::poll_fn(move |cx| frames.poll_recv(cx));
    (sender, BoxBody::new(StreamBody::new(frames)))
}

fn data(bytes: &'static [u8]) -> io::Result<Frame<Bytes>> {
    Ok(Frame::data(Bytes::from_static(bytes)))
}

/// All of a body, and its trailers.
async fn read<B>(mut body: B) -> Result<(String, Option<HeaderMap>), B::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (mut bytes, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((String::from_utf8(bytes).unwrap(), trailers))
}

/// Fails a test that would hang.
async fn within<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(20), future).await.expect("takes too long")
}

fn without_date(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let lines: Vec<&str> = head.split("\r\n").filter(|line| !line.starts_with("date: ")).collect();
    format!("{}\r\n\r\n{body}", lines.join("\r\n"))
}
