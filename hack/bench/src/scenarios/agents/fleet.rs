//! Agents without a cluster: the real agent's link, back-off and pings, and an answer of a kilobyte to whatever is asked.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use agent::{
    dispatch::{Dispatch, Executor},
    link::{
        Creds, Link, LinkOptions,
        connect::{Connect, ConnectError, Driver, Grpc, http2},
        metrics::LinkMetrics,
    },
};
use anyhow::{Context, Result};
use bytes::Bytes;
use common::{
    config::TlsVersions,
    drain,
    tls::{Pem, Roots, Verification, client_config},
    tunnel::{
        Target, TunnelStream,
        limits::{HANDSHAKE, PING_INTERVAL, STREAM_WINDOW},
    },
};
use futures_util::future::BoxFuture;
use http::Response;
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::watch,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tracing::Span;

use super::certificates::Certificates;
use crate::pki::{LOCALHOST, Pki};

/// Agents that attach, and come back, by themselves. Dropping it ends them all.
#[derive(Debug)]
pub(super) struct Fleet {
    attached: Vec<watch::Receiver<bool>>,
    _signal: drain::Signal,
}

/// Dials the principal as one agent.
#[derive(Debug)]
struct Dialer {
    principal: SocketAddr,
    from: Ipv4Addr,
    tls: Arc<ClientConfig>,
}

/// Answers every request of a pipe alike.
struct Canned(Bytes);

// === impl Fleet ===

impl Fleet {
    /// Starts an agent for each certificate; they dial at once.
    pub(super) fn start(
        principal: SocketAddr,
        pki: &Pki,
        certificates: &Certificates<'_>,
        body: &Bytes,
    ) -> Result<Self> {
        let roots = Roots::from_pem(&Pem::read(&pki.file("ca.crt")).context("reading the CA")?).context("the CA")?;
        let (signal, watch) = drain::channel();
        let mut attached = Vec::with_capacity(certificates.count());
        let metrics = LinkMetrics::default();
        let executor: Arc<dyn Executor> = Arc::new(Canned(body.clone()));
        for number in 0..certificates.count() {
            let identity = certificates.identity(number)?;
            let verification = Verification::Roots(roots.clone());
            let tls = client_config(Some(identity), verification, TlsVersions::TLS13, &[b"h2"]).context("TLS")?;
            let dialer = Dialer { principal, from: source(number), tls };
            let dispatch = Dispatch::new(vec![(Target::Kube, Arc::clone(&executor))], MAX_PIPES);
            let options = LinkOptions {
                mode: "managed".to_owned(),
                namespace: "argocd".to_owned(),
                creds: Creds::Certificate,
                cluster_labels: BTreeMap::new(),
                ping_interval: PING_INTERVAL,
                stream_window: STREAM_WINDOW,
            };
            let (link, is_attached) = Link::new(dialer, options, dispatch, metrics.clone());
            watch.spawn(Span::none(), link.run(watch.clone()));
            attached.push(is_attached);
        }
        Ok(Self { attached, _signal: signal })
    }

    /// How many are attached now.
    pub(super) fn attached(&self) -> usize {
        self.attached.iter().filter(|attached| *attached.borrow()).count()
    }

    /// Whether one is.
    pub(super) fn of(&self, number: usize) -> Option<watch::Receiver<bool>> {
        self.attached.get(number).cloned()
    }
}

/// An address of this machine: one has some 28,000 ports to connect from, those that wait in TIME_WAIT included.
fn source(number: usize) -> Ipv4Addr {
    let last = u8::try_from(number / PER_SOURCE % 200).unwrap_or_default();
    Ipv4Addr::new(127, 0, 0, 2 + last)
}

// === impl Dialer ===

impl Dialer {
    async fn dial(&self) -> Result<(Grpc, Driver), ConnectError> {
        let late = |step| move |_elapsed| ConnectError::Timeout { step };
        let failed = |error| ConnectError::Tcp(self.principal.ip().to_string(), self.principal.port(), error);
        let tcp = timeout(HANDSHAKE, self.tcp()).await.map_err(late("connecting"))?.map_err(failed)?;
        let name = ServerName::try_from(LOCALHOST).map_err(|_invalid| ConnectError::Name(LOCALHOST.to_owned()))?;
        let tls = timeout(HANDSHAKE, TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp)).await;
        let tls = tls.map_err(late("the TLS handshake"))?;
        http2(tls.map_err(|error| ConnectError::Tls(LOCALHOST.to_owned(), error))?, STREAM_WINDOW).await
    }

    async fn tcp(&self) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.set_nodelay(true)?;
        socket.bind((self.from, 0).into())?;
        socket.connect(self.principal).await
    }
}

impl Connect for Dialer {
    fn connect(&self) -> BoxFuture<'_, Result<(Grpc, Driver), ConnectError>> {
        Box::pin(self.dial())
    }
}

// === impl Canned ===

impl Executor for Canned {
    fn serve(&self, stream: TunnelStream, finish: drain::Watch) -> BoxFuture<'static, ()> {
        let body = self.0.clone();
        Box::pin(async move {
            let service = service_fn(move |_request| {
                let response = Response::new(Full::new(body.clone()));
                async move { Ok::<_, Infallible>(response) }
            });
            tokio::select! {
                // How a pipe ends shows at the client, if to anybody.
                _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service) => {}
                () = finish.draining() => {}
            }
        })
    }
}

/// Connections from one source address.
const PER_SOURCE: usize = 2000;

/// Pipes of one agent: clients here have one each.
const MAX_PIPES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_this_machine_and_has_ports_for_its_agents() {
        for number in [0, 1999, 2000, 9999, 1_000_000] {
            assert!(source(number).is_loopback());
        }
        assert_eq!(source(0), source(1999));
        assert_ne!(source(0), source(2000));
    }
}
