//! Agents that say only what a test says: who does not keep to the protocol, or is of another build.

use std::time::Duration;

use agent::link::connect::{Grpc, http2};
use common::{
    proto::{self, tunnel_client::TunnelClient},
    tunnel::{
        PIPE_HEADER, PipeError, SESSION_HEADER,
        error::RefusedReason,
        event::{AgentEvent, Hello, PrincipalEvent, Welcome},
        limits,
    },
};
use futures_util::{StreamExt, stream};
use harness::memory::{Principal, Scripted};
use principal::agents::DialError;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};
use tonic::{Code, Request, metadata::MetadataValue};

use super::{echo, soon};

#[tokio::test]
async fn more_pipes_than_allowed_are_refused_with_the_reason() {
    let principal = Principal::new();
    let mut raw = Raw::attach(&principal, 1..=1).await.unwrap();
    let (_lease, mut stream) = principal.dial("raw").unwrap();
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    let PrincipalEvent::Open(open) = raw.next().await else { panic!("not an open") };
    raw.say.send(AgentEvent::PipeRefused(open.pipe, RefusedReason::Busy).into()).await.unwrap();
    let error = soon(stream.read_u8()).await.unwrap_err();
    assert_eq!(PipeError::find(&error), Some(&PipeError::Refused(RefusedReason::Busy)));
}

#[tokio::test]
async fn unknown_used_and_foreign_pipes_are_refused_and_counted() {
    let principal = Principal::new();
    let _other = principal.agent("other", Scripted(echo)).await;
    let (lease, _stream) = principal.dial("other").unwrap();
    let mut raw = Raw::attach(&principal, 1..=1).await.unwrap();
    let own = raw.welcome.session.get();
    assert_eq!(raw.pipe(own, 1).await, Code::NotFound, "nobody dialed");
    assert_eq!(raw.pipe(lease.session.get(), 1).await, Code::NotFound, "another agent's");
    assert_eq!(raw.pipe(own ^ 1, 1).await, Code::NotFound, "no session");
    assert_eq!(raw.pipe(own, 0).await, Code::InvalidArgument, "no id");
    let (_lease, mut stream) = principal.dial("raw").unwrap();
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    let PrincipalEvent::Open(open) = raw.next().await else { panic!("not an open") };
    assert_eq!(raw.pipe(own, open.pipe.get()).await, Code::Ok);
    assert_eq!(raw.pipe(own, open.pipe.get()).await, Code::NotFound, "used");
    let metrics = principal.metrics();
    assert!(metrics.contains("refused_calls_total{reason=\"unknown_pipe\"} 2"), "{metrics}");
    assert!(metrics.contains("refused_calls_total{reason=\"foreign_pipe\"} 2"), "{metrics}");
}

