//! The pipes of a session that nobody has a use for any more, until the agent is told.
//!
//! What must always be true: it is bounded, and an idle session's has no buffer. (A channel has two, of which tokio makes the
//! first before anything is sent.)

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use common::tunnel::PipeId;
use futures_util::task::AtomicWaker;

/// Filled by whoever drops a pipe, emptied by the session's control stream.
#[derive(Debug)]
pub(super) struct Cancels {
    /// A std mutex: held for a queue's operation, never across an await.
    pipes: Mutex<VecDeque<PipeId>>,
    most: usize,
    control: AtomicWaker,
}

// === impl Cancels ===

impl Cancels {
    /// With room for so many.
    pub(super) fn new(most: usize) -> Self {
        Self { pipes: Mutex::default(), most, control: AtomicWaker::new() }
    }

    /// The agent is to be told. One for which there is no room is forgotten.
    pub(super) fn push(&self, pipe: PipeId) {
        let mut pipes = self.pipes();
        if pipes.len() < self.most {
            pipes.push_back(pipe);
            drop(pipes);
            self.control.wake();
        }
    }

    /// The next of which the agent is to be told, for the one task that does.
    pub(super) fn poll_next(&self, cx: &Context<'_>) -> Poll<PipeId> {
        self.control.register(cx.waker());
        let mut pipes = self.pipes();
        let next = pipes.pop_front();
        if pipes.is_empty() {
            // They come in bursts, when a door's client leaves.
            *pipes = VecDeque::new();
        }
        next.map_or(Poll::Pending, Poll::Ready)
    }

    fn pipes(&self) -> MutexGuard<'_, VecDeque<PipeId>> {
        self.pipes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin};

    use super::*;

    fn pipe(number: u64) -> PipeId {
        PipeId::try_from(number).unwrap()
    }

    #[tokio::test]
    async fn the_control_stream_is_woken_for_each() {
        let cancels = Cancels::new(8);
        let mut next = pin!(poll_fn(|cx| cancels.poll_next(cx)));
        assert!(futures_util::poll!(next.as_mut()).is_pending());
        let (told, ()) = tokio::join!(next, async { cancels.push(pipe(1)) });
        assert_eq!(told, pipe(1));
    }

    #[tokio::test]
    async fn they_come_in_order_and_no_more_than_there_is_room_for() {
        let cancels = Cancels::new(2);
        for number in 1..=3 {
            cancels.push(pipe(number));
        }
        for number in 1..=2 {
            assert_eq!(poll_fn(|cx| cancels.poll_next(cx)).await, pipe(number));
        }
        assert!(futures_util::poll!(poll_fn(|cx| cancels.poll_next(cx))).is_pending());
        cancels.push(pipe(4));
        assert_eq!(poll_fn(|cx| cancels.poll_next(cx)).await, pipe(4));
    }
}
