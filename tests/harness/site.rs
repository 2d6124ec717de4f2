//! Principal and agent as they are installed: child processes with their certificates, ports and logs.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    eventually, pki,
    process::{Process, port, says},
    raw,
};

/// Certificates and files of one principal and its agents.
#[derive(Debug)]
pub struct Site {
    /// Signs every certificate.
    pub ca: pki::Ca,
    folder: TempDir,
}

/// A principal as a process.
#[derive(Debug)]
pub struct PrincipalProcess {
    /// The process.
    pub process: Process,
    /// Where agents attach.
    pub grpc: SocketAddr,
    /// Where Kubernetes clients connect.
    pub door: SocketAddr,
    /// Where `/metrics` is.
    pub metrics: SocketAddr,
    /// Where `/healthz`, `/livez` and `/readyz` are.
    pub healthz: SocketAddr,
}

/// An agent as a process.
#[derive(Debug)]
pub struct AgentProcess {
    /// The process.
    pub process: Process,
    /// Where `/metrics` is.
    pub metrics: SocketAddr,
    /// Where `/healthz`, `/livez` and `/readyz` are.
    pub healthz: SocketAddr,
}

// === impl Site ===

impl Site {
    /// A new authority, and a folder for its files.
    ///
    /// # Panics
    /// When the folder cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let ca = pki::Ca::new();
        let _ca = pki::write(folder.path(), "ca.crt", &ca.pem());
        let _server = ca.server().write(folder.path(), "server");
        Self { ca, folder }
    }

    /// The folder of all files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The arguments of a principal that listens on free ports, logs JSON at level debug and drains within 20 s; what
    /// `more` says of the same comes later and wins.
    #[must_use]
    pub fn principal_args(&self, healthz: u16, metrics: u16, more: &[&str]) -> Vec<String> {
        let path = |name: &str| self.folder().join(name).display().to_string();
        let (ca, crt, key) = (path("ca.crt"), path("server.crt"), path("server.key"));
        let mut args = vec![
            "principal".into(),
            "--listen-host=127.0.0.1".into(),
            format!("--listen-port={}", port()),
            format!("--resource-proxy-listen=127.0.0.1:{}", port()),
            "--disable-redis-proxy=true".into(),
            format!("--healthz-port={healthz}"),
            format!("--metrics-port={metrics}"),
            "--admin-port=0".into(),
            "--namespace=argocd".into(),
            "--auth=mtls:CN=([^,]+)".into(),
            format!("--tls-cert={crt}"),
            format!("--tls-key={key}"),
            format!("--root-ca-path={ca}"),
            format!("--resource-proxy-cert-path={crt}"),
            format!("--resource-proxy-key-path={key}"),
            format!("--resource-proxy-ca-path={ca}"),
            "--log-format=json".into(),
            "--log-level=debug".into(),
            "--drain-grace=20s".into(),
        ];
        override_with(&mut args, more);
        args
    }

    /// A principal that is ready.
    pub async fn principal(&self, more: &[&str]) -> PrincipalProcess {
        self.principal_with(more, &[]).await
    }

    /// As [`principal`](Self::principal), with variables in its environment.
    ///
    /// # Panics
    /// When it never is ready.
    pub async fn principal_with(&self, more: &[&str], env: &[(String, String)]) -> PrincipalProcess {
        let (healthz, metrics) = (port(), port());
        let args = self.principal_args(healthz, metrics, more);
        let mut process = Process::start_with(&format!("principal-{healthz}"), &args, env, self.folder());
        let started = process.logged("principal started", |line| says(line, "principal started")).await;
        let address = |field: &str| {
            let text = started.get(field).and_then(Value::as_str).unwrap_or_default();
            let text = text.trim_start_matches("Some(").trim_end_matches(')');
            text.parse().unwrap_or_else(|_| panic!("no {field} in {started}"))
        };
        let (grpc, door) = (address("grpc"), address("kube_door"));
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (metrics, healthz) = (local(metrics), local(healthz));
        eventually("the principal is ready", async || {
            (raw::page(healthz, "/readyz").await.status == 200).then_some(())
        })
        .await;
        PrincipalProcess { process, grpc, door, metrics, healthz }
    }

    /// The arguments of an agent called `name`, without the filter, that dials `grpc` and logs JSON at level debug.
    #[must_use]
    pub fn agent_args(
        &self,
        name: &str,
        grpc: SocketAddr,
        kubeconfig: &Path,
        (healthz, metrics): (u16, u16),
        more: &[&str],
    ) -> Vec<String> {
        let (certificate, key) = self.ca.client(name).write(self.folder(), &format!("agent-{name}"));
        agent_args(&self.folder().join("ca.crt"), (&certificate, &key), grpc, kubeconfig, (healthz, metrics), more)
    }

    /// An agent called `name` that is attached.
    pub async fn agent(&self, name: &str, grpc: SocketAddr, kubeconfig: &Path, more: &[&str]) -> AgentProcess {
        let ports = (port(), port());
        AgentProcess::start(name, &self.agent_args(name, grpc, kubeconfig, ports, more), self.folder(), ports).await
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

// === impl AgentProcess ===

impl AgentProcess {
    /// Starts an agent whose arguments name these ports of health and metrics, and waits until it is attached.
    ///
    /// # Panics
    /// When it never is.
    pub async fn start(name: &str, args: &[String], folder: &Path, ports: (u16, u16)) -> Self {
        Self::start_with(name, args, &[], folder, ports).await
    }

    /// As [`start`](Self::start), with variables in its environment.
    ///
    /// # Panics
    /// When it never is attached.
    pub async fn start_with(
        name: &str,
        args: &[String],
        env: &[(String, String)],
        folder: &Path,
        (healthz, metrics): (u16, u16),
    ) -> Self {
        let mut process = Process::start_with(&format!("{name}-{healthz}"), args, env, folder);
        process.logged("agent started", |line| says(line, "agent started")).await;
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (metrics, healthz) = (local(metrics), local(healthz));
        eventually("the agent is attached", async || {
            (raw::page(healthz, "/healthz").await.status == 200).then_some(())
        })
        .await;
        Self { process, metrics, healthz }
    }
}

/// The arguments of an agent without the filter.
#[must_use]
pub fn agent_args(
    ca: &Path,
    (certificate, key): (&Path, &Path),
    grpc: SocketAddr,
    kubeconfig: &Path,
    (healthz, metrics): (u16, u16),
    more: &[&str],
) -> Vec<String> {
    let mut args = vec![
        "agent".into(),
        "--server-address=127.0.0.1".into(),
        format!("--server-port={}", grpc.port()),
        "--creds=mtls:any".into(),
        "--agent-mode=managed".into(),
        "--namespace=argocd".into(),
        format!("--root-ca-path={}", ca.display()),
        format!("--tls-client-cert={}", certificate.display()),
        format!("--tls-client-key={}", key.display()),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--healthz-port={healthz}"),
        format!("--metrics-port={metrics}"),
        "--managed-resources-only=false".into(),
        "--log-format=json".into(),
        "--log-level=debug".into(),
        "--drain-grace=20s".into(),
    ];
    override_with(&mut args, more);
    args
}

/// A flag may be given once only.
fn override_with(args: &mut Vec<String>, more: &[&str]) {
    let flag = |arg: &str| arg.split('=').next().unwrap_or_default().to_owned();
    args.retain(|arg| !more.iter().any(|other| flag(other) == flag(arg)));
    args.extend(more.iter().map(|arg| (*arg).to_owned()));
}
