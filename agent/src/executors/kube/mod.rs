//! The Kubernetes executor: runs what comes through a pipe against the API server of the workload cluster.
//!
//! A request's way through the files: `service` → `filter` → `upstream`. No credential of the cluster is ever
//! answered with.

mod body;
mod connect;
mod connections;
mod credentials;
pub(crate) mod filter;
mod metrics;
pub(crate) mod query;
pub(crate) mod request;
mod service;
#[cfg(test)]
mod tests;
mod token_file;
mod upstream;

use std::{sync::Arc, time::Duration};

use common::{
    api_server::{ApiServer, Loaded},
    drain,
    tls::Folders,
    tunnel::TunnelStream,
};
use futures_util::future::BoxFuture;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::info;

#[cfg(feature = "test-util")]
pub use self::filter::{bench, fuzz};
pub use self::{credentials::CredentialsError, token_file::TokenError, upstream::UpstreamStartError};
use self::{
    filter::Filter,
    metrics::KubeMetrics,
    service::{KubeService, Mode},
    upstream::{Access, Upstream},
};
use super::serve_http::serve_http;
use crate::{config::KubeSource, dispatch::Executor};

/// Serves pipes to the Kubernetes API. Cheap to clone.
#[derive(Debug, Clone)]
pub struct KubeExecutor {
    service: KubeService,
}

/// What the executor needs to know.
#[derive(Debug, Clone)]
pub struct KubeOptions {
    /// Where the API server is, and who we are to it; none where no request is carried out at all.
    pub api_server: Option<ApiServer>,
    /// Whether only what Argo CD manages is shown and changed.
    pub managed_only: bool,
    /// Whether what is created must be managed, too. Of no effect without `managed_only`.
    pub managed_creates_only: bool,
    /// The namespace of Argo CD in this cluster.
    pub namespace: String,
    /// Further namespaces with Applications, by name or by pattern.
    pub application_namespaces: Vec<String>,
}

/// Why the executor cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It is not known where the API server is.
    #[error("it is not known where the API server is")]
    Source(#[source] CredentialsError),
    /// The API server cannot be used.
    #[error("the API server cannot be used")]
    Upstream(#[source] UpstreamStartError),
}

/// How the API server of this cluster is reached, kept as the kubeconfig has it. Nothing is connected yet.
///
/// # Errors
/// When the configuration cannot be used.
pub async fn api_server(
    source: &KubeSource,
    folders: &Arc<Folders>,
    registry: &mut Registry,
    drain: &drain::Watch,
) -> Result<ApiServer, StartError> {
    let source = source.clone();
    let load = move || -> BoxFuture<'static, _> {
        let source = source.clone();
        Box::pin(async move {
            let Loaded { mut config, files } = credentials::load(&source).await.map_err(StartError::Source)?;
            config.connect_timeout = Some(CONNECT);
            config.read_timeout = Some(SILENCE);
            Access::new(&config).await.map_err(StartError::Upstream)?;
            Ok(Loaded { config, files })
        })
    };
    ApiServer::keep(Box::new(load), folders, registry, drain).await
}

// === impl KubeExecutor ===

impl KubeExecutor {
    /// Reads the credentials and begins to watch what the filter goes by. Does not wait for the API server.
    ///
    /// # Errors
    /// When the configuration cannot be used. An API server that cannot be reached is no error here.
    pub async fn start(
        options: KubeOptions,
        drain: &drain::Watch,
        registry: &mut Registry,
    ) -> Result<Self, StartError> {
        let metrics = KubeMetrics::register(registry);
        let Some(api_server) = &options.api_server else {
            return Ok(Self { service: KubeService::new(Mode::Disabled) });
        };
        let upstream = Upstream::new(api_server, metrics.clone(), drain).await.map_err(StartError::Upstream)?;
        info!(server = %upstream.authority(), filter = options.managed_only, "serving the Kubernetes API");
        let mode = if options.managed_only {
            Mode::Filtered(Arc::new(Filter::start(&options, upstream, metrics, drain)))
        } else {
            Mode::Open(upstream)
        };
        Ok(Self { service: KubeService::new(mode) })
    }

    /// Serves HTTP/1.1 on a byte stream until it ends. Dropping the future cancels what runs for it.
    pub async fn serve_stream<S>(&self, stream: S, drain: &drain::Watch)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        serve_http(stream, |request, after| self.service.clone().answer(request, after), drain).await;
    }
}

impl Executor for KubeExecutor {
    fn serve(&self, stream: TunnelStream, drain: drain::Watch) -> BoxFuture<'static, ()> {
        let this = self.clone();
        Box::pin(async move { this.serve_stream(stream, &drain).await })
    }
}

/// An API server is near.
const CONNECT: Duration = Duration::from_secs(10);

/// Longer than a watch without changes, which `kube` has end after 290 s.
const SILENCE: Duration = Duration::from_secs(300);
