//! One cluster, from its first process to its last.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::Instant;

use crate::assets::Assets;
use crate::control_plane::{self, Ports};
use crate::kubeconfig;
use crate::kubectl::Kubectl;
use crate::node;
use crate::pki::{Ca, ClientCert, PkiFiles, write_private};
use crate::supervisor::Supervisor;

/// A port that was free may be taken when its program binds it; so often in a row it is no accident.
const ATTEMPTS: usize = 3;

/// How much of a cluster is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Extent {
    /// etcd and kube-apiserver alone: objects stay as they are written. For benchmarks.
    ApiServer,
    /// Also the controllers, a node, and pods that run on it.
    #[default]
    Full,
}

/// What may differ between clusters.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// How much is started.
    pub extent: Extent,
    /// Flags for kube-apiserver, after ours, such as `--max-requests-inflight=0`.
    pub apiserver_args: Vec<String>,
    /// Keep the directory with all state when the cluster ends; it is told by [`Cluster::dir`].
    pub keep_dir: bool,
    /// Where each program writes its log; in the cluster's directory if not given.
    pub log_dir: Option<PathBuf>,
    /// How long the start may take as a whole.
    pub start_timeout: Duration,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            extent: Extent::default(),
            apiserver_args: Vec::new(),
            keep_dir: false,
            log_dir: None,
            // Takes a few seconds; on a machine that is busy compiling, far more.
            start_timeout: Duration::from_secs(180),
        }
    }
}

/// A running cluster. Dropping it ends its processes and removes its directory, and so does the death of this process.
#[derive(Debug)]
pub struct Cluster {
    supervisor: Supervisor,
    dir: PathBuf,
    ca: Ca,
    admin: ClientCert,
    url: String,
    kubectl: Kubectl,
    apiserver_pid: u32,
}

impl Cluster {
    /// Starts a cluster and waits until it can be used.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends what has been started.
    pub async fn start(assets: &Assets, options: ClusterOptions) -> Result<Self> {
        let deadline = Instant::now() + options.start_timeout;
        let mut attempt = 1;
        loop {
            match Self::attempt(assets, &options, deadline).await {
                Err(err) if attempt < ATTEMPTS && format!("{err:#}").contains("address already in use") => attempt += 1,
                result => return result.context("starting a cluster"),
            }
        }
    }

    async fn attempt(assets: &Assets, options: &ClusterOptions, deadline: Instant) -> Result<Self> {
        let scratch = tempfile::Builder::new().prefix("envtest-").tempdir().context("creating a directory")?;
        let log_dir = options.log_dir.clone().unwrap_or_else(|| scratch.path().join("logs"));
        let mut supervisor = Supervisor::new(log_dir, (!options.keep_dir).then_some(scratch.path()))?;
        // From here on the supervisor removes it, after the processes that write into it.
        let dir = scratch.keep();

        let ports = Ports::free()?;
        let url = format!("https://127.0.0.1:{}", ports.apiserver);
        let ca = Ca::generate().context("generating the CA")?;
        let pki = PkiFiles::write(&dir.join("pki"), &ca).context("writing the certificates")?;
        let admin = ca.client("envtest-admin", Some("system:masters")).context("signing the administrator")?;
        let kubeconfig = dir.join(KUBECONFIG);
        write_private(&kubeconfig, &kubeconfig::render(&url, ca.pem(), &admin))?;
        let kubectl = Kubectl::new(&assets.kubectl, &kubeconfig, dir.join("kubectl-cache"));

        control_plane::start_etcd(&mut supervisor, assets, &dir.join("etcd"), ports, deadline).await?;
        let extra_args = &options.apiserver_args;
        let apiserver_pid =
            control_plane::start_apiserver(&mut supervisor, assets, &pki, ports, extra_args, &kubectl, deadline)
                .await?;
        let kubelet_dir = dir.join(KUBELET_DIR);
        fs::create_dir(&kubelet_dir).with_context(|| format!("creating {}", kubelet_dir.display()))?;
        if options.extent == Extent::Full {
            control_plane::start_controllers(&mut supervisor, assets, &pki, &kubeconfig)?;
            let port_file = dir.join("kubelet.port");
            let port = node::start_kubelet(&mut supervisor, assets, &pki, &kubelet_dir, &port_file, deadline).await?;
            node::start_kwok(&mut supervisor, assets, &kubeconfig, &dir.join("stages.yaml"), port)?;
            node::await_ready(&mut supervisor, &kubectl, deadline).await?;
        }
        Ok(Self { supervisor, dir, ca, admin, url, kubectl, apiserver_pid })
    }

    /// `https://127.0.0.1:<port>`.
    pub fn api_server_url(&self) -> &str {
        &self.url
    }

    /// The certificate of the CA that signed the API server and all clients.
    pub fn ca_pem(&self) -> &str {
        self.ca.pem()
    }

    /// The administrator, a member of `system:masters`.
    pub fn admin(&self) -> &ClientCert {
        &self.admin
    }

    /// The administrator's kubeconfig, as a file.
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.dir.join(KUBECONFIG)
    }

    /// The administrator's kubeconfig, self-contained.
    pub fn admin_kubeconfig_yaml(&self) -> String {
        kubeconfig::render(&self.url, self.ca.pem(), &self.admin)
    }

    /// Signs a client that authenticates as `user` and a member of `group`; RBAC decides what it may.
    pub fn client_cert(&self, user: &str, group: Option<&str>) -> Result<ClientCert> {
        self.ca.client(user, group).with_context(|| format!("signing a certificate for {user}"))
    }

    /// As [`client_cert`](Self::client_cert), in a self-contained kubeconfig.
    pub fn kubeconfig_yaml_for(&self, user: &str, group: Option<&str>) -> Result<String> {
        Ok(kubeconfig::render(&self.url, self.ca.pem(), &self.client_cert(user, group)?))
    }

    /// kubectl, as the administrator.
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// The kubectl program.
    pub fn kubectl_path(&self) -> &Path {
        self.kubectl.program()
    }

    /// Log files and scratch directories of the pods; see the crate's documentation.
    pub fn kubelet_dir(&self) -> PathBuf {
        self.dir.join(KUBELET_DIR)
    }

    /// The directory of all state.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where each program writes `<name>.log`.
    pub fn log_dir(&self) -> &Path {
        self.supervisor.log_dir()
    }

    /// The process id of kube-apiserver, whose CPU and memory benchmarks read.
    pub fn api_server_pid(&self) -> u32 {
        self.apiserver_pid
    }
}

const KUBECONFIG: &str = "kubeconfig.yaml";
const KUBELET_DIR: &str = "kubelet";
