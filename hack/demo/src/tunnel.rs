//! One principal and two agents of the same cluster: one shows what Argo CD manages, the other shows everything.
//!
//! Who asks decides which: the principal takes the agent's name from the caller's certificate.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::kubeconfig;
use crate::pki::{LeafFiles, Pki};
use crate::ports;
use crate::process::Process;
use crate::redis::Redis;
use crate::screen::Screen;
use crate::state::State;
use crate::workload::Workload;

/// The agent with the filter, as it is by default.
pub(crate) const MANAGED: &str = "demo";
/// The agent without.
pub(crate) const EVERYTHING: &str = "demo-full";

/// How a caller gets in.
#[derive(Debug)]
pub(crate) struct Doors {
    /// Has a context for each agent.
    pub(crate) kubeconfig: PathBuf,
    /// Port of the Redis door.
    pub(crate) redis: u16,
    /// Metrics pages, by process.
    pub(crate) metrics: Vec<(&'static str, u16)>,
}

/// The certificates as files, and the kubeconfig.
struct Papers {
    authority: PathBuf,
    principal: LeafFiles,
    door: LeafFiles,
    managed: LeafFiles,
    everything: LeafFiles,
    kubeconfig: PathBuf,
}

/// Makes the certificates and starts the processes, which `processes` has from then on, each as soon as it runs.
/// Returns when both agents are attached.
pub(crate) async fn open(
    binary: &Path,
    workload: &Workload,
    redis: &Redis,
    door: Option<u16>,
    state: &State,
    processes: &mut Vec<Process>,
    screen: &Screen,
) -> Result<Doors> {
    let [any_door, redis_door, listen, health, metrics, ports @ ..] = ports::free::<9>()?;
    let door = door.unwrap_or(any_door);
    let papers = screen
        .stage("making certificates", async |progress| {
            progress
                .result(format!("an authority, two servers, two agents, two callers in {}", state.path().display()));
            Papers::make(door, state).context("making certificates")
        })
        .await?;
    let logs = state.folder("logs")?;
    screen
        .stage("starting the principal", async |progress| {
            let mut args = principal_args(&papers, listen, door, health, metrics);
            args.push(format!("--redis-proxy-listen=127.0.0.1:{redis_door}"));
            args.push(format!("--redis-server-address=127.0.0.1:{}", redis.control));
            args.push(format!("--redis-creds-dir-path={}", redis.credentials.display()));
            start("principal", binary, &args, &logs, (health, "/readyz"), processes).await?;
            progress.result(format!(
                "kubectl on 127.0.0.1:{door}, Redis clients on 127.0.0.1:{redis_door}, agents on 127.0.0.1:{listen}"
            ));
            Ok(())
        })
        .await?;
    let [managed_health, managed_metrics, everything_health, everything_metrics] = ports;
    for (agent, name, leaf, health, metrics) in [
        (MANAGED, "agent", &papers.managed, managed_health, managed_metrics),
        (EVERYTHING, "agent-full", &papers.everything, everything_health, everything_metrics),
    ] {
        let title = match agent {
            MANAGED => "starting an agent, until it is attached",
            _ => "starting another agent, without the filter",
        };
        screen
            .stage(title, async |progress| {
                let mut args = agent_args(leaf, &papers.authority, workload, listen, health, metrics);
                args.push(format!("--redis-addr=127.0.0.1:{}", redis.workload));
                args.push(format!("--redis-creds-dir-path={}", redis.credentials.display()));
                if agent == EVERYTHING {
                    args.push("--managed-resources-only=false".to_owned());
                }
                // An agent is healthy while it is attached.
                start(name, binary, &args, &logs, (health, "/healthz"), processes).await?;
                progress.result(format!("its name is {agent}"));
                Ok(())
            })
            .await?;
    }
    let metrics = vec![("principal", metrics), ("agent", managed_metrics), ("agent-full", everything_metrics)];
    Ok(Doors { kubeconfig: papers.kubeconfig, redis: redis_door, metrics })
}

async fn start(
    name: &str,
    binary: &Path,
    args: &[String],
    logs: &Path,
    (port, page): (u16, &str),
    processes: &mut Vec<Process>,
) -> Result<()> {
    processes.push(Process::spawn(name, binary, args, logs)?);
    let process = processes.last_mut().context("it was just added")?;
    process.until_healthy(port, page).await
}

fn principal_args(papers: &Papers, listen: u16, door: u16, health: u16, metrics: u16) -> Vec<String> {
    let mut args = vec!["principal".to_owned()];
    for (flag, value) in [
        ("listen-host", "127.0.0.1".to_owned()),
        ("listen-port", listen.to_string()),
        ("namespace", "argocd".to_owned()),
        ("auth", "mtls:CN=([^,]+)".to_owned()),
        ("tls-cert", shown(&papers.principal.certificate)),
        ("tls-key", shown(&papers.principal.key)),
        ("root-ca-path", shown(&papers.authority)),
        ("resource-proxy-listen", format!("127.0.0.1:{door}")),
        ("resource-proxy-cert-path", shown(&papers.door.certificate)),
        ("resource-proxy-key-path", shown(&papers.door.key)),
        ("resource-proxy-ca-path", shown(&papers.authority)),
        ("healthz-port", health.to_string()),
        ("metrics-port", metrics.to_string()),
        ("admin-port", "0".to_owned()),
    ] {
        args.push(format!("--{flag}={value}"));
    }
    args
}

fn agent_args(
    leaf: &LeafFiles,
    authority: &Path,
    workload: &Workload,
    principal: u16,
    health: u16,
    metrics: u16,
) -> Vec<String> {
    let mut args = vec!["agent".to_owned()];
    for (flag, value) in [
        ("server-address", "localhost".to_owned()),
        ("server-port", principal.to_string()),
        ("creds", "mtls:any".to_owned()),
        ("agent-mode", "managed".to_owned()),
        ("namespace", "argocd".to_owned()),
        ("tls-client-cert", shown(&leaf.certificate)),
        ("tls-client-key", shown(&leaf.key)),
        ("root-ca-path", shown(authority)),
        ("kubeconfig", shown(&workload.kubeconfig())),
        ("healthz-port", health.to_string()),
        ("metrics-port", metrics.to_string()),
    ] {
        args.push(format!("--{flag}={value}"));
    }
    args.extend(workload.context().map(|context| format!("--kubecontext={context}")));
    args
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

// === impl Papers ===

impl Papers {
    fn make(door: u16, state: &State) -> Result<Self> {
        let pki = Pki::generate()?;
        let (managed, everything) = (pki.client(MANAGED)?, pki.client(EVERYTHING)?);
        let kubeconfig = kubeconfig::render(door, pki.pem(), &[(MANAGED, &managed), (EVERYTHING, &everything)]);
        Ok(Self {
            authority: state.write("ca.crt", pki.pem())?,
            principal: pki.server("argocd-agent-principal")?.write(state, "principal")?,
            door: pki.server("argocd-agent-resource-proxy")?.write(state, "door")?,
            managed: pki.client(MANAGED)?.write(state, "agent")?,
            everything: pki.client(EVERYTHING)?.write(state, "agent-full")?,
            kubeconfig: state.write("kubeconfig", &kubeconfig)?,
        })
    }
}
