//! The workload cluster: a throwaway one with a sample application, or the user's own, which is only read.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use envtest::{Assets, Cluster, ClusterOptions, sample};

use crate::args::Args;
use crate::kubectl::{self, Kubectl};
use crate::screen::Screen;
use crate::state::State;

/// The cluster that the agents serve.
#[derive(Debug)]
pub(crate) enum Workload {
    /// Ours, for as long as this lives.
    Sample(Box<Cluster>),
    /// The user's.
    Own(Own),
}

/// Where the user's cluster is.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) kubeconfig: PathBuf,
    pub(crate) context: Option<String>,
    kubectl: PathBuf,
}

// === impl Workload ===

impl Workload {
    /// Makes sure that the user's cluster can be used; nothing if there is none.
    pub(crate) fn own(args: &Args) -> Result<Option<Self>> {
        let Some(kubeconfig) = &args.kubeconfig else { return Ok(None) };
        Own::find(kubeconfig, args.context.as_deref()).map(|own| Some(Self::Own(own)))
    }

    /// Starts the sample.
    pub(crate) async fn sample(state: &State, screen: &Screen) -> Result<Self> {
        start_sample(state, screen).await.map(|cluster| Self::Sample(Box::new(cluster)))
    }

    /// The kubeconfig for the agents.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        match self {
            Self::Sample(cluster) => cluster.kubeconfig_path(),
            Self::Own(own) => own.kubeconfig.clone(),
        }
    }

    /// The context in it, if not the current one.
    pub(crate) fn context(&self) -> Option<&str> {
        match self {
            Self::Sample(_) => None,
            Self::Own(own) => own.context.as_deref(),
        }
    }

    /// The kubectl program.
    pub(crate) fn kubectl_program(&self) -> &Path {
        match self {
            Self::Sample(cluster) => cluster.kubectl_path(),
            Self::Own(own) => &own.kubectl,
        }
    }

    /// kubectl as it reaches the cluster without us, to compare.
    pub(crate) fn direct(&self, state: &State) -> Kubectl {
        let kubectl = Kubectl::new(self.kubectl_program(), &self.kubeconfig(), state.path());
        self.context()
            .map_or_else(|| kubectl.clone(), |context| kubectl.clone().with_context(context))
            .with_file_shown()
    }
}

// === impl Own ===

impl Own {
    fn find(kubeconfig: &Path, context: Option<&str>) -> Result<Self> {
        let path = kubeconfig.canonicalize().with_context(|| format!("--kubeconfig {}", kubeconfig.display()))?;
        let config = kube::config::Kubeconfig::read_from(&path).context("reading --kubeconfig")?;
        if let Some(context) = context
            && !config.contexts.iter().any(|named| named.name == context)
        {
            let names = config.contexts.iter().map(|named| named.name.as_str()).collect::<Vec<_>>();
            bail!("--context {context}: {} has {}", path.display(), names.join(", "));
        }
        Ok(Self { kubeconfig: path, context: context.map(str::to_owned), kubectl: kubectl::in_path()? })
    }
}

async fn start_sample(state: &State, screen: &Screen) -> Result<Cluster> {
    let assets = screen
        .stage("the workload cluster's programs", async |p| {
            let assets = Assets::locate_or_build(|line| p.detail(line)).await?;
            p.result(assets.kube_apiserver.parent().unwrap_or(Path::new("")).display().to_string());
            Ok(assets)
        })
        .await?;
    let cluster = screen
        .stage("starting a workload cluster", async |p| {
            p.detail("etcd, kube-apiserver, controllers, a node");
            let options = ClusterOptions { log_dir: Some(state.folder("logs")?), ..ClusterOptions::default() };
            let cluster = Cluster::start(&assets, options).await?;
            p.result(format!("kube-apiserver on {}", cluster.api_server_url()));
            Ok(cluster)
        })
        .await?;
    screen
        .stage("deploying what Argo CD tracks, and what not", async |p| {
            p.result(format!("namespaces {} and {}", sample::NAMESPACE, sample::UNTRACKED_NAMESPACE));
            sample::apply(&cluster).await
        })
        .await?;
    Ok(cluster)
}
