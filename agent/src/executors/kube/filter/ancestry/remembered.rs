//! What was managed, so that events of what is deleted can still be shown.
//!
//! Only UIDs, and only so many: what is forgotten is shown no more. A UID is never given twice, so what was managed
//! under it stays what it was.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use super::super::uid::Uid;

/// UIDs of objects that were found to be managed, the first of which is forgotten first.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<Uids>);

#[derive(Debug, Default)]
struct Uids {
    known: HashSet<Uid>,
    in_order: VecDeque<Uid>,
}

// === impl Remembered ===

impl Remembered {
    /// This one is managed now.
    pub(super) fn remember(&self, uid: &Uid) {
        let mut uids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if uids.known.contains(uid) {
            return;
        }
        if uids.in_order.len() >= MAX_UIDS
            && let Some(first) = uids.in_order.pop_front()
        {
            uids.known.remove(&first);
        }
        uids.known.insert(uid.clone());
        uids.in_order.push_back(uid.clone());
    }

    /// Whether this one was managed.
    pub(super) fn contains(&self, uid: &Uid) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).known.contains(uid)
    }
}

/// Events live for an hour (`--event-ttl`), in which few clusters delete more objects than this. About 1 MiB.
const MAX_UIDS: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(n: usize) -> Uid {
        Uid::parse(&n.to_string()).unwrap()
    }

    #[test]
    fn the_first_is_forgotten_when_there_are_too_many() {
        let remembered = Remembered::default();
        for _ in 0..2 {
            for n in 0..MAX_UIDS {
                remembered.remember(&uid(n));
            }
        }
        assert!(remembered.contains(&uid(0)));
        remembered.remember(&uid(MAX_UIDS));
        assert!(!remembered.contains(&uid(0)));
        assert!(remembered.contains(&uid(1)) && remembered.contains(&uid(MAX_UIDS)));
        let uids = remembered.0.lock().unwrap();
        assert_eq!((uids.known.len(), uids.in_order.len()), (MAX_UIDS, MAX_UIDS));
    }
}
