//! What one client's watch follows.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use common::Refusal;
use futures_util::future::{pending, select_all};
use tokio::{sync::watch, time::Instant};

use super::{
    super::{
        super::{
            super::request::ResourceRequest,
            discovery::{Located, is_path_segment},
            tracking::Tracking,
        },
        Inner,
        links::{Link, Links, Place},
        node::{Marker, Node},
        walk::{Look, Walk},
    },
    graph::Known,
    watch::OwnerWatch,
};

/// Says of objects whether they are managed through their owners, and when that may have changed. For one client's
/// watch; dropping it ends the watches that nobody else follows.
#[derive(Debug)]
pub(crate) struct Following {
    walk: Walk,
    followed: Followed,
}

/// The watches that are followed.
#[derive(Debug)]
struct Followed {
    inner: Arc<Inner>,
    namespace: Option<Box<str>>,
    tracking: Arc<Tracking>,
    /// By what is named: the watch that knows it, or none where there can be no such object.
    places: HashMap<Arc<Place>, Option<Arc<OwnerWatch>>>,
    /// What tells of changes, one for each watch.
    changes: Vec<(Arc<OwnerWatch>, watch::Receiver<u64>)>,
    /// Some places of kinds that there are not, and when to look again whether there are.
    unheard: Vec<Arc<Place>>,
    look_again: Instant,
}

/// The watches that run. Each belongs to those who follow it.
#[derive(Debug, Default)]
pub(in super::super) struct Watches(Mutex<Vec<Weak<OwnerWatch>>>);

// === impl Following ===

impl Following {
    pub(in super::super) fn new(inner: Arc<Inner>, namespace: Option<&str>, tracking: Arc<Tracking>) -> Self {
        let followed = Followed {
            inner,
            namespace: namespace.map(Box::from),
            tracking,
            places: HashMap::new(),
            changes: Vec::new(),
            unheard: Vec::new(),
            look_again: Instant::now(),
        };
        Self { walk: Walk::default(), followed }
    }

    /// Whether one of those is managed now. Where nothing is unknown this takes some hash look-ups and no request.
    ///
    /// # Errors
    /// When none is, and one cannot be followed or read: the text says why, and names the permission if it is that.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn managed(&mut self, links: &Links) -> Result<bool, Refusal> {
        let inner = Arc::clone(&self.followed.inner);
        self.walk.any_managed(links, &mut self.followed, &inner.remembered).await
    }

    /// Whether the answer of [`Self::managed`] was the same at that resource version for certain: nobody who decides has
    /// changed since.
    ///
    /// # Errors
    /// As for [`Self::managed`].
    pub(crate) async fn is_as_at(&mut self, links: &Links, version: u64) -> Result<bool, Refusal> {
        let newest = self.walk.newest(links, &mut self.followed).await?;
        Ok(newest.is_some_and(|newest| newest <= version))
    }

    /// Resolves when an answer of [`Self::managed`] may have changed, errors included: then it must be asked again for
    /// everything that is held. What changes in the meantime is told of by the next call.
    ///
    /// # Cancel safety
    /// Cancel safe: what was not told of yet is told of by the next call.
    pub(crate) async fn changed(&mut self) {
        let Self { followed, .. } = self;
        loop {
            let Followed { changes, unheard, look_again, .. } = &mut *followed;
            let told = async {
                if changes.is_empty() {
                    pending::<()>().await;
                }
                // The sender is behind the watch that stands beside it.
                select_all(changes.iter_mut().map(|(_, change)| Box::pin(change.changed()))).await.0.ok();
            };
            let time_to_look = async {
                if unheard.is_empty() {
                    pending::<()>().await;
                }
                tokio::time::sleep_until(*look_again).await;
            };
            tokio::select! {
                () = told => return,
                () = time_to_look => {}
            }
            if followed.hears_of_a_kind().await {
                return;
            }
        }
    }
}

// === impl Followed ===

