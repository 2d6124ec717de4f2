//! Shutdown: one owner says when, everyone else watches, and nothing is fire-and-forget.
//!
//! Phases, in order: *serving* → [`Watch::draining`] (stop taking new work, finish what runs) → [`Watch::aborted`]
//! (the grace period is over: reset what is left) → every spawned task joined → what was spawned to be last is dropped.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::TaskTracker,
};
use tracing::{Instrument, Span, debug, info, warn};

/// The owner's end. Dropping it aborts everything that still runs.
#[derive(Debug)]
pub struct Signal {
    watch: Watch,
}

/// Everyone else's end; cheap to clone, and small: whatever waits for anything has one.
#[derive(Debug, Clone)]
pub struct Watch(Arc<Phases>);

#[derive(Debug)]
struct Phases {
    draining: CancellationToken,
    aborted: CancellationToken,
    tasks: TaskTracker,
    /// Every task has ended; `last` may go.
    ended: CancellationToken,
    last: TaskTracker,
}

/// Makes the two ends.
#[must_use]
pub fn channel() -> (Signal, Watch) {
    let watch = Watch(Arc::new(Phases {
        draining: CancellationToken::new(),
        aborted: CancellationToken::new(),
        tasks: TaskTracker::new(),
        ended: CancellationToken::new(),
        last: TaskTracker::new(),
    }));
    (Signal { watch: watch.clone() }, watch)
}

pin_project! {
    /// A task that ends when it is aborted. Written out, since an `async` block around a task holds it twice: as what it
    /// was made with, and as what it waits for.
    struct Abortable<F> {
        #[pin]
        aborted: WaitForCancellationFutureOwned,
        #[pin]
        task: F,
    }
}

// === impl Abortable ===

impl<F: Future<Output = ()>> Future for Abortable<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.aborted.poll(cx).is_ready() {
            debug!("task reset");
            return Poll::Ready(());
        }
        this.task.poll(cx)
    }
}

// === impl Signal ===

impl Signal {
    /// Begins the first phase, and leaves it to the owner when to go on.
    pub fn begin(&self) {
        self.watch.0.draining.cancel();
    }

    /// Runs the phases: asks everyone to finish, waits up to `grace`, aborts the rest and waits for that.
    /// Returns whether everything finished within the grace period.
    pub async fn drain(self, grace: Duration) -> bool {
        let Phases { draining, aborted, tasks, ended, last } = &*self.watch.0;
        info!(grace_seconds = grace.as_secs(), "draining");
        draining.cancel();
        tasks.close();
        let finished = tokio::time::timeout(grace, tasks.wait()).await.is_ok();
        if !finished {
            warn!(left = tasks.len(), "grace period is over, resetting what is left");
            aborted.cancel();
            if tokio::time::timeout(ABORT_GRACE, tasks.wait()).await.is_err() {
                warn!(left = tasks.len(), "tasks did not end after being reset");
            }
        }
        ended.cancel();
        last.close();
        last.wait().await;
        finished
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        let Phases { draining, aborted, ended, .. } = &*self.watch.0;
        draining.cancel();
        aborted.cancel();
        ended.cancel();
    }
}

// === impl Watch ===

impl Watch {
    /// Spawns a task that the drain waits for, and that is dropped when the grace period is over.
    pub fn spawn<F>(&self, span: Span, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let run = Abortable { aborted: self.0.aborted.clone().cancelled_owned(), task };
        self.0.tasks.spawn(run.instrument(span));
    }

    /// Spawns a task that runs until all others have ended, and is dropped then: what tells of the drain must outlive it.
    pub fn spawn_last<F>(&self, span: Span, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let ended = self.0.ended.clone();
        self.0.last.spawn(
            async move {
                ended.run_until_cancelled_owned(task).await;
            }
            .instrument(span),
        );
    }

    /// Resolves when no new work may be taken.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn draining(&self) {
        self.0.draining.cancelled().await;
    }

    /// Whether no new work may be taken.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.is_cancelled()
    }

    /// Resolves when what still runs must end at once.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn aborted(&self) {
        self.0.aborted.cancelled().await;
    }
}

/// Tasks are dropped at their next await once aborted; more than this means that one of them blocks its thread.
const ABORT_GRACE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_for_tasks_that_finish() {
        let (signal, watch) = channel();
        let inner = watch.clone();
        watch.spawn(Span::none(), async move { inner.draining().await });
        assert!(signal.drain(Duration::from_secs(1)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn resets_tasks_that_outlive_the_grace_period() {
        let (signal, watch) = channel();
        watch.spawn(Span::none(), std::future::pending());
        assert!(!signal.drain(Duration::from_secs(1)).await);
        assert_eq!(watch.0.tasks.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_last_outlives_the_drain_of_all_others() {
        let (signal, watch) = channel();
        let (running, mut is_running) = tokio::sync::oneshot::channel::<()>();
        watch.spawn_last(Span::none(), async move {
            std::future::pending::<()>().await;
            drop(running);
        });
        let inner = watch.clone();
        watch.spawn(Span::none(), async move {
            inner.draining().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(
                is_running.try_recv().is_err_and(|error| error == tokio::sync::oneshot::error::TryRecvError::Empty)
            );
        });
        assert!(signal.drain(Duration::from_secs(5)).await);
        assert_eq!(watch.0.last.len(), 0);
    }
}
