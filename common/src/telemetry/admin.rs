//! The plain HTTP pages for kubelets and Prometheus: `/healthz`, `/livez`, `/readyz`, `/metrics`.
//!
//! They answer while the rest of the process is busy, full or draining, and no caller of theirs can use up more than a
//! few small buffers.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tracing::{debug, debug_span, warn};

use super::{Exposition, Latch, Readiness, Registry};
use crate::{accept::Acceptor, drain};

/// The pages of one port; what is `None` is 404 there.
#[derive(Debug, Clone, Default)]
pub struct Admin {
    /// `/healthz`, `/livez` and `/readyz`.
    pub health: Option<Health>,
    /// `/metrics`.
    pub metrics: Option<Arc<Registry>>,
    /// A page of JSON of the process's own.
    pub json: Option<JsonPage>,
}

/// Makes JSON of a query.
type Make = Arc<dyn Fn(&str) -> Bytes + Send + Sync>;

/// A page of JSON, made anew for each request.
#[derive(Clone)]
pub struct JsonPage {
    /// Where it is.
    pub path: &'static str,
    /// What it is, given the query.
    pub make: Make,
}

/// What the health pages tell.
#[derive(Debug, Clone)]
pub struct Health {
    /// Behind `/readyz`.
    pub readiness: Readiness,
    /// Behind `/healthz`.
    pub healthz: Healthz,
}

/// When `/healthz` is 200, where `/livez` always is.
#[derive(Debug, Clone)]
pub enum Healthz {
    /// As upstream's principal has it.
    Always,
    /// While a latch is released, else 503: upstream's agent is healthy while it is connected.
    While(Latch),
}

type Answer = Response<Full<Bytes>>;

// === impl Admin ===

impl Admin {
    /// Serves until `drain` begins. To let the pages tell of the process's own draining while that lasts, hand in the
    /// watch of a second drain that follows it; [`Readiness`] has the first.
    pub async fn serve(self, listener: TcpListener, drain: drain::Watch) {
        let admin = Arc::new(self);
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut acceptor = Acceptor::new(listener);
        loop {
            let accepted = tokio::select! {
                biased;
                () = drain.draining() => return,
                accepted = async {
                    let permit = Arc::clone(&permits).acquire_owned().await.expect("nobody closes the semaphore");
                    acceptor.accept().await.map(|(stream, peer)| (stream, peer, permit))
                } => accepted,
            };
            match accepted {
                Ok((stream, peer, permit)) => {
                    let (admin, watch) = (Arc::clone(&admin), drain.clone());
                    drain.spawn(debug_span!("admin", %peer), async move {
                        admin.connection(stream, watch).await;
                        drop(permit);
                    });
                }
                Err(error) => warn!(%error, "cannot accept connections for health and metrics, trying again"),
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, drain: drain::Watch) {
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = self.answer(&request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_BUFFER)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            result = connection.as_mut() => Some(result),
            () = drain.draining() => None,
            () = sleep(CONNECTION_LIFETIME) => None,
        };
        let result = match ended {
            Some(result) => result,
            None => {
                connection.as_mut().graceful_shutdown();
                timeout(LAST_WORDS, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = result {
            debug!(error = %crate::Report(&error), "connection ended");
        }
    }

    fn answer<B>(&self, request: &Request<B>) -> Answer {
        let page = match (request.uri().path(), &self.health, &self.metrics) {
            ("/healthz", Some(health), _) => health.healthz(),
            ("/livez", Some(_), _) => text(StatusCode::OK, "ok"),
            ("/readyz", Some(health), _) => health.readyz(),
            ("/metrics", _, Some(registry)) => {
                let exposition = Exposition::negotiate(request.headers());
                with_type(StatusCode::OK, registry.encode(exposition), exposition.content_type())
            }
            (path, _, _) => match self.json.as_ref().filter(|page| page.path == path) {
                Some(page) => {
                    let query = request.uri().query().unwrap_or_default();
                    with_type(StatusCode::OK, (page.make)(query), "application/json")
                }
                None => return text(StatusCode::NOT_FOUND, "not found"),
            },
        };
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return page;
        }
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        refusal
    }
}

// === impl JsonPage ===

impl std::fmt::Debug for JsonPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonPage").field("path", &self.path).finish_non_exhaustive()
    }
}

// === impl Health ===

impl Health {
    fn healthz(&self) -> Answer {
        match &self.healthz {
            Healthz::While(latch) if !latch.is_released() => {
                text(StatusCode::SERVICE_UNAVAILABLE, format!("unhealthy: {}", latch.name()))
            }
            Healthz::While(_) | Healthz::Always => text(StatusCode::OK, "ok"),
        }
    }

