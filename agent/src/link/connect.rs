//! One attempt to reach the principal: TCP, TLS, HTTP/2.

use std::{
    fmt, io,
    sync::Arc,
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use common::{
    proxy::{Proxies, ProxyError},
    tls::ClientTls,
    tunnel::limits::{CONNECTION_WINDOW, FRAME, HANDSHAKE, PENDING_RESETS},
};
use futures_util::future::BoxFuture;
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// Makes connections to the principal.
pub trait Connect: Send + Sync + fmt::Debug + 'static {
    /// Connects; the returned driver must run for the connection to do anything.
    fn connect(&self) -> BoxFuture<'_, Result<(Grpc, Driver), ConnectError>>;

    /// Resolves when we would be somebody else to the principal, or know it by something else, than with the connection
    /// that was made last: then a session is to be had over a new one.
    fn outdated(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// Knows where the principal is and how to trust it.
pub struct Connector {
    host: String,
    port: u16,
    /// Whether one is on the way.
    proxies: Proxies,
    name: ServerName<'static>,
    /// None where a service mesh sees to that.
    tls: Option<Tls>,
    stream_window: u32,
}

struct Tls {
    current: ClientTls,
    /// What the last connection had.
    used: ArcSwap<ClientConfig>,
}

/// An HTTP/2 connection to the principal, as tonic wants it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Grpc(http2::SendRequest<tonic::body::Body>);

/// Runs the connection; resolves when it has ended.
pub type Driver = BoxFuture<'static, Result<(), hyper::Error>>;

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is neither a DNS name nor an IP address.
    #[error("`{0}` is neither a DNS name nor an IP address")]
    Name(String),
    /// A step took too long.
    #[error("{step} took longer than {} s", HANDSHAKE.as_secs())]
    Timeout {
        /// Which step.
        step: &'static str,
    },
    /// No TCP connection.
    #[error("cannot connect to {0}:{1}")]
    Tcp(String, u16, #[source] io::Error),
    /// A proxy is on the way, and gives no connection.
    #[error("cannot connect to {0}:{1} through a proxy")]
    Proxy(String, u16, #[source] ProxyError),
    /// No TLS session.
    #[error("TLS handshake with {0} failed")]
    Tls(String, #[source] io::Error),
    /// No HTTP/2 connection.
    #[error("HTTP/2 handshake failed")]
    Http2(#[source] hyper::Error),
}

// === impl Connector ===

impl Connector {
    /// A connector to `host:port`, the way that `proxies` say, without TLS unless there is one; `stream_window` is the
    /// HTTP/2 window of each pipe.
    ///
    /// # Errors
    /// When `host` can be no name of a certificate.
    pub fn new(
        host: String,
        port: u16,
        tls: Option<ClientTls>,
        proxies: Proxies,
        stream_window: u32,
    ) -> Result<Self, ConnectError> {
        let name = ServerName::try_from(host.clone()).map_err(|_invalid| ConnectError::Name(host.clone()))?;
        let tls = tls.map(|current| Tls { used: ArcSwap::new(current.current()), current });
        Ok(Self { host, port, proxies, name, tls, stream_window })
    }

    async fn dial(&self) -> Result<(Grpc, Driver), ConnectError> {
        let tcp_failed = |error| ConnectError::Tcp(self.host.clone(), self.port, error);
        let tcp = match self.proxies.on_the_way_to(&self.host, self.port) {
            Some(proxy) => {
                let tcp = timeout(HANDSHAKE, proxy.connect(&self.host, self.port)).await;
                let tcp = tcp.map_err(|_elapsed| ConnectError::Timeout { step: "connecting through the proxy" })?;
                tcp.map_err(|error| ConnectError::Proxy(self.host.clone(), self.port, error))?
            }
            None => {
                let tcp = timeout(HANDSHAKE, TcpStream::connect((self.host.as_str(), self.port))).await;
                tcp.map_err(|_elapsed| ConnectError::Timeout { step: "connecting" })?.map_err(tcp_failed)?
            }
        };
        tcp.set_nodelay(true).map_err(tcp_failed)?;
        let Some(Tls { current, used }) = &self.tls else { return http2(tcp, self.stream_window).await };
        let config = current.current();
        used.store(Arc::clone(&config));
        let tls = timeout(HANDSHAKE, TlsConnector::from(config).connect(self.name.clone(), tcp)).await;
        let tls = tls.map_err(|_elapsed| ConnectError::Timeout { step: "the TLS handshake" })?;
        let tls = tls.map_err(|error| ConnectError::Tls(self.host.clone(), error))?;
        http2(tls, self.stream_window).await
    }
}

impl Connect for Connector {
    fn connect(&self) -> BoxFuture<'_, Result<(Grpc, Driver), ConnectError>> {
        Box::pin(self.dial())
    }

    fn outdated(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            match &self.tls {
                Some(Tls { current, used }) => current.other_than(&used.load_full()).await,
                None => std::future::pending().await,
            }
        })
    }
}

/// HTTP/2 over a connection that exists; `stream_window` is the window of each pipe.
///
/// # Errors
/// When the peer speaks something else.
pub async fn http2<I>(io: I, stream_window: u32) -> Result<(Grpc, Driver), ConnectError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(stream_window)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(PENDING_RESETS)
        .max_frame_size(FRAME)
        .handshake(TokioIo::new(io))
        .await;
    let (send, connection) = handshake.map_err(ConnectError::Http2)?;
    Ok((Grpc(send), Box::pin(connection)))
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({}:{})", self.host, self.port)
    }
}

// === impl Grpc ===

impl tower_service::Service<http::Request<tonic::body::Body>> for Grpc {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, hyper::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
