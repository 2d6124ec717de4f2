//! Opens the Redis door: its socket, its TLS, and the principal's own Redis behind it.

use std::{net::SocketAddr, sync::Arc};

use common::{
    drain,
    redis::{Compression, Credentials, Endpoint},
    telemetry::Registry as Metrics,
};
use tracing::info_span;

use super::{Error, tls::Tls};
use crate::{
    agents::{Registry, Routes},
    cluster_info::{self, ClusterInfoMetrics},
    config::{RedisConfig, RedisDoorConfig, RedisTls},
    control_plane::References,
    doors::redis::{
        RedisDoor, RedisDoorOptions,
        subscriptions::{SubscriptionMetrics, Subscriptions},
    },
    listen::{ListenLimits, ListenMetrics, Listener, Security},
    redis::OwnRedis,
};

/// A door whose socket is bound, and that nobody serves yet.
pub(super) struct BoundRedisDoor {
    listener: Listener,
    security: Security,
    options: RedisDoorOptions,
    credentials: Credentials,
    compression: Compression,
}

/// What a door is served with.
pub(super) struct Serving<'s> {
    pub(super) agents: Arc<Registry>,
    pub(super) routes: Arc<dyn Routes>,
    /// The cluster Secrets, where they can be read at all.
    pub(super) clusters: Option<Arc<References>>,
    pub(super) metrics: &'s mut Metrics,
    pub(super) limits: ListenLimits,
    pub(super) listen_metrics: ListenMetrics,
    pub(super) drain: &'s drain::Watch,
}

// === impl BoundRedisDoor ===

impl BoundRedisDoor {
    pub(super) async fn bind(config: &RedisDoorConfig, tls: &Tls) -> Result<Self, Error> {
        let security = match &config.tls {
            Some(identity) => tls.of_redis_door(identity).await?,
            None => Security::Plain,
        };
        let redis = endpoint(&config.redis, tls).await?;
        let listener = Listener::bind(DOOR, &config.listen.ip().to_string(), config.listen.port()).await?;
        let options = RedisDoorOptions { redis, max_bulk: config.max_bulk, max_args: config.max_args };
        let RedisConfig { credentials, compression, .. } = config.redis.clone();
        Ok(Self { listener, security, options, credentials, compression })
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Serves it until the drain begins, and keeps in its Redis how it stands with the agents' clusters.
    pub(super) fn serve(self, with: Serving<'_>) {
        let Self { listener, security, options, credentials, compression } = self;
        let Serving { agents, routes, clusters, metrics, limits, listen_metrics, drain } = with;
        if let Some(clusters) = clusters {
            let redis = OwnRedis::new(options.redis.clone(), credentials.clone());
            let metrics = ClusterInfoMetrics::register(metrics.part("cluster_info"));
            cluster_info::keep(agents.clone(), clusters, redis, compression, metrics, drain);
        }
        let metrics = metrics.part("redis_door");
        let subscription_metrics = SubscriptionMetrics::register(metrics);
        let subscriptions =
            Subscriptions::start(agents.clone(), options.redis.clone(), credentials, subscription_metrics, drain);
        let door = Arc::new(RedisDoor::new(options, agents, routes, subscriptions, metrics));
        let watch = drain.clone();
        let serve = move |connection| {
            let (door, watch) = (Arc::clone(&door), watch.clone());
            async move { door.serve(connection, watch).await }
        };
        drain.spawn(info_span!("redis_door"), listener.serve(security, limits, listen_metrics, drain.clone(), serve));
    }
}

async fn endpoint(config: &RedisConfig, tls: &Tls) -> Result<Endpoint, Error> {
    let tls = match &config.tls {
        None => None,
        Some(RedisTls::Insecure) => Some(tls.of_redis(None).await?),
        Some(RedisTls::Verified { ca }) => Some(tls.of_redis(Some(ca)).await?),
    };
    Endpoint::parse(&config.address, tls)
        .map_err(|source| Error::RedisAddress { address: config.address.clone(), source })
}

const DOOR: &str = "redis";
