//! Bad input at the Redis door: whoever says it is told and put out as Redis does it, it costs little, and nobody else
//! notices.

mod answers;
mod burden;
mod leaving;
mod telling;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use harness::{
    process::port,
    raw::metric,
    redis::Redis,
    resp::RespClient,
    site::{AgentProcess, PrincipalProcess, Site},
};

use super::{RESOURCES, THEIR_RESOURCES, THEIR_TREE, TREE, bulk};

/// Principal and agent as processes whose memory and logs can be looked at, and a Redis at either.
struct Stage {
    _site: Site,
    door: SocketAddr,
    local: Redis,
    remote: Redis,
    principal: PrincipalProcess,
    agent: AgentProcess,
}

// === impl Stage ===

impl Stage {
    async fn start(local: &[&str]) -> Self {
        Self::start_with(local, &[], &[]).await
    }

    async fn start_with(local: &[&str], of_principal: &[&str], of_agent: &[&str]) -> Self {
        let (local, remote) = (Redis::start(local).await, Redis::start(&[]).await);
        let site = Site::new();
        let door = SocketAddr::from((Ipv4Addr::LOCALHOST, port()));
        let (listen, address) =
            (format!("--redis-proxy-listen={door}"), format!("--redis-server-address={}", local.address()));
        let mut args = vec!["--disable-redis-proxy=false", listen.as_str(), address.as_str()];
        args.extend(of_principal);
        let principal = site.principal(&args).await;
        let address = format!("--redis-addr={}", remote.address());
        let mut args = vec!["--enable-resource-proxy=false", address.as_str()];
        args.extend(of_agent);
        let agent = site.agent("agent-a", principal.grpc, Path::new("/dev/null"), &args).await;
        // One that is known, and away.
        let mut away = site.agent("agent-b", principal.grpc, Path::new("/dev/null"), &args).await;
        away.process.kill().await;
        RespClient::connect(remote.address()).await.ask(&["SET", THEIR_TREE, "a tree"]).await;
        Self { _site: site, door, local, remote, principal, agent }
    }

    async fn client(&self) -> RespClient {
        RespClient::connect(self.door).await
    }

    /// Whoever behaves is answered.
    async fn still_answers(&self) {
        let mut client = self.client().await;
        assert_eq!(client.ask(&["ECHO", "x"]).await, bulk("x"));
        assert_eq!(client.ask(&["GET", TREE]).await, bulk("a tree"));
    }

    /// What principal and agent hold now.
    async fn resident(&self) -> [f64; 2] {
        let of = |address| metric(address, "process_resident_memory_bytes", "");
        [of(self.principal.metrics).await, of(self.agent.metrics).await]
    }

    /// Pipes that are open, and connections of clients.
    async fn open(&self) -> [f64; 3] {
        [
            metric(self.principal.metrics, "argocd_agent_tunnel_pipes_open", "").await,
            metric(self.agent.metrics, "argocd_agent_link_pipes_open", "").await,
            metric(self.principal.metrics, "argocd_agent_redis_door_connections_open", "").await,
        ]
    }

    /// Pipes and connections that are there for clients alone: subscriptions outlive those who listen.
    async fn open_for_clients(&self) -> [f64; 2] {
        let [pipes, _, connections] = self.open().await;
        let subscriptions = metric(self.principal.metrics, "argocd_agent_redis_door_subscriptions", "").await;
        [(pipes - subscriptions).max(0.0), connections]
    }

    /// Clients that listen to agents' channels.
    async fn listeners(&self) -> f64 {
        metric(self.principal.metrics, "argocd_agent_redis_door_listeners ", "").await
    }

    /// How many clients the principal's Redis has, ourselves included.
    async fn clients_of_redis(&self) -> usize {
        let text = RespClient::connect(self.local.address()).await.ask(&["CLIENT", "LIST"]).await;
        text.matches("id=").count()
    }

    /// Whoever waits for this waits no longer.
    async fn release(&self) {
        let mut client = RespClient::connect(self.local.address()).await;
        client.ask(&["LPUSH", "none", "1"]).await;
        client.ask(&["DEL", "none"]).await;
    }
}
