//! Grants that are to be sent: one sum for each pipe, and one for what is lent to all, until the control stream takes it.
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
    sums: BTreeMap<Option<PipeId>, u32>,
    control: Option<Waker>,
}

// === impl Grants ===

impl Grants {
    /// What the peer is to be told next: of which pipe we take how many more bytes, or how many we lend. Never ends.
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<(Option<PipeId>, u32)> {
        let mut pending = self.lock();
        if let Some(grant) = pending.sums.pop_first() {
            return Poll::Ready(grant);
        }
        if !pending.control.as_ref().is_some_and(|control| control.will_wake(cx.waker())) {
            pending.control = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// So many more bytes; none is no grant.
    pub(super) fn add(&self, pipe: Option<PipeId>, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let mut pending = self.lock();
        let sum = pending.sums.entry(pipe).or_default();
        // A window fits, and no sum is larger than its pipe's window.
        *sum = sum.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if let Some(control) = pending.control.take() {
            control.wake();
        }
    }

    /// The pipe has ended.
    pub(super) fn forget(&self, pipe: PipeId) {
        self.lock().sums.remove(&Some(pipe));
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn next(grants: &Grants) -> Poll<(Option<PipeId>, u32)> {
        grants.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_slow_control_stream_finds_the_sum_of_what_it_missed() {
        let (grants, other) = (Grants::default(), PipeId::try_from(2).unwrap());
        for _ in 0..1000 {
            grants.add(Some(PipeId::FIRST), 3);
            grants.add(Some(other), 5);
        }
        assert_eq!(next(&grants), Poll::Ready((Some(PipeId::FIRST), 3000)));
        grants.forget(other);
        grants.add(Some(other), 0);
        assert_eq!(next(&grants), Poll::Pending);
    }

    #[tokio::test]
    async fn a_control_stream_that_waits_is_woken() {
        let grants = Grants::default();
        let add = async {
            tokio::task::yield_now().await;
            grants.add(Some(PipeId::FIRST), 1);
        };
        let (grant, ()) = tokio::join!(poll_fn(|cx| grants.poll_next(cx)), add);
        assert_eq!(grant, (Some(PipeId::FIRST), 1));
    }
}
