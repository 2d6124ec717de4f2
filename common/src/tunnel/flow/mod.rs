//! What the pipes of a session share so that each has the window that it needs, and all together are bounded.
//!
//! HTTP/2 has a window for each stream, too. It cannot grow by itself, so it is as large as a pipe may ever need, and
//! would be that for each of the pipes whose readers stall. So each direction of a pipe has its *credit* on top: what the
//! reader (`window.rs`) has granted, and the writer (`credit.rs`) keeps to. Grants travel on the control
//! stream. In the pipe they would wait behind data that nobody reads, and could not be said after its end.
//!
//! On a line that is known to be long a session lends some of its budget to all of its pipes (`loans.rs`): whichever has
//! a long answer first sends ahead as much as the line holds, and is granted it when it is read.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use tokio::{
    sync::Notify,
    time::{Duration, Instant},
};

use super::{
    PipeError, PipeId,
    budget::Budget,
    credit::{Credit, Granted},
    grants::Grants,
    limits::FASTEST,
    loans::Loans,
    window::{self, Mark, Overdrawn, Window},
};

/// One session's, at either end.
#[derive(Debug)]
pub struct Flow {
    windows: Windows,
    budget: Budget,
    /// What our readers grant.
    grants: Arc<Grants>,
    /// Where the peer's grants go. A std mutex: held for a map operation, never across an await.
    granted: Mutex<HashMap<PipeId, Arc<Granted>>>,
    /// What the peer lends our writers.
    loans: Loans,
    round_trips: Mutex<RoundTrips>,
    /// A reader wants to know the round trip, and has said so.
    asked: AtomicBool,
    ask: Notify,
}

/// What a reader lets its peer send of a pipe before it grants more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Ours.
    pub own: u32,
    /// The peer's; none of a build that knows no grants. Then there is no credit in either direction.
    pub peers: Option<u32>,
}

/// The credit of one pipe, for both of its directions.
#[derive(Debug)]
pub struct PipeFlow {
    pub(super) credit: Credit,
    pub(super) inbound: Inbound,
}

/// A window, and where its grants go.
#[derive(Debug)]
pub(super) struct Inbound {
    window: Window,
    /// Since when the reader waits.
    waiting: Option<Instant>,
    pipe: PipeId,
    flow: Arc<Flow>,
}

/// The last few. The least of those that are about as new as the newest counts: a ping beside bulk data waits for it, and
/// lines change.
#[derive(Debug, Default)]
struct RoundTrips {
    last: VecDeque<(Instant, Duration)>,
}

// === impl Flow ===

impl Flow {
    /// The flow of a session whose control stream sends `grants`.
    #[must_use]
    pub fn new(windows: Windows, grants: Arc<Grants>, budget: Budget) -> Arc<Self> {
        let (granted, loans, round_trips) = Default::default();
        Arc::new(Self {
            windows,
            budget,
            grants,
            granted,
            loans,
            round_trips,
            asked: AtomicBool::new(false),
            ask: Notify::new(),
        })
    }

    /// The credit of a new pipe; none where the peer knows none.
    #[must_use]
    pub fn pipe(self: &Arc<Self>, pipe: PipeId) -> Option<PipeFlow> {
        let peers = self.windows.peers?;
        if self.round_trips().last.is_empty() {
            // So it is known when the first answer comes, which a session that is never used need not know.
            self.ask();
        }
        let granted = Arc::new(Granted::default());
        self.lock().insert(pipe, Arc::clone(&granted));
        let window = Window::new(self.windows.own);
        let inbound = Inbound { window, waiting: Some(Instant::now()), pipe, flow: Arc::clone(self) };
        Some(PipeFlow { credit: Credit::new(peers, granted, pipe, Arc::clone(self)), inbound })
    }

    /// The peer grants so many more bytes of a pipe, or lends them to all. One that is unknown has ended.
    pub fn granted(&self, pipe: Option<PipeId>, bytes: u32) {
        let Some(pipe) = pipe else { return self.loans.add(bytes.into()) };
        let mut all = self.lock();
        if let Some(granted) = all.get(&pipe) {
            granted.add(bytes, &self.loans);
            if granted.is_settled() {
                all.remove(&pipe);
            }
        }
    }

