//! Somebody who listens.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

use super::{Timing, book::Joined, desk::Desk};

/// A client that listens to one channel, until this is dropped.
pub struct Listening {
    desk: Arc<Desk>,
    channel: Arc<str>,
    /// None when there is nothing to wait for any more: most of its life.
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Its place among all that listen.
    _place: OwnedSemaphorePermit,
}

// === impl Listening ===

impl Listening {
    pub(super) fn new(desk: Arc<Desk>, joined: Joined, timing: Timing, place: OwnedSemaphorePermit) -> Self {
        let Joined { channel, settled } = joined;
        let deadline = Instant::now() + timing.ready;
        let waiting = settled.map(|settled| -> Pin<Box<dyn Future<Output = ()> + Send>> {
            Box::pin(async move { timeout_at(deadline, settled).await.unwrap_or_default() })
        });
        Self { desk, channel, waiting, _place: place }
    }

    /// Ready when the subscription at the agent stands, or is known not to be had now; at most 1 s after it was asked for.
    ///
    /// A client that hears only then that it has subscribed misses nothing that is said behind it. One that is let go
    /// before the subscription stands hears an empty message as soon as it does.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(waiting) = &mut self.waiting {
            ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
            self.desk.with(|book| book.let_go(&self.channel));
        }
        Poll::Ready(())
    }

    /// Resolves as [`poll_ready`](Self::poll_ready) does.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll_ready(cx)).await;
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.desk.leave(&self.channel);
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").field("waits", &self.waiting.is_some()).finish_non_exhaustive()
    }
}
