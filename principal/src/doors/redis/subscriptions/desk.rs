//! Where listeners and the follower of one agent meet.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

use super::{
    Timing,
    book::{Book, Joined},
    metrics::{Limit, SubscriptionMetrics},
};

/// The book of one agent. Whoever writes into it what is to be seen to wakes the follower.
#[derive(Debug)]
pub(super) struct Desk {
    /// A std mutex: held to read or write the book, never across an await.
    book: Mutex<Book>,
    touched: Notify,
    metrics: SubscriptionMetrics,
}

// === impl Desk ===

impl Desk {
    pub(super) fn new(timing: Timing, metrics: SubscriptionMetrics) -> Self {
        Self { book: Mutex::new(Book::new(timing.linger)), touched: Notify::new(), metrics }
    }

    /// Somebody listens.
    pub(super) fn listen(&self, channel: Arc<str>, places: &Arc<Semaphore>) -> Result<Joined, Limit> {
        let joined = self.with(|book| book.listen(channel, places))?;
        self.touched.notify_one();
        Ok(joined)
    }

    /// Somebody listens no more.
    pub(super) fn leave(&self, channel: &Arc<str>) {
        if self.with(|book| book.leave(channel, Instant::now())) {
            self.touched.notify_one();
        }
    }

    /// Reads or writes the book.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Book) -> T) -> T {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let (held, listeners) = book.levels();
        let done = act(&mut book);
        let (held_now, listeners_now) = book.levels();
        self.metrics.held.inc_by(difference(held_now, held));
        self.metrics.listeners.inc_by(difference(listeners_now, listeners));
        done
    }

    /// Resolves when there may be something to see to.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn touched(&self) {
        self.touched.notified().await;
    }
}

/// Neither is ever beyond what is counted.
fn difference(now: usize, before: usize) -> i64 {
    let level = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    level(now) - level(before)
}
