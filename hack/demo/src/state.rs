//! Where a run keeps its certificates, its kubeconfig and its logs.
//!
//! Private keys are among them: the directory is its owner's alone.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// The directory of one run.
#[derive(Debug)]
pub(crate) struct State {
    path: PathBuf,
    /// Of a directory that nobody asked for by name.
    temporary: Option<TempDir>,
}

// === impl State ===

impl State {
    /// The directory that was asked for, or a temporary one.
    pub(crate) fn create(wanted: Option<&Path>) -> Result<Self> {
        if let Some(path) = wanted {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .with_context(|| format!("creating {}", path.display()))?;
            let path = path.canonicalize().with_context(|| format!("finding {}", path.display()))?;
            return Ok(Self { path, temporary: None });
        }
        let temporary = tempfile::Builder::new()
            .prefix("argocd-agent-demo-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .context("creating a temporary directory")?;
        Ok(Self { path: temporary.path().to_owned(), temporary: Some(temporary) })
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A directory in it.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(path)
    }

    /// A file in it, readable by its owner alone.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Leaves what there is in place when the run ends, to be looked at.
    pub(crate) fn keep(&mut self) {
        let empty = fs::read_dir(&self.path).is_ok_and(|mut entries| entries.next().is_none());
        if !empty && let Some(temporary) = self.temporary.take() {
            let _ = temporary.keep();
        }
    }

    /// Whether the directory is there after the run.
    pub(crate) fn is_kept(&self) -> bool {
        self.temporary.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_written_is_its_owners_alone_and_goes_with_the_run() {
        let state = State::create(None).unwrap();
        let key = state.write("agent.key", "secret").unwrap();
        assert_eq!((mode(state.path()), mode(&key)), (0o700, 0o600));
        assert!(!state.is_kept());
        drop(state);
        assert!(!key.exists());
    }

    #[test]
    fn nothing_at_all_is_not_kept() {
        let mut state = State::create(None).unwrap();
        state.keep();
        assert!(!state.is_kept());
    }

    #[test]
    fn what_is_kept_stays() {
        let parent = tempfile::tempdir().unwrap();
        let state = State::create(Some(&parent.path().join("wanted"))).unwrap();
        let log = state.write("log", "words").unwrap();
        assert!(state.is_kept());
        drop(state);
        assert!(log.exists());

        let mut state = State::create(None).unwrap();
        state.write("log", "words").unwrap();
        state.keep();
        let path = state.path().to_owned();
        drop(state);
        assert!(path.join("log").exists());
        fs::remove_dir_all(path).unwrap();
    }
}
