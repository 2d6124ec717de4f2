//! From an accepted pipe to the executor of its target, within the agent's own limit on pipes.

use std::{collections::BTreeMap, fmt, sync::Arc};

use common::{
    drain,
    tunnel::{Target, TunnelStream, error::RefusedReason},
};
use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Serves what comes through a pipe; sees a byte stream, never the session.
pub trait Executor: Send + Sync + 'static {
    /// Serves the stream until it ends. Dropping the future cancels whatever runs for it. When `finish` drains, the
    /// exchange that runs is finished and no further one begun.
    fn serve(&self, stream: TunnelStream, finish: drain::Watch) -> BoxFuture<'static, ()>;
}

/// The executors by target. Cheap to clone.
#[derive(Clone)]
pub struct Dispatch {
    executors: Arc<ByLabel>,
    places: Arc<Semaphore>,
}

type ByLabel = BTreeMap<&'static str, (Target, Arc<dyn Executor>)>;

/// A pipe that may be opened.
pub struct Admitted {
    executor: Arc<dyn Executor>,
    _place: OwnedSemaphorePermit,
}

// === impl Dispatch ===

impl Dispatch {
    /// Serves `executors` with at most `max_pipes` pipes at a time.
    #[must_use]
    pub fn new(executors: Vec<(Target, Arc<dyn Executor>)>, max_pipes: usize) -> Self {
        let executors = executors.into_iter().map(|(target, executor)| (target.label(), (target, executor))).collect();
        Self { executors: Arc::new(executors), places: Arc::new(Semaphore::new(max_pipes)) }
    }

    /// What can be opened here.
    #[must_use]
    pub fn targets(&self) -> Vec<Target> {
        self.executors.values().map(|(target, _)| *target).collect()
    }

    /// Finds the executor and a place.
    ///
    /// # Errors
    /// The reason for which the principal is told no.
    pub fn admit(&self, target: Option<Target>) -> Result<Admitted, RefusedReason> {
        let (_, executor) =
            target.and_then(|target| self.executors.get(target.label())).ok_or(RefusedReason::Target)?;
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_full| RefusedReason::Busy)?;
        Ok(Admitted { executor: Arc::clone(executor), _place: place })
    }
}

impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.executors.keys()).finish()
    }
}

// === impl Admitted ===

impl Admitted {
    /// Serves the pipe until it ends. Once `finish` drains, the exchange that runs is the last one.
    pub async fn serve(&self, stream: TunnelStream, finish: drain::Watch) {
        self.executor.serve(stream, finish).await;
    }
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admitted")
    }
}
