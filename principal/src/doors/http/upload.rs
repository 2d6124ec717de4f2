//! A request's body on its way to the agent: how far it is, and until when its answer may take.
//!
//! The answer's deadline runs from the last byte of the request that moved on. So a slow upload that moves never times
//! out, and one that stalls, at either end, does.

use std::{
    fmt,
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use common::http::body::{End, Observed, Observer};
use tokio::time::{Instant, sleep_until};

/// A request's body with an eye on it.
pub(crate) type UploadBody<B> = Observed<B, Upload>;

/// How far an upload is. Cheap to clone; every clone sees the same.
#[derive(Clone)]
pub(crate) struct Upload(Arc<State>);

struct State {
    began: Instant,
    bytes: AtomicU64,
    /// When it last moved, in microseconds since it began.
    moved: AtomicU64,
    phase: AtomicU8,
}

/// The answer did not begin in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Late;

// === impl Upload ===

impl Upload {
    /// An upload that begins now.
    pub(crate) fn new() -> Self {
        Self(Arc::new(State {
            began: Instant::now(),
            bytes: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            phase: AtomicU8::new(FLOWING),
        }))
    }

    /// Bytes taken from the caller.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Whether all of it has been passed on.
    pub(crate) fn is_complete(&self) -> bool {
        self.0.phase.load(Ordering::Acquire) == COMPLETE
    }

    /// Whether the caller failed to send it: it left, or its framing is broken.
    pub(crate) fn has_failed(&self) -> bool {
        self.0.phase.load(Ordering::Acquire) == FAILED
    }

    /// Waits for the answer until nothing has moved for `limit`.
    ///
    /// # Errors
    /// When the time is over.
    pub(crate) async fn answered_within<F: Future>(&self, limit: Duration, answer: F) -> Result<F::Output, Late> {
        let mut answer = pin!(answer);
        let mut timer = pin!(sleep_until(self.moved() + limit));
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return Ok(answer),
                () = &mut timer => {}
            }
            let deadline = self.moved() + limit;
            if deadline <= timer.deadline() {
                return Err(Late);
            }
            timer.as_mut().reset(deadline);
        }
    }

    fn moved(&self) -> Instant {
        self.0.began + Duration::from_micros(self.0.moved.load(Ordering::Relaxed))
    }

    fn moves(&self) {
        let micros = u64::try_from(self.0.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.0.moved.store(micros, Ordering::Relaxed);
    }
}

impl Observer for Upload {
    fn data(&mut self, bytes: usize) {
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.moves();
    }

    fn ended(&mut self, how: End) {
        let phase = match how {
            End::Complete => COMPLETE,
            End::Failed => FAILED,
            End::Abandoned => ABANDONED,
        };
        // An upload that was given up has not moved.
        if how == End::Complete {
            self.moves();
        }
        self.0.phase.store(phase, Ordering::Release);
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("bytes", &self.bytes()).field("complete", &self.is_complete()).finish()
    }
}

const FLOWING: u8 = 0;
const COMPLETE: u8 = 1;
const FAILED: u8 = 2;
const ABANDONED: u8 = 3;

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_never_comes_is_late() {
        let upload = Upload::new();
        let start = Instant::now();
        assert_eq!(upload.answered_within(LIMIT, pending::<()>()).await, Err(Late));
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_for_the_answer_runs_from_the_end_of_the_upload() {
        let upload = Upload::new();
        let mut observer = upload.clone();
        let answer = async {
            for _ in 0..5 {
                sleep(Duration::from_secs(9)).await;
                observer.data(10);
            }
            sleep(Duration::from_secs(9)).await;
            observer.ended(End::Complete);
            sleep(Duration::from_secs(9)).await;
            "answer"
        };
        assert_eq!(upload.answered_within(LIMIT, answer).await, Ok("answer"));
        assert_eq!(upload.bytes(), 50);
        assert!(upload.is_complete());
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_that_stalls_is_late() {
        let upload = Upload::new();
        let mut observer = upload.clone();
        let start = Instant::now();
        let answer = async {
            sleep(Duration::from_secs(9)).await;
            observer.data(10);
            pending::<()>().await;
        };
        assert_eq!(upload.answered_within(LIMIT, answer).await, Err(Late));
        assert_eq!(start.elapsed().as_secs(), 19);
    }
}
