//! The programs that a cluster consists of, and where they come from.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::cache::{Cache, kubelet_file_name};
use crate::compile;

/// Paths of the cluster's programs.
#[derive(Debug, Clone)]
pub struct Assets {
    /// etcd.
    pub etcd: PathBuf,
    /// kube-apiserver.
    pub kube_apiserver: PathBuf,
    /// kube-controller-manager: makes ReplicaSets and Pods, collects garbage, empties namespaces.
    pub kube_controller_manager: PathBuf,
    /// kubectl, of the API server's version.
    pub kubectl: PathBuf,
    /// kwok: keeps the node and its pods alive without running anything.
    pub kwok: PathBuf,
    /// Our endpoint for logs, exec, attach and port-forward.
    pub kubelet: PathBuf,
}

impl Assets {
    /// Takes each program from `KUBEBUILDER_ASSETS`, else from the cache, else builds it, which is told to `progress`
    /// line by line. The cache is `ARGOCD_AGENT_ENVTEST_CACHE`, or `argocd-agent-envtest` in the user's cache folder.
    ///
    /// # Cancel safety
    ///
    /// A build that is interrupted leaves nothing that a later call would take for a program.
    pub async fn locate_or_build(mut progress: impl FnMut(&str)) -> Result<Self> {
        let given = env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
        let given = given.as_deref();
        let cache = &Cache::open()?;
        let say = &mut progress;
        Ok(Self {
            etcd: locate(given, cache, "go.etcd.io/etcd/server/v3", "etcd", say).await?,
            kube_apiserver: locate(given, cache, "k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver", say).await?,
            kube_controller_manager: locate(
                given,
                cache,
                "k8s.io/kubernetes/cmd/kube-controller-manager",
                "kube-controller-manager",
                say,
            )
            .await?,
            kubectl: locate(given, cache, "k8s.io/kubernetes/cmd/kubectl", "kubectl", say).await?,
            kwok: locate(given, cache, "sigs.k8s.io/kwok/cmd/kwok", "kwok", say).await?,
            kubelet: locate(None, cache, "./kubelet", &kubelet_file_name(), say).await?,
        })
    }

    /// Name and path of each program.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        [
            ("etcd", self.etcd.as_path()),
            ("kube-apiserver", self.kube_apiserver.as_path()),
            ("kube-controller-manager", self.kube_controller_manager.as_path()),
            ("kubectl", self.kubectl.as_path()),
            ("kwok", self.kwok.as_path()),
            ("kubelet", self.kubelet.as_path()),
        ]
        .into_iter()
    }
}

async fn locate(
    given: Option<&Path>,
    cache: &Cache,
    package: &str,
    name: &str,
    progress: &mut impl FnMut(&str),
) -> Result<PathBuf> {
    let present = || given.into_iter().chain([cache.dir()]).map(|dir| dir.join(name)).find(|path| path.is_file());
    if let Some(path) = present() {
        return Ok(path);
    }
    let _lock = cache.lock(progress).await?;
    // Whoever held the lock before may have built it.
    if let Some(path) = present() {
        return Ok(path);
    }
    compile::build(cache, package, name, progress).await
}
