//! How long to wait before something is tried again: exponential with full jitter, so that what failed together does not
//! come back together.

use std::time::Duration;

use rand::Rng;

/// Counts failures, until something works for a while.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

// === impl Backoff ===

impl Backoff {
    /// It failed: the wait before it is tried again.
    pub(crate) fn fail(&mut self) -> Duration {
        let most = FIRST.saturating_mul(1 << self.failures.min(MAX_DOUBLINGS)).min(MOST);
        self.failures = self.failures.saturating_add(1);
        rand::rng().random_range(Duration::ZERO..=most)
    }

    /// It worked for so long. What dies young has not worked.
    pub(crate) fn worked(&mut self, life: Duration) {
        if life >= LIVED {
            self.failures = 0;
        }
    }

    /// Whether nothing has failed since it worked.
    pub(crate) fn is_fresh(&self) -> bool {
        self.failures == 0
    }
}

/// The bound of the first wait: a pipe that was cut is back before anybody has noticed.
const FIRST: Duration = Duration::from_millis(10);
/// The bound of every wait: what is back is found within this.
const MOST: Duration = Duration::from_secs(5);
/// `FIRST` doubled this often is above `MOST`.
const MAX_DOUBLINGS: u32 = 9;
/// What worked this long is well; somebody who lets us in only to throw us out does not get us back at once.
const LIVED: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_bound_and_reset() {
        let mut backoff = Backoff::default();
        assert!(backoff.is_fresh());
        assert!(backoff.fail() <= FIRST);
        assert!(backoff.fail() <= FIRST * 2);
        let longest = (0..200).map(|_| backoff.fail()).max().unwrap();
        assert!(longest <= MOST && longest > MOST / 2, "{longest:?}");
        assert!(!backoff.is_fresh());
        backoff.worked(LIVED / 2);
        assert!(!backoff.is_fresh());
        backoff.worked(LIVED);
        assert!(backoff.fail() <= FIRST);
    }
}
