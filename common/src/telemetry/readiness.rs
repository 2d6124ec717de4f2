//! Whether we want traffic: when every part that said "wait for me" is done, and not any more once we drain.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use crate::drain;

/// All latches of a process; cheap to clone.
#[derive(Debug, Clone)]
pub struct Readiness {
    // A std mutex: held for a push or a short iteration, never across an await.
    latches: Arc<Mutex<Vec<Latch>>>,
    drain: drain::Watch,
}

/// One thing that must be done before we are ready. It begins closed; dropping it changes nothing.
#[derive(Debug, Clone)]
pub struct Latch {
    name: &'static str,
    released: Arc<AtomicBool>,
}

// === impl Readiness ===

impl Readiness {
    /// Nothing to wait for yet; draining makes it unready for good.
    #[must_use]
    pub fn new(drain: drain::Watch) -> Self {
        Self { latches: Arc::default(), drain }
    }

    /// Adds something to wait for. The name is shown to whoever asks why we are not ready.
    #[must_use]
    pub fn latch(&self, name: &'static str) -> Latch {
        let latch = Latch { name, released: Arc::default() };
        self.latches.lock().unwrap_or_else(PoisonError::into_inner).push(latch.clone());
        latch
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.missing().is_empty()
    }

    /// What is missing, in the order in which the latches were made; then whether we drain.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let latches = self.latches.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = latches.iter().filter(|latch| !latch.is_released()).map(|latch| latch.name);
        closed.chain(self.drain.is_draining().then_some(DRAINING)).collect()
    }
}

// === impl Latch ===

impl Latch {
    /// What this stands for.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What this stands for is done.
    pub fn release(&self) {
        self.released.store(true, Ordering::Release);
    }

    /// What this stands for is not done any more, for instance since a connection was lost.
    pub fn close(&self) {
        self.released.store(false, Ordering::Release);
    }

    /// Whether what this stands for is done.
    #[must_use]
    pub fn is_released(&self) -> bool {
        self.released.load(Ordering::Acquire)
    }
}

const DRAINING: &str = "draining";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn is_ready_while_all_latches_are_released_and_we_do_not_drain() {
        let (signal, watch) = drain::channel();
        let readiness = Readiness::new(watch);
        assert!(readiness.is_ready());
        let (doors, link) = (readiness.latch("doors"), readiness.latch("link"));
        assert_eq!(readiness.missing(), ["doors", "link"]);
        doors.release();
        assert_eq!(readiness.missing(), ["link"]);
        link.clone().release();
        assert!(readiness.is_ready());
        link.close();
        assert_eq!(readiness.missing(), ["link"]);
        link.release();
        drop((doors, link));
        assert!(readiness.is_ready());
        signal.drain(Duration::ZERO).await;
        assert_eq!(readiness.missing(), ["draining"]);
    }
}
