//! The client to the API server of the control plane's cluster.

use std::{sync::Arc, time::Duration};

use common::{
    api_server::{self, ApiServer, Loaded, files_of, named_proxy, set_proxy},
    drain,
    proxy::InvalidProxy,
    tls::Folders,
};
use futures_util::future::BoxFuture;
use kube::{
    Client, Config,
    config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use prometheus_client::registry::Registry;

use crate::config::KubeSource;

/// Why the API server cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig cannot be used.
    #[error("cannot use the kubeconfig")]
    Kubeconfig(#[source] KubeconfigError),
    /// The Pod's ServiceAccount cannot be used.
    #[error("cannot use the Pod's ServiceAccount")]
    InCluster(#[source] InClusterError),
    /// There is a proxy on the way that cannot be used.
    #[error("the proxy on the way to the API server cannot be used")]
    Proxy(#[source] InvalidProxy),
    /// TLS or authentication cannot be set up.
    #[error("cannot set up the client")]
    Client(#[source] Box<kube::Error>),
}

/// How the API server is reached as `source` says, kept as the kubeconfig has it. Nothing is connected yet.
pub(super) async fn api_server(
    source: &KubeSource,
    folders: &Arc<Folders>,
    metrics: &mut Registry,
    drain: &drain::Watch,
) -> Result<ApiServer, ClientError> {
    let source = source.clone();
    let load = move || -> BoxFuture<'static, _> {
        let source = source.clone();
        Box::pin(async move {
            let Loaded { mut config, files } = read(&source).await?;
            config.connect_timeout = Some(CONNECT);
            config.read_timeout = Some(SILENCE);
            // So that nothing is taken that nobody can use.
            api_server::client(config.clone()).map_err(|error| ClientError::Client(error.into()))?;
            Ok(Loaded { config, files })
        })
    };
    ApiServer::keep(Box::new(load), folders, metrics, drain).await
}

/// A client of it.
pub(super) fn client(api_server: &ApiServer) -> Result<Client, ClientError> {
    api_server.client().map_err(|error| ClientError::Client(error.into()))
}

async fn read(source: &KubeSource) -> Result<Loaded, ClientError> {
    let (file, context) = match source {
        KubeSource::Pod => {
            let config = Config::incluster().map_err(ClientError::InCluster)?;
            // `kube` reads its files again by itself.
            return Ok(Loaded { config, files: Vec::new() });
        }
        KubeSource::Kubeconfig { file, context } => (file, context),
    };
    let read = match file {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    };
    let kubeconfig = read.map_err(ClientError::Kubeconfig)?;
    let proxy = named_proxy(&kubeconfig, context.as_deref());
    let files = files_of(&kubeconfig, file.as_deref());
    let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.map_err(ClientError::Kubeconfig)?;
    set_proxy(&mut config, proxy.as_deref()).map_err(ClientError::Proxy)?;
    Ok(Loaded { config, files })
}

/// An API server is near.
const CONNECT: Duration = Duration::from_secs(10);

/// Longer than a watch without changes, which `kube` has end after 290 s.
const SILENCE: Duration = Duration::from_secs(300);
