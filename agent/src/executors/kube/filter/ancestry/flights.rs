//! The same question asked once, however many wait for the answer.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use tokio::time::Instant;

/// Questions on their way, by path.
pub(super) struct Flights<T: Clone>(Mutex<HashMap<String, Flight<T>>>);

struct Flight<T: Clone> {
    sent_at: Instant,
    /// Held by those who wait: a question that nobody waits for any more is not left half asked.
    answer: WeakShared<BoxFuture<'static, T>>,
}

// === impl Flights ===

impl<T: Clone> Flights<T> {
    /// The answer to the question about `path`, which was sent at `since` or later: one that is on its way, or a new
    /// one. Says when it was sent.
    ///
    /// # Cancel safety
    /// Cancel safe: another one who waits goes on.
    pub(super) async fn join(
        &self,
        path: &str,
        since: Instant,
        ask: impl FnOnce() -> BoxFuture<'static, T>,
    ) -> (Instant, T) {
        let (sent_at, answer) = self.board(path, since, ask);
        let answer = answer.await;
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if flights.get(path).is_some_and(|flight| flight.sent_at == sent_at) {
            flights.remove(path);
        }
        (sent_at, answer)
    }

    fn board(
        &self,
        path: &str,
        since: Instant,
        ask: impl FnOnce() -> BoxFuture<'static, T>,
    ) -> (Instant, Shared<BoxFuture<'static, T>>) {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(path)
            && flight.sent_at >= since
            && let Some(answer) = flight.answer.upgrade()
        {
            return (flight.sent_at, answer);
        }
        // Those whose passengers all left, before the map would have to grow.
        if flights.len() == flights.capacity() {
            flights.retain(|_, flight| flight.answer.upgrade().is_some());
        }
        let sent_at = Instant::now();
        let answer = ask().shared();
        if let Some(answer) = answer.downgrade() {
            flights.insert(path.to_owned(), Flight { sent_at, answer });
        }
        (sent_at, answer)
    }
}

impl<T: Clone> Default for Flights<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> fmt::Debug for Flights<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flights")
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use tokio::time::sleep;

    use super::*;

    /// A question that takes a second and counts how often it is asked.
    fn question(asked: &Arc<AtomicUsize>) -> impl FnOnce() -> BoxFuture<'static, usize> {
        let asked = Arc::clone(asked);
        move || {
            async move {
                sleep(Duration::from_secs(1)).await;
                asked.fetch_add(1, Ordering::Relaxed)
            }
            .boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_come_while_it_is_on_its_way_wait_for_the_same_answer() {
        let (flights, asked) = (Flights::default(), Arc::default());
        let begun = Instant::now();
        let ask = || flights.join("/a", begun, question(&asked));
        let ((at, first), (_, second), (_, other)) =
            tokio::join!(ask(), ask(), flights.join("/b", begun, question(&asked)));
        assert_eq!((at, first, second, other), (begun, 0, 0, 1));
        assert_eq!(ask().await.1, 2, "what was answered is not kept");
        assert!(flights.0.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_sent_too_early_is_sent_again() {
        let (flights, asked) = (Flights::default(), Arc::default());
        let early = flights.join("/a", Instant::now(), question(&asked));
        let late = async {
            sleep(Duration::from_millis(500)).await;
            flights.join("/a", Instant::now(), question(&asked)).await
        };
        let ((sent, _), (sent_again, _)) = tokio::join!(early, late);
        assert_eq!(sent_again - sent, Duration::from_millis(500));
        assert!(flights.0.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_goes_on_when_the_first_who_asked_leaves_and_ends_when_all_have() {
        let (flights, asked) = (Flights::default(), Arc::default());
        let begun = Instant::now();
        let leaves = tokio::time::timeout(Duration::from_millis(1), flights.join("/a", begun, question(&asked)));
        let (left, (_, answer)) = tokio::join!(leaves, flights.join("/a", begun, question(&asked)));
        assert!(left.is_err());
        assert_eq!((answer, Instant::now() - begun), (0, Duration::from_secs(1)));

        for _ in 0..100 {
            let left = flights.join("/b", begun, question(&asked)).now_or_never();
            assert!(left.is_none());
        }
        let again = Instant::now();
        assert_eq!(flights.join("/b", begun, question(&asked)).await.1, 1);
        assert_eq!(Instant::now() - again, Duration::from_secs(1), "not what was asked and abandoned");
    }
}
