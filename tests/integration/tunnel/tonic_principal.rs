//! A principal whose pipes are tonic's, as those of earlier builds are: our agent must not know the difference.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use agent::{
    dispatch::Dispatch,
    link::{
        Link,
        connect::{Connect, ConnectError, Driver, Grpc, http2},
        metrics::LinkMetrics,
    },
};
use common::{
    drain,
    proto::{
        self,
        tunnel_server::{Tunnel, TunnelServer},
    },
    tunnel::{
        PIPE_HEADER, PipeId, SessionId, Target,
        event::{Open, PrincipalEvent, Welcome},
        limits,
    },
};
use futures_util::{Stream, StreamExt, future::BoxFuture, stream};
use harness::memory::{Scripted, link_options};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status, Streaming};
use tracing::Span;

use super::{echo, soon};

#[tokio::test]
async fn an_agent_and_a_principal_whose_pipes_are_tonics_understand_each_other() {
    let (tell, heard) = oneshot::channel();
    let (signal, watch) = drain::channel();
    let dispatch = Dispatch::new(vec![(Target::Kube, Arc::new(Scripted(echo)) as _)], 8);
    let earlier = Earlier { tell: Arc::new(Mutex::new(Some(tell))), watch: watch.clone() };
    let (link, _connected) = Link::new(Dial(earlier), link_options(), dispatch, LinkMetrics::default());
    watch.spawn(Span::none(), link.run(watch.clone()));
    let heard = soon(heard).await.unwrap();
    let said: Vec<u8> = b"early".iter().copied().chain(data().into_iter().flatten()).collect();
    assert!(heard == said, "{} of {} bytes", heard.len(), said.len());
    signal.drain(Duration::ZERO).await;
}

/// Asks for one pipe, and tells what has come through it when that has ended.
#[derive(Clone)]
struct Earlier {
    tell: Arc<Mutex<Option<oneshot::Sender<Vec<u8>>>>>,
    watch: drain::Watch,
}

struct Dial(Earlier);

/// Of each chunk.
fn data() -> Vec<Vec<u8>> {
    [1, 0, 300, limits::CHUNK, 20_000].into_iter().map(|length| vec![length as u8 | 1; length]).collect()
}

// === impl Earlier ===

#[tonic::async_trait]
impl Tunnel for Earlier {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<proto::PrincipalEvent, Status>> + Send>>;
    type PipeStream = Pin<Box<dyn Stream<Item = Result<proto::Chunk, Status>> + Send>>;

    async fn attach(&self, _: Request<Streaming<proto::AgentEvent>>) -> Result<Response<Self::AttachStream>, Status> {
        let welcome = PrincipalEvent::Welcome(Welcome {
            version: 1,
            session: SessionId::random(),
            build: "earlier".into(),
            capabilities: vec![],
            ping_interval: limits::PING_INTERVAL,
            silence: limits::SILENCE,
            window: None,
        });
        let open = Open { pipe: PipeId::FIRST, target: Some(Target::Kube), early_data: b"early".as_slice().into() };
        let events = [welcome, PrincipalEvent::Open(open)].map(|event| Ok(event.into()));
        Ok(Response::new(stream::iter(events).chain(stream::pending()).boxed()))
    }

    async fn pipe(&self, request: Request<Streaming<proto::Chunk>>) -> Result<Response<Self::PipeStream>, Status> {
        assert_eq!(request.metadata().get(PIPE_HEADER).unwrap(), "1");
        let tell = self.tell.lock().unwrap().take().expect("one pipe");
        let mut chunks = request.into_inner();
        self.watch.spawn(Span::none(), async move {
            let mut came = Vec::new();
            while let chunk = chunks.next().await.expect("an end that is said").unwrap()
                && !chunk.fin
            {
                came.extend(chunk.data);
            }
            tell.send(came).unwrap();
        });
        let said = data().into_iter().map(|data| proto::Chunk { data: data.into(), fin: false });
        let fin = proto::Chunk { data: b"".as_slice().into(), fin: true };
        Ok(Response::new(stream::iter(said.chain([fin]).map(Ok)).boxed()))
    }
}

// === impl Dial ===

impl Connect for Dial {
    fn connect(&self) -> BoxFuture<'_, Result<(Grpc, Driver), ConnectError>> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let service = TowerToHyperService::new(TunnelServer::new(self.0.clone()));
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let connection = server.serve_connection(TokioIo::new(far), service);
        self.0.watch.spawn(Span::none(), async move {
            let _ended = connection.await;
        });
        Box::pin(http2(near, limits::STREAM_WINDOW))
    }
}

impl std::fmt::Debug for Dial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dial")
    }
}
