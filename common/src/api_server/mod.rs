//! How an API server is reached, kept as the kubeconfig has it.
//!
//! Always true: what is in use could be used when it was taken; a change that cannot be used is told and counted once,
//! and what is in use stays; connections that stand go on. What a Pod is given needs none of this: its token and its
//! authority are read again by whoever uses them.

mod client;
mod keeper;
mod sources;
mod way;

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;
use kube::{Client, Config};
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tokio::sync::watch;
use tracing::info_span;

use self::keeper::Keeper;
use crate::{drain, tls::Folders};

pub use client::client;
pub use sources::files_of;
pub use way::{named_proxy, set_proxy};

/// How the API server is reached now, and who we are to it. Cheap to clone.
#[derive(Clone)]
pub struct ApiServer(watch::Receiver<Arc<Config>>);

/// What was read.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// The files that say so; none where they are read again by whoever uses them.
    pub files: Vec<std::path::PathBuf>,
}

/// Reads it, and fails where nobody could use it.
pub type Load<E> = Box<dyn Fn() -> BoxFuture<'static, Result<Loaded, E>> + Send + Sync>;

/// Cheap to clone; every clone counts into the same.
#[derive(Debug, Clone, Default)]
struct Metrics {
    reloads: Counter,
    failures: Counter,
}

// === impl ApiServer ===

impl ApiServer {
    /// Reads it for the first time, and again whenever one of its files has changed.
    ///
    /// # Errors
    /// When it cannot be read or used. Nothing is connected, so a server that is away is no error.
    pub async fn keep<E>(
        load: Load<E>,
        folders: &Arc<Folders>,
        metrics: &mut Registry,
        drain: &drain::Watch,
    ) -> Result<Self, E>
    where
        E: std::error::Error + Send + 'static,
    {
        let (keeper, current) = Keeper::load(load, Arc::clone(folders), Metrics::register(metrics)).await?;
        if let Some(keeper) = keeper {
            let draining = drain.clone();
            drain.spawn(info_span!("kubeconfig"), async move {
                tokio::select! {
                    () = keeper.keep() => {}
                    () = draining.draining() => {}
                }
            });
        }
        Ok(Self(current))
    }

    /// What a connection is made with that is made now.
    #[must_use]
    pub fn current(&self) -> Arc<Config> {
        Arc::clone(&self.0.borrow())
    }

    /// Resolves when a connection would be made with something else than `used`; never, when that does not change.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn other_than(&self, used: &Arc<Config>) {
        let mut current = self.0.clone();
        let told = current.wait_for(|config| !Arc::ptr_eq(config, used)).await.is_ok();
        if !told {
            std::future::pending::<()>().await;
        }
    }

    /// A client whose every request goes the way that is current then.
    ///
    /// # Errors
    /// When no client can be made of what is current now.
    pub fn client(&self) -> Result<Client, kube::Error> {
        client::following(self.clone())
    }
}

/// One that never changes.
impl From<Config> for ApiServer {
    fn from(config: Config) -> Self {
        Self(watch::channel(Arc::new(config)).1)
    }
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ApiServer").field(&self.0.borrow().cluster_url.authority().map(host)).finish()
    }
}

/// Without credentials that nobody reads, and that must not be shown.
fn host(authority: &http::uri::Authority) -> String {
    authority.as_str().rsplit('@').next().unwrap_or_default().to_owned()
}

// === impl Metrics ===

impl Metrics {
    fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register("kubeconfig_reloads", "Times that a changed kubeconfig was put to use", new.reloads.clone());
        registry.register(
            "kubeconfig_reload_failures",
            "Changes of the kubeconfig that could not be put to use",
            new.failures.clone(),
        );
        new
    }
}
