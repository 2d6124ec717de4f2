//! The Kubernetes door: to a Kubernetes client, the principal is the workload cluster.
//!
//! Always true: a request is answered by the agent of whoever asks, or refused; what the agent answers passes unchanged,
//! as it comes; nothing is buffered whole; who asks is settled for each request, and what came of it is in one audit line.

mod api_path;
mod audit;
mod granted;
mod metrics;
mod route;
mod service;
#[cfg(test)]
mod tests;

use std::{convert::Infallible, sync::Arc, time::Duration};

use common::{Report, drain};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use prometheus_client::registry::Registry;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use self::{
    metrics::{ConnectionError, DoorMetrics},
    route::Caller,
    service::KubeService,
};
use crate::{
    agents::{Dialer, Tokens},
    doors::http::serve::{ServeError, serve},
    listen::Connection,
    revocation::Standing,
};

/// Serves Kubernetes clients.
#[derive(Debug)]
pub struct KubeDoor {
    service: Arc<KubeService>,
    metrics: DoorMetrics,
}

/// What the door needs to know.
#[derive(Debug, Clone)]
pub struct KubeDoorOptions {
    /// How long an answer's head may take, from the moment at which the request was sent or stopped moving.
    pub response_timeout: Duration,
    /// Whose a caller's token is; without it none is valid.
    pub tokens: Option<Arc<Tokens>>,
}

// === impl KubeDoor ===

impl KubeDoor {
    /// A door to the agents behind `dialer`. Registers its metrics in the registry of the doors; its own tasks belong to
    /// `drain`.
    #[must_use]
    pub fn new(
        dialer: Arc<dyn Dialer>,
        options: KubeDoorOptions,
        registry: &mut Registry,
        drain: &drain::Watch,
    ) -> Self {
        let metrics = DoorMetrics::register(registry);
        let service = KubeService::new(dialer, options, metrics.clone(), drain.clone());
        Self { service: Arc::new(service), metrics }
    }

    /// Serves one connection until it ends; once the drain begins, no longer than what runs, and never longer than its
    /// certificate is good.
    pub async fn serve(&self, connection: Connection, standing: Standing, drain: drain::Watch) {
        let Connection { io, peer, identity, alpn } = connection;
        let caller = Caller { peer, identity, standing: standing.clone() };
        standing.serve(self.serve_io(io, caller, alpn.as_deref(), &drain)).await;
    }

    async fn serve_io<T>(&self, io: T, caller: Caller, alpn: Option<&[u8]>, drain: &drain::Watch)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let caller = Arc::new(caller);
        let ended = serve(io, alpn, drain, |heads| {
            service_fn(move |request: Request<Incoming>| {
                let (service, caller, heads) = (Arc::clone(&self.service), Arc::clone(&caller), heads.clone());
                async move { Ok::<_, Infallible>(service.answer(&caller, heads, request).await) }
            })
        });
        if let Err(error) = ended.await {
            self.metrics.connection_failed(ConnectionError::of(&error));
            debug!(error = %Report(&error), "connection ended");
        }
    }
}

// === impl ConnectionError ===

impl ConnectionError {
    fn of(error: &ServeError) -> Self {
        match error {
            ServeError::Silent => Self::Idle,
            ServeError::Lost(_) => Self::Broken,
            ServeError::Http(error) if error.is_parse() => Self::Malformed,
            ServeError::Http(error) if error.is_timeout() => Self::Idle,
            ServeError::Http(_) => Self::Broken,
        }
    }
}
