//! Idle connections, kept for the next exchange with the same peer.
//!
//! Always true: a connection in here carries nothing; it is handed out once, newest first; it goes after a minute, when
//! its peer's shelf is full, and when the drain begins.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::drain;

/// What can be kept. Dropping it closes it.
pub trait Connection {
    /// Whether it is known to be of no more use.
    fn is_closed(&self) -> bool;
}

/// Idle connections by peer.
pub struct Pool<K, C> {
    /// A std mutex: held for map operations, never across an await.
    shelves: Mutex<Shelves<K, C>>,
    max_idle: usize,
    /// There is something to expire again.
    parked: Notify,
}

struct Shelves<K, C> {
    /// A shelf that has become empty stays until the next look at all of them: the exchange that emptied it is likely to
    /// need it again.
    by_peer: HashMap<K, VecDeque<Parked<C>>>,
    /// The next look at all of them has its time.
    expires: bool,
    closed: bool,
}

struct Parked<C> {
    connection: C,
    since: Instant,
}

// === impl Pool ===

impl<K: Copy + Eq + Hash, C: Connection> Pool<K, C> {
    /// An empty pool that keeps up to `max_idle` connections to each peer. [`expire`](Self::expire) must run.
    #[must_use]
    pub fn new(max_idle: usize) -> Arc<Self> {
        let shelves = Shelves { by_peer: HashMap::new(), expires: false, closed: false };
        Arc::new(Self { shelves: Mutex::new(shelves), max_idle, parked: Notify::new() })
    }

    /// The connection to that peer which was used last, as far as is known still open.
    pub fn take(&self, peer: K) -> Option<C> {
        let mut shelves = self.shelves();
        let shelf = shelves.by_peer.get_mut(&peer)?;
        std::iter::from_fn(|| shelf.pop_back()).map(|parked| parked.connection).find(|found| !found.is_closed())
    }

    /// Keeps a connection whose exchange ended well.
    pub fn park(&self, peer: K, connection: C) {
        let mut shelves = self.shelves();
        if shelves.closed || connection.is_closed() {
            return;
        }
        let shelf = shelves.by_peer.entry(peer).or_default();
        if shelf.len() >= self.max_idle {
            shelf.pop_front();
        }
        shelf.push_back(Parked { connection, since: Instant::now() });
        let expires = std::mem::replace(&mut shelves.expires, true);
        drop(shelves);
        if !expires {
            self.parked.notify_one();
        }
    }

    /// Lets connections go when their time is over, and all of them when the drain begins.
    pub async fn expire(self: Arc<Self>, drain: drain::Watch) {
        loop {
            let next = self.sweep(Instant::now());
            tokio::select! {
                () = drain.draining() => break,
                () = self.parked.notified(), if next.is_none() => {}
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
        self.close();
    }

    /// Lets all connections go, and keeps none from here on.
    pub fn close(&self) {
        let mut shelves = self.shelves();
        shelves.closed = true;
        shelves.by_peer.clear();
    }

    /// Drops what has expired; returns when to look again.
    fn sweep(&self, now: Instant) -> Option<Instant> {
        let mut shelves = self.shelves();
        let mut oldest: Option<Instant> = None;
        shelves.by_peer.retain(|_, shelf| {
            while shelf.front().is_some_and(|parked| parked.since + IDLE <= now) {
                shelf.pop_front();
            }
            let first = shelf.front().map(|parked| parked.since);
            oldest = oldest.into_iter().chain(first).min();
            first.is_some()
        });
        shelves.expires = oldest.is_some();
        // Thousands of peers expire at thousands of moments; once a second is often enough to look at all of them.
        oldest.map(|since| (since + IDLE).max(now + SWEEP))
    }
}

impl<K, C> Pool<K, C> {
    fn shelves(&self) -> MutexGuard<'_, Shelves<K, C>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, C> fmt::Debug for Pool<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("peers", &self.shelves().by_peer.len()).finish_non_exhaustive()
    }
}

/// Whoever keeps a connection must be the first to close it: a request that goes into one which is being closed cannot be
/// sent again. An agent closes an idle pipe after 120 s, and kube-apiserver an idle connection after 90 s
/// (`http.Server.IdleTimeout`).
const IDLE: Duration = Duration::from_secs(60);
const SWEEP: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::time::sleep;
    use tracing::Span;

    use super::*;

    #[derive(Clone, Default)]
    struct Fake(Arc<AtomicBool>);

    impl Connection for (u32, Fake) {
        fn is_closed(&self) -> bool {
            self.1.0.load(Ordering::SeqCst)
        }
    }

    type Fakes = Pool<u32, (u32, Fake)>;

    fn taken(pool: &Fakes, peer: u32) -> Option<u32> {
        pool.take(peer).map(|(number, _)| number)
    }

    fn expiring(max_idle: usize) -> (Arc<Fakes>, drain::Signal) {
        let (signal, watch) = drain::channel();
        let pool = Fakes::new(max_idle);
        watch.spawn(Span::none(), Arc::clone(&pool).expire(watch.clone()));
        (pool, signal)
    }

    #[test]
    fn the_newest_that_is_open_is_handed_out_once_and_to_its_peer_alone() {
        let pool = Fakes::new(8);
        let closed = Fake::default();
        for (number, fake) in [(1, Fake::default()), (2, Fake::default()), (3, closed.clone())] {
            pool.park(7, (number, fake));
        }
        closed.0.store(true, Ordering::SeqCst);
        pool.park(7, (4, closed));
        assert_eq!(taken(&pool, 8), None);
        assert_eq!([taken(&pool, 7), taken(&pool, 7), taken(&pool, 7)], [Some(2), Some(1), None]);
    }

    #[test]
    fn a_full_shelf_loses_its_oldest() {
        let pool = Fakes::new(2);
        for number in 1..=3 {
            pool.park(7, (number, Fake::default()));
        }
        assert_eq!([taken(&pool, 7), taken(&pool, 7), taken(&pool, 7)], [Some(3), Some(2), None]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_idle_for_too_long_goes_whatever_was_used_meanwhile() {
        let (pool, _signal) = expiring(8);
        for round in 0..3 {
            pool.park(1, (round, Fake::default()));
            pool.park(2, (round, Fake::default()));
            sleep(IDLE / 2).await;
            // Emptied, and filled again.
            let used = pool.take(1).unwrap();
            pool.park(1, used);
            sleep(IDLE / 2 + SWEEP).await;
            assert_eq!(taken(&pool, 2), None, "{round}");
            assert_eq!(taken(&pool, 1), Some(round));
            sleep(IDLE * 2).await;
            assert!(pool.shelves().by_peer.is_empty(), "empty shelves go, too");
        }
    }

    #[tokio::test]
    async fn a_drain_lets_all_go_and_keeps_none() {
        let (pool, signal) = expiring(8);
        pool.park(1, (1, Fake::default()));
        assert!(signal.drain(IDLE).await);
        assert_eq!(taken(&pool, 1), None);
        pool.park(1, (2, Fake::default()));
        assert_eq!(taken(&pool, 1), None);
    }
}
