//! What a workload cluster of an Argo CD agent looks like: one application that Argo CD tracks, and things that it does
//! not.
//!
//! Managed: in namespace `guestbook`, a Deployment, a Service and a ConfigMap carry the tracking annotation of
//! application `guestbook`, whose ReplicaSet and Pods are made by the real controllers. The Namespace itself carries
//! none, as `CreateNamespace=true` leaves it. Not managed: everything in namespace `kube-extra`.

use anyhow::{Context, Result};

use crate::cluster::Cluster;

/// The Application, in namespace [`ARGOCD_NAMESPACE`].
pub const APPLICATION: &str = "guestbook";
/// The Application's destination.
pub const NAMESPACE: &str = "guestbook";
/// The managed Deployment, also the name of its Service and container.
pub const DEPLOYMENT: &str = "guestbook-ui";
/// Holds only what Argo CD does not track.
pub const UNTRACKED_NAMESPACE: &str = "kube-extra";
/// The Deployment that Argo CD does not track.
pub const UNTRACKED_DEPLOYMENT: &str = "untracked";
/// Where Argo CD's own objects are.
pub const ARGOCD_NAMESPACE: &str = "argocd";

const CRDS: &str = include_str!("../manifests/crds.yaml");
const ARGOCD: &str = include_str!("../manifests/argocd.yaml");
const GUESTBOOK: &str = include_str!("../manifests/guestbook.yaml");
const EXTRA: &str = include_str!("../manifests/kube-extra.yaml");

/// Creates it all, and waits until the pods are ready. Applying it again restores it.
pub async fn apply(cluster: &Cluster) -> Result<()> {
    apply_crds(cluster).await?;
    let kubectl = cluster.kubectl();
    for (name, manifest) in [("guestbook", GUESTBOOK), ("kube-extra", EXTRA), ("argocd", ARGOCD)] {
        kubectl.apply(manifest).await.with_context(|| format!("applying {name}"))?;
    }
    for (namespace, deployment) in [(NAMESPACE, DEPLOYMENT), (UNTRACKED_NAMESPACE, UNTRACKED_DEPLOYMENT)] {
        let args =
            ["rollout", "status", &format!("deployment/{deployment}"), "--namespace", namespace, "--timeout=60s"];
        kubectl.run(args).await.with_context(|| format!("waiting for the pods of {deployment}"))?;
    }
    Ok(())
}

/// Creates only Argo CD's resource types; a cluster without controllers takes them too.
pub async fn apply_crds(cluster: &Cluster) -> Result<()> {
    let kubectl = cluster.kubectl();
    kubectl.apply(CRDS).await.context("applying the CRDs")?;
    let crds = ["applications", "applicationsets", "appprojects"].map(|name| format!("crd/{name}.argoproj.io"));
    let args = ["wait", "--for=condition=Established", "--timeout=60s"].map(str::to_owned);
    kubectl.run(args.into_iter().chain(crds)).await.context("waiting for the CRDs").map(drop)
}
