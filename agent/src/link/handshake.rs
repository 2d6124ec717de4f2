//! Hello and Welcome, as the agent says and hears them.

use std::{collections::BTreeMap, sync::Arc, task::Poll};

use common::{
    build_info, proto,
    proto::tunnel_client::TunnelClient,
    tunnel::{
        Target,
        budget::Budget,
        event::{AgentEvent, Hello, InvalidEvent, PrincipalEvent, Welcome},
        flow::{Flow, Windows},
        grants::Grants,
        limits::{HANDSHAKE, MESSAGE, QUEUED_OPENS, VERSIONS},
    },
};
use futures_util::StreamExt;
use tokio::{sync::mpsc, time::timeout};
use tonic::{
    Request, Status, Streaming,
    metadata::{Ascii, MetadataValue},
};

use super::connect::Grpc;

/// What the agent says of itself.
#[derive(Debug, Clone)]
pub(super) struct Introduction {
    pub(super) mode: String,
    pub(super) namespace: String,
    pub(super) targets: Vec<Target>,
    pub(super) cluster_labels: BTreeMap<String, String>,
    /// Of this run of the process.
    pub(super) instance: String,
    /// What it takes of a pipe before it grants more.
    pub(super) window: u32,
}

/// An attached session's ends.
#[derive(Debug)]
pub(super) struct Attached {
    /// The connection, for pipes.
    pub(super) grpc: Grpc,
    pub(super) welcome: Welcome,
    pub(super) say: mpsc::Sender<AgentEvent>,
    pub(super) events: Streaming<proto::PrincipalEvent>,
    pub(super) flow: Arc<Flow>,
}

/// Why no session came about.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttachError {
    #[error("no welcome within {} s", HANDSHAKE.as_secs())]
    Timeout,
    #[error("the principal refused: {}", .0.message())]
    Refused(Status),
    #[error("the stream ended before a welcome")]
    Ended,
    #[error("the first event makes no sense")]
    Invalid(#[source] InvalidEvent),
    #[error("the first event is no welcome")]
    NoWelcome,
    #[error("the principal picked version {0}, which this build does not speak")]
    Version(u32),
}

/// Attaches over a connection that exists, with `authorization` for proof if there is one. The session's pipes share
/// `budget`.
pub(super) async fn attach(
    grpc: Grpc,
    introduction: &Introduction,
    authorization: Option<MetadataValue<Ascii>>,
    budget: Budget,
) -> Result<Attached, AttachError> {
    // tonic wants an origin; what counts is the connection that exists.
    let origin = http::Uri::from_static("http://principal");
    let mut client = TunnelClient::with_origin(grpc.clone(), origin).max_decoding_message_size(MESSAGE);
    // Events of the agent are few: pongs, refusals, a good-bye.
    let (say, said) = mpsc::channel(QUEUED_OPENS);
    let hello = AgentEvent::Hello(Hello {
        versions: VERSIONS,
        build: build_info::VERSION.to_owned(),
        mode: introduction.mode.clone(),
        namespace: introduction.namespace.clone(),
        capabilities: Vec::new(),
        targets: introduction.targets.clone(),
        cluster_labels: introduction.cluster_labels.clone(),
        instance: Some(introduction.instance.clone()),
        window: Some(introduction.window),
    });
    // The queue is empty, so this finds room at once.
    if say.try_send(hello).is_err() {
        return Err(AttachError::Ended);
    }
    let grants = Arc::new(Grants::default());
    let shake = async {
        let mut request = Request::new(wire(said, Arc::clone(&grants)));
        if let Some(authorization) = authorization {
            request.metadata_mut().insert("authorization", authorization);
        }
        let response = client.attach(request).await.map_err(AttachError::Refused)?;
        let mut events = response.into_inner();
        let first = events.next().await.ok_or(AttachError::Ended)?.map_err(AttachError::Refused)?;
        let PrincipalEvent::Welcome(welcome) = PrincipalEvent::try_from(first).map_err(AttachError::Invalid)? else {
            return Err(AttachError::NoWelcome);
        };
        Ok((welcome, events))
    };
    let (welcome, events) = timeout(HANDSHAKE, shake).await.map_err(|_elapsed| AttachError::Timeout)??;
    if !VERSIONS.contains(&welcome.version) {
        return Err(AttachError::Version(welcome.version));
    }
    let windows = Windows { own: introduction.window, peers: welcome.window };
    Ok(Attached { grpc, welcome, say, events, flow: Flow::new(windows, grants, budget) })
}

/// Ends when nobody can say anything any more.
fn wire(
    mut said: mpsc::Receiver<AgentEvent>,
    grants: Arc<Grants>,
) -> impl futures_util::Stream<Item = proto::AgentEvent> + Send + 'static {
    futures_util::stream::poll_fn(move |cx| {
        if let Poll::Ready(event) = said.poll_recv(cx) {
            return Poll::Ready(event.map(Into::into));
        }
        grants.poll_next(cx).map(|(pipe, bytes)| Some(AgentEvent::Grant(pipe, bytes).into()))
    })
}
