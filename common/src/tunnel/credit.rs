//! How much a pipe's writer may still send: what the peer's reader has granted, less what was sent, and a loan.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use super::{
    PipeError, PipeId,
    flow::Flow,
    limits::{CHUNK, CHUNK_COST, MOST_CREDIT},
    loans::Loans,
};

/// The writer's side of a pipe's credit. Always true: what was sent was granted or borrowed before, and what is borrowed is
/// paid back with the next that is granted, even when the pipe has ended here: the peer may have it all in memory yet.
///
/// ```text
///  Enough ──send──► Spent ──borrow──► Enough
///  Enough ──send──► Spent (the writer waits) ──grant──► Enough
///     └──────────────────┴─ the call, the session ended; too much was granted ─► Closed
/// ```
#[derive(Debug)]
pub(super) struct Credit {
    /// What is at hand: only when it runs out the writer looks at what has come meanwhile.
    left: u64,
    granted: Arc<Granted>,
    pipe: PipeId,
    flow: Arc<Flow>,
}

/// Where grants come in, whoever hears them. A std mutex: held for a few words, never across an await.
#[derive(Debug, Default)]
pub(super) struct Granted(Mutex<Incoming>);

#[derive(Debug, Default)]
struct Incoming {
    bytes: u64,
    /// Sent or to be sent beyond what was granted.
    owed: u64,
    /// The writer has gone, and nobody needs more.
    left: bool,
    /// Whoever writes waits for more.
    writer: Option<Waker>,
    /// Nothing comes any more.
    closed: Option<PipeError>,
}

// === impl Credit ===

impl Credit {
    pub(super) fn new(start: u32, granted: Arc<Granted>, pipe: PipeId, flow: Arc<Flow>) -> Self {
        Self { left: start.into(), granted, pipe, flow }
    }

    /// How many bytes of data the next chunk may have, at least one.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, PipeError>> {
        if self.left < FULL_CHUNK {
            let mut incoming = self.granted.lock();
            self.left += mem::take(&mut incoming.bytes);
            if self.left <= CHUNK_COST {
                if let Some(error) = &incoming.closed {
                    return Poll::Ready(Err(error.clone()));
                }
                let loan = self.flow.loans().borrow(incoming.owed);
                if loan == 0 {
                    // Replaced under the lock under which grants come: none is missed.
                    incoming.writer = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                incoming.owed += loan;
                self.left += loan;
            }
        }
        Poll::Ready(Ok(usize::try_from(self.left - CHUNK_COST).unwrap_or(CHUNK).min(CHUNK)))
    }

    /// A chunk with so much data is sent, for which there was room.
    pub(super) fn spend(&mut self, data: usize) {
        self.left = self.left.saturating_sub(cost(data));
    }

    /// Where grants for it come in, for what may end while the writer waits.
    pub(super) fn granted(&self) -> Arc<Granted> {
        Arc::clone(&self.granted)
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.flow.forget(self.pipe);
    }
}

// === impl Granted ===

impl Granted {
    /// The peer takes so many more bytes: first what is owed to `loans`.
    pub(super) fn add(&self, bytes: u32, loans: &Loans) {
        let mut incoming = self.lock();
        let bytes = u64::from(bytes);
        let paid = bytes.min(incoming.owed);
        loans.add(paid);
        incoming.owed -= paid;
        if incoming.left {
            return;
        }
        incoming.bytes += bytes - paid;
        if incoming.bytes > MOST_CREDIT {
            incoming.bytes = 0;
            incoming.closed = Some(PipeError::Cut("the peer granted more than there can be".to_owned()));
        }
        incoming.wake();
    }

    /// The writer has gone.
    pub(super) fn leave(&self) {
        self.lock().left = true;
    }

    /// Whether nothing that is granted matters any more.
    pub(super) fn is_settled(&self) -> bool {
        let incoming = self.lock();
        incoming.left && incoming.owed == 0
    }

    /// Nobody will grant anything any more.
    pub(super) fn close(&self, why: PipeError) {
        let mut incoming = self.lock();
        incoming.closed.get_or_insert(why);
        incoming.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Incoming> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Incoming {
    fn wake(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }
}

/// What a chunk with so much data costs.
pub(super) fn cost(data: usize) -> u64 {
    u64::try_from(data).unwrap_or(u64::MAX).saturating_add(CHUNK_COST)
}

/// What a chunk costs that is as large as any.
const FULL_CHUNK: u64 = CHUNK as u64 + CHUNK_COST;

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use super::*;
    use crate::tunnel::{budget::Budget, flow::Windows, grants::Grants};

    const PIPE: PipeId = PipeId::FIRST;
    const START: u32 = 100_000;

    fn credit() -> (Credit, Arc<Flow>) {
        let windows = Windows { own: START, peers: Some(START) };
        let flow = Flow::new(windows, Arc::new(Grants::default()), Budget::default());
        (flow.pipe(PIPE).unwrap().credit, flow)
    }

    fn room(credit: &mut Credit) -> Poll<Result<usize, PipeError>> {
        credit.poll_room(&mut Context::from_waker(Waker::noop()))
    }

    fn spend_all(credit: &mut Credit) {
        while let Poll::Ready(room) = room(credit) {
            credit.spend(room.unwrap());
        }
    }

    #[test]
    fn what_was_granted_is_sent_and_no_more() {
        let (mut credit, flow) = credit();
        assert_eq!(room(&mut credit), Poll::Ready(Ok(CHUNK)));
        credit.spend(CHUNK);
        let rest = START as usize - CHUNK - 2 * CHUNK_COST as usize;
        assert_eq!(room(&mut credit), Poll::Ready(Ok(rest)));
        credit.spend(rest);
        assert_eq!(room(&mut credit), Poll::Pending);
        flow.granted(Some(PIPE), 16);
        assert_eq!(room(&mut credit), Poll::Pending, "a chunk costs more than its data");
        flow.granted(Some(PIPE), 7);
        assert_eq!(room(&mut credit), Poll::Ready(Ok(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_that_waits_is_woken_by_a_grant_and_by_the_end() {
        let (mut credit, flow) = credit();
        spend_all(&mut credit);
        let later = |what: fn(&Flow)| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            what(&flow);
            flow
        };
        let (room, flow) = tokio::join!(poll_fn(|cx| credit.poll_room(cx)), later(|flow| flow.granted(Some(PIPE), 17)));
        assert_eq!(room, Ok(1));
        credit.spend(1);
        let end = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            flow.close();
        };
        let (room, ()) = tokio::join!(poll_fn(|cx| credit.poll_room(cx)), end);
        assert_eq!(room, Err(PipeError::SessionLost));
    }

    #[test]
    fn more_than_there_can_be_cuts_the_pipe() {
        let (mut credit, flow) = credit();
        spend_all(&mut credit);
        flow.granted(Some(PIPE), u32::MAX);
        assert!(matches!(room(&mut credit), Poll::Ready(Err(PipeError::Cut(_)))));
    }

    #[test]
    fn a_grant_for_a_pipe_that_has_ended_or_never_was_is_ignored() {
        let (credit, flow) = credit();
        drop(credit);
        flow.granted(Some(PIPE), 1);
        flow.granted(PipeId::try_from(7).ok(), u32::MAX);
        assert_eq!(room(&mut flow.pipe(PIPE).unwrap().credit), Poll::Ready(Ok(CHUNK)));
    }
}
