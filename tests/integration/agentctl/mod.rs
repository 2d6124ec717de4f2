//! `argocd-agentctl`, the real binary against real API servers: what it writes, what it says, how it fails, and that
//! what it issued connects a cluster.

mod agents;
mod attached;
mod blocklist;
mod config;
mod connect;
mod failures;
mod jwt;
mod pki;
mod surroundings;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use envtest::{Cluster, Kubectl};
use harness::{
    cluster::{cluster, kubeconfig, namespace},
    process::ctl,
    soon,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, process::Command};

/// An operator: two sides in a kubeconfig, each a context and a namespace of its own.
pub(crate) struct Operator {
    folder: TempDir,
    pub(crate) principal: String,
    pub(crate) agent: String,
    control: Kubectl,
    workload: Kubectl,
}

/// What a run said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

// === impl Operator ===

impl Operator {
    /// With empty namespaces of the shared cluster.
    pub(crate) async fn new() -> Self {
        let cluster = cluster();
        Self::between(cluster, cluster, namespace("ctl-principal").await, namespace("ctl-agent").await)
    }

    /// With namespaces of two clusters.
    pub(crate) fn between(control: &Cluster, workload: &Cluster, principal: String, agent: String) -> Self {
        let folder = TempDir::new().unwrap();
        let operator =
            Self { folder, principal, agent, control: control.kubectl().clone(), workload: workload.kubectl().clone() };
        let contexts = kubeconfig(&[("control", control), ("workload", workload)]);
        let _path = operator.write("kubeconfig", &contexts.to_string());
        operator
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        harness::pki::write(self.folder.path(), name, text)
    }

    /// Runs `argocd-agentctl` with flags for both sides.
    pub(crate) async fn run(&self, line: &str) -> Said {
        self.told(line, "").await
    }

    /// As [`run`](Self::run), with something to read.
    pub(crate) async fn told(&self, line: &str, input: &str) -> Said {
        self.bare(&format!("{} {line}", self.sides()), input).await
    }

    fn sides(&self) -> String {
        format!(
            "--principal-context=control --principal-namespace={} --agent-context=workload --agent-namespace={}",
            self.principal, self.agent
        )
    }

    /// As [`run`](Self::run), without those flags and with something to read.
    pub(crate) async fn bare(&self, line: &str, input: &str) -> Said {
        let mut command = Command::new(ctl());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ARGOCD_")) {
            command.env_remove(name);
        }
        command.env("KUBECONFIG", self.folder.path().join("kubeconfig")).env("HOME", self.folder.path());
        command.args(line.split_whitespace()).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // It may end without reading all.
        let _unread = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = soon(child.wait_with_output()).await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// What a run says that succeeds.
    pub(crate) async fn ok(&self, line: &str) -> String {
        let said = self.run(line).await;
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{line}: {said:?}");
        said.stdout
    }

    /// The JSON that a run says.
    pub(crate) async fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.ok(&format!("{line} -o json")).await).unwrap()
    }

    /// The one line of a run that fails, less the program's name.
    pub(crate) async fn fails(&self, line: &str, code: i32) -> String {
        self.run(line).await.refusal(line, code)
    }

    pub(crate) async fn principal_object(&self, kind: &str, name: &str) -> Value {
        object(&self.control, &self.principal, kind, name).await
    }

    pub(crate) async fn agent_object(&self, kind: &str, name: &str) -> Value {
        object(&self.workload, &self.agent, kind, name).await
    }

    /// Writes a key of a Secret on the principal's side into a file.
    pub(crate) async fn dump(&self, secret: &str, key: &str) -> PathBuf {
        let text = data(&self.principal_object("secret", secret).await, key);
        self.write(&format!("{secret}-{key}"), &text)
    }

    /// The same on the agent's side.
    pub(crate) async fn dump_agent(&self, secret: &str, key: &str) -> PathBuf {
        let text = data(&self.agent_object("secret", secret).await, key);
        self.write(&format!("agent-{secret}-{key}"), &text)
    }

    /// kubectl on the principal's side.
    pub(crate) async fn kubectl(&self, line: &str) -> String {
        let words = std::iter::once(format!("--namespace={}", self.principal));
        let words: Vec<_> = words.chain(line.split_whitespace().map(str::to_owned)).collect();
        self.control.run(words).await.unwrap()
    }
}

// === impl Said ===

impl Said {
    pub(crate) fn refusal(self, line: &str, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{line}: {self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{line}: {self:?}");
        self.stderr.trim_end().strip_prefix("argocd-agentctl: ").unwrap().to_owned()
    }
}

async fn object(kubectl: &Kubectl, namespace: &str, kind: &str, name: &str) -> Value {
    let found = kubectl.run(["get", kind, name, "-o", "json", "--namespace", namespace]).await.unwrap();
    serde_json::from_str(&found).unwrap()
}

/// A key of a Secret as text.
pub(crate) fn data(secret: &Value, key: &str) -> String {
    decoded(secret["data"][key].as_str().unwrap_or_else(|| panic!("no {key}")))
}

pub(crate) fn decoded(text: &str) -> String {
    String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
}

/// RSA keys of the default size take seconds each where nothing is optimised.
pub(crate) const FAST: &str = "--key-algorithm=ecdsa-p256";
