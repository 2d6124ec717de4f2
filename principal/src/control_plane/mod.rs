//! What the principal follows in the control plane's own cluster: the cluster Secrets, which say who is an agent, and the
//! Applications, which say where they go.
//!
//! What must always be true: nothing is polled; an API server that is away, or that forbids it, is asked again and again
//! and keeps nobody else waiting; what was known stays so meanwhile; nothing of a cluster Secret is kept but the agent's name and the
//! cluster's address.

mod application;
mod client;
mod cluster_secret;
mod metrics;
mod pauses;
mod references;
mod watch;

use std::sync::Arc;

use common::{drain, tls::Secrets};
use kube::{Api, Client};
use prometheus_client::registry::Registry;
use tracing::info_span;

pub(crate) use self::references::Servers;
use self::{
    application::Application,
    cluster_secret::ClusterSecret,
    metrics::WatchMetrics,
    watch::{Keeper, Refers},
};
pub use self::{
    client::ClientError,
    references::{NotKnown, References},
};
use crate::config::KubeSource;

/// The API server of the control plane's cluster.
#[derive(Clone)]
pub struct ControlPlane {
    client: Client,
    metrics: WatchMetrics,
    drain: drain::Watch,
}

/// The Secrets of the control plane's `namespace`, which hold certificates. Nothing is connected yet.
pub(crate) async fn secrets(source: &KubeSource, namespace: &str) -> Result<Secrets, ClientError> {
    Ok(Secrets::new(client::client(source).await?, namespace))
}

// === impl ControlPlane ===

impl ControlPlane {
    /// Prepares to ask it. Nothing is connected yet, so one that is away does not matter here.
    ///
    /// # Errors
    /// When what says where it is, and who we are, cannot be used.
    pub async fn new(source: &KubeSource, metrics: &mut Registry, drain: drain::Watch) -> Result<Self, ClientError> {
        let client = client::client(source).await?;
        Ok(Self { client, metrics: WatchMetrics::register(metrics), drain })
    }

    /// Begins to follow the cluster Secrets of Argo CD in `namespace`, each of which may stand for an agent.
    #[must_use]
    pub fn cluster_secrets(&self, namespace: &str) -> Arc<References> {
        self.follow(Api::<ClusterSecret>::namespaced(self.client.clone(), namespace))
    }

    /// Begins to follow the Applications of every namespace, each of which may have an agent as its destination.
    #[must_use]
    pub fn applications(&self) -> Arc<References> {
        self.follow(Api::<Application>::all(self.client.clone()))
    }

    fn follow<K: Refers>(&self, api: Api<K>) -> Arc<References> {
        let references = Arc::new(References::new(K::OBJECTS));
        let (kept, metrics, drain) = (Arc::clone(&references), self.metrics.of(K::OBJECTS), self.drain.clone());
        self.drain.spawn(info_span!("control_plane", objects = %K::OBJECTS), async move {
            tokio::select! {
                () = Keeper::new(&kept, &metrics).keep(&api) => {}
                () = drain.draining() => {}
            }
        });
        references
    }
}

impl std::fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlPlane").finish_non_exhaustive()
    }
}
