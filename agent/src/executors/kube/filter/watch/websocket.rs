//! A watch in a WebSocket, as browsers ask for it: one message for each event.
//!
//! The API server would answer such a watch itself (`HandleWS` of `apiserver/pkg/endpoints/handlers/watch.go`), but what
//! it says in a WebSocket passes unseen. So the socket ends here, and the API server is asked for a plain watch.

use std::{fmt, time::Duration};

use bytes::Bytes;
use common::{Refusal, Report};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Request, Response, header::SEC_WEBSOCKET_PROTOCOL, request::Parts};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        handshake::server::create_response,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
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
                    ended => {
                        // As the API server says it where there is no more (`Conn.Close` of `golang.org/x/net/websocket`).
                        // The body that breaks off has told of it.
                        let code = if ended.is_none() { CloseCode::Normal } else { CloseCode::Error };
                        socket.close(Some(CloseFrame { code, reason: Utf8Bytes::default() })).await?;
                        break;
                    }
                },
                said = socket.next() => match said {
                    // Pings are answered by the socket itself, and the client has nothing else to say.
                    Some(Ok(message)) if !message.is_close() => {}
                    Some(Ok(_)) => break,
                    Some(Err(error)) => return Err(error),
                    None => return Ok(()),
                },
            }
        }
        drop(self.events);
        tokio::time::timeout(FAREWELL, part(socket)).await.unwrap_or(Ok(()))
    }
}

/// Ends a socket on which one side has said that it closes: the other says so, too. A stream that were merely dropped
/// would be cut, and what is still on its way lost.
async fn part<S>(mut socket: WebSocketStream<S>) -> Result<(), Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(said) = socket.next().await {
        said?;
    }
    socket.get_mut().shutdown().await?;
    Ok(())
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
/// How long a client may take to say that it closes, too.
const FAREWELL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::{Stream, stream};
    use tokio::{
        io::{AsyncReadExt, DuplexStream, duplex},
        time::timeout,
    };

    use super::*;

    /// A client, and a server that sends these events.
    async fn world(
        events: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> (WebSocketStream<DuplexStream>, impl Future<Output = Result<(), Error>>) {
        let (near, far) = duplex(1024);
        let server = WatchSocket { events: FilteredBody::new(events) }.serve(near);
        (WebSocketStream::from_raw_socket(far, Role::Client, None).await, server)
    }

    fn events(events: &[&'static str]) -> Vec<io::Result<Bytes>> {
        events.iter().map(|event| Ok(Bytes::from_static(event.as_bytes()))).collect()
    }

    /// All that the client hears, then the end of its stream.
    async fn hear(mut client: WebSocketStream<DuplexStream>) -> Vec<Message> {
        let heard = timeout(Duration::from_secs(20), async {
            let mut heard = Vec::new();
            while let Some(message) = client.next().await {
                heard.push(message.unwrap());
            }
            assert_eq!(client.get_mut().read(&mut [0]).await.unwrap(), 0, "the stream has ended");
            heard
        });
        heard.await.unwrap()
    }

    fn close(code: CloseCode) -> Message {
        Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::default() }))
    }

    #[tokio::test]
    async fn a_watch_that_ends_closes_its_socket_as_the_api_server_does() {
        let (client, server) = world(stream::iter(events(&["{}\n", "[]\n"]))).await;
        let (heard, served) = tokio::join!(hear(client), server);
        assert_eq!(heard, [Message::text("{}\n"), Message::text("[]\n"), close(CloseCode::Normal)]);
        served.unwrap();
    }

    #[tokio::test]
    async fn a_watch_that_breaks_off_is_no_normal_end() {
        let mut pieces = events(&["{}\n"]);
        pieces.push(Err(io::ErrorKind::ConnectionReset.into()));
        let (client, server) = world(stream::iter(pieces)).await;
        let (heard, served) = tokio::join!(hear(client), server);
        assert_eq!(heard, [Message::text("{}\n"), close(CloseCode::Error)]);
        served.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_closes_is_answered() {
        let (mut client, server) = world(stream::pending()).await;
        let asked = async {
            client.send(close(CloseCode::Away)).await.unwrap();
            hear(client).await
        };
        let (heard, served) = tokio::join!(asked, server);
        assert_eq!(heard, [close(CloseCode::Away)]);
        served.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_any_more_is_not_waited_for_long() {
        let (client, server) = world(stream::iter(events(&[]))).await;
        server.await.unwrap();
        drop(client);
    }
}
