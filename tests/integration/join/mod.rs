//! Agents that get their certificates from the principal, by join tokens and by the certificate before: the real binaries
//! before real API servers.

mod agent;
mod refused;
mod renewal;

use std::{net::SocketAddr, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::enrollment::{JoinRecord, JoinToken};
use envtest::{Assets, Cluster, ClusterOptions, Extent};
use harness::{
    cluster::{self, cluster, namespace},
    eventually,
    pki::Leaf,
    process::{Process, port},
    raw::{Answer, Caller, get, metric},
    site::{AgentProcess, PrincipalProcess, Site, agent_args},
};
use serde_json::Value;

use crate::agentctl::{FAST, Operator, Said, data};

/// A control plane whose principal gives certificates, and an empty namespace for an agent.
struct Rig {
    operator: Operator,
    site: Site,
    principal: PrincipalProcess,
}

const AGENT: &str = "edge";
const CLIENT: &str = "argocd-agent-client-tls";
const NOBODY: &str = "--enable-enrollment=false";
const NODE: &str = "/api/v1/namespaces/default";

// === impl Rig ===

impl Rig {
    /// In namespaces of the shared cluster.
    async fn start(more: &[&str]) -> Self {
        Self::between(Operator::new().await, more).await
    }

    /// With everything that the principal needs from the operator, and nothing for agents.
    async fn between(operator: Operator, more: &[&str]) -> Self {
        for line in ["pki init", "pki issue principal", "pki issue resource-proxy --ip=127.0.0.1 --dns=localhost"] {
            operator.ok(&format!("{line} {FAST}")).await;
        }
        let site = Site::new();
        let principal = principal(&operator, &site, more).await;
        if !more.contains(&NOBODY) {
            eventually("it can sign", async || {
                let end = "argocd_agent_enrollment_authority_expiry_timestamp_seconds";
                (metric(principal.metrics, end, "").await > 0.0).then_some(())
            })
            .await;
        }
        Self { operator, site, principal }
    }

    /// A token's text.
    async fn token(&self) -> String {
        let made =
            self.operator.json(&format!("agent join-token {AGENT} --principal-address={}", self.principal.grpc)).await;
        made["token"].as_str().unwrap().to_owned()
    }

    /// `agentctl agent join` with this token.
    async fn join(&self, token: &str) -> Said {
        self.operator.told("agent join", token).await
    }

    /// The one line of a join that fails.
    async fn not_joined(&self, token: &str) -> String {
        self.join(token).await.refusal("agent join", 1)
    }

    /// An agent that runs with what is in its namespace, and these flags.
    async fn agent(&self, more: &[&str]) -> AgentProcess {
        let (args, ports) = self.agent_args(more);
        AgentProcess::start(AGENT, &args, self.site.folder(), ports).await
    }

    /// One that need not ever be attached.
    fn agent_process(&self, more: &[&str]) -> Process {
        let (args, ports) = self.agent_args(more);
        Process::start(&format!("agent-{}", ports.0), &args, self.site.folder())
    }

    fn agent_args(&self, more: &[&str]) -> (Vec<String>, (u16, u16)) {
        let (ports, none) = ((port(), port()), PathBuf::new());
        let namespace = format!("--namespace={}", self.operator.agent);
        let more: Vec<&str> = std::iter::once(namespace.as_str()).chain(more.iter().copied()).collect();
        let args = agent_args(&none, (&none, &none), self.principal.grpc, &cluster().kubeconfig_path(), ports, &more);
        (args, ports)
    }

    /// A file with a token.
    fn token_file(&self, token: &str) -> String {
        format!("--join-token-file={}", self.operator.write("token", token).display())
    }

    /// Who calls the door as the agent, with a certificate of the operator's.
    async fn caller(&self) -> Caller {
        self.operator.ok(&format!("agent create {AGENT} {FAST}")).await;
        let part = async |part: &str| self.operator.ok(&format!("agent print-tls {AGENT} -t {part}")).await;
        let leaf = Leaf { certificate: part("cert").await, key: part("key").await };
        Caller::new(part("ca").await, Some(leaf))
    }

    /// A request through the door, and what came of it.
    async fn ask(&self) -> Answer {
        self.caller().await.ask(self.principal.door, get(NODE)).await
    }

    /// A counter of the principal's.
    async fn counted(&self, name: &str, part: &str) -> f64 {
        metric(self.principal.metrics, &format!("argocd_agent_enrollment_{name}_total"), part).await
    }

    /// The Secrets of tokens that are there.
    async fn tokens(&self) -> Vec<String> {
        let found = self.operator.kubectl("get secrets -l argocd-agent.argoproj-labs.io/join-token -o name").await;
        found.lines().map(str::to_owned).collect()
    }

    /// The key that the agent has.
    async fn agents_key(&self) -> String {
        data(&self.operator.agent_object("secret", CLIENT).await, "tls.key")
    }
}

/// A principal of these namespaces, which loads everything from Secrets.
async fn principal(operator: &Operator, site: &Site, more: &[&str]) -> PrincipalProcess {
    let namespace = format!("--namespace={}", operator.principal);
    let kubeconfig = format!("--kubeconfig={}", operator.folder().join("kubeconfig").display());
    let flags = [
        "--tls-cert=",
        "--tls-key=",
        "--root-ca-path=",
        "--resource-proxy-cert-path=",
        "--resource-proxy-key-path=",
        "--resource-proxy-ca-path=",
        "--enable-enrollment",
        &namespace,
        &kubeconfig,
    ];
    let name = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
    let flags = flags.into_iter().filter(|flag| !more.iter().any(|other| name(other) == name(flag)));
    let flags: Vec<&str> = flags.chain(more.iter().copied()).collect();
    site.principal(&flags).await
}

/// Puts a record into the control plane as if `agentctl` had made it.
async fn record(operator: &Operator, token: &JoinToken, record: &JoinRecord) {
    let mut secret = serde_json::to_value(record.to_secret(&token.id)).unwrap();
    secret["metadata"]["namespace"] = operator.principal.as_str().into();
    cluster::apply(&secret.to_string()).await;
}

/// Whether any Secret of a cluster holds this text.
async fn is_anywhere_in(cluster: &Cluster, text: &str) -> bool {
    let all = cluster.kubectl().run(["get", "secrets,configmaps", "--all-namespaces", "-o", "json"]).await.unwrap();
    let all: Value = serde_json::from_str(&all).unwrap();
    assert!(!all["items"].as_array().unwrap().is_empty());
    let decoded = |value: &Value| value.as_str().and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
    let held = all["items"].as_array().unwrap().iter().flat_map(|item| item["data"].as_object().into_iter().flatten());
    let needle = text.trim().as_bytes();
    held.into_iter().any(|(_, value)| {
        let bytes = decoded(value);
        bytes.windows(needle.len()).any(|window| window == needle)
            || value.as_str().is_some_and(|v| v.contains(text.trim()))
    })
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[tokio::test]
async fn from_an_empty_namespace_to_a_request_through_the_door_with_one_command() {
    // The control plane is another API server than the workload cluster's.
    let assets = Assets::locate_or_build(|line| eprintln!("{line}")).await.unwrap();
    let options = ClusterOptions { extent: Extent::ApiServer, ..ClusterOptions::default() };
    let control = Cluster::start(&assets, options).await.unwrap();
    control.kubectl().run(["create", "namespace", "argocd"]).await.unwrap();
    let operator = Operator::between(&control, cluster(), "argocd".into(), namespace("join-workload").await);
    let rig = Rig::between(operator, &[]).await;

    // One command, which a shell could run as it stands.
    let line = format!("agent join-token {AGENT} --principal-address={}", rig.principal.grpc);
    let command = rig.operator.ok(&line).await;
    let token =
        command.strip_prefix("echo ").and_then(|rest| rest.strip_suffix(" | argocd-agentctl agent join\n")).unwrap();
    assert_eq!(rig.tokens().await.len(), 1);
    let said = rig.join(token).await;
    let (namespace, grpc) = (&rig.operator.agent, rig.principal.grpc);
    assert_eq!(
        said.stdout,
        format!(
            "Secret {namespace}/{CLIENT} created\nSecret {namespace}/argocd-agent-ca created\n\
             Agent {AGENT} joined: it reaches the principal with --server-address=127.0.0.1 --server-port={}\n",
            grpc.port()
        ),
        "{said:?}"
    );
    assert_eq!(rig.tokens().await, [""; 0]);
    assert_eq!(rig.counted("certificates", "join").await, 1.0);

    let _agent = rig.agent(&["--tls-client-cert=", "--tls-client-key=", "--root-ca-path="]).await;
    let answer = rig.ask().await;
    assert_eq!(answer.status, 200, "{}", answer.text());

    // The key is in the workload cluster and nowhere else.
    let key = rig.agents_key().await;
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
    assert!(is_anywhere_in(cluster(), &key).await);
    assert!(!is_anywhere_in(&control, &key).await);
    // Nor is the token's secret, of which there was but a hash.
    assert!(!is_anywhere_in(&control, token).await);
    for log in [rig.principal.process.stdout(), rig.principal.process.stderr()] {
        assert!(!log.contains("PRIVATE KEY") && !log.contains(token), "neither is in the log");
    }
}
