//! A watch in a WebSocket, as browsers ask for it: one message for each event.
//!
//! The API server would answer such a watch itself (`HandleWS` of `apiserver/pkg/endpoints/handlers/watch.go`), but what
//! it says in a WebSocket passes unseen. So the socket ends here, and the API server is asked for a plain watch.

use std::fmt;

use bytes::Bytes;
use common::{Refusal, Report};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Request, Response, header::SEC_WEBSOCKET_PROTOCOL, request::Parts};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        handshake::server::create_response,
        protocol::{Role, WebSocketConfig},
    },
};
use tracing::debug;

use crate::executors::kube::body::FilteredBody;

/// The server's end of a WebSocket, before there is one.
pub(crate) struct WatchSocket {
    events: FilteredBody,
}

/// What agrees to a WebSocket.
#[derive(Debug)]
pub(in super::super) struct Handshake(Response<()>);

// === impl Handshake ===

impl Handshake {
    /// `None` where the request is for no WebSocket.
    ///
    /// # Errors
    /// Where it is for one and makes no sense.
    pub(in super::super) fn of(parts: &Parts) -> Result<Option<Self>, Refusal> {
        let websocket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
        if !parts.headers.get(http::header::UPGRADE).is_some_and(websocket) {
            return Ok(None);
        }
        let mut request = Request::new(());
        request.headers_mut().clone_from(&parts.headers);
        let mut response = create_response(&request).map_err(|error| {
            debug!(error = %Report(&error), "no WebSocket");
            Refusal::BadRequest("the WebSocket handshake is not valid".into())
        })?;
        // As the API server's: a client that offers several must not get one that it does not understand.
        if let Some(protocol) = common::http::headers::tokens(&parts.headers, &SEC_WEBSOCKET_PROTOCOL).next()
            && let Ok(protocol) = HeaderValue::from_str(protocol)
        {
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        Ok(Some(Self(response)))
    }

    /// The answer, and what is to run behind it.
    pub(in super::super) fn answer(self, events: FilteredBody) -> Response<WatchSocket> {
        self.0.map(|()| WatchSocket { events })
    }
}

// === impl WatchSocket ===

impl WatchSocket {
    /// Sends events until they end or the client leaves.
    pub(crate) async fn run(self, client: OnUpgrade) {
        match client.await {
            Ok(client) => match self.serve(TokioIo::new(client)).await {
                Ok(()) | Err(Error::ConnectionClosed) => debug!("a watch in a WebSocket ended"),
                Err(error) => debug!(error = %Report(&error), "a watch in a WebSocket broke"),
            },
            Err(error) => debug!(error = %Report(&error), "no WebSocket came about"),
        }
    }

    async fn serve<S>(mut self, client: S) -> Result<(), Error>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let config = WebSocketConfig::default().max_message_size(Some(LARGEST)).max_frame_size(Some(LARGEST));
        let mut socket = WebSocketStream::from_raw_socket(client, Role::Server, Some(config)).await;
        loop {
            tokio::select! {
                event = self.events.next() => match event {
                    Some(Ok(event)) => socket.send(message(event)).await?,
                    // The body that breaks off has told of it.
                    Some(Err(_)) | None => {
                        socket.close(None).await?;
                        return Ok(());
                    }
                },
                said = socket.next() => match said {
                    // Pings are answered by the socket itself, and the client has nothing else to say.
                    Some(Ok(message)) if !message.is_close() => {}
                    Some(Ok(_)) | None => return Ok(()),
                    Some(Err(error)) => return Err(error),
                },
            }
        }
    }
}

impl fmt::Debug for WatchSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WatchSocket")
    }
}

/// JSON as text, protobuf as bytes.
fn message(event: Bytes) -> Message {
    match Utf8Bytes::try_from(event.clone()) {
        Ok(text) => Message::Text(text),
        Err(_) => Message::Binary(event),
    }
}

/// What a client may say at once; it has nothing to say.
const LARGEST: usize = 64 << 10;
