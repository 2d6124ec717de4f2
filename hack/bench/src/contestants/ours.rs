//! `argocd-agent principal` and `argocd-agent agent`, with the flags that an operator must give and no others but for
//! ports.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{
    net::TcpStream,
    process::Command,
    time::{Instant, sleep},
};

use super::{Contestant, Ground, Kind, free_ports};
use crate::{args, line::Line, load::Endpoint, pki::Pki, process::Process};

/// The program, and how it is to be run.
#[derive(Debug)]
pub(crate) struct Ours {
    program: PathBuf,
    /// Such as `0.1.0`.
    pub(crate) version: String,
    /// `--worker-threads` of both processes; the program's own default if not given.
    worker_threads: Option<usize>,
}

/// Where a principal listens, time and again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PrincipalPorts([u16; 3]);

// === impl PrincipalPorts ===

impl PrincipalPorts {
    /// Ports that are free now.
    pub(crate) fn free() -> Result<Self> {
        Ok(Self(free_ports()?))
    }

    /// Where agents attach.
    pub(crate) fn agents(self) -> SocketAddr {
        let Self([agents, ..]) = self;
        (Ipv4Addr::LOCALHOST, agents).into()
    }

    /// The Kubernetes door.
    pub(crate) fn door(self) -> SocketAddr {
        let Self([_, door, _]) = self;
        (Ipv4Addr::LOCALHOST, door).into()
    }
}

// === impl Ours ===

impl Ours {
    /// Takes a program that is there already, or builds this checkout's.
    pub(crate) async fn given_or_build(wanted: &args::Program) -> Result<Self> {
        let program = Self::program(wanted, false).await?;
        let output = Command::new(&program).args(["version", "-s"]).output().await;
        let output = output.with_context(|| format!("running {}", program.display()))?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(Self { program, version, worker_threads: wanted.worker_threads })
    }

    /// Where the program is that was given, or that has been built: as it is released, or where only that it works is
    /// to be seen, as this one was.
    pub(crate) async fn program(wanted: &args::Program, as_this: bool) -> Result<PathBuf> {
        match &wanted.binary {
            Some(program) => Ok(program.clone()),
            None => build(!as_this || !cfg!(debug_assertions)).await,
        }
    }

    /// Starts both in front of an API server. They have nothing to do with any Redis.
    pub(super) fn start(&self, ground: Ground<'_>, kind: Kind) -> Result<Contestant> {
        let dir = ground.dir.join(if kind == Kind::Ours { "ours" } else { "ours-no-filter" });
        let [door] = free_ports()?;
        let principal = [format!("--resource-proxy-listen=127.0.0.1:{door}"), "--disable-redis-proxy".to_owned()];
        let filter = (kind == Kind::OursNoFilter).then(|| "--managed-resources-only=false".to_owned());
        let agent = [format!("--kubeconfig={}", ground.api_server.kubeconfig().display())].into_iter().chain(filter);
        let processes = self.pair(&dir, ground.pki, ground.line, principal, agent)?;
        let endpoint = Endpoint::new(([127, 0, 0, 1], door).into(), &ground.pki.client())?;
        Ok(Contestant::starting(kind, endpoint, processes.into()))
    }

    /// Starts both between two Redis servers that have this password, and says where the door is. Nothing of
    /// Kubernetes is there.
    pub(crate) fn start_between(
        &self,
        dir: &Path,
        pki: &Pki,
        [principals, agents]: [SocketAddr; 2],
        password: &str,
    ) -> Result<(SocketAddr, [Process; 2])> {
        let [door, other_door] = free_ports()?;
        let principal = [
            format!("--resource-proxy-listen=127.0.0.1:{other_door}"),
            format!("--redis-proxy-listen=127.0.0.1:{door}"),
            format!("--redis-server-address={principals}"),
            format!("--redis-password={password}"),
        ];
        let agent = [
            "--enable-resource-proxy=false".to_owned(),
            format!("--redis-addr={agents}"),
            format!("--redis-password={password}"),
        ];
        Ok((([127, 0, 0, 1], door).into(), self.pair(dir, pki, None, principal, agent)?))
    }

    /// Starts a principal alone, and waits until it listens. It can be started again on the same ports.
    pub(crate) async fn start_principal(&self, dir: &Path, pki: &Pki, ports: PrincipalPorts) -> Result<Process> {
        let PrincipalPorts([agents, door, health]) = ports;
        let flags = [format!("--resource-proxy-listen=127.0.0.1:{door}"), "--disable-redis-proxy".to_owned()];
        let mut process = self.principal(dir, pki, [agents, health], flags)?;
        let deadline = Instant::now() + START_TIMEOUT;
        while let Err(error) = TcpStream::connect((Ipv4Addr::LOCALHOST, door)).await {
            process.check()?;
            if Instant::now() >= deadline {
                return Err(error).context(process.tail());
            }
            // Whether a process of others is ready can only be asked.
            sleep(ATTEMPT_PAUSE).await;
        }
        Ok(process)
    }

