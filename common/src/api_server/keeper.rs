//! Reads a kubeconfig again when one of its files may have changed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest::{Context, SHA256};
use kube::Config;
use tokio::{sync::watch, time::sleep};
use tracing::{error, info};

use super::{Load, Loaded, Metrics};
use crate::{Report, tls::Folders};

/// Looks at the files, and takes what can be used.
pub(super) struct Keeper<E> {
    load: Load<E>,
    folders: Arc<Folders>,
    changed: watch::Receiver<()>,
    metrics: Metrics,
    held: watch::Sender<Arc<Config>>,
    files: Vec<PathBuf>,
    /// Of what is held.
    digest: Digest,
    /// What was told last, so that it is told once and not as often as it is met.
    told: Option<(Digest, String)>,
}

/// Of files that may hold keys, which are not kept for a comparison.
type Digest = Vec<u8>;

// === impl Keeper ===

impl<E: std::error::Error + Send + 'static> Keeper<E> {
    /// Reads it for the first time. There is nothing to keep where no file says it.
    pub(super) async fn load(
        load: Load<E>,
        folders: Arc<Folders>,
        metrics: Metrics,
    ) -> Result<(Option<Self>, watch::Receiver<Arc<Config>>), E> {
        let mut loaded = load().await?;
        let changed = folders.changed();
        // Once more, so that what the digest is of is what was read: what changes later differs from it.
        let digest = digest(&loaded.files, &folders).await;
        if !loaded.files.is_empty() {
            loaded = load().await?;
        }
        let Loaded { config, files } = loaded;
        let (held, current) = watch::channel(Arc::new(config));
        let keeper = Self { load, folders, changed, metrics, held, files, digest, told: None };
        Ok(((!keeper.files.is_empty()).then_some(keeper), current))
    }

    /// Keeps it until nobody has a use for it.
    pub(super) async fn keep(mut self) {
        loop {
            tokio::select! {
                told = self.changed.changed() => match told {
                    Ok(()) => sleep(SETTLE).await,
                    // No watcher: whoever looks once in a while finds it.
                    Err(_) => sleep(EVERY).await,
                },
                () = sleep(EVERY) => {}
                () = self.held.closed() => return,
            }
            self.look().await;
        }
    }

    async fn look(&mut self) {
        // What changes from here on is told again.
        self.changed.borrow_and_update();
        let now = digest(&self.files, &self.folders).await;
        if now == self.digest {
            if self.told.take().is_some() {
                info!("the kubeconfig is again what is in use");
            }
            return;
        }
        match (self.load)().await {
            Ok(Loaded { config, files }) => {
                let server = config.cluster_url.authority().map(super::host).unwrap_or_default();
                info!(%server, "kubeconfig reloaded");
                self.digest = if files == self.files { now } else { digest(&files, &self.folders).await };
                self.files = files;
                self.told = None;
                self.metrics.reloads.inc();
                self.held.send_replace(Arc::new(config));
            }
            Err(error) => {
                let trouble = (now, Report(&error).to_string());
                if self.told.as_ref() != Some(&trouble) {
                    error!(error = trouble.1, cure = CURE, "kubeconfig not reloaded, the last good one stays in use");
                    self.metrics.failures.inc();
                    self.told = Some(trouble);
                }
            }
        }
    }
}

/// Of the content of all files, whose folders are watched from here on.
async fn digest(files: &[PathBuf], folders: &Arc<Folders>) -> Digest {
    let (files, folders) = (files.to_vec(), Arc::clone(folders));
    // All of it may wait for a file system that hangs.
    let read = move || {
        folders.watch(&files);
        let mut all = Context::new(&SHA256);
        for file in &files {
            all.update(&of_file(file));
        }
        all.finish().as_ref().to_vec()
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(digest) => digest,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime ends.
        Err(_) => std::future::pending().await,
    }
}

/// One that cannot be read is like none: whoever loads it says what is wrong.
fn of_file(path: &Path) -> Digest {
    let mut one = Context::new(&SHA256);
    if let Ok(text) = std::fs::read(path) {
        one.update(b"there");
        one.update(&text);
    }
    one.finish().as_ref().to_vec()
}

const CURE: &str = "write a whole kubeconfig in one go, with certificate and key of one pair";

/// A kubeconfig and the files that it names are often written one after the other.
const SETTLE: Duration = Duration::from_millis(300);

/// Where a change was not told.
const EVERY: Duration = Duration::from_secs(60);
