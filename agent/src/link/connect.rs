//! One attempt to reach the principal: TCP, TLS, HTTP/2.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use common::{grpc::Address, proxy::Proxies, tls::ClientTls};
use futures_util::future::BoxFuture;
use rustls::ClientConfig;

pub use common::grpc::{ConnectError, Driver, Grpc, http2};

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
    address: Address,
    /// Whether one is on the way.
    proxies: Proxies,
    /// None where a service mesh sees to that.
    tls: Option<Tls>,
    stream_window: u32,
}

struct Tls {
    current: ClientTls,
    /// What the last connection had.
    used: ArcSwap<ClientConfig>,
}

// === impl Connector ===

impl Connector {
    /// A connector to `host:port`, the way that `proxies` say, without TLS unless there is one; `stream_window` is what the
    /// principal may send of a pipe before we grant more.
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
        let tls = tls.map(|current| Tls { used: ArcSwap::new(current.current()), current });
        Ok(Self { address: Address::new(host, port)?, proxies, tls, stream_window })
    }

    async fn dial(&self) -> Result<(Grpc, Driver), ConnectError> {
        let tls = self.tls.as_ref().map(|Tls { current, used }| {
            let config = current.current();
            used.store(Arc::clone(&config));
            config.into()
        });
        self.address.connect(tls, &self.proxies, self.stream_window).await
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

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({})", self.address)
    }
}
