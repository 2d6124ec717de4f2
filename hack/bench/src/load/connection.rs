//! One warm connection to a contestant.

use std::{fmt, net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::ValueEnum;
use http::{HeaderValue, Request, Response, header, request::Builder};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore, client::Resumption};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use serde::Serialize;
use tokio::{
    net::{TcpStream, UnixStream},
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either;

use super::proxy;
use crate::pki::{ClientFiles, LOCALHOST};

/// What the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Protocol {
    #[serde(rename = "HTTP/1.1")]
    Http1,
    #[serde(rename = "HTTP/2")]
    Http2,
}

/// How objects are written on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Encoding {
    /// What kubectl and Argo CD ask for
    Json,
    /// What Go clients of built-in kinds ask for
    Protobuf,
}

/// Where a contestant listens, and what authenticates the client there.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    address: SocketAddr,
    /// The socket of a proxy that leads there, if there is no other way.
    proxy: Option<Arc<Path>>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

/// What TLS is spoken on.
pub(super) type Wire = Either<TcpStream, UnixStream>;

/// A connection with its TLS and HTTP handshakes behind it.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: Sender,
    authority: String,
    /// Ends with the connection.
    _driver: JoinSet<()>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

// === impl Protocol ===

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        })
    }
}

// === impl Encoding ===

impl Encoding {
    fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/vnd.kubernetes.protobuf",
        })
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::Protobuf => "protobuf",
        })
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// Reads the client's credentials.
    pub(crate) fn new(address: SocketAddr, files: &ClientFiles) -> Result<Self> {
        let config = |alpn: &[u8]| -> Result<_> {
            let mut roots = RootCertStore::empty();
            for cert in CertificateDer::pem_file_iter(&files.ca).context("reading the CA")? {
                roots.add(cert.context("reading the CA")?).context("a CA that is none")?;
            }
            let chain = CertificateDer::pem_file_iter(&files.cert)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .context("reading the client certificate")?;
            let key = PrivateKeyDer::from_pem_file(&files.key).context("reading the client key")?;
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(&[&rustls::version::TLS13])
                .context("TLS 1.3")?
                .with_root_certificates(roots)
                .with_client_auth_cert(chain, key)
                .context("the client certificate")?;
            config.alpn_protocols = vec![alpn.to_owned()];
            // As Go's clients, which keep no tickets unless they are told to: a new connection is a whole handshake.
            config.resumption = Resumption::disabled();
            Ok(Arc::new(config))
        };
        Ok(Self { address, proxy: None, http1: config(b"http/1.1")?, http2: config(b"h2")? })
    }

    /// The same by way of a proxy that listens on a Unix socket.
    pub(crate) fn through(&self, proxy: &Path) -> Self {
        Self { proxy: Some(proxy.into()), ..self.clone() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens a TLS connection on which this protocol will be spoken.
    pub(super) async fn tls(&self, protocol: Protocol) -> Result<TlsStream<Wire>> {
        let wire = match &self.proxy {
            Some(proxy) => Either::Right(proxy::connect(proxy, self.address).await?),
            None => {
                let tcp = TcpStream::connect(self.address).await;
                let tcp = tcp.with_context(|| format!("connecting to {}", self.address))?;
                tcp.set_nodelay(true).context("switching delays off")?;
                Either::Left(tcp)
            }
        };
        let config = match protocol {
            Protocol::Http1 => &self.http1,
            Protocol::Http2 => &self.http2,
        };
        let name = ServerName::try_from(LOCALHOST).context("the server's name")?;
        TlsConnector::from(Arc::clone(config)).connect(name, wire).await.context("TLS handshake")
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self, protocol: Protocol) -> Result<Connection> {
        let io = TokioIo::new(self.tls(protocol).await?);
        let mut driver = JoinSet::new();
        let sender = match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(io).await.context("HTTP/1.1 handshake")?;
                // How a connection ended shows in the request that it failed.
                driver.spawn(async move { drop(connection.await) });
                Sender::Http1(sender)
            }
            Protocol::Http2 => {
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
                let (sender, connection) = builder.handshake(io).await.context("HTTP/2 handshake")?;
                driver.spawn(async move { drop(connection.await) });
                Sender::Http2(sender)
            }
        };
        Ok(Connection { sender, authority: self.address.to_string(), _driver: driver })
    }
}

// === impl Connection ===

impl Connection {
    /// Asks for what is there.
    pub(crate) async fn get(&mut self, path: &str, accept: Encoding) -> Result<Response<Incoming>> {
        self.send(Request::get(path), accept, Bytes::new()).await
    }

    /// Creates an object.
    pub(crate) async fn post(&mut self, path: &str, body: Bytes) -> Result<Response<Incoming>> {
        let request = Request::post(path).header(header::CONTENT_TYPE, Encoding::Json.media_type());
        self.send(request, Encoding::Json, body).await
    }

    /// Replaces an object.
    pub(crate) async fn put(&mut self, path: &str, body: Bytes) -> Result<Response<Incoming>> {
        let request = Request::put(path).header(header::CONTENT_TYPE, Encoding::Json.media_type());
        self.send(request, Encoding::Json, body).await
    }

    /// Changes an object by a merge patch (RFC 7386).
    pub(crate) async fn patch(&mut self, path: &str, body: Bytes) -> Result<Response<Incoming>> {
        let media_type = HeaderValue::from_static("application/merge-patch+json");
        let request = Request::patch(path).header(header::CONTENT_TYPE, media_type);
        self.send(request, Encoding::Json, body).await
    }

    /// Sends a request and waits for the headers of its answer; the body follows as it is read.
    async fn send(&mut self, request: Builder, accept: Encoding, body: Bytes) -> Result<Response<Incoming>> {
        let mut request =
            request.header(header::ACCEPT, accept.media_type()).body(Full::new(body)).context("a request")?;
        match &mut self.sender {
            Sender::Http1(sender) => {
                let host = HeaderValue::from_str(&self.authority).context("a host")?;
                request.headers_mut().insert(header::HOST, host);
                sender.ready().await.context("the connection was closed")?;
                sender.send_request(request).await.context("waiting for an answer")
            }
            Sender::Http2(sender) => {
                let uri = format!("https://{}{}", self.authority, request.uri());
                *request.uri_mut() = uri.parse().context("an address")?;
                sender.ready().await.context("the connection was closed")?;
                sender.send_request(request).await.context("waiting for an answer")
            }
        }
    }
}

/// Go's HTTP/2 client, which kubectl and Argo CD are built on, allows a stream this much.
const STREAM_WINDOW: u32 = 4 << 20;

/// And a connection this much: enough that only streams bind.
const CONNECTION_WINDOW: u32 = 1 << 30;
