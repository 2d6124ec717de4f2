//! One watch of the metadata of one collection, for as long as somebody follows it.
//!
//! While it is [`Health::Live`], what it knows is what the API server last told, but for what is on its way. When the
//! connection is lost it stays so for [`GRACE`]; after that nothing is said before there is a watch again, and everybody
//! is woken to learn that.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use common::{Refusal, drain};
use futures_util::FutureExt;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, info_span, warn};

use super::{
    super::{
        super::{super::request::ResourceRequest, lookup::Lookup, meta::ObjectMeta, tracking::Tracking},
        cache::FRESH,
        flights::Flights,
        links::Link,
        node::{Marker, Node},
        question::read,
    },
    graph::{Change, Graph, Known},
};

/// A watch that runs until this is dropped.
#[derive(Debug)]
pub(super) struct OwnerWatch {
    shared: Arc<Shared>,
    _stop: DropGuard,
}

/// What the handles and the task know together.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) lookup: Lookup,
    pub(super) collection: ResourceRequest,
    pub(super) path: String,
    /// Whether its objects are in namespaces, be it one or all.
    namespaced: bool,
    pub(super) marker: Marker,
    /// Never held while the API server is asked.
    state: Mutex<State>,
    /// Rises whenever an answer that was given may be another one now.
    generation: watch::Sender<u64>,
    /// There was a connection, and there is none.
    interrupted: Notify,
    objects: Flights<Result<(), Refusal>>,
}

#[derive(Debug)]
struct State {
    graph: Graph,
    health: Health,
    /// Since when there is no connection, and why.
    lost: Option<(Instant, String)>,
}

/// Whether the watch can be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Health {
    /// The collection was not read yet.
    Starting,
    /// It can.
    Live,
    /// It cannot, and this is why.
    Broken(String),
}

// === impl OwnerWatch ===

impl OwnerWatch {
    /// Begins to watch a collection, which is one namespace's or, of whatever is in namespaces or not, the cluster's.
    pub(super) fn start(
        lookup: Lookup,
        collection: ResourceRequest,
        namespaced: bool,
        marker: Marker,
        drain: &drain::Watch,
    ) -> Self {
        let path = collection.collection_path();
        let span = info_span!("owners", path);
        let state = State { graph: Graph::default(), health: Health::Starting, lost: None };
        let shared = Arc::new(Shared {
            lookup,
            collection,
            path,
            namespaced,
            marker,
            interrupted: Notify::new(),
            state: Mutex::new(state),
            generation: watch::Sender::new(0),
            objects: Flights::default(),
        });
        let stop = CancellationToken::new();
        let (running, stopped) = (Arc::clone(&shared), stop.clone());
        // It does not end because the agent drains: what clients' watches are told until they end must still be true.
        drain.spawn(span, async move {
            stopped.run_until_cancelled(running.run()).await;
            debug!("followed no more");
        });
        Self { shared, _stop: stop.drop_guard() }
    }

    /// Whether this is a watch of that collection by those settings.
    pub(super) fn is_of(&self, path: &str, tracking: &Arc<Tracking>) -> bool {
        let by = &self.shared.marker.tracking;
        self.shared.path == path && (Arc::ptr_eq(by, tracking) || by == tracking)
    }

    /// Waits until it can be believed, and returns what tells of changes from then on.
    pub(super) async fn live(&self) -> Result<watch::Receiver<u64>, Refusal> {
        let mut generation = self.shared.generation.subscribe();
        let believed = async {
            loop {
                generation.borrow_and_update();
                match &self.shared.state().health {
                    Health::Starting => {}
                    Health::Live => return Ok(()),
                    Health::Broken(cause) => return Err(self.shared.undecidable(cause)),
                }
                // The sender is behind `self`.
                generation.changed().await.ok();
            }
        };
        match tokio::time::timeout(PATIENCE, believed).await {
            Ok(believed) => believed.map(|()| generation),
            Err(_elapsed) => {
                let lost = self.shared.state().lost.clone();
                let cause = lost.map_or_else(|| "the API server has not answered yet".to_owned(), |(_, cause)| cause);
                Err(self.shared.undecidable(&cause))
            }
        }
    }

    /// What is known of an owner.
    pub(super) fn find(&self, link: &Link) -> Result<Known, Refusal> {
        let mut state = self.shared.state();
        if let Health::Broken(cause) = &state.health {
            return Err(self.shared.undecidable(cause));
        }
        Ok(state.graph.find(self.shared.namespace(link), link))
    }

