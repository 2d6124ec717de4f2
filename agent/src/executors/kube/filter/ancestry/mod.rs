//! Whose child an object is, as far as that makes it managed.
//!
//! An object hangs on others by its [`Links`], and these are followed ([`walk`]) until one is managed. What is found on
//! the way is good for a moment ([`cache`]), or for as long as a watch of our own keeps it true ([`live`]). The API
//! server is asked for metadata alone: one by one or by the page ([`question`]).

mod cache;
mod flights;
mod inferred;
mod links;
mod live;
mod node;
mod question;
mod remembered;
mod walk;

use std::sync::{Arc, Mutex, PoisonError};

use common::{Refusal, drain};
use tokio::time::Instant;

use self::{
    cache::{Cache, FRESH},
    flights::Flights,
    links::Places,
    live::Watches,
    node::{Marker, Node},
    question::Question,
    remembered::Remembered,
    walk::Walk,
};
pub(crate) use self::{links::Links, live::Following};
use super::{
    super::{
        metrics::{KubeMetrics, OwnerCache},
        upstream::Upstream,
    },
    discovery::Discovery,
    item::Reference,
    lookup::Lookup,
    meta::ObjectMeta,
    namespaces::Namespaces,
    tracking::Tracking,
    uid::Uid,
};

/// Knows who owns whom. Cheap to clone; every clone knows the same.
#[derive(Debug, Clone)]
pub(crate) struct Ancestry(Arc<Inner>);

/// How to ask for what is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// One metadata GET for each owner, whatever was known before: for one object that is to be shown or changed now.
    Now,
    /// One metadata GET for each owner that is not known: for a page of some objects.
    Each,
    /// One metadata LIST for each kind of owner and namespace, and GETs only where that is not possible: for lists.
    Pages,
}

#[derive(Debug)]
struct Inner {
    lookup: Lookup,
    discovery: Discovery,
    argo: Namespaces,
    places: Arc<Places>,
    /// By the settings that were last asked with. The lock is held for a look, never while the API server is asked.
    known: Mutex<Arc<KnownBy>>,
    watches: Watches,
    remembered: Remembered,
    counted: OwnerCache,
    drain: drain::Watch,
}

/// What was read a moment ago, as certain settings see it.
#[derive(Debug)]
struct KnownBy {
    marker: Marker,
    cache: Mutex<Cache>,
    /// `None` where there is no such object.
    objects: Flights<Result<Option<Arc<Node>>, Refusal>>,
    /// `None` where the collection cannot be listed.
    lists: Flights<Option<Arc<cache::Names>>>,
}

// === impl Ancestry ===

impl Ancestry {
    /// Nothing is asked for before anybody wants to know. `argo` is where Argo CD's own objects are.
    pub(in crate::executors::kube) fn new(
        upstream: &Upstream,
        argo: Namespaces,
        metrics: &KubeMetrics,
        drain: drain::Watch,
    ) -> Self {
        let lookup = Lookup::new(upstream.clone());
        let places = Arc::default();
        let known = KnownBy::new(&argo, Arc::default(), &places);
        Self(Arc::new(Inner {
            discovery: Discovery::new(lookup.clone()),
            lookup,
            argo,
            places,
            known: Mutex::new(Arc::new(known)),
            watches: Watches::default(),
            remembered: Remembered::default(),
            counted: metrics.owner_cache(),
            drain,
        }))
    }

    /// What an object of this group and (plural) resource hangs on: its owners. Empty where it has none.
    pub(crate) fn links(&self, group: &str, resource: &str, meta: &ObjectMeta) -> Links {
        self.0.places.owners(group, resource, meta.namespace.as_deref(), meta)
    }

    /// What an event hangs on: the object that it is about, which may be managed by itself or through its owners.
    pub(crate) fn link_to(&self, about: &Reference) -> Links {
        self.0.places.about(about)
    }

    /// Whether one of those is managed. What was known before may be up to 5 s old, never older; with [`Ask::Now`]
    /// nothing that was known before counts.
    ///
    /// # Errors
    /// When none is, and one could not be read: the text says why.
    ///
    /// # Cancel safety
    /// Cancel safe; others who wait for the same go on waiting.
    pub(crate) async fn managed(&self, links: &Links, tracking: &Arc<Tracking>, ask: Ask) -> Result<bool, Refusal> {
        if links.is_empty() {
            return Ok(false);
        }
        let now = Instant::now();
        let since = match ask {
            Ask::Now => now,
            Ask::Each | Ask::Pages => now.checked_sub(FRESH).unwrap_or(now),
        };
        let mut question = Question { inner: &self.0, known: self.0.known_by(tracking), ask, since };
        Walk::default().any_managed(links, &mut question, &self.0.remembered).await
    }

    /// Begins to follow for one client's watch of `namespace`, or of the whole cluster. Nothing is asked for before
    /// [`Following::managed`] is.
    pub(crate) fn follow(&self, namespace: Option<&str>, tracking: Arc<Tracking>) -> Following {
        Following::new(Arc::clone(&self.0), namespace, tracking)
    }

    /// An object was found to be managed, so that events about it can be shown when it is gone. Owners that are found
    /// here need not be told.
    pub(crate) fn remember(&self, uid: &Uid) {
        self.0.remembered.remember(uid);
    }
}

// === impl Inner ===

impl Inner {
    /// What is known by these settings. What was known by others is worth nothing.
    fn known_by(&self, tracking: &Arc<Tracking>) -> Arc<KnownBy> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = &known.marker.tracking;
        if !Arc::ptr_eq(theirs, tracking) && theirs != tracking {
            *known = Arc::new(KnownBy::new(&self.argo, Arc::clone(tracking), &self.places));
        }
        Arc::clone(&known)
    }
}

// === impl KnownBy ===

impl KnownBy {
    fn new(argo: &Namespaces, tracking: Arc<Tracking>, places: &Arc<Places>) -> Self {
        Self {
            marker: Marker { argo: argo.clone(), tracking, places: Arc::clone(places) },
            cache: Mutex::default(),
            objects: Flights::default(),
            lists: Flights::default(),
        }
    }
}
