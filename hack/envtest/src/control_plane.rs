//! etcd, kube-apiserver and kube-controller-manager.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use anyhow::{Context, Result};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::assets::Assets;
use crate::kubectl::Kubectl;
use crate::pki::PkiFiles;
use crate::supervisor::Supervisor;

/// Everything that turns one object into others or removes what is orphaned, and nothing that needs a cloud, volumes
/// or a watchful eye on nodes: kwok's node sends no heartbeat.
const CONTROLLERS: &str = "clusterrole-aggregation-controller,cronjob-controller,daemonset-controller,\
    deployment-controller,disruption-controller,endpoints-controller,endpointslice-controller,\
    garbage-collector-controller,job-controller,namespace-controller,replicaset-controller,\
    replicationcontroller-controller,resourcequota-controller,root-ca-certificate-publisher-controller,\
    serviceaccount-controller,statefulset-controller,ttl-after-finished-controller";

/// Ports that the programs cannot choose themselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    etcd_clients: u16,
    etcd_peers: u16,
    pub(crate) apiserver: u16,
}

impl Ports {
    /// Ports that are free now. Another process may be faster: whoever uses them must be ready to start over.
    pub(crate) fn free() -> Result<Self> {
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port");
        // All are held at once, so that no two are the same.
        let (clients, peers, apiserver) = (bind()?, bind()?, bind()?);
        Ok(Self {
            etcd_clients: clients.local_addr()?.port(),
            etcd_peers: peers.local_addr()?.port(),
            apiserver: apiserver.local_addr()?.port(),
        })
    }
}

pub(crate) async fn start_etcd(
    supervisor: &mut Supervisor,
    assets: &Assets,
    data_dir: &Path,
    ports: Ports,
    deadline: Instant,
) -> Result<()> {
    let clients = format!("http://127.0.0.1:{}", ports.etcd_clients);
    let peers = format!("http://127.0.0.1:{}", ports.etcd_peers);
    let args = [
        format!("--data-dir={}", data_dir.display()),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
        // Nothing here must survive a power cut.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    supervisor.spawn("etcd", &assets.etcd, &args)?;
    let listens = || async move {
        TcpStream::connect((Ipv4Addr::LOCALHOST, ports.etcd_clients)).await.map(drop).context("connecting to etcd")
    };
    supervisor.until("etcd listens", deadline, listens).await
}

/// Returns the process id, which benchmarks measure.
pub(crate) async fn start_apiserver(
    supervisor: &mut Supervisor,
    assets: &Assets,
    pki: &PkiFiles,
    ports: Ports,
    extra_args: &[String],
    kubectl: &Kubectl,
    deadline: Instant,
) -> Result<u32> {
    let fixed = [
        format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd_clients),
        format!("--secure-port={}", ports.apiserver),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        "--allow-privileged=true".to_owned(),
        // No pod has to wait for the ServiceAccounts of its namespace, or be tainted away from a node that no
        // controller will ever declare ready.
        "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition".to_owned(),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        "--service-account-issuer=https://kubernetes".to_owned(),
        pki.flag("tls-cert-file", "apiserver.crt"),
        pki.flag("tls-private-key-file", "apiserver.key"),
        pki.flag("client-ca-file", "ca.crt"),
        pki.flag("service-account-key-file", "service-accounts.pub"),
        pki.flag("service-account-signing-key-file", "service-accounts.key"),
        pki.flag("kubelet-certificate-authority", "ca.crt"),
        pki.flag("kubelet-client-certificate", "kubelet-client.crt"),
        pki.flag("kubelet-client-key", "kubelet-client.key"),
    ];
    // The caller's come last: of a flag given twice, the last counts.
    let args = fixed.iter().chain(extra_args).cloned().collect::<Vec<_>>();
    let pid = supervisor.spawn("kube-apiserver", &assets.kube_apiserver, &args)?;
    let ready = || async { kubectl.run(["get", "--raw=/readyz", "--request-timeout=5s"]).await.map(drop) };
    supervisor.until("the API server is ready", deadline, ready).await?;
    Ok(pid)
}

pub(crate) fn start_controllers(
    supervisor: &mut Supervisor,
    assets: &Assets,
    pki: &PkiFiles,
    kubeconfig: &Path,
) -> Result<()> {
    let args = [
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--controllers={CONTROLLERS}"),
        pki.flag("service-account-private-key-file", "service-accounts.key"),
        pki.flag("root-ca-file", "ca.crt"),
        "--leader-elect=false".to_owned(),
        // Nobody asks it anything; without a port there is none to clash.
        "--secure-port=0".to_owned(),
        // The defaults throttle what a test waits for.
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=1000".to_owned(),
    ];
    supervisor.spawn("kube-controller-manager", &assets.kube_controller_manager, &args).map(drop)
}
