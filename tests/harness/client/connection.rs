//! One connection of a caller, and the exchanges on it.

use std::sync::Arc;

use http::{Request, Response, Uri, header::HOST};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, task::JoinSet};
use tokio_rustls::client::TlsStream;

use super::{Answer, Body, Protocol, Stream, get};
use crate::soon;

/// A connection with its handshakes behind it. Dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    authority: String,
    _driver: Arc<JoinSet<()>>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

// === impl Connection ===

impl Connection {
    pub(super) async fn open(tls: TlsStream<TcpStream>, protocol: Protocol, authority: String) -> Self {
        let io = TokioIo::new(tls);
        let mut driver = JoinSet::new();
        let sender = if protocol == Protocol::Http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.expect("an h2 handshake");
            driver.spawn(async move { drop(connection.await) });
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(io).await.expect("an HTTP/1.1 handshake");
            driver.spawn(async move { drop(connection.with_upgrades().await) });
            Sender::Http1(sender)
        };
        Self { sender, authority, _driver: Arc::new(driver) }
    }

    /// Sends a request whose URI is a path; returns when the head of its answer is there.
    ///
    /// # Panics
    /// When none comes.
    pub async fn send(&mut self, request: Request<Body>) -> Response<Incoming> {
        soon(self.try_send(request)).await.expect("an answer")
    }

    /// As [`send`](Self::send), for a request that may fail.
    ///
    /// # Errors
    /// When no answer comes.
    ///
    /// # Panics
    /// When the request's URI is not a path.
    pub async fn try_send(&mut self, mut request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                request.headers_mut().insert(HOST, self.authority.parse().expect("an address is a header value"));
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                let target = format!("https://{}{}", self.authority, request.uri());
                *request.uri_mut() = target.parse::<Uri>().expect("a path");
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }

    /// Sends a request and reads its whole answer.
    pub async fn ask(&mut self, request: Request<Body>) -> Answer {
        Answer::read(self.send(request).await).await
    }

    /// Sends a GET whose answer is read as it comes.
    ///
    /// # Panics
    /// When the answer is not 200.
    pub async fn stream(&mut self, path: &str) -> Stream {
        self.stream_of(get(path)).await
    }

    /// Sends a request whose answer is read as it comes.
    ///
    /// # Panics
    /// When the answer is not 200.
    pub async fn stream_of(&mut self, request: Request<Body>) -> Stream {
        let what = request.uri().to_string();
        let stream = Stream::new(self.send(request).await);
        let status = stream.status;
        if status == 200 {
            return stream;
        }
        panic!("{what}: {status} {}", String::from_utf8_lossy(&stream.rest().await))
    }

    /// The same connection for one more exchange at the same time.
    ///
    /// # Panics
    /// When it is not HTTP/2.
    #[must_use]
    pub fn share(&self) -> Self {
        let Sender::Http2(sender) = &self.sender else { panic!("HTTP/1.1 has one exchange at a time") };
        Self {
            sender: Sender::Http2(sender.clone()),
            authority: self.authority.clone(),
            _driver: Arc::clone(&self._driver),
        }
    }
}
