//! argocd-agent, the program in Go: its principal and its agent, with the flags that an operator must give.
//!
//! Its resource proxy answers with an object that it has read and written anew, so what counts of it is what it says and
//! not its bytes. Principal and agent want an API server each that knows Argo CD's types, and a Redis; they get the same.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{
    Contestant, Ground, Kind,
    ours::{agent_flags, principal_flags},
    ports::low_ports,
    rivals::{Rival, said},
};
use crate::{
    load::Endpoint,
    process::Process,
    redis::{PASSWORD, RedisServer},
};

/// Its program.
#[derive(Debug)]
pub(crate) struct ArgocdAgent {
    program: PathBuf,
    /// Such as `argocd-agent (Go) 99.9.9-unreleased`.
    pub(crate) version: String,
}

// === impl ArgocdAgent ===

impl ArgocdAgent {
    /// Looks at the program that was given.
    pub(crate) async fn given(rival: &Rival, program: &Path) -> Result<Self> {
        let version = said(rival, program, &["version", "-s"]).await?;
        Ok(Self { program: program.to_owned(), version: format!("{} {version}", Kind::ArgocdAgent) })
    }

    /// Starts both in front of an API server.
    pub(super) async fn start(&self, ground: Ground<'_>) -> Result<Contestant> {
        let dir = ground.dir.join("argocd-agent");
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))
            .with_context(|| format!("argocd-agent (Go) listens on port {PORT} and on no other"))?;
        ground.api_server.accept_applications().await?;
        let redis = RedisServer::start("redis", &dir, REDIS_CLIENTS).await?;
        let [agents, principal_health, agent_health] = low_ports()?;
        let kubeconfig = format!("--kubeconfig={}", ground.api_server.kubeconfig().display());
        let address = redis.endpoint.address();

        let mut principal = principal_flags(ground.pki, [agents, principal_health]);
        principal.extend([
            kubeconfig.clone(),
            "--insecure-jwt-generate".to_owned(),
            "--disable-redis-proxy".to_owned(),
            format!("--redis-server-address={address}"),
            format!("--redis-password={PASSWORD}"),
        ]);
        let principal = Process::start("principal", &dir, &self.program, principal)?;
        let mut agent = agent_flags(ground.pki, [ground.towards(agents)?, agent_health]);
        agent.extend([kubeconfig, format!("--redis-addr={address}"), format!("--redis-password={PASSWORD}")]);
        let agent = Process::start("agent", &dir, &self.program, agent)?;

        let endpoint = Endpoint::new((Ipv4Addr::LOCALHOST, PORT).into(), &ground.pki.client())?;
        let contestant = Contestant::starting(Kind::ArgocdAgent, endpoint, vec![principal, agent]);
        Ok(Contestant { _redis: Some(redis), ..contestant })
    }
}

/// Where its resource proxy listens: it has no flag for that.
const PORT: u16 = 9090;

/// More than the two processes open.
const REDIS_CLIENTS: usize = 1000;
