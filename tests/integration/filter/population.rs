//! Thousands of ConfigMaps and Secrets that belong to Argo CD or to each other, or not, and that change at random.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use harness::{
    client::{Connection, Endpoint, Protocol, with_body, with_json},
    cluster,
    oracle::Oracle,
    scene::Scene,
};
use serde_json::{Value, json};

use super::mixed::reference;

const OBJECTS: usize = 3000;

/// Those that are made before anything can refer to them.
const FIRST: usize = 600;

/// Edits and creations that are under way at the same time.
const AT_ONCE: usize = 24;

const MARK: &str = "argocd.argoproj.io/tracking-id";

/// All of it.
pub(super) struct Population {
    /// The value of the label `scene`.
    label: String,
    namespaces: [String; 3],
    connection: Connection,
    random: Random,
    /// Each object as it was when it was made last.
    made: BTreeMap<usize, Value>,
}

/// What is managed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Managed {
    /// ConfigMaps with the label.
    pub(super) maps: BTreeSet<Held>,
    /// Secrets with the label.
    pub(super) secrets: BTreeSet<Held>,
    /// All ConfigMaps of the first namespace.
    pub(super) here: BTreeSet<Held>,
}

/// An object in a certain state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Held {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) version: String,
}

/// SplitMix64: good enough, and the same everywhere.
struct Random(u64);

enum Edit {
    Make(Value),
    Patch(Value),
    Delete,
}

// === impl Population ===

impl Population {
    /// Makes all objects, in the scene's namespace and in two others.
    pub(super) async fn create(scene: &Scene, seed: u64) -> Self {
        let namespaces =
            [scene.namespace.clone(), cluster::namespace("random").await, cluster::namespace("random").await];
        let connection = Endpoint::direct().connect(Protocol::Http2).await;
        let mut this = Self {
            label: scene.namespace.clone(),
            namespaces,
            connection,
            random: Random(seed),
            made: BTreeMap::new(),
        };
        // Each half may belong to the ones before.
        let mut from = 0;
        for to in [FIRST, OBJECTS / 2, OBJECTS] {
            let new = (from..to).map(|index| (index, Edit::Make(this.object(index)))).collect();
            this.run(new).await;
            from = to;
        }
        assert_eq!(this.made.len(), OBJECTS);
        this
    }

    /// Makes so many edits, many of them at the same time.
    pub(super) async fn edit(&mut self, count: usize) {
        let edits = (0..count).map(|_| self.any_edit()).collect();
        self.run(edits).await;
    }

    /// What is managed now, worked out from all that there is.
    pub(super) async fn managed(&self) -> Managed {
        let direct = Endpoint::direct();
        let mut oracle = Oracle::default();
        let mut lists = Vec::new();
        for namespace in &self.namespaces {
            for resource in ["configmaps", "secrets"] {
                let list = direct.object(&format!("/api/v1/namespaces/{namespace}/{resource}")).await;
                oracle.learn(&list);
                lists.push((namespace, resource, list));
            }
        }
        let mut managed = Managed { maps: BTreeSet::new(), secrets: BTreeSet::new(), here: BTreeSet::new() };
        for (namespace, resource, list) in &lists {
            for item in list["items"].as_array().unwrap() {
                let text = |key: &str| item["metadata"][key].as_str().unwrap_or_default().to_owned();
                let held = Held {
                    namespace: text("namespace"),
                    name: text("name"),
                    uid: text("uid"),
                    version: text("resourceVersion"),
                };
                if !oracle.is_managed(&held.uid) {
                    continue;
                }
                if *resource == "configmaps" && **namespace == self.namespaces[0] {
                    managed.here.insert(held.clone());
                }
                if item["metadata"]["labels"]["scene"] == self.label.as_str() {
                    let all = if *resource == "secrets" { &mut managed.secrets } else { &mut managed.maps };
                    all.insert(held);
                }
            }
        }
        managed
    }

