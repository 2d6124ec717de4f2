//! Grants that are to be sent: one sum for each pipe, until the control stream takes it.
//!
//! A sum in place of a queue: there are never more of them than pipes, so nothing is lost where the control stream is
//! slow, and what a slow one takes late it takes as one.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use super::PipeId;

/// Of one session; its control stream alone takes them. A std mutex: held for a map operation, never across an await.
#[derive(Debug, Default)]
pub struct Grants(Mutex<Pending>);

#[derive(Debug, Default)]
struct Pending {
    sums: BTreeMap<PipeId, u32>,
    control: Option<Waker>,
}

// === impl Grants ===

impl Grants {
    /// What the peer is to be told next: of which pipe we take how many more bytes. Never ends.
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<(PipeId, u32)> {
        let mut pending = self.lock();
        if let Some(grant) = pending.sums.pop_first() {
            return Poll::Ready(grant);
        }
        if !pending.control.as_ref().is_some_and(|control| control.will_wake(cx.waker())) {
            pending.control = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    pub(super) fn add(&self, pipe: PipeId, bytes: u32) {
        let mut pending = self.lock();
        let sum = pending.sums.entry(pipe).or_default();
        // A window fits, and no sum is larger than its pipe's window.
        *sum = sum.saturating_add(bytes);
        if let Some(control) = pending.control.take() {
            control.wake();
        }
    }

    /// The pipe has ended.
    pub(super) fn forget(&self, pipe: PipeId) {
        self.lock().sums.remove(&pipe);
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn next(grants: &Grants) -> Poll<(PipeId, u32)> {
        grants.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_slow_control_stream_finds_the_sum_of_what_it_missed() {
        let (grants, other) = (Grants::default(), PipeId::try_from(2).unwrap());
        for _ in 0..1000 {
            grants.add(PipeId::FIRST, 3);
            grants.add(other, 5);
        }
        assert_eq!(next(&grants), Poll::Ready((PipeId::FIRST, 3000)));
        grants.forget(other);
        assert_eq!(next(&grants), Poll::Pending);
    }

    #[tokio::test]
    async fn a_control_stream_that_waits_is_woken() {
        let grants = Grants::default();
        let add = async {
            tokio::task::yield_now().await;
            grants.add(PipeId::FIRST, 1);
        };
        let (grant, ()) = tokio::join!(poll_fn(|cx| grants.poll_next(cx)), add);
        assert_eq!(grant, (PipeId::FIRST, 1));
    }
}
