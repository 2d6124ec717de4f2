//! A value that a watch keeps up to date: not known at first, then known, and kept through outages.

use std::{sync::Arc, time::Duration};

use common::Refusal;
use kube::runtime::{utils::Backoff, watcher};
use rand::Rng;
use tokio::{sync::watch, time::Instant};
use tracing::{debug, warn};

use super::super::upstream::short;

/// The reader's end. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Live<T>(watch::Receiver<State<T>>);

/// The watch's end.
#[derive(Debug)]
pub(super) struct Feed<T> {
    state: watch::Sender<State<T>>,
    /// What the watch is of.
    subject: &'static str,
    /// The failure that was told last, so that it is told once and not as often as it is met.
    told: Option<String>,
}

/// What is known.
#[derive(Debug)]
pub(super) enum State<T> {
    /// The API server has not answered yet.
    Starting,
    /// It is not known, and this is why.
    Unknown(String),
    /// It was so when the API server last answered.
    Known(Arc<T>),
}

/// A value and what keeps it up to date. `subject` is what the API server is asked for.
pub(super) fn live<T>(subject: &'static str) -> (Feed<T>, Live<T>) {
    let (state, receiver) = watch::channel(State::Starting);
    (Feed { state, subject, told: None }, Live(receiver))
}

// === impl Live ===

impl<T> Live<T> {
    /// The value. Waits a little where the API server was only just asked for the first time.
    ///
    /// # Errors
    /// [`Refusal::Undecidable`] with the cause, while it is not known.
    pub(super) async fn get(&self) -> Result<Arc<T>, Refusal> {
        if let Some(answer) = self.0.borrow().answer() {
            return answer;
        }
        let mut receiver = self.0.clone();
        let started = receiver.wait_for(|state| state.answer().is_some());
        let answer = tokio::time::timeout(PATIENCE, started).await.ok().and_then(Result::ok);
        answer.and_then(|state| state.answer()).unwrap_or_else(|| {
            Err(Refusal::Undecidable("the agent has just started and has not read its settings yet".into()))
        })
    }
}

impl<T> Live<T> {
    /// Waits until it is known to be something else, or not known any more.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn changed(&self, known: &T)
    where
        T: PartialEq,
    {
        let mut receiver = self.0.clone();
        let other = |state: &State<T>| !matches!(state, State::Known(value) if **value == *known);
        if receiver.wait_for(other).await.is_err() {
            // The agent ends, and with it whoever asks.
            std::future::pending().await
        }
    }

    /// A reader that notices changes from now on.
    pub(super) fn changes(&self) -> watch::Receiver<State<T>> {
        let mut receiver = self.0.clone();
        receiver.mark_unchanged();
        receiver
    }
}

// === impl Feed ===

impl<T> Feed<T> {
    /// It is so now.
    pub(super) fn known(&mut self, value: T) {
        self.told = None;
        self.state.send_replace(State::Known(Arc::new(value)));
    }

    /// What was read makes no sense, so nothing is known any more.
    pub(super) fn invalid(&mut self, cause: &str) {
        let cause = format!("{}: {cause}", self.subject);
        warn!(cause, "what was read makes no sense");
        self.state.send_replace(State::Unknown(cause));
    }

    /// The watch failed. What was known stays so.
    pub(super) fn failed(&mut self, error: &watcher::Error) {
        let cause = format!("cannot read {}: {}", self.subject, cause(error));
        self.state.send_if_modified(|state| match state {
            State::Known(_) => false,
            State::Unknown(known) if *known == cause => false,
            State::Starting | State::Unknown(_) => {
                *state = State::Unknown(cause.clone());
                true
            }
        });
        if self.told.as_ref() == Some(&cause) {
            debug!(cause, "a watch fails again");
        } else {
            let known = matches!(*self.state.borrow(), State::Known(_));
            warn!(cause, known, "a watch fails");
            self.told = Some(cause);
        }
    }

    /// Changes what is known, if anything is. `change` says whether it did.
    pub(super) fn change(&self, change: impl FnOnce(&mut T) -> bool)
    where
        T: Clone,
    {
        self.state.send_if_modified(|state| match state {
            State::Known(value) => change(Arc::make_mut(value)),
            State::Starting | State::Unknown(_) => false,
        });
    }
}

// === impl State ===

impl<T> State<T> {
    fn answer(&self) -> Option<Result<Arc<T>, Refusal>> {
        match self {
            Self::Starting => None,
            Self::Unknown(cause) => Some(Err(Refusal::Undecidable(cause.clone().into()))),
            Self::Known(value) => Some(Ok(Arc::clone(value))),
        }
    }
}

/// What went wrong with a watch, in the API server's words where it has any: they name the permission that is missing.
fn cause(error: &watcher::Error) -> String {
    let error = match error {
        watcher::Error::WatchError(status) => return short(&status.message),
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => error,
        watcher::Error::NoResourceVersion => return short(&error.to_string()),
    };
    if let kube::Error::Api(status) = error {
        return short(&status.message);
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    short(&innermost.to_string())
}

/// How long to wait before a watch that failed is begun again: twice as long every time, with jitter, up to
/// [`LONGEST_WAIT`]; from the beginning after one that lasted.
#[derive(Debug)]
pub(super) struct Again {
    next: Duration,
    last: Option<Instant>,
}

impl Default for Again {
    fn default() -> Self {
        Self { next: FIRST_WAIT, last: None }
    }
}

impl Iterator for Again {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) >= LASTING) {
            self.next = FIRST_WAIT;
        }
        self.last = Some(now);
        let wait = self.next;
        self.next = LONGEST_WAIT.min(wait * 2);
        Some(wait.mul_f64(rand::rng().random_range(0.5..=1.0)))
    }
}

impl Backoff for Again {
    /// `kube` says so whenever it begins, before it is known whether that succeeds; so time alone decides.
    fn reset(&mut self) {}
}

const FIRST_WAIT: Duration = Duration::from_millis(500);
/// `kube`'s own may be 30 s, in which nothing would be decided although the API server is back.
const LONGEST_WAIT: Duration = Duration::from_secs(8);
const LASTING: Duration = Duration::from_secs(60);
/// How long a request waits for the first answer of the API server. Below the 10 s that it may take itself.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_goes_on_failing_is_begun_again_within_seconds() {
        let mut backoff = Again::default();
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let wait = backoff.next().unwrap();
            assert!(wait >= FIRST_WAIT / 2 && wait <= LONGEST_WAIT);
            longest = longest.max(wait);
            tokio::time::advance(wait).await;
            // What `kube` does as soon as it begins again.
            backoff.reset();
        }
        assert!(longest >= LONGEST_WAIT / 2);
        tokio::time::advance(LASTING).await;
        assert!(backoff.next().unwrap() <= FIRST_WAIT);
    }
}
