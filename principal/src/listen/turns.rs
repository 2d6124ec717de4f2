//! Turns at the handshake: a fleet that comes back at once is served in the order in which it speaks.
//!
//! Were all handshakes begun together, all would end together, and where that is later than agents wait, none would ever
//! end. What must always be true: who has said nothing takes no turn, and one that does not get on keeps it for a second
//! at most.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::timeout};

/// The turns of one listener. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Turns(Arc<Semaphore>);

// === impl Turns ===

impl Turns {
    pub(super) fn new() -> Self {
        Self::of(AT_A_TIME)
    }

    pub(super) fn of(many: usize) -> Self {
        Self(Arc::new(Semaphore::new(many)))
    }

    /// Waits for a turn. Others' handshakes get on, or lose theirs, so it comes.
    pub(super) async fn come(&self) -> Turn<'_> {
        Turn(self.0.acquire().await.expect("nobody closes the semaphore"))
    }
}

/// The right to run a handshake.
#[derive(Debug)]
pub(super) struct Turn<'a>(tokio::sync::SemaphorePermit<'a>);

impl Turn<'_> {
    /// Runs a handshake, and gives the turn to another connection when it is over or does not get on.
    pub(super) async fn run<T>(self, handshake: impl Future<Output = T>) -> T {
        let mut handshake = pin!(handshake);
        let begun = timeout(TURN, handshake.as_mut()).await;
        drop(self.0);
        match begun {
            Ok(done) => done,
            Err(_slow) => handshake.await,
        }
    }
}

/// Enough for 5,000 a second from agents that are 100 ms away.
const AT_A_TIME: usize = 512;

/// How long a handshake keeps others from beginning.
const TURN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_does_not_get_on_gives_its_turn_to_another() {
        let turns = Turns::of(1);
        let begun = tokio::time::Instant::now();
        let silent = turns.come().await.run(std::future::pending::<()>());
        tokio::select! {
            () = silent => unreachable!("nobody says anything"),
            _turn = turns.come() => {}
        }
        assert_eq!(begun.elapsed(), TURN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_is_slow_is_finished_all_the_same() {
        let slow = async {
            tokio::time::sleep(TURN * 3).await;
            "done"
        };
        assert_eq!(Turns::of(1).come().await.run(slow).await, "done");
    }
}
