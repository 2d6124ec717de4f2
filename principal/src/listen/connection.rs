//! One connection, from the accepted socket to the handler: its TLS handshake and who is at the other end.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use common::auth::{IdentityError, PeerIdentity};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::metrics::{FailureReason, Open};

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

/// The byte stream inside TLS.
#[derive(Debug)]
pub struct Io {
    tls: TlsStream<TcpStream>,
    _open: Open,
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

/// Runs the handshake on an accepted socket, as the server.
pub(super) async fn accept(
    stream: TcpStream,
    peer: SocketAddr,
    config: Arc<ServerConfig>,
    limit: Duration,
    open: Open,
) -> Result<Connection, HandshakeError> {
    let tls = timeout(limit, TlsAcceptor::from(config).accept(stream))
        .await
        .map_err(|_elapsed| HandshakeError::Timeout)?
        .map_err(HandshakeError::from_io)?;
    let (_, session) = tls.get_ref();
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    let identity = leaf.map(|leaf| PeerIdentity::from_der(leaf)).transpose().map_err(HandshakeError::Identity)?;
    let alpn = session.alpn_protocol().map(<[u8]>::to_vec);
    Ok(Connection { io: Io { tls, _open: open }, peer, identity: identity.map(Arc::new), alpn })
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
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}