    async fn run(&mut self, edits: Vec<(usize, Edit)>) {
        let connection = &self.connection;
        let requests: Vec<_> = edits.into_iter().map(|(index, edit)| (index, self.path(index), edit)).collect();
        let done = stream::iter(requests).map(|(index, (collection, name), edit)| {
            let mut connection = connection.share();
            async move {
                let path = format!("{collection}/{name}");
                let is_made = matches!(edit, Edit::Make(_));
                let answer = connection
                    .ask(match edit {
                        Edit::Make(object) => with_json("POST", &collection, &object),
                        Edit::Patch(patch) => {
                            with_body("PATCH", &path, "application/merge-patch+json", patch.to_string())
                        }
                        Edit::Delete => with_json("DELETE", &path, &json!({"propagationPolicy": "Background"})),
                    })
                    .await;
                // It may be there already, or no more: who comes first is a matter of luck.
                let known = answer.status.is_success() || [404, 409].contains(&answer.status.as_u16());
                assert!(known, "{path}: {}", answer.text());
                (answer.status == 201 && is_made).then(|| (index, answer.json()))
            }
        });
        let made: Vec<_> = done.buffer_unordered(AT_ONCE).collect().await;
        self.made.extend(made.into_iter().flatten());
    }

    fn any_edit(&mut self) -> (usize, Edit) {
        let index = self.random.below(OBJECTS);
        let edit = match self.random.below(16) {
            0..3 => Edit::Patch(json!({"metadata": {"annotations": {MARK: "shop:x:y/z"}}})),
            3..6 => Edit::Patch(json!({"metadata": {"annotations": {MARK: null}}})),
            6 => Edit::Patch(json!({"metadata": {"annotations": {MARK: ""}}})),
            7..10 => Edit::Patch(json!({"metadata": {"ownerReferences": self.owners(index, OBJECTS)}})),
            10 => Edit::Patch(json!({"metadata": {"ownerReferences": null}})),
            11 => Edit::Patch(json!({"metadata": {"labels": {"scene": null}}})),
            12 => Edit::Patch(json!({"metadata": {"labels": {"scene": self.label, "x": index.to_string()}}})),
            13 => Edit::Delete,
            14 => Edit::Make(self.object(index)),
            _ => Edit::Patch(json!({"metadata": {"annotations": {"note": self.random.below(9).to_string()}}})),
        };
        (index, edit)
    }

    fn object(&mut self, index: usize) -> Value {
        let kind = if is_secret(index) { "Secret" } else { "ConfigMap" };
        let mut annotations = json!({});
        if self.random.below(5) == 0 {
            annotations[MARK] = "shop:x:y/z".into();
        }
        let owners = self.owners(index, index);
        json!({
            "apiVersion": "v1", "kind": kind,
            "metadata": {
                "name": format!("o-{index}"), "labels": {"scene": self.label},
                "annotations": annotations, "ownerReferences": owners,
            },
        })
    }

    /// References to none, one or two objects of the same namespace, of those before `end`.
    fn owners(&mut self, index: usize, end: usize) -> Value {
        let spread = self.namespaces.len();
        let count = [0, 0, 1, 1, 1, 2][self.random.below(6)];
        let mut owners = BTreeMap::new();
        for _ in 0..count {
            let owner = self.random.below(end.max(1)) / spread * spread + index % spread;
            if let Some(object) = self.made.get(&owner).filter(|_| owner != index) {
                owners.insert(owner, reference(object));
            }
        }
        owners.into_values().collect()
    }

    /// Where an object's like are, and its name.
    fn path(&self, index: usize) -> (String, String) {
        let resource = if is_secret(index) { "secrets" } else { "configmaps" };
        let namespace = &self.namespaces[index % self.namespaces.len()];
        (format!("/api/v1/namespaces/{namespace}/{resource}"), format!("o-{index}"))
    }
}

fn is_secret(index: usize) -> bool {
    index.is_multiple_of(5)
}

// === impl Random ===

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut next = self.0;
        next = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        next = (next ^ (next >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((next ^ (next >> 31)) % end as u64).unwrap()
    }
}
