//! What the principal follows in the control plane's own cluster: the cluster Secrets, which say who is an agent, the
//! Applications, which say where they go, the certificates that are shut out, and the key of callers' tokens.
//!
//! What must always be true: nothing is polled; an API server that is away, or that forbids it, is asked again and again
//! and keeps nobody else waiting; what was known stays so meanwhile; nothing of a cluster Secret is kept but the agent's
//! name and the cluster's address, and of a key nothing but its public half, unless the principal itself makes tokens.

mod application;
mod authority;
mod blocklist;
mod client;
mod cluster_secret;
mod data_secret;
mod join_tokens;
mod jwt_key;
mod metrics;
mod pauses;
mod references;
mod single;
mod watch;

use std::sync::Arc;

use common::{
    Application,
    api_server::ApiServer,
    drain,
    tls::{Folders, SecretName, Secrets},
};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client, runtime::watcher};
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tokio::sync::watch as channel;
use tracing::info_span;

pub use self::{
    client::ClientError,
    cluster_secret::Clusters,
    references::{NotKnown, References},
};
use self::{
    cluster_secret::ClusterSecret,
    jwt_key::JwtSecret,
    metrics::WatchMetrics,
    references::Objects,
    single::{Single, named},
    watch::{Followed, Keep, Keeper},
};
pub(crate) use self::{
    cluster_secret::{AGENT_LABEL, SECRET_TYPE_LABEL},
    data_secret::DataSecret,
    join_tokens::{Consumed, JoinTokens},
    references::Servers,
};
use crate::{
    agents::tokens::Keys,
    config::KubeSource,
    enrollment::Authority,
    registration::{self, CertificateSecret, ClientCertificate},
    revocation::Blocklist,
};

/// The API server of the control plane's cluster.
#[derive(Clone)]
pub struct ControlPlane {
    client: Client,
    metrics: WatchMetrics,
    drain: drain::Watch,
}

/// How the API server of the control plane's cluster is reached, kept as the kubeconfig has it. Nothing is connected yet.
///
/// # Errors
/// When what says where it is, and who we are, cannot be used.
pub async fn api_server(
    source: &KubeSource,
    folders: &Arc<Folders>,
    metrics: &mut Registry,
    drain: &drain::Watch,
) -> Result<ApiServer, ClientError> {
    client::api_server(source, folders, metrics, drain).await
}

/// The Secrets of the control plane's `namespace`, which hold certificates. Nothing is connected yet.
pub(crate) fn secrets(api_server: &ApiServer, namespace: &str) -> Result<Secrets, ClientError> {
    Ok(Secrets::new(client::client(api_server)?, namespace))
}

// === impl ControlPlane ===

impl ControlPlane {
    /// Prepares to ask it. Nothing is connected yet, so one that is away does not matter here.
    ///
    /// # Errors
    /// When there can be no client of it.
    pub fn new(api_server: &ApiServer, metrics: &mut Registry, drain: drain::Watch) -> Result<Self, ClientError> {
        let client = client::client(api_server)?;
        Ok(Self { client, metrics: WatchMetrics::register(metrics), drain })
    }

    /// Begins to follow the cluster Secrets of Argo CD in `namespace`, each of which may stand for an agent.
    #[must_use]
    pub fn cluster_secrets(&self, namespace: &str) -> Clusters {
        let clusters = Clusters::new();
        let api = Api::<ClusterSecret>::namespaced(self.client.clone(), namespace);
        self.follow(Objects::ClusterSecrets, clusters.clone(), api, ClusterSecret::selection());
        clusters
    }

    /// Begins to follow the Applications of every namespace, each of which may have an agent as its destination.
    #[must_use]
    pub fn applications(&self) -> Arc<References> {
        let references = Arc::new(References::new(Objects::Applications));
        let api = Api::<Application>::all(self.client.clone());
        self.follow(Objects::Applications, Arc::clone(&references), api, Application::selection());
        references
    }

    /// Begins to follow the ConfigMap of the certificates that are shut out, and keeps `blocklist` as it says.
    pub fn blocklist(&self, namespace: &str, blocklist: Arc<Blocklist>) {
        let told = blocklist::teller(namespace, blocklist);
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), namespace);
        self.follow(Objects::Blocklist, Single::new(told), api, named(blocklist::NAME));
    }

    /// Begins to follow the Secret `name` with the key of callers' tokens, and keeps `keys` as it says.
    pub fn jwt_key(&self, namespace: &str, name: &str, keys: Arc<Keys>) {
        let told = jwt_key::teller(namespace, name, keys);
        let api = Api::<JwtSecret>::namespaced(self.client.clone(), namespace);
        self.follow(Objects::JwtKey, Single::new(told), api, named(name));
    }

    /// Begins to follow the Secret with the certificate that Argo CD shows for all self-registered clusters; none is known
    /// at first. Times that it could not be used are counted in `failures`.
    pub(crate) fn client_certificate(
        &self,
        namespace: &str,
        name: &SecretName,
        failures: Counter,
    ) -> channel::Receiver<Option<Arc<ClientCertificate>>> {
        let (tell, told) = channel::channel(None);
        let teller = registration::teller(format!("Secret {namespace}/{name}"), tell, failures);
        let api = Api::<CertificateSecret>::namespaced(self.client.clone(), namespace);
        self.follow(Objects::ClientCertificate, Single::new(teller), api, named(name.as_str()));
        told
    }

    /// The Secrets of the control plane's `namespace`, one at a time.
    pub(crate) fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Begins to follow the Secret `name` with the authority of agents' certificates, and keeps `authority` as it says.
    pub fn authority(&self, namespace: &str, name: &str, authority: Arc<Authority>) {
        let told = authority::teller(namespace, name, authority);
        let api = Api::<Secret>::namespaced(self.client.clone(), namespace);
        self.follow(Objects::Authority, Single::new(told), api, named(name));
    }

    /// The Secrets of join tokens, which are asked for one by one.
    pub(crate) fn join_tokens(&self, namespace: &str) -> JoinTokens {
        JoinTokens::new(Api::namespaced(self.client.clone(), namespace))
    }

    fn follow<K: Followed, T: Keep<K>>(&self, objects: Objects, kept: T, api: Api<K>, selection: watcher::Config) {
        let (metrics, drain) = (self.metrics.of(objects), self.drain.clone());
        self.drain.spawn(info_span!("control_plane", %objects), async move {
            tokio::select! {
                () = Keeper::new(&kept, &metrics).keep(&api, &selection) => {}
                () = drain.draining() => {}
            }
        });
    }
}

impl std::fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlPlane").finish_non_exhaustive()
    }
}
