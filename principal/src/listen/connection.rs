//! One connection, from the accepted socket to the handler: its TLS handshake, if any, and who is at the other end.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwap;
use common::auth::{IdentityError, PeerIdentity};
use rustls::{CommonState, ServerConfig};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    lean::LeanTls,
    metrics::{FailureReason, Open},
    turns::Turns,
};

/// What is spoken on a door's connections, beneath its own protocol. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Security {
    /// Nothing: bytes are read as they come.
    Plain,
    /// TLS. Every connection gets the configuration that is held when it comes.
    Tls(Arc<ArcSwap<ServerConfig>>),
    /// The same for connections that are many, and idle most of the time: they have no buffers then.
    LeanTls(Arc<ArcSwap<ServerConfig>>),
}

/// A connection after its handshake.
#[derive(Debug)]
pub struct Connection {
    /// The bytes. While they live the connection counts, wherever they are moved.
    pub io: Io,
    /// The other end's address, as the socket tells.
    pub peer: SocketAddr,
    /// Who the other end is, if it showed a certificate; that was verified.
    pub identity: Option<Arc<PeerIdentity>>,
    /// The protocol that was agreed on, if the other end uses ALPN.
    pub alpn: Option<Vec<u8>>,
}

/// The byte stream of a connection: what is inside TLS, or the socket itself.
#[derive(Debug)]
pub struct Io {
    transport: Transport,
    _open: Open,
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    /// Boxed: it is a kilobyte, and a plain connection that idles should not have it.
    Tls(Box<TlsStream<TcpStream>>),
    LeanTls(Box<LeanTls<TcpStream>>),
}

/// What a connection that comes now begins with.
#[derive(Debug)]
pub(super) enum Greeting {
    Plain,
    Tls(Arc<ServerConfig>),
    LeanTls(Arc<ServerConfig>),
}

/// Why a connection never reached its handler.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("no handshake in time")]
    Timeout,
    #[error("TLS handshake failed")]
    Tls(#[source] io::Error),
    #[error("connection lost in the handshake")]
    Io(#[source] io::Error),
    #[error("certificate cannot be used")]
    Identity(#[source] IdentityError),
}

/// Runs the handshake on an accepted socket, as the server, when its turn comes. A plain connection has none. The limit
/// is the peer's: while it waits for its turn, no time passes for it.
pub(super) async fn accept(
    stream: TcpStream,
    peer: SocketAddr,
    greeting: Greeting,
    (limit, turns): (Duration, Turns),
    open: Open,
) -> Result<Connection, HandshakeError> {
    if let Greeting::Plain = greeting {
        let io = Io { transport: Transport::Plain(stream), _open: open };
        return Ok(Connection { io, peer, identity: None, alpn: None });
    }
    let begun = Instant::now();
    // Who has said nothing takes no turn. (tokio takes a new socket to be readable before it has looked.)
    let spoken = timeout(limit, stream.peek(&mut [0])).await.map_err(|_elapsed| HandshakeError::Timeout)?;
    spoken.map_err(HandshakeError::Io)?;
    let left = limit.saturating_sub(begun.elapsed());
    let turn = turns.come().await;
    // Boxed: thousands may wait for their turn, and kilobytes each would leave holes between what stays.
    let transport = timeout(left, turn.run(Box::pin(greeting.shake_hands(stream))))
        .await
        .map_err(|_elapsed| HandshakeError::Timeout)?
        .map_err(HandshakeError::from_io)?;
    let session = transport.session();
    let leaf = session.and_then(|session| session.peer_certificates()).and_then(|chain| chain.first());
    let identity = leaf.map(|leaf| PeerIdentity::from_der(leaf)).transpose().map_err(HandshakeError::Identity)?;
    let alpn = session.and_then(|session| session.alpn_protocol()).map(<[u8]>::to_vec);
    Ok(Connection { io: Io { transport, _open: open }, peer, identity: identity.map(Arc::new), alpn })
}

// === impl Security ===

impl Security {
    /// What a connection gets that comes now.
    pub(super) fn current(&self) -> Greeting {
        match self {
            Self::Plain => Greeting::Plain,
            Self::Tls(config) => Greeting::Tls(config.load_full()),
            Self::LeanTls(config) => Greeting::LeanTls(config.load_full()),
        }
    }
}

// === impl Greeting ===

impl Greeting {
    async fn shake_hands(self, stream: TcpStream) -> io::Result<Transport> {
        Ok(match self {
            Self::Plain => Transport::Plain(stream),
            Self::Tls(config) => Transport::Tls(Box::new(TlsAcceptor::from(config).accept(stream).await?)),
            Self::LeanTls(config) => Transport::LeanTls(Box::new(LeanTls::accept(stream, config).await?)),
        })
    }
}

// === impl Transport ===

impl Transport {
    /// What was agreed on, and with whom.
    fn session(&self) -> Option<&CommonState> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => Some(tls.get_ref().1),
            Self::LeanTls(tls) => Some(tls.session()),
        }
    }
}

// === impl HandshakeError ===

impl HandshakeError {
    /// tokio-rustls wraps what rustls refused into an I/O error.
    fn from_io(error: io::Error) -> Self {
        if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
            Self::Tls(error)
        } else {
            Self::Io(error)
        }
    }

    pub(super) fn reason(&self) -> FailureReason {
        match self {
            Self::Timeout => FailureReason::Timeout,
            Self::Tls(_) => FailureReason::Tls,
            Self::Io(_) => FailureReason::Io,
            Self::Identity(_) => FailureReason::Identity,
        }
    }
}

// === impl Io ===

impl AsyncRead for Io {
    #[inline]
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Transport::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
            Transport::LeanTls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Io {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Transport::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
            Transport::LeanTls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Transport::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
            Transport::LeanTls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
        }
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(tcp) => tcp.is_write_vectored(),
            Transport::Tls(tls) => tls.is_write_vectored(),
            Transport::LeanTls(tls) => tls.is_write_vectored(),
        }
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Transport::Tls(tls) => Pin::new(tls).poll_flush(cx),
            Transport::LeanTls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    #[inline]
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Transport::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
            Transport::LeanTls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
