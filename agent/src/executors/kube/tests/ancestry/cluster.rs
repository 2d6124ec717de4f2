//! What an API server says of a few kinds: objects with versions, lists by the page, and watches.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use common::drain;
use http::Request;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::super::server::{Answer, Server, json, pieces, status};
use crate::executors::kube::{
    filter::{
        ancestry::{Ancestry, Links},
        meta::ObjectMeta,
        namespaces::Namespaces,
        tracking::Tracking,
    },
    metrics::KubeMetrics,
    upstream::Upstream,
};

/// An API server, and who asks it for owners.
pub(super) struct Cluster {
    pub(super) server: Server,
    pub(super) ancestry: Ancestry,
    pub(super) tracking: Arc<Tracking>,
    pub(super) registry: Registry,
    state: Arc<Mutex<State>>,
    pub(super) signal: drain::Signal,
}

#[derive(Default)]
struct State {
    version: u64,
    /// By collection (as it is in its namespace) and name.
    objects: BTreeMap<(String, String), Value>,
    /// What happened, as a watch tells it: version, collection, line.
    events: Vec<(u64, String, String)>,
    watchers: Vec<(String, mpsc::Sender<Bytes>)>,
    /// Before this, what happened is forgotten.
    compacted: u64,
    /// Verb and path that are answered with an error.
    errors: BTreeMap<(&'static str, String), u16>,
    /// Collections whose events are kept back.
    held: BTreeSet<String>,
}

// === impl Cluster ===

impl Cluster {
    pub(super) async fn start() -> Self {
        let (signal, watch) = drain::channel();
        let server = Server::start(&watch).await;
        let state = Arc::new(Mutex::new(State::default()));
        let answering = Arc::clone(&state);
        server.special(move |request| {
            let answer = answering.lock().unwrap().answer(&request);
            async move { answer.ok_or(request) }
        });
        let mut registry = Registry::default();
        let metrics = KubeMetrics::register(&mut registry);
        let config = kube::Config::new(format!("http://{}", server.address).parse().unwrap());
        let upstream = Upstream::new(&config.into(), metrics.clone(), &watch).await.unwrap();
        let ancestry = Ancestry::new(&upstream, Namespaces::new("argocd", &[]), &metrics, watch);
        Self { server, ancestry, tracking: Arc::default(), registry, state, signal }
    }

    /// Makes or changes an object, which gets a new version.
    pub(super) fn put(&self, path: &str, object: Value) {
        let mut state = self.state.lock().unwrap();
        let (collection, name) = split(path);
        let event = if state.objects.contains_key(&(collection.clone(), name.clone())) { "MODIFIED" } else { "ADDED" };
        state.tell(event, &collection, object.clone());
        let mut object = object;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        state.objects.insert((collection, name), object);
    }

    pub(super) fn delete(&self, path: &str) {
        let mut state = self.state.lock().unwrap();
        let (collection, name) = split(path);
        let object = state.objects.remove(&(collection.clone(), name)).unwrap();
        state.tell("DELETED", &collection, object);
    }

    /// Answers requests of this verb (`get`, `list` or `watch`) at this path with an error.
    pub(super) fn fail(&self, verb: &'static str, path: &str, code: u16) {
        self.state.lock().unwrap().errors.insert((verb, path.to_owned()), code);
    }

    pub(super) fn heal(&self) {
        self.state.lock().unwrap().errors.clear();
    }

    /// Keeps back what a collection's watches would be told.
    pub(super) fn hold(&self, collection: &str) {
        self.state.lock().unwrap().held.insert(collection.to_owned());
    }

    /// Tells a collection's watches what was kept back.
    pub(super) fn release(&self, collection: &str) {
        let mut state = self.state.lock().unwrap();
        state.held.remove(collection);
        let held = std::mem::take(&mut state.events);
        for (_, path, line) in held.iter().filter(|(_, path, _)| path == collection) {
            state.send(path, line);
        }
        state.events = held;
    }

    /// Cuts all watches. With a gap what happened so far is forgotten, so that they cannot go on where they were.
    pub(super) fn cut(&self, gap: bool) {
        let mut state = self.state.lock().unwrap();
        state.watchers.clear();
        if gap {
            state.version += 1;
            state.compacted = state.version;
        }
    }

    /// Tells all watches something.
    pub(super) fn tell_all(&self, line: &str) {
        for (_, watcher) in &self.state.lock().unwrap().watchers {
            watcher.try_send(line.to_owned().into()).ok();
        }
    }

