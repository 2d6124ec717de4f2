//! The book, and a bell for the writer.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::book::Book;

/// What watcher and writer have between them.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// A std mutex: held for steps of the book, never across an await.
    book: Mutex<Book>,
    unsaved: Notify,
}

// === impl Desk ===

impl Desk {
    /// Does something with the book, and tells the writer if there is anything to be written then.
    pub(super) fn with<T>(&self, step: impl FnOnce(&mut Book) -> T) -> T {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let done = step(&mut book);
        let is_unsaved = book.is_unsaved();
        drop(book);
        if is_unsaved {
            self.unsaved.notify_one();
        }
        done
    }

    /// Resolves when there may be something to be written.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn unsaved(&self) {
        self.unsaved.notified().await;
    }
}
