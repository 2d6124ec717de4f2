//! How much a pipe's reader lets its peer send ahead: little at first, and as much as the line needs where it is used.
//!
//! Pure: it is told what came, when it was waited for, and the time, and decides; [`super::flow`] knows the line and sends
//! the grants.

#[cfg(test)]
mod tests;

use tokio::time::{Duration, Instant};

use super::{
    budget::Budget,
    limits::{FASTEST, STREAM_WINDOW_MOST},
};

/// The reader's side of a pipe's credit. Always true: `coming <= size`, and what is above `start` is out of the budget.
///
/// The peer is granted what is missing when half of the first window was taken, or a quarter of a larger one. How long that
/// took says whether the peer had to wait, which is all that a larger window helps against. How large it has to be only the
/// quickest part of it says: who waits looks slow. So the time is looked at after each eighth of the window, when the reader
/// begins to wait and when something comes again, and at no other.
///
/// ```text
///        a quarter of it comes in a round trip: as large as the line needs
///           ┌──────────────────────────────────────────────────────┐
///  size = start                                               size > start ──┐ the reader takes less than a sixteenth
///           └──────────────────────────────────────────────────────┘  ▲──────┘ in one: what is left is enough
///             the same; also at the pipe's end
/// ```
///
/// A reader that waits for the peer is not slow, and one that waits for longer than a grant takes has a peer that has nothing
/// to say: a *pause*. What comes next is measured by itself.
#[derive(Debug)]
pub(super) struct Window {
    /// What a pipe has that is not known to be fast.
    start: u64,
    /// The most that the peer may have sent that we have not taken.
    size: u64,
    /// What the peer may still send, as far as we have taken it.
    coming: u64,
    /// What it has sent beyond that; then nothing is coming.
    owed: u64,
    /// From the last grant or pause on.
    step: Measure,
    /// From the last eighth on.
    part: Measure,
    /// Bytes a second of the quickest part since the last grant.
    quickest: u64,
}

/// How much was taken since when.
#[derive(Debug, Default)]
struct Measure {
    since: Option<Instant>,
    bytes: u64,
    /// How much of the time the reader waited.
    waited: Duration,
}

/// What the reader has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nothing is to be done.
    None,
    /// [`Window::look`] wants the time.
    Eighth,
    /// [`Window::refill`].
    Refill,
}

/// The peer has sent more than it was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overdrawn;

// === impl Window ===

impl Window {
    pub(super) fn new(start: u32) -> Self {
        let start = u64::from(start);
        let (step, part) = Default::default();
        Self { start, size: start, coming: start, owed: 0, step, part, quickest: 0 }
    }

    /// So many bytes were taken of what came. More than was granted may come out of what the budget has lent.
    pub(super) fn take(&mut self, bytes: u64, budget: &Budget) -> Result<Mark, Overdrawn> {
        let beyond = bytes.saturating_sub(self.coming);
        self.coming -= bytes - beyond;
        self.owed += beyond;
        if self.owed > 0 && self.owed > budget.lent() {
            return Err(Overdrawn);
        }
        self.step.bytes += bytes;
        self.part.bytes += bytes;
        let step = if self.size > self.start { self.size / 4 } else { self.size / 2 };
        Ok(if self.size - self.coming >= step {
            Mark::Refill
        } else if self.part.bytes >= self.size / 8 {
            Mark::Eighth
        } else {
            Mark::None
        })
    }

    /// Something has come that the reader had waited for `since` then. The line's length is asked for where it matters.
    pub(super) fn waited(
        &mut self,
        since: Instant,
        now: Instant,
        round_trip: impl FnOnce() -> Option<Duration>,
        budget: &Budget,
    ) {
        let waited = now.saturating_duration_since(since);
        let pause = || waited > SHORTEST && round_trip().is_some_and(|round_trip| waited > 2 * round_trip);
        if self.step.since.is_some() && !pause() {
            self.step.waited += waited;
            return;
        }
        // It is not slow, but others may need what it has more.
        if budget.is_scarce() {
            self.shrink(budget);
        }
        self.part.start(now);
        self.step.start(now);
        self.quickest = 0;
    }

    /// At an eighth.
    pub(super) fn look(&mut self, now: Instant) {
        self.quickest = self.quickest.max(self.part.in_a(SECOND, now).unwrap_or_default());
        self.part.start(now);
        if self.step.since.is_none() {
            self.step.start(now);
        }
    }

    /// What to grant the peer now, if anything. `round_trip` is none where it is not known.
    pub(super) fn refill(&mut self, now: Instant, round_trip: Option<Duration>, budget: &Budget) -> u64 {
        if self.part.bytes >= self.size / 8 {
            self.quickest = self.quickest.max(self.part.in_a(SECOND, now).unwrap_or_default());
        }
        if let Some(round_trip) = round_trip {
            self.resize(now, round_trip, budget);
        }
        let grant = self.size - self.coming + self.owed;
        self.coming = self.size;
        self.owed = 0;
        self.quickest = 0;
        self.part.start(now);
        self.step.start(now);
        grant
    }

    fn resize(&mut self, now: Instant, round_trip: Duration, budget: &Budget) {
        // After a pause so little may have come that it tells nothing.
        if self.step.bytes < self.size / 8 {
            return;
        }
        let Some(comes) = self.step.in_a(round_trip, now) else { return };
        if comes >= self.size / 4 {
            self.size += budget.take(needed(self.quickest, round_trip).saturating_sub(self.size));
        } else if self.step.taken_in_a(round_trip, now).is_some_and(|takes| takes < self.size / 16) {
            self.shrink(budget);
        }
    }

    fn shrink(&mut self, budget: &Budget) {
        let smaller = self.coming.max(self.start).min(self.size);
        budget.give(self.size - smaller);
        self.size = smaller;
    }

    /// What of the budget it has.
    pub(super) fn taken(&self) -> u64 {
        self.size - self.start
    }
}

/// The window for such a line: twice what it holds, since a grant is on its way while the rest comes.
pub(super) fn needed(rate: u64, round_trip: Duration) -> u64 {
    scaled(rate.min(FASTEST), SECOND, 2 * round_trip).min(STREAM_WINDOW_MOST.into())
}

// === impl Measure ===

impl Measure {
    fn start(&mut self, now: Instant) {
        *self = Self { since: Some(now), bytes: 0, waited: Duration::ZERO };
    }

    /// How many bytes came in such a time; none before it has started.
    fn in_a(&self, time: Duration, now: Instant) -> Option<u64> {
        Some(scaled(self.bytes, now.saturating_duration_since(self.since?), time))
    }

    /// The same of the time in which the reader did not wait for them.
    fn taken_in_a(&self, time: Duration, now: Instant) -> Option<u64> {
        Some(scaled(self.bytes, now.saturating_duration_since(self.since?).saturating_sub(self.waited), time))
    }
}

/// How many bytes come in `time` where so many `took` that long.
fn scaled(bytes: u64, took: Duration, time: Duration) -> u64 {
    let bytes = u128::from(bytes).saturating_mul(time.as_nanos()) / took.as_nanos().max(1);
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

const SECOND: Duration = Duration::from_secs(1);

/// No pause is shorter: so the line's length need not be looked up whenever something comes.
const SHORTEST: Duration = Duration::from_millis(1);