    /// How many watches of owners are open.
    pub(super) fn watches(&self) -> usize {
        let state = self.state.lock().unwrap();
        state.watchers.iter().filter(|(_, watcher)| !watcher.is_closed()).count()
    }

    /// What an object hangs on.
    pub(super) fn links(&self, object: &Value) -> Links {
        let meta: ObjectMeta = serde_json::from_value(object["metadata"].clone()).unwrap();
        self.ancestry.links("", "pods", &meta)
    }

    /// A metric as it stands.
    pub(super) fn metric(&self, line: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let value = text.lines().find_map(|found| found.strip_prefix(line)).unwrap_or("0");
        value.trim().parse().unwrap()
    }
}

// === impl State ===

impl State {
    fn tell(&mut self, event: &str, collection: &str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let line = format!("{}\n", json!({"type": event, "object": object}));
        if !self.held.contains(collection) {
            self.send(collection, &line);
        }
        self.events.push((self.version, collection.to_owned(), line));
    }

    fn send(&self, collection: &str, line: &str) {
        for (_, watcher) in self.watchers.iter().filter(|(path, _)| covers(path, collection)) {
            watcher.try_send(line.to_owned().into()).ok();
        }
    }

    /// `None` for what is not about objects.
    fn answer<B>(&mut self, request: &Request<B>) -> Option<Answer> {
        let path = request.uri().path();
        let query = request.uri().query().unwrap_or_default();
        let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name));
        let is_collection = KINDS.iter().any(|kind| path.ends_with(kind));
        let verb = match parameter("watch=") {
            Some(_) => "watch",
            None if is_collection => "list",
            None => "get",
        };
        if let Some(code) = self.errors.get(&(verb, path.to_owned())) {
            return Some(status(*code, &format!("cannot {verb} {path}")));
        }
        match verb {
            "watch" => Some(self.watch(path, parameter("resourceVersion=").unwrap().parse().unwrap())),
            "list" => {
                let from = parameter("continue=").map_or(0, |from| from.parse().unwrap());
                Some(self.list(path, parameter("limit=").unwrap().parse().unwrap(), from))
            }
            _ if KINDS.iter().any(|kind| path.contains(&format!("{kind}/"))) => {
                let (collection, name) = split(path);
                let object = self.objects.get(&(collection, name));
                Some(object.map_or_else(|| status(404, &format!("{path} not found")), |object| json(200, object)))
            }
            _ => None,
        }
    }

    fn list(&self, path: &str, limit: usize, from: usize) -> Answer {
        let all: Vec<&Value> = self
            .objects
            .iter()
            .filter(|((collection, _), _)| covers(path, collection))
            .map(|(_, object)| object)
            .collect();
        let page: Vec<&Value> = all.iter().skip(from).take(limit).copied().collect();
        let mut metadata = json!({"resourceVersion": self.version.to_string()});
        if from + page.len() < all.len() {
            metadata["continue"] = json!((from + limit).to_string());
        }
        json(200, &json!({"kind": "PartialObjectMetadataList", "metadata": metadata, "items": page}))
    }

    fn watch(&mut self, path: &str, since: u64) -> Answer {
        let (sender, receiver) = mpsc::channel(1_000);
        if since < self.compacted {
            let gone =
                json!({"kind": "Status", "metadata": {}, "code": 410, "message": "too old", "reason": "Expired"});
            sender.try_send(format!("{}\n", json!({"type": "ERROR", "object": gone})).into()).unwrap();
            return pieces(receiver);
        }
        let told = self.events.iter().filter(|(version, collection, _)| {
            *version > since && covers(path, collection) && !self.held.contains(collection)
        });
        for (_, _, line) in told {
            sender.try_send(line.clone().into()).unwrap();
        }
        self.watchers.push((path.to_owned(), sender));
        pieces(receiver)
    }
}

/// Whether what happens in `collection` is told at `path`: the same, or the whole cluster's.
fn covers(path: &str, collection: &str) -> bool {
    let Some((before, behind)) = collection.split_once("/namespaces/") else { return path == collection };
    let (_, kind) = behind.split_once('/').unwrap();
    path == collection || path == format!("{before}/{kind}")
}

fn split(path: &str) -> (String, String) {
    let (collection, name) = path.rsplit_once('/').unwrap();
    (collection.to_owned(), name.to_owned())
}

const KINDS: [&str; 5] = ["/pods", "/replicasets", "/deployments", "/nodes", "/operatorgroups"];