    fn readyz(&self) -> Answer {
        let missing = self.readiness.missing();
        if missing.is_empty() {
            return text(StatusCode::OK, "ok");
        }
        text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}", missing.join(", ")))
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    with_type(status, body, "text/plain; charset=utf-8")
}

fn with_type(status: StatusCode, body: impl Into<Bytes>, content_type: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// A kubelet and a few scrapers need a handful; further callers wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;
/// Also how long a connection may lie idle between two requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// No request of a kubelet or Prometheus comes near; the least that hyper allows is 8 KiB.
const MAX_BUFFER: usize = 16 * 1024;
/// Gives back the place of a caller that does not read its answers.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(60);
/// For the answer that is under way when a connection has to end.
const LAST_WORDS: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tracing::Span;

    use super::*;

    struct World {
        address: SocketAddr,
        signal: drain::Signal,
        ready: Latch,
        connected: Latch,
    }

    impl World {
        async fn new() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (signal, watch) = drain::channel();
            let readiness = Readiness::new(watch.clone());
            let (ready, connected) = (readiness.latch("doors"), readiness.latch("connection"));
            let healthz = Healthz::While(connected.clone());
            let admin = Admin {
                health: Some(Health { readiness, healthz }),
                metrics: Some(Arc::new(Registry::new())),
                json: None,
            };
            watch.spawn(Span::none(), admin.serve(listener, watch.clone()));
            Self { address, signal, ready, connected }
        }

        async fn ask(&self, head: &str) -> String {
            ask(self.address, head).await
        }
    }

    async fn ask(address: SocketAddr, head: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{head}\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn readyz_names_what_is_missing() {
        let world = World::new().await;
        let answer = world.ask("GET /readyz HTTP/1.1").await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\nnot ready: doors, connection"));
        world.ready.release();
        world.connected.release();
        let answer = world.ask("GET /readyz HTTP/1.1").await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok"), "{answer}");
    }

    #[tokio::test]
    async fn healthz_follows_its_latch_and_livez_nothing() {
        let world = World::new().await;
        for (connected, status) in [(false, "503"), (true, "200"), (false, "503")] {
            if connected {
                world.connected.release()
            } else {
                world.connected.close()
            }
            assert!(world.ask("GET /healthz HTTP/1.1").await.starts_with(&format!("HTTP/1.1 {status} ")));
            assert!(world.ask("GET /livez HTTP/1.1").await.starts_with("HTTP/1.1 200 "));
        }
        let always = Health { readiness: Readiness::new(drain::channel().1), healthz: Healthz::Always };
        assert_eq!(always.healthz().status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_come_in_the_dialect_that_was_asked_for() {
        let world = World::new().await;
        let plain = world.ask("GET /metrics HTTP/1.1").await;
        assert!(plain.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{plain}");
        assert!(plain.contains("\nargocd_agent_build_info{") && !plain.contains("# EOF"));
        let open = world.ask("GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text").await;
        assert!(open.contains("\r\ncontent-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
        assert!(open.ends_with("# EOF\n"));
    }

    #[tokio::test]
    async fn everything_else_is_refused() {
        let world = World::new().await;
        for (head, status) in [
            ("GET / HTTP/1.1", "404"),
            ("GET /debug/pprof/ HTTP/1.1", "404"),
            ("POST /metrics HTTP/1.1", "405"),
            ("DELETE /healthz HTTP/1.1", "405"),
            ("HEAD /livez HTTP/1.1", "200"),
            ("\0\u{1}garbage", "400"),
        ] {
            let answer = world.ask(head).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
        }
        let long = format!("GET /{} HTTP/1.1", "x".repeat(2 * MAX_BUFFER));
        let answer = world.ask(&long).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    }

    #[tokio::test]
    async fn a_port_shows_only_the_pages_it_was_given() {
        let metrics = Admin { metrics: Some(Arc::new(Registry::new())), ..Admin::default() };
        let status = |admin: &Admin, path: &str| admin.answer(&Request::get(path).body(()).unwrap()).status();
        assert_eq!(status(&metrics, "/metrics"), StatusCode::OK);
        assert_eq!(status(&metrics, "/readyz"), StatusCode::NOT_FOUND);
        assert_eq!(status(&Admin::default(), "/metrics"), StatusCode::NOT_FOUND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_caller_is_dropped() {
        let world = World::new().await;
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(b"GET /livez HT").await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
    }

    #[tokio::test]
    async fn drains_with_idle_connections_open() {
        let world = World::new().await;
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        assert!(world.signal.drain(Duration::from_secs(30)).await);
        assert!(TcpStream::connect(world.address).await.is_err());
    }
}
