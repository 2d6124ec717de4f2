//! What the pipes of a session may have in flight beyond their first windows, all together.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::gauge::Gauge;

use super::limits::WINDOW_BUDGET;

/// One session's. Always true: what is left, what its pipes have taken and what is lent are [`WINDOW_BUDGET`] together.
#[derive(Debug)]
pub struct Budget {
    left: AtomicU64,
    /// To all pipes together; never less than before.
    lent: AtomicU64,
    /// Bytes in use, but for what is lent, of all sessions that count there.
    used: Gauge,
}

// === impl Budget ===

impl Budget {
    /// A session's, which tells in `used` how much of it is in use.
    #[must_use]
    pub fn telling(used: Gauge) -> Self {
        Self { left: AtomicU64::new(WINDOW_BUDGET), lent: AtomicU64::new(0), used }
    }

    /// As much of `wanted` as a pipe may have: of what is left a part, so that the next finds something, too.
    pub(super) fn take(&self, wanted: u64) -> u64 {
        let share = |left: u64| wanted.min(left / PART);
        let before = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left - share(left)));
        let taken = share(before.unwrap_or_default());
        self.used.inc_by(gauge(taken));
        taken
    }

    /// Whether a pipe that came now would get less than it may well need.
    pub(super) fn is_scarce(&self) -> bool {
        self.left.load(Ordering::Relaxed) < WINDOW_BUDGET / PART
    }

    /// Lends so much in all, as far as it is there; how much of that is new.
    pub(super) fn lend(&self, all: u64) -> u64 {
        let all = all.min(WINDOW_BUDGET / PART);
        let more = |left: u64| all.saturating_sub(self.lent()).min(left);
        let before = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left - more(left)));
        let more = more(before.unwrap_or_default());
        self.lent.fetch_add(more, Ordering::Relaxed);
        more
    }

    /// What the peer may send beyond what its pipes are granted.
    pub(super) fn lent(&self) -> u64 {
        self.lent.load(Ordering::Relaxed)
    }

    pub(super) fn give(&self, taken: u64) {
        self.left.fetch_add(taken, Ordering::Relaxed);
        self.used.dec_by(gauge(taken));
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::telling(Gauge::default())
    }
}

fn gauge(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Of what is left of the budget a pipe gets at most one in so many parts: the first gets all that it can use, and the
/// fifth still a third of that.
const PART: u64 = 4;
