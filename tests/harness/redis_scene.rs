//! A Redis at the principal, one at a workload cluster, and the door between them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use common::redis::{Compression, Credentials};
use principal::config::{RedisConfig, RedisDoorConfig};

use crate::{World, process, redis::Redis, resp::RespClient, world::Attached};

/// A principal whose Redis door is open, and an agent called `agent-a` with a Redis of its own.
#[derive(Debug)]
pub struct RedisScene {
    /// The control plane.
    pub world: World,
    /// The principal's own Redis.
    pub local: Redis,
    /// The agent's Redis.
    pub remote: Redis,
    /// The agent.
    pub agent: Attached,
}

// === impl RedisScene ===

impl RedisScene {
    /// All of it, with nothing in either Redis.
    pub async fn start() -> Self {
        Self::start_with(&[], &[]).await
    }

    /// With these command lines of the two Redis servers, the principal's first.
    pub async fn start_with(local: &[&str], remote: &[&str]) -> Self {
        Self::start_where(local, remote, |_door| {}).await
    }

    /// And with other settings of the door.
    pub async fn start_where(local: &[&str], remote: &[&str], change: impl FnOnce(&mut RedisDoorConfig)) -> Self {
        let (local, remote) = (Redis::start(local).await, Redis::start(remote).await);
        let mut door = door_to(local.address());
        change(&mut door);
        let world = World::start_with(|config| config.redis_door = Some(door)).await;
        let agent = attach(&world, remote.address()).await;
        Self { world, local, remote, agent }
    }

    /// Where clients connect.
    ///
    /// # Panics
    /// When the door is shut.
    #[must_use]
    pub fn door(&self) -> SocketAddr {
        self.world.principal.redis_door.expect("the Redis door is open")
    }

    /// A client at the door.
    pub async fn client(&self) -> RespClient {
        RespClient::connect(self.door()).await
    }

    /// A client of the agent's own Redis.
    pub async fn at_agent(&self) -> RespClient {
        RespClient::connect(self.remote.address()).await
    }

    /// A client of the principal's own Redis.
    pub async fn at_principal(&self) -> RespClient {
        RespClient::connect(self.local.address()).await
    }
}

/// The settings of a door to the Redis at `address`.
#[must_use]
pub fn door_to(address: SocketAddr) -> RedisDoorConfig {
    RedisDoorConfig {
        // Not just any free port: a restart must find it free again.
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, process::port())),
        tls: None,
        redis: RedisConfig {
            address: address.to_string(),
            tls: None,
            credentials: Credentials::None,
            compression: Compression::Gzip,
        },
        max_bulk: 512 << 20,
        max_args: 1 << 20,
    }
}

/// Attaches `agent-a`, whose cluster's Redis is at `address`. There is no API server.
pub async fn attach(world: &World, address: SocketAddr) -> Attached {
    world
        .agent_with("agent-a", "argocd", |config| {
            config.redis.address = address.to_string();
            config.kube.kubeconfig = Some(PathBuf::from(NO_CLUSTER));
            config.resource_proxy = false;
        })
        .await
}

const NO_CLUSTER: &str = "/dev/null";
