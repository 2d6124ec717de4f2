//! What was read of owners a moment ago. Pure: it is told what the time is.
//!
//! Everything is stamped with the time at which the request for it was sent, and good for [`FRESH`] from then, so
//! nothing that is said by it is ever older. Kept by collection and name, as it was read: which UID an owner must have
//! is for the one who asks to compare.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::node::Node;

/// The objects of a collection by name.
pub(super) type Names = HashMap<Box<str>, Arc<Node>>;

/// What was read of the collections, by path.
#[derive(Debug, Default)]
pub(super) struct Cache {
    collections: HashMap<String, Known>,
    /// How many nodes there are at most in all; those of one collection that were replaced may be counted twice.
    nodes: usize,
}

#[derive(Debug, Default)]
struct Known {
    /// What was read one by one, the absent included.
    singles: HashMap<Box<str>, (Instant, Option<Arc<Node>>)>,
    /// What was read as a list.
    list: Option<(Instant, Arc<Names>)>,
    /// When it was found that the collection cannot be listed.
    unlistable: Option<Instant>,
}

// === impl Cache ===

impl Cache {
    /// What is known of an object and was asked for at `since` or later: that there is none (`Some(None)`), or one.
    pub(super) fn get(&self, path: &str, name: &str, since: Instant) -> Option<Option<Arc<Node>>> {
        let known = self.collections.get(path)?;
        let single = known.singles.get(name).filter(|(sent_at, _)| *sent_at >= since);
        let list = known.list.as_ref().filter(|(sent_at, _)| *sent_at >= since);
        match (single, list) {
            (Some((sent_at, node)), list) if list.is_none_or(|(listed_at, _)| listed_at <= sent_at) => {
                Some(node.clone())
            }
            (_, Some((_, names))) => Some(names.get(name).cloned()),
            _ => None,
        }
    }

    /// Whether a list of the collection is worth a request.
    pub(super) fn is_listable(&self, path: &str, now: Instant) -> bool {
        let unlistable = self.collections.get(path).and_then(|known| known.unlistable);
        unlistable.is_none_or(|at| now.duration_since(at) >= UNLISTABLE)
    }

    /// One object was read.
    pub(super) fn insert(&mut self, path: &str, name: &str, sent_at: Instant, node: Option<Arc<Node>>) {
        self.make_room(1);
        let known = self.collections.entry(path.to_owned()).or_default();
        match known.singles.get_mut(name) {
            Some((at, _)) if *at > sent_at => {}
            Some(held) => *held = (sent_at, node),
            None => {
                known.singles.insert(name.into(), (sent_at, node));
                self.nodes += 1;
            }
        }
    }

    /// A collection was read as a whole. One that is too large to be kept must not come here.
    pub(super) fn insert_list(&mut self, path: &str, sent_at: Instant, names: Arc<Names>) {
        self.make_room(names.len());
        self.nodes += names.len();
        let known = self.collections.entry(path.to_owned()).or_default();
        known.unlistable = None;
        known.list = Some((sent_at, names));
    }

    /// A collection cannot be read as a whole.
    pub(super) fn insert_unlistable(&mut self, path: &str, at: Instant) {
        self.make_room(1);
        self.collections.entry(path.to_owned()).or_default().unlistable = Some(at);
    }

    /// Forgets what is too old, and then what is oldest, where there would be too much.
    fn make_room(&mut self, needed: usize) {
        if self.nodes + needed <= MAX_NODES && self.collections.len() < MAX_COLLECTIONS {
            return;
        }
        let now = Instant::now();
        self.keep(now.checked_sub(FRESH).unwrap_or(now));
        if self.nodes + needed <= MAX_NODES && self.collections.len() < MAX_COLLECTIONS {
            return;
        }
        let mut ages: BTreeMap<Instant, usize> = BTreeMap::new();
        for known in self.collections.values() {
            for (sent_at, nodes) in known.ages() {
                *ages.entry(sent_at).or_default() += nodes.max(1);
            }
        }
        // Somewhat more than is needed, so that this is not done for each object anew.
        let mut left = MAX_NODES.saturating_sub(needed.max(MAX_NODES / 4));
        let mut since = ages.last_key_value().map_or(now, |(youngest, _)| *youngest + Duration::from_nanos(1));
        for (sent_at, nodes) in ages.into_iter().rev() {
            let Some(fewer) = left.checked_sub(nodes) else { break };
            (left, since) = (fewer, sent_at);
        }
        self.keep(since);
        if self.collections.len() >= MAX_COLLECTIONS {
            *self = Self::default();
        }
    }

    /// Forgets what was sent before `since`.
    fn keep(&mut self, since: Instant) {
        self.nodes = 0;
        for known in self.collections.values_mut() {
            known.singles.retain(|_, (sent_at, _)| *sent_at >= since);
            known.list.take_if(|(sent_at, _)| *sent_at < since);
            known.unlistable.take_if(|at| *at < since);
            self.nodes += known.ages().map(|(_, nodes)| nodes).sum::<usize>();
        }
        self.collections.retain(|_, known| known.unlistable.is_some() || known.ages().next().is_some());
    }
}

