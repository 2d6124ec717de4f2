//! Serves HTTP on one connection of a caller: HTTP/2 where ALPN agreed on it, else HTTP/1.1, upgrades included.
//!
//! What is no HTTP at all never reaches a door: hyper answers 400, 414 or 431 and closes.

use std::{error::Error, io, pin::pin, time::Duration};

use bytes::Bytes;
use common::drain;
use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    rt::Executor,
    server::conn::{http1, http2},
    service::Service,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tracing::Span;

use super::{
    head_guard::{HeadGuard, Heads},
    preface::Greeted,
};

/// Why a connection ended that should not have.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The caller agreed on HTTP/2 and never began to speak it.
    #[error("no HTTP/2 preface in time")]
    Silent,
    /// The caller left while it said it.
    #[error("connection lost within the HTTP/2 preface")]
    Lost(#[source] io::Error),
    /// It ended within a message, or what came is no HTTP.
    #[error("HTTP connection failed")]
    Http(#[source] hyper::Error),
}

/// Serves a connection until it ends. Once the drain begins, what runs is finished and nothing new is taken.
///
/// `alpn` is the protocol that the TLS handshake agreed on; clients that upgrade send none and mean HTTP/1.1.
/// `service` gets the connection's request heads, where there is something to see in them that the parser hides.
///
/// # Errors
/// When the connection ends within a message. A caller may leave at any time, so that is for the debug log.
pub(crate) async fn serve<T, S, B>(
    io: T,
    alpn: Option<&[u8]>,
    drain: &drain::Watch,
    service: impl FnOnce(Option<Heads>) -> S,
) -> Result<(), ServeError>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Future: Send + 'static>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    if alpn == Some(H2) {
        let greeted = tokio::select! {
            greeted = timeout(PREFACE, Greeted::wait(io)) => greeted.map_err(|_elapsed| ServeError::Silent)?,
            () = drain.draining() => return Ok(()),
        };
        let Some(io) = greeted.map_err(ServeError::Lost)? else { return Ok(()) };
        let connection = http2(drain.clone()).serve_connection(TokioIo::new(io), service(None));
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return ended.map_err(ServeError::Http),
            () = drain.draining() => connection.as_mut().graceful_shutdown(),
        }
        connection.await.map_err(ServeError::Http)
    } else {
        let (io, heads) = HeadGuard::new(io);
        let connection = http1().serve_connection(TokioIo::new(io), service(Some(heads.clone()))).with_upgrades();
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return ended.map_err(ServeError::Http),
            () = drain.draining() => connection.as_mut().graceful_shutdown(),
        }
        // An idle connection ends at once, but one whose next head has begun to come would wait for all of it.
        while heads.is_armed() {
            match timeout(LAST_HEAD, connection.as_mut()).await {
                Ok(ended) => return ended.map_err(ServeError::Http),
                Err(_elapsed) if heads.is_armed() => return Ok(()),
                Err(_elapsed) => {}
            }
        }
        connection.await.map_err(ServeError::Http)
    }
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(MAX_HEAD);
    builder
}

fn http2(drain: drain::Watch) -> http2::Builder<Spawn> {
    let mut builder = http2::Builder::new(Spawn(drain));
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING_ANSWER)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_header_list_size(MAX_HEADER_LIST)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    builder
}

/// Runs the streams of an HTTP/2 connection as tasks that the drain waits for.
#[derive(Debug, Clone)]
struct Spawn(drain::Watch);

impl<F> Executor<F> for Spawn
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(Span::current(), async move {
            future.await;
        });
    }
}

/// The time for an HTTP/2 client's first words, which come right behind the TLS handshake and have as long as that.
const PREFACE: Duration = Duration::from_secs(10);

/// The time for the rest of a request head once the drain has begun. A client sends a head in one go.
const LAST_HEAD: Duration = Duration::from_secs(1);

/// HTTP/2 in ALPN.
const H2: &[u8] = b"h2";

/// How long an HTTP/1.1 connection may be without a complete request head: hyper has one timer for a slow head and for an
/// idle connection. Clients keep idle ones for 90 s and longer; closing them is safe, and a new one costs a handshake.
const IDLE: Duration = Duration::from_secs(60);

/// The longest HTTP/1.1 request head. Above it hyper answers 431, and 414 for a URI of more than 64 KiB. It is also what
/// hyper buffers of an answer whose caller does not read.
pub(super) const MAX_HEAD: usize = 128 * 1024;

/// The longest HTTP/2 header list; above it h2 answers 431.
const MAX_HEADER_LIST: u32 = 64 * 1024;

/// Argo CD keeps a watch per kind open, well over a hundred, all on one connection; the next request would wait in
/// silence.
const MAX_STREAMS: u32 = 10_000;

/// Requests cancelled before they were looked at. h2's default of 20 is a guard against "rapid reset" (CVE-2023-44487)
/// that a client which cancels its watches together would run into.
const MAX_PENDING_RESETS: usize = 1_000;

/// Uploads that are not read hold this much each, and only beyond 256 of them is the connection's window used up: one
/// that stalls stalls itself alone, and its deadline ends it.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 64 * 1024 * 1024;

/// What is buffered of one answer whose caller does not read.
const SEND_BUFFER: usize = 128 * 1024;

/// As kube-apiserver's clients do: a peer whose machine vanished is noticed within a minute.
const PING: Duration = Duration::from_secs(30);
const PING_ANSWER: Duration = Duration::from_secs(20);
