//! A real workload cluster for tests, demo and benchmarks.
//!
//! etcd, kube-apiserver, kube-controller-manager and kwok are the real programs, built once from their Go modules and
//! cached; the kubelet endpoint behind `logs`, `exec`, `attach` and `port-forward` is a small one of our own (see
//! `go/kubelet`). A cluster lives in a temporary directory, listens on loopback only, needs no root, is ready in
//! seconds, and leaves nothing behind: neither when it is dropped nor when the test run is killed.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use envtest::{Assets, Cluster, ClusterOptions, sample};
//!
//! let assets = Assets::locate_or_build(|line| eprintln!("{line}")).await?;
//! let cluster = Cluster::start(&assets, ClusterOptions::default()).await?;
//! sample::apply(&cluster).await?;
//! let pods = cluster.kubectl().run(["get", "pods", "--namespace=guestbook"]).await?;
//! # Ok(()) }
//! ```
//!
//! To steer what a pod says, write `<namespace>_<pod>_<container>.log` in [`Cluster::kubelet_dir`]: lines that are
//! appended reach followers, a line may begin with its RFC 3339 time, and removing the file ends every follow.
//! `….previous.log` answers `logs --previous`. Commands run on this machine, in the pod's own scratch directory
//! `<namespace>_<pod>` there, so relative paths of `exec` and `cp` end up in it. Port-forward connects to the same port
//! on 127.0.0.1.

mod assets;
mod cache;
mod cluster;
mod compile;
mod control_plane;
mod kubeconfig;
mod kubectl;
mod node;
mod pki;
pub mod sample;
mod supervisor;

pub use assets::Assets;
pub use cluster::{Cluster, ClusterOptions, Extent};
pub use kubectl::Kubectl;
pub use pki::ClientCert;
