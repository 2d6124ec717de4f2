//! Notices that files may have changed.
//!
//! Always true: it is folders that are watched, never the files. The kubelet renews a mounted Secret by swapping the
//! symbolic link `..data` beside them, and a watch on a file that is reached through it hears of the first swap only.
//! What is missed all the same (a file system without events, no inotify instance left) is found by whoever looks once
//! in a while anyway.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::{sync::watch, time::sleep};
use tracing::{debug, warn};

use super::{MaterialError, Pem};

/// Files that are read together, and again when one of them may have changed.
#[derive(Debug)]
pub struct FollowedFiles {
    paths: Vec<PathBuf>,
    folders: Arc<Folders>,
    changed: watch::Receiver<()>,
}

/// Watches folders.
#[derive(Debug)]
pub struct Folders {
    /// A std mutex: held for a system call, never across an await. None where there can be no watcher.
    watcher: Mutex<Option<RecommendedWatcher>>,
    changed: watch::Receiver<()>,
}

// === impl FollowedFiles ===

impl FollowedFiles {
    /// Follows these files by themselves.
    #[must_use]
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self::among(paths, Arc::new(Folders::new()))
    }

    pub(super) fn among(paths: Vec<PathBuf>, folders: Arc<Folders>) -> Self {
        let changed = folders.changed();
        Self { paths, folders, changed }
    }

    /// Reads all of them, in their order. What changes from here on is told by [`changed`](Self::changed).
    ///
    /// # Errors
    /// When one of them cannot be read, or is larger than a Secret can be.
    pub async fn read(&mut self) -> Result<Vec<Pem>, MaterialError> {
        self.changed.borrow_and_update();
        let (paths, folders) = (self.paths.clone(), Arc::clone(&self.folders));
        // All of it may wait for a file system that hangs.
        let read = move || {
            folders.watch(&paths);
            paths.iter().map(|path| Pem::read(path)).collect()
        };
        match tokio::task::spawn_blocking(read).await {
            Ok(read) => read,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime ends.
            Err(_) => std::future::pending().await,
        }
    }

    /// Resolves when there may be news, soon after the last of them. Where nobody can tell it never does: look once a
    /// minute as well.
    ///
    /// # Cancel safety
    /// Cancel safe: what was not waited for to its end is found by whoever looks once a minute.
    pub async fn changed(&mut self) {
        match self.changed.changed().await {
            Ok(()) => sleep(SETTLE).await,
            Err(_nobody_watches) => std::future::pending().await,
        }
    }
}

// === impl Folders ===

impl Default for Folders {
    fn default() -> Self {
        Self::new()
    }
}

impl Folders {
    /// Watches nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let (changes, changed) = watch::channel(());
        let tell = move |event: notify::Result<Event>| {
            if event.as_ref().is_ok_and(is_only_read) {
                return;
            }
            changes.send_replace(());
        };
        let watcher = notify::recommended_watcher(tell)
            .inspect_err(|error| warn!(%error, "files cannot be watched for changes, looking once a minute"))
            .ok();
        Self { watcher: Mutex::new(watcher), changed }
    }

    /// Where there can be no watcher.
    #[cfg(test)]
    pub(super) fn blind() -> Self {
        Self { watcher: Mutex::new(None), changed: watch::channel(()).1 }
    }

    /// Watches the folders of these files. Done again, it finds a folder that was replaced.
    pub(crate) fn watch(&self, files: &[PathBuf]) {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(watcher) = watcher.as_mut() else { return };
        for file in files {
            let folder = folder(file);
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                debug!(%error, folder = %folder.display(), "folder cannot be watched, looking once a minute");
            }
        }
    }

    /// Told whenever anything in these folders may have changed.
    pub(crate) fn changed(&self) -> watch::Receiver<()> {
        self.changed.clone()
    }
}

/// Our own reading is told, too, and must not make us read again.
fn is_only_read(event: &Event) -> bool {
    matches!(event.kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Certificate and key are often two files, written one after the other.
pub(super) const SETTLE: Duration = Duration::from_millis(300);