#[tokio::test]
async fn an_agent_that_knows_no_grants_gets_none_and_needs_none() {
    let principal = Principal::new();
    let mut raw = Raw::attach(&principal, 1..=1).await.unwrap();
    assert_eq!(raw.welcome.window, Some(limits::STREAM_WINDOW), "which such an agent does not look at");
    let (_lease, mut stream) = principal.dial("raw").unwrap();
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    let PrincipalEvent::Open(open) = raw.next().await else { panic!("not an open") };
    let chunk = || proto::Chunk { data: vec![7; limits::CHUNK].into(), fin: false };
    let mut request = Request::new(stream::iter((0..CHUNKS).map(move |_| chunk())).chain(stream::pending()));
    request.metadata_mut().insert(SESSION_HEADER, MetadataValue::from(raw.welcome.session.get()));
    request.metadata_mut().insert(PIPE_HEADER, MetadataValue::from(open.pipe.get()));
    let mut inbound = soon(raw.client.pipe(request)).await.unwrap().into_inner();
    soon(stream.read_exact(&mut vec![0; CHUNKS * limits::CHUNK])).await.unwrap();
    let write = async {
        stream.write_all(&vec![7; CHUNKS * limits::CHUNK]).await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let read = async {
        let mut came = 0;
        while let chunk = inbound.next().await.unwrap().unwrap()
            && !chunk.fin
        {
            came += chunk.data.len();
        }
        assert_eq!(came, CHUNKS * limits::CHUNK);
    };
    soon(async { tokio::join!(write, read) }).await;
    let (_lease, mut stream) = principal.dial("raw").unwrap();
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    assert!(matches!(raw.next().await, PrincipalEvent::Open(_)), "and no grant before it");
}

#[tokio::test]
async fn versions_without_overlap_are_refused_with_both_ranges() {
    let principal = Principal::new();
    let status = Raw::attach(&principal, 7..=9).await.err().unwrap();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("7 to 9"), "{}", status.message());
    assert_eq!(Raw::attach(&principal, 1..=9).await.ok().map(|raw| raw.welcome.version), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_silent_agent_is_detached() {
    let principal = Principal::new();
    let raw = Raw::attach(&principal, 1..=1).await.unwrap();
    let (_lease, mut stream) = principal.dial("raw").unwrap();
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    let start = tokio::time::Instant::now();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(PipeError::find(&error), Some(&PipeError::SessionLost));
    assert!(start.elapsed() <= limits::SILENCE + Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(principal.dial("raw").map(drop), Err(DialError::NotConnected));
    drop(raw);
}

/// An agent that says only what the test says.
pub(super) struct Raw {
    /// For calls that tonic would not make.
    pub(super) grpc: Grpc,
    client: TunnelClient<Grpc>,
    say: mpsc::Sender<proto::AgentEvent>,
    events: tonic::Streaming<proto::PrincipalEvent>,
    pub(super) welcome: Welcome,
    pipes: Vec<tonic::Streaming<proto::Chunk>>,
    _driver: tokio::task::JoinSet<()>,
}

impl Raw {
    pub(super) async fn attach(
        principal: &Principal,
        versions: std::ops::RangeInclusive<u32>,
    ) -> Result<Self, tonic::Status> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        principal.accept(far, "raw");
        let (grpc, driver) = http2(near, limits::STREAM_WINDOW).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            let _ended = driver.await;
        });
        let mut client = TunnelClient::with_origin(grpc.clone(), http::Uri::from_static("http://principal"));
        let (say, mut said) = mpsc::channel(8);
        let hello = Hello {
            versions,
            build: "raw".into(),
            mode: "managed".into(),
            namespace: "argocd".into(),
            capabilities: vec![],
            targets: vec![],
            cluster_labels: std::collections::BTreeMap::new(),
            instance: None,
            window: None,
        };
        say.send(AgentEvent::Hello(hello).into()).await.unwrap();
        let said = stream::poll_fn(move |cx| said.poll_recv(cx));
        let mut events = client.attach(Request::new(said)).await?.into_inner();
        let first = PrincipalEvent::try_from(events.next().await.unwrap()?).unwrap();
        let PrincipalEvent::Welcome(welcome) = first else { panic!("not a welcome") };
        Ok(Self { grpc, client, say, events, welcome, pipes: Vec::new(), _driver: tasks })
    }

    pub(super) async fn next(&mut self) -> PrincipalEvent {
        PrincipalEvent::try_from(soon(self.events.next()).await.unwrap().unwrap()).unwrap()
    }

    async fn pipe(&mut self, session: u64, pipe: u64) -> Code {
        let mut request = Request::new(stream::pending());
        request.metadata_mut().insert(SESSION_HEADER, MetadataValue::from(session));
        request.metadata_mut().insert(PIPE_HEADER, MetadataValue::from(pipe));
        match soon(self.client.pipe(request)).await {
            Ok(response) => {
                self.pipes.push(response.into_inner());
                Code::Ok
            }
            Err(status) => status.code(),
        }
    }
}

/// More than a window.
const CHUNKS: usize = 64;
