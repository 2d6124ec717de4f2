//! Notices that files may have changed.
//!
//! Always true: it is folders that are watched, never the files. The kubelet renews a mounted Secret by swapping the
//! symbolic link `..data` beside them, and a watch on a file that is reached through it hears of the first swap only.
//! What is missed all the same (a file system without events, no inotify instance left) is found by whoever looks once
//! in a while anyway.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::sync::watch;
use tracing::{debug, warn};

/// Watches folders.
#[derive(Debug)]
pub(super) struct Folders {
    /// A std mutex: held for a system call, never across an await. None where there can be no watcher.
    watcher: Mutex<Option<RecommendedWatcher>>,
    changed: watch::Receiver<()>,
}

// === impl Folders ===

impl Folders {
    /// Watches nothing yet.
    pub(super) fn new() -> Self {
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
    pub(super) fn watch(&self, files: &[PathBuf]) {
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
    pub(super) fn changed(&self) -> watch::Receiver<()> {
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
