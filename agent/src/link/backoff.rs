//! How long to wait before the next attempt: exponential with full jitter, so that ten thousand agents whose principal
//! restarts do not come back as a herd.

use std::time::Duration;

use rand::Rng;

/// Counts failures; reset by a session that lived.
#[derive(Debug)]
pub struct Backoff {
    failures: u32,
    /// The bound of every wait.
    most: Duration,
}

// === impl Backoff ===

impl Default for Backoff {
    fn default() -> Self {
        Self::up_to(MOST)
    }
}

impl Backoff {
    /// Waits of at most `most`, for a peer that fewer come back to.
    #[must_use]
    pub fn up_to(most: Duration) -> Self {
        Self { failures: 0, most }
    }

    /// The attempt failed, or its session died young: the wait before the next one.
    pub fn fail(&mut self) -> Duration {
        let most = FIRST.saturating_mul(1 << self.failures.min(MAX_DOUBLINGS)).min(self.most);
        self.failures = self.failures.saturating_add(1);
        rand::rng().random_range(Duration::ZERO..=most)
    }

    /// A session ended that had lived for `life`: the wait before the next attempt.
    pub fn end(&mut self, life: Duration) -> Duration {
        if life >= LIVED {
            self.failures = 0;
        }
        self.fail()
    }

    /// Another agent of the same name took over: the wait before this one tries to take it back. Long, because two agents
    /// that share a name would otherwise throw each other out all the time.
    pub fn replaced(&mut self) -> Duration {
        self.failures = 0;
        rand::rng().random_range(self.most / 2..=self.most)
    }
}

/// The bound of the first wait.
const FIRST: Duration = Duration::from_millis(100);
/// The bound of every wait: a principal that is back is found within this.
const MOST: Duration = Duration::from_secs(30);
/// `FIRST` doubled this often is above `MOST`.
const MAX_DOUBLINGS: u32 = 9;
/// A session that lived this long shows that the principal is well.
const LIVED: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_bound_and_reset() {
        let mut backoff = Backoff::default();
        assert!(backoff.fail() <= FIRST);
        assert!(backoff.fail() <= FIRST * 2);
        let longest = (0..200).map(|_| backoff.fail()).max().unwrap();
        assert!(longest <= MOST && longest > MOST / 2, "{longest:?}");
        assert!(backoff.end(LIVED) <= FIRST, "a session that lived resets");
        assert!(backoff.replaced() >= MOST / 2);
    }

    #[test]
    fn another_bound_is_kept() {
        let mut backoff = Backoff::up_to(FIRST * 3);
        assert!((0..200).all(|_| backoff.fail() <= FIRST * 3));
    }

    #[test]
    fn a_session_that_dies_young_does_not_reset() {
        let mut backoff = Backoff { failures: 100, ..Backoff::default() };
        let longest = (0..200).map(|_| backoff.end(Duration::ZERO)).max().unwrap();
        assert!(longest > MOST / 2, "{longest:?}");
    }
}
