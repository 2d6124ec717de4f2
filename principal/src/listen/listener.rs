//! A listening socket, bound before anything runs, and the loop that accepts from it.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use common::{Report, accept::Acceptor, drain};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpSocket, lookup_host},
    sync::Semaphore,
};
use tracing::{debug, debug_span, info, warn};

use super::{
    connection::{self, Connection, Security},
    metrics::{DoorMetrics, ListenMetrics, Open},
    turns::Turns,
};

/// A bound socket that nobody accepts from yet.
#[derive(Debug)]
pub struct Listener {
    door: &'static str,
    listener: TcpListener,
    address: SocketAddr,
}

/// How much a door takes on.
#[derive(Debug, Clone, Copy)]
pub struct ListenLimits {
    /// How many connections may be open, handshakes included.
    pub max_connections: usize,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
}

/// What the connections of a door have in common.
struct Common<H> {
    handler: H,
    metrics: DoorMetrics,
    drain: drain::Watch,
}

/// A socket cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {door}")]
pub struct ListenError {
    /// For whom.
    pub door: &'static str,
    /// Where.
    pub address: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

// === impl Listener ===

impl Listener {
    /// Binds `door`'s socket. An empty `host` means every address of this machine, IPv6 and IPv4; port 0 any free port.
    ///
    /// # Errors
    /// When the name cannot be resolved or no address of it can be bound.
    pub async fn bind(door: &'static str, host: &str, port: u16) -> Result<Self, ListenError> {
        let bound = async {
            let listener = bind_first(resolve(host, port).await?)?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) =
            bound.await.map_err(|source| ListenError { door, address: format!("{host}:{port}"), source })?;
        Ok(Self { door, listener, address })
    }

    /// The address that was bound.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until draining begins, and then leaves what is open to its handlers.
    ///
    /// `handler` runs in a task of its own that the drain waits for.
    pub async fn serve<H, F>(
        self,
        security: Security,
        limits: ListenLimits,
        metrics: ListenMetrics,
        drain: drain::Watch,
        handler: H,
    ) where
        H: Fn(Connection) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { door, listener, address } = self;
        let metrics = metrics.of(door);
        let places = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
        let turns = Turns::new();
        let common = Arc::new(Common { handler, metrics: metrics.clone(), drain: drain.clone() });
        let mut acceptor = Acceptor::new(listener);
        let mut full = false;
        info!(door, %address, "listening");
        loop {
            let next = async {
                if places.available_permits() > 0 {
                    full = false;
                } else if !std::mem::replace(&mut full, true) {
                    metrics.limit_reached.inc();
                    warn!(door, limit = limits.max_connections, "connection limit reached, further callers wait");
                }
                let place = Arc::clone(&places).acquire_owned().await.expect("nobody closes the semaphore");
                acceptor.accept().await.map(|(stream, peer)| (stream, peer, place))
            };
            let accepted = tokio::select! {
                biased;
                () = drain.draining() => return,
                accepted = next => accepted,
            };
            match accepted {
                Ok((stream, peer, place)) => {
                    let open = Open::new(place, &metrics);
                    let patience = (limits.handshake_timeout, turns.clone());
                    // Boxed: it is gone when the connection has begun.
                    let handshake = Box::pin(connection::accept(stream, peer, security.current(), patience, open));
                    let common = Arc::clone(&common);
                    drain.spawn(debug_span!("connection", door, %peer), async move {
                        let accepted = tokio::select! {
                            accepted = handshake => accepted,
                            // Nothing was asked yet.
                            () = common.drain.draining() => return,
                        };
                        if let Some(served) = common.serve(accepted) {
                            served.await;
                        }
                    });
                }
                Err(error) => {
                    metrics.accept_errors.inc();
                    warn!(door, %error, "cannot accept connections, trying again");
                }
            }
        }
    }
}

// === impl Common ===

impl<H, F> Common<H>
where
    H: Fn(Connection) -> F,
    F: Future<Output = ()>,
{
    /// The rest of a connection. Boxed: what it is made of would stay in the task beside it as long as that lives.
    fn serve(&self, accepted: Result<Connection, connection::HandshakeError>) -> Option<Pin<Box<F>>> {
        match accepted {
            Ok(connection) => Some(Box::pin((self.handler)(connection))),
            Err(error) => {
                self.metrics.handshake_failed(error.reason());
                // A stranger's bad handshake is no event for an operator.
                debug!(error = %Report(&error), "handshake failed");
                None
            }
        }
    }
}

async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if host.is_empty() {
        // The first takes IPv4 too, where there is IPv6 at all.
        return Ok(vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()]);
    }
    Ok(lookup_host((host, port)).await?.collect())
}

/// The first address that can be bound; one that is taken ends the search, since what is meant is that one.
fn bind_first(addresses: Vec<SocketAddr>) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match bind_one(address) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => last = error,
            bound => return bound,
        }
    }
    Err(last)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restarted principal must not wait for the old connections' TIME_WAIT.
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit it: a peer whose machine vanished must not hold its place for ever.
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// As Go has it; the kernel's own is two hours.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Room for a fleet that reconnects at once; the kernel caps it at `net.core.somaxconn`, 4096 by default.
const BACKLOG: u32 = 4096;
