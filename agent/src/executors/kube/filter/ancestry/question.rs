//! One question about owners: answered by what was read a moment ago, else by the API server.

use std::sync::{Arc, Mutex, PoisonError};

use common::Refusal;
use futures_util::FutureExt;
use http::StatusCode;
use tokio::time::Instant;
use tracing::debug;

use super::{
    super::{
        super::{metrics::Purpose, request::ResourceRequest},
        discovery::{Located, is_path_segment},
        lookup::{Looked, Lookup, reason},
        meta::ObjectMeta,
    },
    Ask, Inner, KnownBy,
    cache::{Cache, Names},
    links::Link,
    node::Node,
    walk::Look,
};

/// A question as it is asked.
pub(super) struct Question<'q> {
    pub(super) inner: &'q Inner,
    pub(super) known: Arc<KnownBy>,
    pub(super) ask: Ask,
    /// What was sent before this does not count.
    pub(super) since: Instant,
}

// === impl Question ===

impl Look for Question<'_> {
    async fn look(&mut self, link: &Link) -> Result<Option<Arc<Node>>, Refusal> {
        if !is_path_segment(&link.name) {
            return Ok(None);
        }
        let place = &*link.place;
        let discovery = &self.inner.discovery;
        let located = discovery.locate(&place.api_version, &place.kind, place.namespace.as_deref()).await?;
        let Located::In(collection) = located else { return Ok(None) };
        let node = self.named(collection, &link.name).await?;
        Ok(node.filter(|node| link.uid.is_none() || link.uid == node.uid))
    }
}

impl Question<'_> {
    /// The object of that name in a collection.
    async fn named(&self, collection: ResourceRequest, name: &str) -> Result<Option<Arc<Node>>, Refusal> {
        let path = collection.collection_path();
        if let Some(node) = lock(&self.known.cache).get(&path, name, self.since) {
            self.inner.counted.hits.inc();
            return Ok(node);
        }
        self.inner.counted.misses.inc();
        if self.ask == Ask::Pages
            && lock(&self.known.cache).is_listable(&path, Instant::now())
            && let Some(names) = self.list(&path, &collection).await
        {
            return Ok(names.get(name).cloned());
        }
        self.get(collection, name).await
    }

    async fn get(&self, mut collection: ResourceRequest, name: &str) -> Result<Option<Arc<Node>>, Refusal> {
        let path = collection.collection_path();
        collection.name = Some(name.to_owned());
        let object = collection.object_path();
        let ask = || {
            let (lookup, known) = (self.inner.lookup.clone(), Arc::clone(&self.known));
            let object = object.clone();
            async move {
                let meta = read(&lookup, &object).await?;
                Ok(meta.map(|meta| Arc::new(known.marker.node(&collection, &meta))))
            }
            .boxed()
        };
        let (sent_at, node) = self.known.objects.join(&object, self.since, ask).await;
        let node = node?;
        lock(&self.known.cache).insert(&path, name, sent_at, node.clone());
        Ok(node)
    }

    /// Reads a whole collection. `None` where that is not possible; then it is not tried again for a while.
    async fn list(&self, path: &str, collection: &ResourceRequest) -> Option<Arc<Names>> {
        let ask = || {
            let (lookup, known) = (self.inner.lookup.clone(), Arc::clone(&self.known));
            let (path, collection) = (path.to_owned(), collection.clone());
            async move {
                let names = list(&lookup, &path, |meta| known.marker.node(&collection, meta)).await;
                names.map(Arc::new)
            }
            .boxed()
        };
        let (sent_at, names) = self.known.lists.join(path, self.since, ask).await;
        let mut cache = lock(&self.known.cache);
        match &names {
            Some(names) => cache.insert_list(path, sent_at, Arc::clone(names)),
            None => cache.insert_unlistable(path, sent_at),
        }
        names
    }
}

/// The metadata of the object at `path`. `None` where there is none.
pub(super) async fn read(lookup: &Lookup, path: &str) -> Result<Option<ObjectMeta>, Refusal> {
    match lookup.metadata(path, Purpose::Owner).await {
        Ok(Looked::Found(meta)) => Ok(Some(meta)),
        Ok(Looked::Answered(answer)) if answer.status() == StatusCode::NOT_FOUND => Ok(None),
        Ok(Looked::Answered(answer)) => Err(Refusal::Undecidable(reason(answer).await.into())),
        Err(error) => Err(error.refusal()),
    }
}

/// The objects of the collection at `path`, if they can be listed and are not too many. A page is dropped as soon as it
/// is read.
async fn list(lookup: &Lookup, path: &str, node: impl Fn(&ObjectMeta) -> Node) -> Option<Names> {
    let mut names = Names::new();
    let mut more = String::new();
    for _ in 0..MAX_PAGES {
        let page = match lookup.page(path, &more, Purpose::Owner).await {
            Ok(Looked::Found(page)) => page,
            Ok(Looked::Answered(answer)) => {
                debug!(path, status = %answer.status(), "owners cannot be listed");
                return None;
            }
            Err(error) => {
                // Logs why. Whether the API server can be reached at all, the next look-up finds out.
                error.refusal();
                return None;
            }
        };
        let items = page.items.unwrap_or_default().into_iter();
        names.extend(items.map(|item| (item.metadata.name.as_str().into(), Arc::new(node(&item.metadata)))));
        more = page.metadata.more;
        // A server that knows no pages gives all at once.
        if names.len() > MAX_LISTED {
            break;
        }
        if more.is_empty() {
            return Some(names);
        }
    }
    debug!(path, "too many owners to list");
    None
}

fn lock(cache: &Mutex<Cache>) -> std::sync::MutexGuard<'_, Cache> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ten thousand objects: more would take longer to list than to look up those that are asked for.
const MAX_PAGES: usize = 20;
const MAX_LISTED: usize = 10_000;
