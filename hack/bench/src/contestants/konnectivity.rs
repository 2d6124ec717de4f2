//! konnectivity: `proxy-server` and `proxy-agent` of apiserver-network-proxy, with the flags that they must have, and the
//! way into it that kube-apiserver itself uses where both are on one machine: HTTP CONNECT over a Unix socket.
//!
//! It carries bytes and knows nothing of Kubernetes: the client's TLS ends at kube-apiserver, which knows it by the
//! administrator's certificate.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{
    Contestant, Ground, Kind,
    ports::low_ports,
    rivals::{Rival, built_from, said},
};
use crate::process::Process;

/// Its programs.
#[derive(Debug)]
pub(crate) struct Konnectivity {
    server: PathBuf,
    agent: PathBuf,
    /// Such as `konnectivity v0.34.0`.
    pub(crate) version: String,
}

// === impl Konnectivity ===

impl Konnectivity {
    /// Looks at what is in the directory that was given.
    pub(crate) async fn given(rival: &Rival, dir: &Path) -> Result<Self> {
        let [server, agent] = ["proxy-server", "proxy-agent"].map(|name| dir.join(name));
        for program in [&server, &agent] {
            said(rival, program, &["--help"]).await?;
        }
        let version = built_from(&server).await.map(|version| format!(" {version}")).unwrap_or_default();
        Ok(Self { server, agent, version: format!("konnectivity{version}") })
    }

    /// Starts both in front of an API server.
    pub(super) fn start(&self, ground: Ground<'_>) -> Result<Contestant> {
        let dir = ground.dir.join("konnectivity");
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let [agents, server_admin, server_health, agent_admin, agent_health] = low_ports()?;
        let socket = dir.join("socket");
        let pki = |name| ground.pki.file(name).display().to_string();
        let args = [
            "--mode=http-connect".to_owned(),
            format!("--uds-name={}", socket.display()),
            // As it must be beside a socket of that kind.
            "--server-port=0".to_owned(),
            "--agent-bind-address=127.0.0.1".to_owned(),
            format!("--agent-port={agents}"),
            format!("--cluster-cert={}", pki("server.crt")),
            format!("--cluster-key={}", pki("server.key")),
            format!("--cluster-ca-cert={}", pki("ca.crt")),
            "--health-bind-address=127.0.0.1".to_owned(),
            format!("--health-port={server_health}"),
            format!("--admin-port={server_admin}"),
        ];
        let server = Process::start("proxy-server", &dir, &self.server, args)?;
        let args = [
            "--proxy-server-host=127.0.0.1".to_owned(),
            format!("--proxy-server-port={}", ground.towards(agents)?),
            format!("--ca-cert={}", pki("ca.crt")),
            format!("--agent-cert={}", pki("client.crt")),
            format!("--agent-key={}", pki("client.key")),
            format!("--health-server-port={agent_health}"),
            format!("--admin-server-port={agent_admin}"),
        ];
        let agent = Process::start("proxy-agent", &dir, &self.agent, args)?;
        let endpoint = ground.api_server.endpoint().through(&socket);
        Ok(Contestant::starting(Kind::Konnectivity, endpoint, vec![server, agent]))
    }
}
