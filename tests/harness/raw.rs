//! Bytes over TCP and TLS: callers that obey no rule but those that a test gives them, and answers as they stood on the
//! wire.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    client::{ClientSessionMemoryCache, Resumption},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::TLS13,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{World, eventually::soon, pki::Leaf};

/// How to connect.
#[derive(Debug, Clone)]
pub struct Caller {
    ca: String,
    leaf: Option<Leaf>,
    alpn: Vec<Vec<u8>>,
    versions: Vec<&'static SupportedProtocolVersion>,
}

/// A connection whose answers are read one after another.
#[derive(Debug)]
pub struct Raw<S> {
    io: S,
    read: Vec<u8>,
}

/// An HTTP/1.1 answer as it came.
#[derive(Clone, Default)]
pub struct Answer {
    /// From its status line.
    pub status: u16,
    /// Status line and headers, each line with its end.
    pub head: String,
    /// Its body, without the framing.
    pub body: Vec<u8>,
}

// === impl Caller ===

impl Caller {
    /// Shows the certificate of `leaf`, or none; trusts the authority with certificate `ca`. TLS 1.3, no ALPN.
    #[must_use]
    pub fn new(ca: String, leaf: Option<Leaf>) -> Self {
        Self { ca, leaf, alpn: Vec::new(), versions: vec![&TLS13] }
    }

    /// A caller that `world` knows as `name`.
    #[must_use]
    pub fn of(world: &World, name: &str) -> Self {
        Self::new(world.ca.pem(), Some(world.ca.client(name)))
    }

    /// A caller without certificate.
    #[must_use]
    pub fn stranger(world: &World) -> Self {
        Self::new(world.ca.pem(), None)
    }

    /// Offers these protocols.
    #[must_use]
    pub fn alpn(self, alpn: &[&[u8]]) -> Self {
        Self { alpn: alpn.iter().map(|protocol| protocol.to_vec()).collect(), ..self }
    }

    /// Speaks these versions of TLS.
    #[must_use]
    pub fn versions(self, versions: &[&'static SupportedProtocolVersion]) -> Self {
        Self { versions: versions.to_vec(), ..self }
    }

    /// As rustls wants it. Connections of one configuration resume a session if the server lets them.
    ///
    /// # Panics
    /// When a certificate of the test's own making cannot be used.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.as_bytes()).expect("a certificate")).expect("an authority");
        let builder = ClientConfig::builder_with_provider(common::tls::provider())
            .with_protocol_versions(&self.versions)
            .expect("versions of TLS")
            .with_root_certificates(roots);
        let mut config = match &self.leaf {
            Some(leaf) => {
                let chain = vec![CertificateDer::from_pem_slice(leaf.certificate.as_bytes()).expect("a certificate")];
                let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("a certificate and its key")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&self.alpn);
        config.resumption = Resumption::store(Arc::new(ClientSessionMemoryCache::new(8)));
        Arc::new(config)
    }

    /// A connection after its handshake, as far as the client can tell: in TLS 1.3 a server that does not like the
    /// client's certificate says so later.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<Raw<TlsStream<TcpStream>>> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        handshake(self.config(), tcp).await.map(Raw::new)
    }

    /// Connects, sends one request and reads its answer.
    ///
    /// # Panics
    /// When any of that fails.
    pub async fn ask(&self, address: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
        let mut raw = self.connect(address).await.expect("a handshake");
        raw.send(request).await.expect("the request is taken");
        raw.answer().await.expect("an answer")
    }
}

/// The client's side of a handshake on a connection that exists.
///
/// # Errors
/// When it fails.
pub async fn handshake(config: Arc<ClientConfig>, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").expect("a name");
    soon(TlsConnector::from(config).connect(name, tcp)).await
}

/// The head of a GET that a well-behaved client sends.
#[must_use]
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// A connection without TLS.
///
/// # Errors
/// When nobody listens.
pub async fn plain(address: SocketAddr) -> io::Result<Raw<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    Ok(Raw::new(tcp))
}

/// A page of a port that speaks plain HTTP.
///
/// # Panics
/// When it does not.
pub async fn page(address: SocketAddr, path: &str) -> Answer {
    let mut raw = plain(address).await.expect("somebody listens");
    raw.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await.expect("sent");
    raw.answer().await.expect("an answer")
}

/// The sum of all samples on a `/metrics` page whose name and labels begin with `prefix` and contain `part`.
///
/// # Panics
/// When a sample has no number.
pub async fn metric(address: SocketAddr, prefix: &str, part: &str) -> f64 {
    let page = page(address, "/metrics").await;
    let text = page.text();
    let samples = text.lines().filter(|line| line.starts_with(prefix) && line.contains(part));
    samples.map(|line| line.rsplit(' ').next().expect("a value").parse::<f64>().expect("a number")).sum()
}

// === impl Raw ===

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    /// Takes a connection.
    #[must_use]
    pub fn new(io: S) -> Self {
        Self { io, read: Vec::new() }
    }

    /// The connection itself.
    pub fn io(&mut self) -> &mut S {
        &mut self.io
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the peer does not take them any more.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        soon(async {
            self.io.write_all(bytes.as_ref()).await?;
            self.io.flush().await
        })
        .await
    }

    /// The next head, its body still to be read.
    ///
    /// # Errors
    /// When the connection ends before the end of the head.
    pub async fn head(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if self.fill().await? == 0 {
                let read = String::from_utf8_lossy(&self.read).into_owned();
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("no answer but {read:?}")));
            }
        };
        let head = String::from_utf8_lossy(&self.take(end)).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, head.clone()))?;
        Ok(Answer { status, head, body: Vec::new() })
    }

    /// The next answer, whole.
    ///
    /// # Errors
    /// When the connection ends before the end of the answer.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        let mut answer = self.head().await?;
        if matches!(answer.status, 100..200 | 204 | 304) {
            return Ok(answer);
        }
        if answer.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk().await? {
                answer.body.extend(chunk);
            }
        } else if let Some(length) = answer.header("content-length") {
            answer.body = self.exactly(length.parse().map_err(io::Error::other)?).await?;
        } else {
            let (body, ended) = self.rest().await;
            ended?;
            answer.body = body;
        }
        Ok(answer)
    }

    /// The next chunk of a chunked body; `None` is its end.
    ///
    /// # Errors
    /// When the connection ends before the end of the body.
    pub async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = self.line().await?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
        if size == 0 {
            while !self.line().await?.is_empty() {}
            return Ok(None);
        }
        let mut chunk = self.exactly(size + 2).await?;
        chunk.truncate(size);
        Ok(Some(chunk))
    }

    /// What still comes, and how the connection ended.
    pub async fn rest(&mut self) -> (Vec<u8>, io::Result<()>) {
        loop {
            match self.fill().await {
                Ok(0) => return (std::mem::take(&mut self.read), Ok(())),
                Ok(_) => {}
                Err(error) => return (std::mem::take(&mut self.read), Err(error)),
            }
        }
    }

    /// So many bytes.
    ///
    /// # Errors
    /// When the connection ends before.
    pub async fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.read.len() < count {
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.take(count))
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.read.windows(2).position(|window| window == b"\r\n") {
                let mut line = self.take(at + 2);
                line.truncate(at);
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.read.split_off(count);
        std::mem::replace(&mut self.read, rest)
    }

    async fn fill(&mut self) -> io::Result<usize> {
        soon(self.io.read_buf(&mut self.read)).await
    }
}

// === impl Answer ===

impl Answer {
    /// The first header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Every header, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head.lines().skip(1).filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim()))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} and {} bytes", self.head, self.body.len())
    }
}
