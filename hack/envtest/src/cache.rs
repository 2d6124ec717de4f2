//! Where built programs are kept between runs.
//!
//! The folder is named after everything that decides what a build yields, so programs of an older checkout are never
//! taken for those of this one. A file exists under its final name only when it is complete.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_lc_rs::digest::{SHA256, digest};

use crate::compile::FLAGS;

const GO_MOD: &str = include_str!("../go/go.mod");
const GO_SUM: &str = include_str!("../go/go.sum");
const KUBELET: &[&str] = &[
    include_str!("../go/kubelet/exec.go"),
    include_str!("../go/kubelet/logs.go"),
    include_str!("../go/kubelet/main.go"),
    include_str!("../go/kubelet/portforward.go"),
];

/// How often a second process looks whether the first has finished building.
const LOCK_POLL: Duration = Duration::from_millis(500);

/// The folder of this checkout's programs.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// The folder that the environment names, created if missing.
    pub(crate) fn open() -> Result<Self> {
        let root = root(|name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))?;
        let dir = root.join(folder_name());
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        Ok(Self { dir })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// One process at a time builds; the lock ends with the returned file, also when its owner is killed.
    pub(crate) async fn lock(&self, progress: &mut impl FnMut(&str)) -> Result<File> {
        let path = self.dir.join("lock");
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::WouldBlock) => {}
                Err(fs::TryLockError::Error(err)) => return Err(err).context("locking the cache"),
            }
            if !told {
                progress("another process is building, waiting for it");
                told = true;
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
    }

    /// Moves a finished build to its place. A reader sees the old state or the whole program.
    pub(crate) fn admit(&self, built: &Path, name: &str) -> io::Result<PathBuf> {
        let place = self.dir.join(name);
        fs::rename(built, &place)?;
        Ok(place)
    }
}

/// The Kubernetes version that go.mod asks for, such as `v1.36.3`.
pub(crate) fn kubernetes_version() -> &'static str {
    GO_MOD
        .lines()
        .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "))
        .expect("go.mod requires k8s.io/kubernetes")
}

/// The kubelet endpoint is the only program whose source is ours: an edit rebuilds it alone.
pub(crate) fn kubelet_file_name() -> String {
    format!("kubelet-{}", hash(KUBELET))
}

fn folder_name() -> String {
    format!("{}-{}", kubernetes_version(), hash(&[GO_MOD, GO_SUM, &FLAGS.join(" ")]))
}

fn root(env: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    if let Some(dir) = env("ARGOCD_AGENT_ENVTEST_CACHE") {
        return Ok(dir);
    }
    let Some(cache) = env("XDG_CACHE_HOME").or_else(|| env("HOME").map(|home| home.join(".cache"))) else {
        bail!("no place for the built programs: set ARGOCD_AGENT_ENVTEST_CACHE, XDG_CACHE_HOME or HOME");
    };
    Ok(cache.join("argocd-agent-envtest"))
}

fn hash(parts: &[&str]) -> String {
    // The separator keeps text from moving between parts unnoticed.
    let sum = digest(&SHA256, parts.join("\0").as_bytes());
    sum.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root_with(vars: &[(&str, &str)]) -> Result<PathBuf> {
        root(|name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value)))
    }

    #[test]
    fn the_cache_root_prefers_the_explicit_folder_over_the_users() {
        let home = ("HOME", "/home/me");
        let xdg = ("XDG_CACHE_HOME", "/xdg");
        assert_eq!(root_with(&[home]).unwrap(), Path::new("/home/me/.cache/argocd-agent-envtest"));
        assert_eq!(root_with(&[home, xdg]).unwrap(), Path::new("/xdg/argocd-agent-envtest"));
        assert_eq!(root_with(&[home, xdg, ("ARGOCD_AGENT_ENVTEST_CACHE", "/mine")]).unwrap(), Path::new("/mine"));
        assert!(root_with(&[]).is_err());
    }

    #[test]
    fn the_hash_notices_an_edit_and_a_moved_boundary() {
        assert_eq!(hash(&["a", "b"]), hash(&["a", "b"]));
        assert_ne!(hash(&["a", "b"]), hash(&["a", "c"]));
        assert_ne!(hash(&["a", "b"]), hash(&["ab", ""]));
        assert_eq!(hash(&[]).len(), 12);
    }

    #[test]
    fn the_folder_is_named_after_the_kubernetes_version() {
        assert!(kubernetes_version().starts_with("v1."));
        assert!(folder_name().starts_with(&format!("{}-", kubernetes_version())));
    }

    #[test]
    fn every_source_of_the_kubelet_counts_for_its_hash() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("go/kubelet");
        assert_eq!(fs::read_dir(dir).unwrap().count(), KUBELET.len());
    }

    #[tokio::test]
    async fn a_second_builder_waits_for_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache { dir: dir.path().to_owned() };
        let first = cache.lock(&mut |_| panic!("nobody else is building")).await.unwrap();
        let mut first = Some(first);
        // The first lets go as soon as the second says that it waits.
        cache.lock(&mut |_| drop(first.take())).await.unwrap();
        assert!(first.is_none());
    }
}
