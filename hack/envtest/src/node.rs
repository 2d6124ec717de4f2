//! The one node: kwok keeps it and its pods alive, our kubelet endpoint answers for them.

use std::path::Path;
use std::{fs, io};

use anyhow::{Context, Result};
use tokio::time::Instant;

use crate::assets::Assets;
use crate::cache::kubernetes_version;
use crate::kubectl::Kubectl;
use crate::pki::{PkiFiles, write_private};
use crate::supervisor::Supervisor;

const NODE: &str = include_str!("../manifests/node.yaml");
const STAGES: &str = include_str!("../manifests/stages.yaml");

/// Is admitted by a dry run as soon as the policy that plays scheduler is in force.
const PROBE_POD: &str = r#"{
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe", "namespace": "default"},
    "spec": {"containers": [{"name": "probe", "image": "probe"}]}
}"#;

/// Starts the endpoint and returns the port that it chose.
pub(crate) async fn start_kubelet(
    supervisor: &mut Supervisor,
    assets: &Assets,
    pki: &PkiFiles,
    dir: &Path,
    port_file: &Path,
    deadline: Instant,
) -> Result<u16> {
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let args = [
        format!("--dir={}", dir.display()),
        format!("--port-file={}", port_file.display()),
        pki.flag("tls-cert-file", "kubelet.crt"),
        pki.flag("tls-private-key-file", "kubelet.key"),
        pki.flag("client-ca-file", "ca.crt"),
    ];
    supervisor.spawn("kubelet", &assets.kubelet, &args)?;
    let read = || fs::read_to_string(port_file);
    let announced = || async move { read().map(drop).context("reading the kubelet's port") };
    supervisor.until("the kubelet listens", deadline, announced).await?;
    let port = read().and_then(|text| text.parse().map_err(io::Error::other));
    port.context("reading the kubelet's port")
}

pub(crate) fn start_kwok(
    supervisor: &mut Supervisor,
    assets: &Assets,
    kubeconfig: &Path,
    stages: &Path,
    kubelet_port: u16,
) -> Result<()> {
    let config = STAGES
        .replace("@KUBELET_PORT@", &kubelet_port.to_string())
        .replace("@KUBERNETES_VERSION@", kubernetes_version());
    write_private(stages, &config)?;
    let args = [
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--config={}", stages.display()),
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake".to_owned(),
        "--node-ip=127.0.0.1".to_owned(),
        "--cidr=10.244.0.1/16".to_owned(),
        // No controller watches heartbeats, so nobody has to send any.
        "--node-lease-duration-seconds=0".to_owned(),
    ];
    supervisor.spawn("kwok", &assets.kwok, &args).map(drop)
}

/// Creates the node and waits until pods run on it.
pub(crate) async fn await_ready(supervisor: &mut Supervisor, kubectl: &Kubectl, deadline: Instant) -> Result<()> {
    let created = || kubectl.apply(NODE);
    supervisor.until("the node is created", deadline, created).await?;
    let node_ready =
        || async { kubectl.run(["wait", "node/envtest", "--for=condition=Ready", "--timeout=1s"]).await.map(drop) };
    supervisor.until("the node is ready", deadline, node_ready).await?;
    let controllers_run =
        || async { kubectl.run(["get", "serviceaccount", "default", "--namespace=default"]).await.map(drop) };
    supervisor.until("the controllers run", deadline, controllers_run).await?;
    let scheduled = || async {
        let args = ["create", "--dry-run=server", "-f", "-", "-o", "jsonpath={.spec.nodeName}"];
        let node = kubectl.run_with_input(args, PROBE_POD).await?;
        (node == "envtest").then_some(()).context("pods get no node")
    };
    supervisor.until("pods get a node", deadline, scheduled).await
}
