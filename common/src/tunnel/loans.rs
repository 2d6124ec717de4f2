//! What the peer lends: so much its pipes may be sent beyond their own credit, all together, until that is granted.
//!
//! A pipe's first window is small, and a larger one comes a round trip after its first answer has begun. What is lent
//! bridges that for any pipe, so that it need not be granted to each of those that may never use it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::limits::MOST_CREDIT;

/// One session's, at the writers' end. Always true: what is left and what pipes have borrowed is what was lent.
#[derive(Debug, Default)]
pub(super) struct Loans {
    left: AtomicU64,
}

// === impl Loans ===

impl Loans {
    /// More is lent, or paid back.
    pub(super) fn add(&self, bytes: u64) {
        let add = |left: u64| Some(left.saturating_add(bytes).min(MOST_CREDIT));
        // Always some.
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).unwrap_or_default();
    }

    /// A little more for a pipe that owes so much; nothing where too little would be left for others.
    pub(super) fn borrow(&self, owed: u64) -> u64 {
        let fair = |left: &u64| owed.saturating_add(STEP) <= left.saturating_mul(SHARE);
        let take = |left: u64| left.checked_sub(STEP).filter(fair);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).map_or(0, |_before| STEP)
    }
}

/// What is borrowed at a time: a few chunks.
const STEP: u64 = 256 * 1024;

/// A pipe may owe so many times what is left: the first gets three quarters, as much as a line of 100 ms needs.
const SHARE: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn borrow_all(loans: &Loans) -> u64 {
        let mut owed = 0;
        while let more @ 1.. = loans.borrow(owed) {
            owed += more;
        }
        owed
    }

    #[test]
    fn the_first_borrows_most_of_it_and_the_next_finds_something() {
        let loans = Loans::default();
        assert_eq!(loans.borrow(0), 0, "nothing is lent");
        loans.add(16 << 20);
        let first = borrow_all(&loans);
        assert_eq!(first, 12 << 20);
        let second = borrow_all(&loans);
        assert_eq!(second, 3 << 20);
        loans.add(first);
        assert!(borrow_all(&loans) > 9 << 20, "what is paid back is there again");
    }

    #[test]
    fn a_peer_that_lends_more_than_there_can_be_is_not_believed() {
        let loans = Loans::default();
        for _ in 0..3 {
            loans.add(u32::MAX.into());
        }
        assert_eq!(loans.left.load(Ordering::Relaxed), MOST_CREDIT);
    }
}
