//! What clients were shown at a resource version, kept for the watch that goes on from there.
//!
//! A client lists, then watches from the list's resource version; when a watch ends, it watches from the last version
//! that it saw. What it holds by then cannot be read off the version alone, because whether an object was shown may hang
//! on its owners. So a list and a watch that ends leave it here. Where nothing is found, the client is told to list
//! again, which is what it must be ready for at any time.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    super::{scope::Scope, tracking::Tracking},
    shown::Shown,
};

/// The memory of all lists and watches. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recall(Arc<Mutex<VecDeque<Entry>>>);

/// One state of one collection.
#[derive(Debug)]
struct Entry {
    key: Key,
    shown: Shown,
    /// Whether all pages are in.
    complete: bool,
    at: Instant,
}

/// Which state that is.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) scope: Scope,
    pub(crate) version: String,
    /// By which settings it was decided.
    pub(crate) tracking: Arc<Tracking>,
}

/// Which part of a list has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) first: bool,
    pub(crate) last: bool,
}

// === impl Recall ===

impl Recall {
    /// A page of a list has been shown to its end.
    pub(crate) fn listed(&self, key: Key, page: Page, shown: Shown) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match entries.iter().position(|entry| entry.key == key) {
            Some(at) => {
                let Some(mut entry) = entries.remove(at) else { return };
                if !entry.shown.merge(shown) {
                    // Two clients were shown different things at one version; whose state this is cannot be told.
                    return;
                }
                entry.complete |= page.last;
                entry.at = Instant::now();
                keep(&mut entries, entry);
            }
            None if page.first => keep(&mut entries, Entry { key, shown, complete: page.last, at: Instant::now() }),
            None => {}
        }
    }

    /// A watch ended, and this is what its client held when it saw that version.
    pub(crate) fn ended(&self, key: Key, shown: Shown) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = entries.iter().position(|entry| entry.key == key) {
            entries.remove(at);
        }
        keep(&mut entries, Entry { key, shown, complete: true, at: Instant::now() });
    }

    /// What a client holds that goes on from a version.
    pub(crate) fn find(&self, key: &Key) -> Option<Shown> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = entries.iter().find(|entry| entry.complete && entry.key == *key);
        found.filter(|entry| entry.at.elapsed() < LIFETIME).map(|entry| entry.shown.clone())
    }
}

// === impl Key ===

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version && self.scope == other.scope && self.tracking == other.tracking
    }
}

/// Adds an entry as the youngest, and lets go of the oldest where there are too many.
fn keep(entries: &mut VecDeque<Entry>, entry: Entry) {
    entries.push_back(entry);
    let too_old = |entry: &Entry| entry.at.elapsed() >= LIFETIME;
    while entries.len() > MOST
        || entries.iter().map(|entry| entry.shown.bytes()).sum::<usize>() > ROOM
        || entries.front().is_some_and(too_old)
    {
        entries.pop_front();
    }
}

/// As long as etcd keeps old versions, which is as long as a client can go on from one
/// (`--etcd-compaction-interval` of kube-apiserver).
const LIFETIME: Duration = Duration::from_secs(300);
/// Some hundred thousand objects.
const ROOM: usize = 24 << 20;
/// So that looking for one stays short.
const MOST: usize = 512;

#[cfg(test)]
mod tests {
    use super::{
        super::{
            super::{
                super::request::{Request, ResourceRequest},
                uid::Uid,
            },
            shown::{Standing, Version},
        },
        *,
    };

    fn key(target: &str, version: &str) -> Key {
        let Ok(Request::Resource(request)) = Request::parse(&http::Method::GET, target) else { panic!("{target}") };
        let request: ResourceRequest = request;
        let query = target.split_once('?').map_or("", |(_, query)| query);
        Key { scope: Scope::new(request, query), version: version.to_owned(), tracking: Arc::default() }
    }

    fn holding(names: &[&str]) -> Shown {
        let mut shown = Shown::default();
        for name in names {
            shown.observe(Uid::parse(name).unwrap(), Version::of("1"), Standing::Itself);
        }
        shown
    }

    const ONLY: Page = Page { first: true, last: true };

    #[tokio::test(start_paused = true)]
    async fn a_watch_goes_on_from_the_very_state_of_its_list() {
        let recall = Recall::default();
        recall.listed(key("/api/v1/pods", "7"), ONLY, holding(&["a", "b"]));
        let mut found = recall.find(&key("/api/v1/pods?limit=5", "7")).unwrap();
        assert!(found.forget(&Uid::parse("a").unwrap()));
        // Found again, and again whole: other clients may have seen the same list.
        assert!(recall.find(&key("/api/v1/pods", "7")).unwrap().forget(&Uid::parse("a").unwrap()));

        for other in ["/api/v1/pods?labelSelector=a", "/api/v1/namespaces/x/pods", "/api/v1/services"] {
            assert!(recall.find(&key(other, "7")).is_none(), "{other}");
        }
        assert!(recall.find(&key("/api/v1/pods", "8")).is_none());
        tokio::time::advance(LIFETIME).await;
        assert!(recall.find(&key("/api/v1/pods", "7")).is_none());
    }

    #[tokio::test]
    async fn a_list_in_pages_counts_when_its_last_page_is_in() {
        let recall = Recall::default();
        let pods = || key("/api/v1/pods", "7");
        recall.listed(pods(), Page { first: true, last: false }, holding(&["a"]));
        assert!(recall.find(&pods()).is_none());
        recall.listed(pods(), Page { first: false, last: true }, holding(&["b"]));
        assert!(recall.find(&pods()).unwrap().forget(&Uid::parse("b").unwrap()));

        let unknown = key("/api/v1/pods", "8");
        recall.listed(unknown.clone(), Page { first: false, last: true }, holding(&["b"]));
        assert!(recall.find(&unknown).is_none(), "its first page is not known");
    }

    #[tokio::test]
    async fn the_oldest_make_room() {
        let recall = Recall::default();
        for version in 0..=MOST {
            recall.listed(key("/api/v1/pods", &version.to_string()), ONLY, Shown::default());
        }
        assert!(recall.find(&key("/api/v1/pods", "0")).is_none());
        assert!(recall.find(&key("/api/v1/pods", "1")).is_some());
    }
}
