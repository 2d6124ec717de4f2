//! The client to the API server of the control plane's cluster.

use std::time::Duration;

use kube::{
    Client, Config,
    config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};

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
    /// TLS or authentication cannot be set up.
    #[error("cannot set up the client")]
    Client(#[source] Box<kube::Error>),
}

/// A client as `source` says. Nothing is connected yet.
pub(super) async fn client(source: &KubeSource) -> Result<Client, ClientError> {
    let mut config = match source {
        KubeSource::Pod => Config::incluster().map_err(ClientError::InCluster)?,
        KubeSource::Kubeconfig { file, context } => {
            let read = match file {
                Some(file) => Kubeconfig::read_from(file),
                None => Kubeconfig::read(),
            };
            let kubeconfig = read.map_err(ClientError::Kubeconfig)?;
            let names_a_proxy = names_a_proxy(&kubeconfig);
            let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
            let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
            let mut config = config.map_err(ClientError::Kubeconfig)?;
            if !names_a_proxy {
                // Taken from HTTPS_PROXY then, which is there for other ways. API servers are near.
                config.proxy_url = None;
            }
            config
        }
    };
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    Client::try_from(config).map_err(|error| ClientError::Client(error.into()))
}

/// Whether a proxy of its own making stands in it. `kube` refuses that: it was built without.
fn names_a_proxy(kubeconfig: &Kubeconfig) -> bool {
    let mut clusters = kubeconfig.clusters.iter().filter_map(|named| named.cluster.as_ref());
    clusters.any(|cluster| cluster.proxy_url.as_ref().is_some_and(|url| !url.is_empty()))
}

/// An API server is near.
const CONNECT: Duration = Duration::from_secs(10);

/// Longer than a watch without changes, which `kube` has end after 290 s.
const SILENCE: Duration = Duration::from_secs(300);