    /// A principal and its agent, with these flags beside what all have.
    fn pair(
        &self,
        dir: &Path,
        pki: &Pki,
        line: Option<&Line>,
        principal: impl IntoIterator<Item = String>,
        agent: impl IntoIterator<Item = String>,
    ) -> Result<[Process; 2]> {
        let [agents, principal_health, agent_health] = free_ports()?;
        let principal = self.principal(dir, pki, [agents, principal_health], principal)?;
        let mut args = agent_flags(pki, [line.map_or(Ok(agents), |line| line.to(agents))?, agent_health]);
        args.extend(agent);
        args.extend(self.worker_threads.map(|threads| format!("--worker-threads={threads}")));
        let agent = Process::start("agent", dir, &self.program, args)?;
        Ok([principal, agent])
    }

    fn principal(
        &self,
        dir: &Path,
        pki: &Pki,
        ports: [u16; 2],
        flags: impl IntoIterator<Item = String>,
    ) -> Result<Process> {
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let mut args = principal_flags(pki, ports);
        args.push("--admin-port=0".to_owned());
        args.extend(flags);
        args.extend(self.worker_threads.map(|threads| format!("--worker-threads={threads}")));
        Process::start("principal", dir, &self.program, args)
    }
}

/// What a principal must be told, ours or the one in Go: they go by the same names. The ports are for agents and for
/// whoever looks at its health.
pub(super) fn principal_flags(pki: &Pki, [agents, health]: [u16; 2]) -> Vec<String> {
    let pki = |name| pki.file(name).display().to_string();
    vec![
        "principal".to_owned(),
        "--listen-host=127.0.0.1".to_owned(),
        format!("--listen-port={agents}"),
        format!("--namespace={ARGOCD_NAMESPACE}"),
        "--auth=mtls:CN=([^,]+)".to_owned(),
        format!("--tls-cert={}", pki("server.crt")),
        format!("--tls-key={}", pki("server.key")),
        format!("--root-ca-path={}", pki("ca.crt")),
        format!("--resource-proxy-cert-path={}", pki("server.crt")),
        format!("--resource-proxy-key-path={}", pki("server.key")),
        format!("--resource-proxy-ca-path={}", pki("ca.crt")),
        "--metrics-port=0".to_owned(),
        format!("--healthz-port={health}"),
    ]
}

/// The same of an agent; the ports are the principal's, and for whoever looks at its own health.
pub(super) fn agent_flags(pki: &Pki, [principal, health]: [u16; 2]) -> Vec<String> {
    let pki = |name| pki.file(name).display().to_string();
    vec![
        "agent".to_owned(),
        "--server-address=127.0.0.1".to_owned(),
        format!("--server-port={principal}"),
        "--creds=mtls:any".to_owned(),
        "--agent-mode=managed".to_owned(),
        format!("--namespace={ARGOCD_NAMESPACE}"),
        format!("--tls-client-cert={}", pki("client.crt")),
        format!("--tls-client-key={}", pki("client.key")),
        format!("--root-ca-path={}", pki("ca.crt")),
        "--metrics-port=0".to_owned(),
        format!("--healthz-port={health}"),
    ]
}

/// Builds the program, next to where this one was built.
async fn build(release: bool) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut args = vec!["build", "--locked", "--package", "argocd-agent", "--message-format=json-render-diagnostics"];
    args.extend(release.then_some("--release"));
    let output = Command::new(cargo)
        .args(&args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .await
        .context("running cargo")?;
    if !output.status.success() {
        bail!("cargo {}: {}", args.join(" "), output.status);
    }
    // Cargo alone knows where its target directory is.
    let executable = String::from_utf8_lossy(&output.stdout).lines().rev().find_map(executable);
    executable.filter(|path| path.is_file()).context("cargo built no argocd-agent")
}

fn executable(message: &str) -> Option<PathBuf> {
    let message = serde_json::from_str::<serde_json::Value>(message).ok()?;
    message.get("executable")?.as_str().map(Path::new).map(Path::to_owned)
}

/// The namespace of Argo CD in both clusters.
pub(crate) const ARGOCD_NAMESPACE: &str = "argocd";

const START_TIMEOUT: Duration = Duration::from_secs(30);
const ATTEMPT_PAUSE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_program_is_where_cargo_says() {
        let path = executable(r#"{"reason":"compiler-artifact","executable":"/t/release/argocd-agent"}"#);
        assert_eq!(path, Some(PathBuf::from("/t/release/argocd-agent")));
        assert_eq!(executable(r#"{"reason":"compiler-artifact","executable":null}"#), None);
        assert_eq!(executable("warning: not JSON"), None);
    }
}
