//! Idle pipes, kept for the next exchange with the same session.
//!
//! Always true: a pipe in here carries nothing; it is handed out once, newest first; it goes after [`IDLE`], when its
//! session's shelf is full, and when the drain begins.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use common::{drain, tunnel::SessionId};
use hyper::client::conn::http1::SendRequest;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep_until},
};

/// One pipe with HTTP/1.1 in it. Dropping it ends the pipe, whatever runs in it.
pub(super) struct Pipe<B> {
    pub(super) sender: SendRequest<B>,
    /// The task that drives the pipe ends when this is dropped. hyper's own way to close waits until the peer has taken
    /// what is buffered, which a peer that stalls never does.
    pub(super) _alive: oneshot::Sender<Infallible>,
}

/// Idle pipes by session, so that a pipe of a session that was replaced is never used for the next one.
pub(super) struct Pool<B> {
    /// A std mutex: held for map operations, never across an await.
    shelves: Mutex<Shelves<B>>,
    /// There is something to expire again.
    parked: Notify,
}

struct Shelves<B> {
    by_session: HashMap<SessionId, VecDeque<Parked<B>>>,
    closed: bool,
}

struct Parked<B> {
    pipe: Pipe<B>,
    since: Instant,
}

// === impl Pool ===

impl<B> Pool<B> {
    pub(super) fn new() -> Arc<Self> {
        let shelves = Shelves { by_session: HashMap::new(), closed: false };
        Arc::new(Self { shelves: Mutex::new(shelves), parked: Notify::new() })
    }

    /// The pipe of that session which was used last, as far as is known still open.
    pub(super) fn take(&self, session: SessionId) -> Option<Pipe<B>> {
        let mut shelves = self.shelves();
        let shelf = shelves.by_session.get_mut(&session)?;
        let pipe =
            std::iter::from_fn(|| shelf.pop_back()).map(|parked| parked.pipe).find(|pipe| !pipe.sender.is_closed());
        if shelf.is_empty() {
            shelves.by_session.remove(&session);
        }
        pipe
    }

    /// Keeps a pipe whose exchange ended well.
    pub(super) fn park(&self, session: SessionId, pipe: Pipe<B>) {
        let mut shelves = self.shelves();
        if shelves.closed || pipe.sender.is_closed() {
            return;
        }
        let was_empty = shelves.by_session.is_empty();
        let shelf = shelves.by_session.entry(session).or_default();
        if shelf.len() >= MAX_IDLE {
            shelf.pop_front();
        }
        shelf.push_back(Parked { pipe, since: Instant::now() });
        drop(shelves);
        if was_empty {
            self.parked.notify_one();
        }
    }

    /// Lets pipes go when their time is over, and all of them when the drain begins.
    pub(super) async fn expire(self: Arc<Self>, drain: drain::Watch) {
        loop {
            let next = self.sweep(Instant::now());
            tokio::select! {
                () = drain.draining() => break,
                () = self.parked.notified(), if next.is_none() => {}
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
        let mut shelves = self.shelves();
        shelves.closed = true;
        shelves.by_session.clear();
    }

    /// Drops what has expired; returns when to look again.
    fn sweep(&self, now: Instant) -> Option<Instant> {
        let mut shelves = self.shelves();
        let mut oldest: Option<Instant> = None;
        shelves.by_session.retain(|_, shelf| {
            while shelf.front().is_some_and(|parked| parked.since + IDLE <= now) {
                shelf.pop_front();
            }
            let first = shelf.front().map(|parked| parked.since);
            oldest = oldest.into_iter().chain(first).min();
            first.is_some()
        });
        // Thousands of agents expire at thousands of moments; once a second is often enough to look at all of them.
        oldest.map(|since| (since + IDLE).max(now + SWEEP))
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves<B>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> fmt::Debug for Pool<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("sessions", &self.shelves().by_session.len()).finish_non_exhaustive()
    }
}

/// Shorter than the time after which an agent closes an idle pipe (120 s), so that it is never the agent who closes one
/// that is about to be used: such a request could not be sent again.
const IDLE: Duration = Duration::from_secs(60);
/// Idle pipes of one session: more exchanges than this seldom end at the same moment, and each costs both ends memory.
const MAX_IDLE: usize = 32;
const SWEEP: Duration = Duration::from_secs(1);
