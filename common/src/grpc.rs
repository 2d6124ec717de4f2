//! HTTP/2 to a principal, as tonic wants it.

use std::{
    fmt, io,
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::BoxFuture};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    proxy::{Proxies, ProxyError},
    tunnel::limits::{CONNECTION_WINDOW, FRAME, HANDSHAKE, PENDING_RESETS, http2_window},
};

/// An HTTP/2 connection to the principal. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Grpc(http2::SendRequest<tonic::body::Body>);

/// Runs the connection; resolves when it has ended, or takes no more calls: those that it has not taken are told so then, and
/// those that run may go on.
pub type Driver = BoxFuture<'static, Result<(), hyper::Error>>;

/// Where a principal is. Its host is one that a certificate can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    name: ServerName<'static>,
}

/// Why an attempt to connect failed.
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

// === impl Address ===

impl Address {
    /// `host:port`; an IPv6 address has no brackets.
    ///
    /// # Errors
    /// When `host` can be no name of a certificate.
    pub fn new(host: String, port: u16) -> Result<Self, ConnectError> {
        let name = ServerName::try_from(host.clone()).map_err(|_invalid| ConnectError::Name(host.clone()))?;
        Ok(Self { host, port, name })
    }

    /// Reads `host:port`, an IPv6 address in brackets.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match bare {
            // Only those have colons.
            None if host.contains(':') => None,
            bare => Self::new(bare.unwrap_or(host).to_owned(), port).ok(),
        }
    }

    /// The host, an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What its certificate has to name.
    #[must_use]
    pub fn server_name(&self) -> &ServerName<'static> {
        &self.name
    }

    /// Connects the way that `proxies` say, without TLS unless there is one; `stream_window` is what the principal may send
    /// of a pipe before we grant more. The driver must run for the connection to do anything.
    ///
    /// # Errors
    /// When a step fails or takes too long.
    pub async fn connect(
        &self,
        tls: Option<TlsConnector>,
        proxies: &Proxies,
        stream_window: u32,
    ) -> Result<(Grpc, Driver), ConnectError> {
        let tcp = self.dial(proxies).await?;
        let Some(tls) = tls else { return http2(tcp, stream_window).await };
        let tls = timeout(HANDSHAKE, tls.connect(self.name.clone(), tcp)).await;
        let tls = tls.map_err(|_elapsed| ConnectError::Timeout { step: "the TLS handshake" })?;
        let tls = tls.map_err(|error| ConnectError::Tls(self.host.clone(), error))?;
        http2(tls, stream_window).await
    }

    async fn dial(&self, proxies: &Proxies) -> Result<TcpStream, ConnectError> {
        let failed = |error| ConnectError::Tcp(self.host.clone(), self.port, error);
        let tcp = match proxies.on_the_way_to(&self.host, self.port) {
            Some(proxy) => {
                let tcp = timeout(HANDSHAKE, proxy.connect(&self.host, self.port)).await;
                let tcp = tcp.map_err(|_elapsed| ConnectError::Timeout { step: "connecting through the proxy" })?;
                tcp.map_err(|error| ConnectError::Proxy(self.host.clone(), self.port, error))?
            }
            None => {
                let tcp = timeout(HANDSHAKE, TcpStream::connect((self.host.as_str(), self.port))).await;
                tcp.map_err(|_elapsed| ConnectError::Timeout { step: "connecting" })?.map_err(failed)?
            }
        };
        tcp.set_nodelay(true).map_err(failed)?;
        Ok(tcp)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

// === impl Grpc ===

impl tower_service::Service<http::Request<tonic::body::Body>> for Grpc {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, hyper::Error>>;

    /// Always: a connection that has ended says so to the call. Said here tonic would make a status of it that has no cause
    /// and looks like one of the principal's.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// HTTP/2 over a connection that exists; `stream_window` is what the principal may send of a pipe before we grant more.
///
/// # Errors
/// When the peer speaks something else.
pub async fn http2<I>(io: I, stream_window: u32) -> Result<(Grpc, Driver), ConnectError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(http2_window(stream_window))
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(PENDING_RESETS)
        .max_frame_size(FRAME)
        // What the principal's headers say is a few dozen bytes a pipe; the table of those it has said would cost it a
        // kilobyte for each agent.
        .header_table_size(0)
        .handshake(TokioIo::new(io))
        .await;
    let (send, connection) = handshake.map_err(ConnectError::Http2)?;
    // Fused, which drops it as soon as it has ended: with it goes the queue of the calls that it has not taken. Kept by
    // whoever has polled it to its end, it would let them wait for an answer for ever.
    Ok((Grpc(send), connection.fuse().boxed()))
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, pin::pin, sync::Arc};

    use hyper::server::conn::http2 as server;
    use tokio::{
        net::TcpListener,
        sync::Notify,
        time::{Instant, sleep},
    };
    use tower_service::Service;

    use super::*;

    fn call(grpc: &mut Grpc) -> impl Future<Output = Result<http::Response<Incoming>, hyper::Error>> + use<> {
        let request = http::Request::post("https://principal").body(tonic::body::Body::empty()).unwrap();
        timeout(HANDSHAKE, Service::call(grpc, request)).map(|answer| answer.expect("it is told"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_told_of_an_end_of_its_connection_that_came_before_it_or_with_it() {
        for before in [true, false] {
            let (near, far) = tokio::io::duplex(1 << 10);
            let (mut grpc, mut driver) = http2(near, 1 << 20).await.unwrap();
            drop(far);
            let queued = call(&mut grpc);
            let _ended = timeout(HANDSHAKE, &mut driver).await.unwrap();
            let answer = if before { call(&mut grpc).await } else { queued.await };
            answer.unwrap_err();
        }
    }

    /// As a mesh's proxy does that is to be replaced.
    #[tokio::test(start_paused = true)]
    async fn a_call_goes_on_where_the_connection_takes_no_more() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let (mut grpc, mut driver) = http2(near, 1 << 20).await.unwrap();
        let asked = Arc::new(Notify::new());
        let tell = Arc::clone(&asked);
        let service = hyper::service::service_fn(move |_| {
            tell.notify_one();
            sleep(HANDSHAKE / 2).map(|()| Ok::<_, Infallible>(http::Response::new(tonic::body::Body::empty())))
        });
        let mut server = pin!(server::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(far), service));
        let serve = async {
            tokio::select! {
                ended = server.as_mut() => return ended,
                () = asked.notified() => {}
            }
            server.as_mut().graceful_shutdown();
            server.await
        };
        let answer = call(&mut grpc);
        let ended = async {
            (&mut driver).await.unwrap();
            assert!(call(&mut grpc).await.is_err());
        };
        let (served, answer, ()) = tokio::join!(serve, answer, ended);
        served.unwrap();
        assert_eq!(answer.unwrap().status(), http::StatusCode::OK);
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_that_says_nothing_is_given_up() {
        // The kernel accepts, and nobody answers.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let proxies = Proxies::read(|name| (name == "HTTPS_PROXY").then(|| url.clone())).unwrap();
        let address = Address::new("principal.example".into(), 8443).unwrap();
        let began = Instant::now();
        let error = address.connect(None, &proxies, 1 << 20).await.err().unwrap();
        assert_eq!(error.to_string(), "connecting through the proxy took longer than 10 s");
        assert_eq!(began.elapsed(), HANDSHAKE);
    }
}