// === impl Known ===

impl Known {
    /// When how many nodes were asked for.
    fn ages(&self) -> impl Iterator<Item = (Instant, usize)> {
        let listed = self.list.iter().map(|(sent_at, names)| (*sent_at, names.len()));
        self.singles.values().map(|(sent_at, _)| (*sent_at, 1)).chain(listed)
    }
}

/// How long what was read may be said again: for so long may a filter be wrong.
pub(super) const FRESH: Duration = Duration::from_secs(5);
/// A collection that cannot be listed (no permission, too long) is read one by one for so long.
const UNLISTABLE: Duration = Duration::from_secs(10);
/// Some 200 bytes each, so 4 MiB.
const MAX_NODES: usize = 20_000;
/// Owner kinds by namespaces.
const MAX_COLLECTIONS: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    fn node(version: u64) -> Arc<Node> {
        Arc::new(Node { version, ..Node::default() })
    }

    fn names(count: usize) -> Arc<Names> {
        Arc::new((0..count).map(|n| (n.to_string().into(), node(1))).collect())
    }

    fn version(found: Option<Option<Arc<Node>>>) -> Option<Option<u64>> {
        found.map(|node| node.map(|node| node.version))
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_not_in_a_list_is_absent_and_what_was_never_asked_is_unknown() {
        let mut cache = Cache::default();
        let at = Instant::now();
        cache.insert("/rs", "single", at, Some(node(1)));
        assert_eq!(version(cache.get("/rs", "single", at)), Some(Some(1)));
        assert_eq!(version(cache.get("/rs", "0", at)), None);
        cache.insert_list("/rs", at, names(1));
        assert_eq!(version(cache.get("/rs", "0", at)), Some(Some(1)));
        assert_eq!(version(cache.get("/rs", "1", at)), Some(None));
        assert_eq!(version(cache.get("/d", "0", at)), None);
    }

    #[test]
    fn what_was_sent_last_counts() {
        let mut cache = Cache::default();
        let at = Instant::now();
        cache.insert("/rs", "0", at + SECOND, None);
        cache.insert_list("/rs", at, names(1));
        assert_eq!(version(cache.get("/rs", "0", at)), Some(None));
        cache.insert("/rs", "0", at, Some(node(7)));
        assert_eq!(version(cache.get("/rs", "0", at)), Some(None), "an answer that came late");
        cache.insert_list("/rs", at + 2 * SECOND, names(1));
        assert_eq!(version(cache.get("/rs", "0", at)), Some(Some(1)));
        assert_eq!(version(cache.get("/rs", "0", at + 3 * SECOND)), None);
    }

    #[test]
    fn what_cannot_be_listed_is_not_listed_for_a_while() {
        let mut cache = Cache::default();
        let at = Instant::now();
        assert!(cache.is_listable("/rs", at));
        cache.insert_unlistable("/rs", at);
        assert!(!cache.is_listable("/rs", at + SECOND) && cache.is_listable("/d", at));
        assert!(cache.is_listable("/rs", at + UNLISTABLE));
    }

    #[test]
    fn it_never_holds_more_than_its_bound_and_the_oldest_goes_first() {
        let mut cache = Cache::default();
        let at = Instant::now();
        for n in 0..3 * MAX_NODES {
            let sent_at = at + Duration::from_micros(u64::try_from(n).unwrap());
            cache.insert("/rs", &n.to_string(), sent_at, None);
            assert!(cache.nodes <= MAX_NODES);
            assert!(cache.get("/rs", &n.to_string(), sent_at).is_some());
        }
        assert_eq!(cache.collections["/rs"].singles.len(), cache.nodes);
        assert!(cache.get("/rs", &(3 * MAX_NODES - MAX_NODES / 2).to_string(), at).is_some());
        assert!(cache.get("/rs", "0", at).is_none());
        for n in 0..10 {
            cache.insert_list(&n.to_string(), at + n * SECOND, names(MAX_NODES / 2));
            assert!(cache.nodes <= MAX_NODES);
        }
        assert!(cache.get("9", "0", at).is_some());
        for n in 0..3 * MAX_COLLECTIONS {
            cache.insert_unlistable(&format!("/{n}"), at);
            assert!(cache.collections.len() <= MAX_COLLECTIONS);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_expired_goes_before_what_is_not() {
        let mut cache = Cache::default();
        cache.insert_list("old", Instant::now(), names(MAX_NODES / 2));
        tokio::time::advance(FRESH + SECOND).await;
        let now = Instant::now();
        cache.insert_list("new", now, names(MAX_NODES / 2));
        cache.insert_list("newer", now, names(MAX_NODES / 2));
        assert!(cache.get("new", "0", now).is_some() && cache.get("newer", "0", now).is_some());
        assert_eq!((cache.nodes, cache.collections.len()), (MAX_NODES, 2));
    }
}