    /// A ping was answered.
    pub fn took(&self, round_trip: Duration) {
        let now = Instant::now();
        let least = {
            let mut round_trips = self.round_trips();
            round_trips.add(round_trip, now);
            round_trips.least(now).0
        };
        self.asked.store(false, Ordering::Relaxed);
        if let Some(least) = least.filter(|_| self.windows.peers.is_some()) {
            let needed = window::needed(FASTEST, least).saturating_sub(self.windows.own.into());
            self.grants.add(None, self.budget.lend(needed));
        }
    }

    /// Asks for a ping, but not again before the answer: the one that follows would be the one that is measured.
    fn ask(&self) {
        if !self.asked.swap(true, Ordering::Relaxed) {
            self.ask.notify_one();
        }
    }

    /// Resolves when a ping is wanted before one is due.
    pub async fn ping_wanted(&self) {
        self.ask.notified().await;
    }

    /// What is to be sent on the control stream.
    #[must_use]
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// The control stream has ended: whoever waits for a grant waits no more.
    pub fn close(&self) {
        for granted in self.lock().values() {
            granted.close(PipeError::SessionLost);
        }
    }

    pub(super) fn loans(&self) -> &Loans {
        &self.loans
    }

    /// A writer has gone. What it owes stays known until the reader has granted it or has gone, too.
    pub(super) fn forget(&self, pipe: PipeId) {
        let mut all = self.lock();
        if let Some(granted) = all.get(&pipe) {
            granted.leave();
            if granted.is_settled() {
                all.remove(&pipe);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PipeId, Arc<Granted>>> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn round_trips(&self) -> MutexGuard<'_, RoundTrips> {
        self.round_trips.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Inbound ===

impl Inbound {
    /// The reader looked for what comes next: from the first time in vain on it waits for the peer.
    pub(super) fn polled<T>(&mut self, next: &Poll<T>) {
        if next.is_pending() {
            self.waiting.get_or_insert_with(Instant::now);
        } else if let Some(since) = self.waiting.take() {
            let (now, flow) = (Instant::now(), &self.flow);
            self.window.waited(since, now, || flow.round_trips().least(now).0, &flow.budget);
        }
    }

    /// What costs so much was taken; grants the peer more when it is time.
    pub(super) fn take(&mut self, cost: u64) -> Result<(), Overdrawn> {
        match self.window.take(cost, &self.flow.budget)? {
            Mark::None => {}
            Mark::Eighth => self.window.look(Instant::now()),
            Mark::Refill => {
                let now = Instant::now();
                let (round_trip, new) = self.flow.round_trips().least(now);
                if !new {
                    self.flow.ask();
                }
                let grant = self.window.refill(now, round_trip, &self.flow.budget);
                self.flow.grants.add(Some(self.pipe), grant);
            }
        }
        Ok(())
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        self.flow.budget.give(self.window.taken());
        match self.flow.budget.lent() {
            0 => self.flow.grants.forget(self.pipe),
            // Nothing of it is held here any more, whatever it owes.
            lent => self.flow.grants.add(Some(self.pipe), lent),
        }
    }
}

// === impl RoundTrips ===

impl RoundTrips {
    fn add(&mut self, round_trip: Duration, now: Instant) {
        self.last.truncate(REMEMBERED - 1);
        self.last.push_front((now, round_trip));
    }

    /// None before the first, and whether it is still new.
    fn least(&self, now: Instant) -> (Option<Duration>, bool) {
        let newest = self.last.front().map(|(at, _)| *at);
        let counts = |at: &Instant| newest.is_some_and(|newest| newest.saturating_duration_since(*at) <= COUNTS);
        let least = self.last.iter().filter(|(at, _)| counts(at)).map(|(_, round_trip)| *round_trip).min();
        (least, newest.is_some_and(|newest| now.saturating_duration_since(newest) <= NEW))
    }
}

/// How many round trips are looked at.
const REMEMBERED: usize = 4;

/// How much older than the newest they may be.
const COUNTS: Duration = Duration::from_secs(3);

/// After so long a reader that is well on wants to know anew: two small messages beside half a window.
const NEW: Duration = Duration::from_millis(500);