    /// Looks up what is not known.
    pub(super) async fn look_up(&self, link: &Link) -> Result<Option<Arc<Node>>, Refusal> {
        let shared = &self.shared;
        let mut object = shared.collection.clone();
        let namespace = shared.namespace(link);
        object.namespace = Some(namespace).filter(|namespace| !namespace.is_empty()).map(str::to_owned);
        object.name = Some(link.name.to_string());
        let path = object.object_path();
        // Who waits for the same UID waits for the same answer: what the look-up finds is for all, what it misses is not.
        let flight = link.uid.as_ref().map_or_else(|| path.clone(), |uid| format!("{path} {uid}"));
        let ask = || {
            let (shared, link) = (Arc::clone(shared), link.clone());
            async move {
                let found = read(&shared.lookup, &path).await?.map(|meta| shared.marker.node(&object, &meta));
                shared.change(|graph| graph.looked_up(shared.namespace(&link), &link, found));
                Ok(())
            }
            .boxed()
        };
        let now = Instant::now();
        shared.objects.join(&flight, now.checked_sub(FRESH).unwrap_or(now), ask).await.1?;
        match self.find(link)? {
            Known::Is(node) => Ok(node),
            // Gone again, and told of since.
            Known::Unknown => Ok(None),
        }
    }
}

// === impl Shared ===

impl Shared {
    async fn run(&self) {
        tokio::select! {
            () = self.keep_up() => {}
            () = self.give_up() => {}
        }
    }

    /// Says that nothing is known any more where a connection is away for too long.
    async fn give_up(&self) {
        loop {
            self.interrupted.notified().await;
            while let Some(since) = self.broken_since() {
                tokio::time::sleep_until(since + GRACE).await;
                if self.broken_since() == Some(since) {
                    let cause = self.state().lost.as_ref().map(|(_, cause)| cause.clone()).unwrap_or_default();
                    self.broken(cause);
                    break;
                }
            }
        }
    }

    /// Changes what is known, and wakes whoever was told otherwise.
    pub(super) fn change(&self, change: impl FnOnce(&mut Graph) -> Change) {
        let changed = change(&mut self.state().graph);
        if changed == Change::Answers {
            self.wake();
        }
    }

    /// There is a connection.
    pub(super) fn live(&self) {
        let mut state = self.state();
        state.lost = None;
        if state.health != Health::Live {
            state.health = Health::Live;
            drop(state);
            self.wake();
        }
    }

    /// There is no connection.
    pub(super) fn lost(&self, cause: String) {
        let mut state = self.state();
        match &mut state.lost {
            Some((_, known)) => *known = cause,
            None => {
                state.lost = Some((Instant::now(), cause));
                self.interrupted.notify_one();
            }
        }
    }

    /// It cannot be believed any more.
    pub(super) fn broken(&self, cause: String) {
        let mut state = self.state();
        let told = matches!(&state.health, Health::Broken(known) if *known == cause);
        if !told {
            warn!(cause, "owners cannot be followed");
            state.health = Health::Broken(cause);
            drop(state);
            self.wake();
        }
    }

    fn broken_since(&self) -> Option<Instant> {
        self.state().lost.as_ref().map(|(since, _)| *since)
    }

    pub(super) fn size(&self) -> usize {
        self.state().graph.len()
    }

    fn wake(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The namespace under which the object of a link is known.
    fn namespace<'l>(&self, link: &'l Link) -> &'l str {
        if self.namespaced { link.place.namespace.as_deref().unwrap_or_default() } else { "" }
    }

    /// The namespace under which an object is known.
    pub(super) fn namespace_of<'a>(&'a self, meta: &'a ObjectMeta) -> &'a str {
        let own = || meta.namespace.as_deref().filter(|_| self.namespaced);
        self.collection.namespace.as_deref().or_else(own).unwrap_or_default()
    }

    fn undecidable(&self, cause: &str) -> Refusal {
        Refusal::Undecidable(format!("cannot follow {}: {cause}", self.path).into())
    }
}

/// How long a question waits until there is something that can be believed. As long as a request may take at all.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long what was known holds without a connection. An API server that is restarted behind a load balancer, or a
/// connection that is cut, is back by then.
const GRACE: Duration = Duration::from_secs(10);