impl Look for Followed {
    async fn look(&mut self, link: &Link) -> Result<Option<Arc<Node>>, Refusal> {
        if !is_path_segment(&link.name) {
            return Ok(None);
        }
        let watch = match self.places.get(&link.place) {
            Some(watch) => watch.clone(),
            None => self.follow(&link.place).await?,
        };
        let Some(watch) = watch else { return Ok(None) };
        match watch.find(link)? {
            Known::Is(node) => {
                self.inner.counted.hits.inc();
                Ok(node)
            }
            Known::Unknown => {
                self.inner.counted.misses.inc();
                watch.look_up(link).await
            }
        }
    }
}

impl Followed {
    /// Follows what is named for the first time.
    async fn follow(&mut self, place: &Arc<Place>) -> Result<Option<Arc<OwnerWatch>>, Refusal> {
        let located = self.inner.discovery.locate(&place.api_version, &place.kind, place.namespace.as_deref()).await?;
        let watch = match located {
            Located::In(collection) => Some(self.join(collection).await?),
            Located::Nowhere => None,
            Located::NoKind => {
                if self.unheard.is_empty() {
                    self.look_again = Instant::now() + LOOK_AGAIN;
                }
                if self.unheard.len() < MAX_UNHEARD && !self.unheard.contains(place) {
                    self.unheard.push(Arc::clone(place));
                }
                return Ok(None);
            }
        };
        if self.places.len() >= MAX_PLACES {
            self.places.clear();
        }
        self.places.insert(Arc::clone(place), watch.clone());
        Ok(watch)
    }

    /// The watch that knows the objects of a collection, once it can be believed.
    async fn join(&mut self, mut collection: ResourceRequest) -> Result<Arc<OwnerWatch>, Refusal> {
        let namespaced = collection.namespace.is_some();
        if self.namespace.is_none() {
            collection.namespace = None;
        }
        let watch = self.inner.watches.join(&self.inner, &self.tracking, collection, namespaced)?;
        if !self.changes.iter().any(|(followed, _)| Arc::ptr_eq(followed, &watch)) {
            let change = watch.live().await?;
            self.changes.push((Arc::clone(&watch), change));
        }
        Ok(watch)
    }

    /// Whether one of the kinds that there were not is there now.
    async fn hears_of_a_kind(&mut self) -> bool {
        for place in &self.unheard {
            let located =
                self.inner.discovery.locate(&place.api_version, &place.kind, place.namespace.as_deref()).await;
            if matches!(located, Ok(Located::In(_) | Located::Nowhere)) {
                self.unheard.clear();
                return true;
            }
        }
        self.look_again = Instant::now() + LOOK_AGAIN;
        false
    }
}

// === impl Watches ===

impl Watches {
    /// The watch of a collection: one that runs, or a new one.
    fn join(
        &self,
        inner: &Inner,
        tracking: &Arc<Tracking>,
        collection: ResourceRequest,
        namespaced: bool,
    ) -> Result<Arc<OwnerWatch>, Refusal> {
        let path = collection.collection_path();
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|watch| watch.strong_count() > 0);
        if let Some(watch) = running.iter().filter_map(Weak::upgrade).find(|watch| watch.is_of(&path, tracking)) {
            return Ok(watch);
        }
        if running.len() >= MAX_WATCHES {
            return Err(Refusal::Undecidable(
                format!("cannot follow {path}: {MAX_WATCHES} kinds of owners are followed already").into(),
            ));
        }
        let argo = inner.argo.clone();
        let marker = Marker { argo, tracking: Arc::clone(tracking), places: Arc::clone(&inner.places) };
        let watch = OwnerWatch::start(inner.lookup.clone(), collection, namespaced, marker, &inner.drain);
        let watch = Arc::new(watch);
        running.push(Arc::downgrade(&watch));
        Ok(watch)
    }
}

/// Each is a connection to the API server, and may be a collection in memory. Clients that watch some namespaces, or the
/// whole cluster, need one for each kind of owner there: ReplicaSets, Deployments, StatefulSets, Jobs, …
const MAX_WATCHES: usize = 1_024;
/// Owner kinds by namespaces. Where there are more, they are located anew.
const MAX_PLACES: usize = 4_096;
/// A CRD of which there are objects already is on its way; whoever makes up kinds gets no more than this looked for.
const MAX_UNHEARD: usize = 32;
/// A CRD may come after the objects that refer to its kind. Longer than discovery keeps that there is no such kind.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
