//! The Redis executor: reads what Argo CD in this cluster keeps about its applications, and hears when that changes.
//!
//! A pipe's way through the files: `session` → `policy` (with `naming`) → `relay` → `connections`, and `answer` (with
//! `convert`) back; or `subscriptions` → `listener`. Nothing but these reads runs, and no credential leaves.

mod answer;
mod connections;
mod convert;
mod failure;
mod listener;
mod metrics;
mod naming;
mod output;
mod policy;
mod relay;
mod session;
mod subscriptions;
mod transaction;

use std::sync::Arc;

use common::{
    drain,
    redis::{Endpoint, EndpointError},
    tls::ClientTls,
    tunnel::TunnelStream,
};
use futures_util::future::BoxFuture;
use prometheus_client::registry::Registry;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
};
use tracing::info;

use self::{
    connections::Connections,
    metrics::RedisMetrics,
    naming::{Namespaces, Naming},
    session::Session,
};
use crate::{config::RedisConfig, dispatch::Executor};

/// Serves pipes to the Redis of Argo CD. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RedisExecutor {
    shared: Arc<Shared>,
}

/// What the executor needs to know.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// Where Redis is, who we are to it, and how Argo CD writes in it.
    pub redis: RedisConfig,
    /// What its `tls` has been made into; none where that is off.
    pub tls: Option<ClientTls>,
    /// The namespace of Argo CD in this cluster.
    pub namespace: String,
    /// Whether Applications have the namespace here that they have at the principal.
    pub destination_based_mapping: bool,
}

/// What all pipes share.
#[derive(Debug)]
struct Shared {
    naming: Naming,
    connections: Connections,
    /// Places of pipes that subscribe.
    listeners: Arc<Semaphore>,
    metrics: RedisMetrics,
}

/// Why the executor cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is none.
    #[error("the address of Redis cannot be used")]
    Address(#[source] EndpointError),
}

// === impl RedisExecutor ===

impl RedisExecutor {
    /// Prepares connections, kept within `drain`. Nothing is connected yet: a Redis that cannot be reached is told to
    /// whoever asks for something that is in it.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn start(options: RedisOptions, drain: &drain::Watch, registry: &mut Registry) -> Result<Self, StartError> {
        let RedisOptions { redis, tls, namespace, destination_based_mapping } = options;
        let endpoint = Endpoint::parse(&redis.address, tls);
        let endpoint = endpoint.map_err(StartError::Address)?;
        let namespaces = if destination_based_mapping { Namespaces::Kept(namespace) } else { Namespaces::Agents };
        let naming = Naming { namespaces, prefix: redis.key_prefix, compression: redis.compression };
        let metrics = RedisMetrics::register(registry);
        info!(redis = %endpoint, "serving Redis");
        let connections = Connections::new(endpoint, redis.credentials, redis.database, metrics.clone(), drain);
        let listeners = Arc::new(Semaphore::new(LISTENERS));
        Ok(Self { shared: Arc::new(Shared { naming, connections, listeners, metrics }) })
    }

    /// Serves RESP on a byte stream until it ends. Dropping the future ends what runs for it.
    pub async fn serve_stream<S>(&self, stream: S, finish: &drain::Watch)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Session::new(Arc::clone(&self.shared), stream).run(finish).await;
    }
}

impl Executor for RedisExecutor {
    fn serve(&self, stream: TunnelStream, finish: drain::Watch) -> BoxFuture<'static, ()> {
        let this = self.clone();
        Box::pin(async move { this.serve_stream(stream, &finish).await })
    }
}

/// A principal needs one pipe that subscribes, or a few. Each is a connection of its own to Redis.
const LISTENERS: usize = 64;
