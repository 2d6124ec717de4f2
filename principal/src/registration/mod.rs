//! Registers the clusters of agents with Argo CD by themselves: writes the Secret by which Argo CD knows an agent's cluster
//! when the agent attaches, and keeps its token and certificate good.
//!
//! | file | |
//! |---|---|
//! | `registrar.rs` | hears who attaches |
//! | `labels.rs` | which of the labels that an agent asks for are set |
//! | `book.rs`, `desk.rs` | whose Secret is to be seen to, and when; pure |
//! | `task.rs` | sees to them, a few at a time |
//! | `visit.rs` | one agent: what is there, what becomes of it, and the write |
//! | `cluster.rs` | the Secret itself, pure |
//! | `certificate.rs` | the certificate that Argo CD shows for all these clusters |
//! | `store.rs` | the API server |
//!
//! Always true:
//! - No agent waits for it: one that cannot be registered is attached all the same, and is tried again.
//! - Only a Secret that has the label of the self-registered ones, and names the agent that it is called after, is changed.
//!   A Secret that is gone is made anew when its agent attaches, and not before.
//! - Each write is one call, of the whole Secret, upon what was read: where somebody else wrote meanwhile, it is looked at
//!   again. So it does not matter how many principals there are.
//! - A token is renewed before it ends, and the one before counts until its own end.

mod book;
mod certificate;
mod cluster;
mod desk;
mod labels;
mod metrics;
mod registrar;
mod store;
mod task;
mod visit;

use std::{sync::Arc, time::Duration};

use common::{drain, tls::SecretName};
use prometheus_client::registry::Registry;
use tracing::info_span;

pub use self::labels::{InvalidLabelRule, LabelRule};
pub(crate) use self::{
    certificate::{CertificateSecret, ClientCertificate, teller},
    cluster::SELF_REGISTERED,
    registrar::Registrar,
};
use self::{desk::Desk, metrics::RegistrationMetrics, store::ApiStore, task::Task, visit::Visitor};
use crate::{
    agents::tokens::Keys,
    control_plane::{ControlPlane, References},
};

/// The settings of self-registration.
#[derive(Debug, Clone)]
pub struct RegistrationConfig {
    /// The Secret with the certificate and key that Argo CD shows for all self-registered clusters, and the authority that
    /// it is to trust.
    pub client_certificate: SecretName,
    /// Host and port of the Kubernetes door, as Argo CD reaches it.
    pub proxy_address: String,
    /// How long a token lasts.
    pub token_lifetime: Duration,
    /// Which labels agents may ask for.
    pub labels: LabelRule,
}

/// Begins to register, in a task of the drain's that ends when it begins; what comes back is to hear who attaches.
/// `registered` are the self-registered cluster Secrets that there are.
pub(crate) fn keep(
    config: RegistrationConfig,
    namespace: &str,
    control_plane: &ControlPlane,
    registered: Arc<References>,
    keys: Arc<Keys>,
    metrics: &mut Registry,
    drain: &drain::Watch,
) -> Arc<Registrar> {
    let metrics = RegistrationMetrics::register(metrics);
    let desk = Arc::new(Desk::new(metrics.waiting.clone()));
    let RegistrationConfig { client_certificate, proxy_address, token_lifetime, labels } = config;
    let certificate =
        control_plane.client_certificate(namespace, &client_certificate, metrics.certificate_failures.clone());
    let store = ApiStore::new(control_plane.secrets(namespace), namespace);
    let signer = keys.signer();
    let visitor = Arc::new(Visitor { store, keys, proxy_address, token_lifetime });
    let task = Task::new(visitor, Arc::clone(&desk), registered, signer, certificate, metrics.clone());
    let watch = drain.clone();
    drain.spawn(info_span!("registration"), async move {
        tokio::select! {
            () = watch.draining() => {}
            () = task.run() => {}
        }
    });
    Arc::new(Registrar::new(labels, desk, metrics))
}
