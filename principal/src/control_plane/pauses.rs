//! How long an API server that cannot be asked is left alone.

use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

/// Each pause may be twice as long as the one before, up to a bound; after a quiet time they begin anew. Half of each is
/// left to chance: every principal is here when an API server restarts.
#[derive(Debug)]
pub(super) struct Pauses {
    next: Duration,
    last: Option<Instant>,
}

// === impl Pauses ===

impl Pauses {
    pub(super) fn new() -> Self {
        Self { next: FIRST, last: None }
    }

    /// Waits for as long as it is due.
    pub(super) async fn pause(&mut self) {
        let pause = self.due(Instant::now());
        tokio::time::sleep(pause).await;
    }

    fn due(&mut self, now: Instant) -> Duration {
        if self.last.is_some_and(|last| now.duration_since(last) >= QUIET) {
            self.next = FIRST;
        }
        self.last = Some(now);
        let pause = self.next;
        self.next = LONGEST.min(pause * 2);
        pause.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

/// Most outages are short.
const FIRST: Duration = Duration::from_millis(500);
/// `kube`'s own longest pause is 30 s, in which nothing would be known although the API server is back.
const LONGEST: Duration = Duration::from_secs(8);
/// Trouble after such a time is new trouble. Longer than the longest pause and a connection that is never made.
const QUIET: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_a_bound_and_begin_anew_after_a_quiet_time() {
        let (mut pauses, mut now) = (Pauses::new(), Instant::now());
        let mut most = FIRST;
        for _ in 0..20 {
            let pause = pauses.due(now);
            assert!(pause >= most / 2 && pause <= most, "{pause:?} of {most:?}");
            now += pause;
            most = LONGEST.min(most * 2);
        }
        assert!(pauses.due(now + QUIET) <= FIRST);
    }
}
