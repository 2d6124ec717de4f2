//! The book, and a bell for the task.

use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;

use super::book::Book;

/// What whoever hears of agents and whoever sees to them have between them.
#[derive(Debug)]
pub(super) struct Desk {
    /// A std mutex: held for steps of the book, never across an await.
    book: Mutex<Book>,
    turns: Notify,
    waiting: Gauge,
}

// === impl Desk ===

impl Desk {
    pub(super) fn new(waiting: Gauge) -> Self {
        Self { book: Mutex::default(), turns: Notify::new(), waiting }
    }

    /// Does something with the book, and rings if anybody waits for a visit then.
    pub(super) fn with<T>(&self, step: impl FnOnce(&mut Book) -> T) -> T {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let done = step(&mut book);
        let has_turns = book.has_turns();
        self.waiting.set(i64::try_from(book.unsettled()).unwrap_or(i64::MAX));
        drop(book);
        if has_turns {
            self.turns.notify_one();
        }
        done
    }

    /// Resolves when there may be somebody to visit.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn rung(&self) {
        self.turns.notified().await;
    }
}
