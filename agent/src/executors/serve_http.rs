//! The HTTP/1.1 server on one pipe: exchange after exchange, and behind an upgrade whatever the protocol is then.
//!
//! The pipe's future owns everything that runs for it. Dropping it, or the pipe breaking, drops the exchange that runs,
//! and with it the request to the backend.

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use common::{Report, drain};
use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

/// Takes what is to run on the pipe once it has been upgraded. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct AfterUpgrade(Arc<Mutex<Option<BoxFuture<'static, ()>>>>);

// === impl AfterUpgrade ===

impl AfterUpgrade {
    /// Runs `task` when the exchange that answers 101 is over, for as long as the pipe is served.
    pub(crate) fn run<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::pin(task));
    }

    fn take(&self) -> Option<BoxFuture<'static, ()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for AfterUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AfterUpgrade")
    }
}

/// Serves the pipe until it ends. Once the drain begins, the exchange that runs is the last one.
pub(crate) async fn serve_http<S, H, F, B>(stream: S, handler: H, drain: &drain::Watch)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>, AfterUpgrade) -> F,
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let after = AfterUpgrade::default();
    let service = service_fn(|request| {
        let answer = handler(request, after.clone());
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        // The backend says when it answered.
        .auto_date_header(false);
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.draining() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    match ended {
        Ok(()) => {
            if let Some(task) = after.take() {
                task.await;
            }
        }
        // A caller that leaves is no fault, and neither is a broken tunnel: the link tells of it.
        Err(error) => debug!(error = %Report(&error), "pipe ended within an exchange"),
    }
}

/// How long a pipe may be without a complete request head. Longer than a principal keeps an idle pipe (60 s), so that it
/// is never this end that closes one which is about to be used.
const IDLE: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::{BodyExt, Empty, Full};
    use hyper::client::conn::http1::{SendRequest, handshake};
    use tokio::sync::oneshot;
    use tracing::Span;

    use super::*;

    struct World {
        signal: drain::Signal,
        watch: drain::Watch,
        ended: oneshot::Receiver<()>,
        client: SendRequest<Empty<Bytes>>,
    }

    async fn serve<H, F>(handler: H) -> World
    where
        H: Fn(Request<Incoming>, AfterUpgrade) -> F + Send + Sync + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send,
    {
        let (signal, watch) = drain::channel();
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (end, ended) = oneshot::channel();
        let inner = watch.clone();
        watch.spawn(Span::none(), async move {
            serve_http(far, handler, &inner).await;
            end.send(()).unwrap_or_default();
        });
        let (client, connection) = handshake(TokioIo::new(near)).await.unwrap();
        watch.spawn(Span::none(), async move {
            drop(connection.with_upgrades().await);
        });
        World { signal, watch, ended, client }
    }

    fn get(path: &'static str) -> Request<Empty<Bytes>> {
        Request::get(path).body(Empty::new()).unwrap()
    }

    #[tokio::test]
    async fn one_pipe_serves_one_exchange_after_another_and_adds_no_date() {
        let mut world =
            serve(|request, _| async move { Response::new(Full::from(request.uri().path().to_owned())) }).await;
        for path in ["/a", "/b", "/c"] {
            let response = world.client.send_request(get(path)).await.unwrap();
            assert!(!response.headers().contains_key("date"));
            let body = http_body_util::Limited::new(response.into_body(), 16);
            #[expect(clippy::disallowed_methods, reason = "limited to 16 bytes")]
            let body = body.collect().await.unwrap().to_bytes();
            assert_eq!(body, path);
            world.client.ready().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_drain_ends_an_idle_pipe_and_lets_an_exchange_finish() {
        let mut idle = serve(|_, _| async { Response::new(Full::default()) }).await;
        idle.client.send_request(get("/")).await.unwrap();
        assert!(idle.signal.drain(Duration::from_secs(5)).await);
        idle.ended.await.unwrap();

        let (begun, mut begins) = tokio::sync::mpsc::channel(1);
        let mut busy = serve(move |_, _| {
            let begun = begun.clone();
            async move {
                let (go, gone) = oneshot::channel::<()>();
                begun.send(go).await.unwrap();
                gone.await.unwrap();
                Response::new(Full::from("late"))
            }
        })
        .await;
        let exchange = busy.client.send_request(get("/"));
        let drained = async {
            let go = begins.recv().await.unwrap();
            let release = async {
                busy.watch.draining().await;
                go.send(()).unwrap();
            };
            tokio::join!(busy.signal.drain(Duration::from_secs(5)), release).0
        };
        let (response, drained) = tokio::join!(exchange, drained);
        assert_eq!(response.unwrap().status(), 200);
        assert!(drained);
    }

    #[tokio::test]
    async fn a_caller_that_leaves_cancels_the_exchange() {
        let (drop_seen, dropped) = oneshot::channel::<()>();
        let drop_seen = Arc::new(Mutex::new(Some(drop_seen)));
        let (started, mut starts) = tokio::sync::mpsc::channel(1);
        let world = serve(move |_, _| {
            let guard = drop_seen.lock().unwrap().take();
            let started = started.clone();
            async move {
                let _guard = guard;
                started.send(()).await.unwrap();
                std::future::pending().await
            }
        })
        .await;
        let World { mut client, ended, signal, .. } = world;
        let mut exchange = Box::pin(client.send_request(get("/")));
        tokio::select! {
            _ = exchange.as_mut() => panic!("never answered"),
            started = starts.recv() => started.unwrap(),
        }
        drop(exchange);
        drop(client);
        dropped.await.unwrap_err();
        ended.await.unwrap();
        drop(signal);
    }

    #[tokio::test]
    async fn what_runs_behind_an_upgrade_belongs_to_the_pipe() {
        let mut world = serve(|mut request, after| async move {
            let upgrade = hyper::upgrade::on(&mut request);
            after.run(async move {
                let mut io = TokioIo::new(upgrade.await.unwrap());
                let (mut read, mut write) = tokio::io::split(&mut io);
                tokio::io::copy(&mut read, &mut write).await.unwrap();
            });
            Response::builder()
                .status(101)
                .header("connection", "upgrade")
                .header("upgrade", "echo")
                .body(Full::default())
                .unwrap()
        })
        .await;
        let request =
            Request::get("/").header("connection", "upgrade").header("upgrade", "echo").body(Empty::new()).unwrap();
        let response = world.client.send_request(request).await.unwrap();
        assert_eq!(response.status(), 101);
        let mut io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        tokio::io::AsyncWriteExt::write_all(&mut io, b"hello").await.unwrap();
        let mut echoed = [0; 5];
        tokio::io::AsyncReadExt::read_exact(&mut io, &mut echoed).await.unwrap();
        assert_eq!(&echoed, b"hello");
        assert!(world.ended.try_recv().is_err());
        drop(io);
        world.ended.await.unwrap();
    }
}
