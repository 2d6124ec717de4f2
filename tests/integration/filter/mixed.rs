//! A namespace with some of everything: marked, unmarked, and owned by either; and how what the door shows of it is held
//! against what there is.

use harness::{
    client::{Body, Endpoint, Protocol, get_as},
    oracle::Oracle,
    scene::{Scene, apply, deployment, tracked},
    shown::{List, Object},
};
use http::{HeaderMap, Request, header};
use serde_json::{Value, json};

pub(super) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// As kubectl asks for tables.
pub(super) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,\
                                application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";

/// A scene whose namespace holds a bit of everything, each object with the label `scene`, whose value is the namespace.
pub(super) struct Mixed {
    pub(super) scene: Scene,
    pub(super) oracle: Oracle,
}

/// How to ask.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking<'a> {
    /// What the client takes.
    pub(super) accept: &'a str,
    /// What the API server is asked for to compare.
    pub(super) like: &'a str,
    pub(super) gzip: bool,
    pub(super) protocol: Protocol,
}

// === impl Mixed ===

impl Mixed {
    /// Makes it all, and waits until it stands still.
    pub(super) async fn make(name: &str) -> Self {
        let scene = Scene::filtered(name).await;
        for (app, is_tracked) in [("shop", true), ("other", false)] {
            let mut app = deployment(app, 2);
            app["metadata"]["labels"] = json!({"scene": scene.namespace});
            app["spec"]["template"]["metadata"]["labels"]["scene"] = scene.namespace.clone().into();
            scene.apply(if is_tracked { tracked(app) } else { app }).await;
        }
        let marked = scene.apply(tracked(map(&scene, "marked"))).await;
        let unmarked = scene.apply(map(&scene, "unmarked")).await;
        for (name, owner) in [("owned-by-marked", &marked), ("owned-by-unmarked", &unmarked)] {
            let mut owned = map(&scene, name);
            owned["metadata"]["ownerReferences"] = json!([reference(owner)]);
            scene.apply(owned).await;
        }
        for app in ["shop", "other"] {
            let path = scene.apps(&format!("deployments/{app}"));
            harness::eventually("the deployment is available", async || {
                let deployment = scene.direct.object(&path).await;
                (deployment["status"]["availableReplicas"] == 2).then_some(())
            })
            .await;
        }
        let oracle = Oracle::of(&[
            &scene.core("configmaps"),
            &scene.core("pods"),
            &scene.apps("replicasets"),
            &scene.apps("deployments"),
        ])
        .await;
        Self { scene, oracle }
    }

    /// The lists of what is in it, in its namespace and in all, each of one state for good, in pairs with how many
    /// objects are shown of it.
    pub(super) async fn lists(&self) -> Vec<(String, usize)> {
        let mut lists = Vec::new();
        for (group, resource, shown) in [
            ("/api/v1", "configmaps", 2),
            ("/api/v1", "pods", 2),
            ("/apis/apps/v1", "replicasets", 1),
            ("/apis/apps/v1", "deployments", 1),
        ] {
            let namespaced = format!("{group}/namespaces/{}/{resource}", self.scene.namespace);
            for path in [namespaced, format!("{group}/{resource}")] {
                let path = format!("{path}?labelSelector=scene%3D{}", self.scene.namespace);
                let version = version(&self.scene.direct.object(&path).await);
                lists.push((format!("{path}&resourceVersion={version}&resourceVersionMatch=Exact"), shown));
            }
        }
        lists
    }

    /// Whether an object is shown.
    pub(super) fn shows(&self, object: &Object) -> bool {
        self.oracle.is_managed(&object.uid)
    }

    /// Asks the door and the API server, and asserts that the door shows the same but for what is not managed.
    pub(super) async fn assert_filtered(&self, target: &str, asking: Asking<'_>) -> List {
        assert_filtered(&self.scene.door, target, asking, |object| self.shows(object)).await
    }
}

// === impl Asking ===

impl<'a> Asking<'a> {
    pub(super) fn for_(accept: &'a str) -> Self {
        Self { accept, like: accept, gzip: false, protocol: Protocol::Http1 }
    }

    fn request(self, target: &str, accept: &str) -> Request<Body> {
        let mut request = get_as(target, accept);
        if self.gzip {
            request.headers_mut().insert(header::ACCEPT_ENCODING, "gzip".parse().unwrap());
        }
        request
    }
}

/// Asks `door` and the API server the same, whose answer must be of one state, and asserts that the door shows the same
/// but for what is not managed: the same list, with the same headers, of the same objects in the same order.
pub(super) async fn assert_filtered(
    door: &Endpoint,
    target: &str,
    asking: Asking<'_>,
    is_shown: impl Fn(&Object) -> bool,
) -> List {
    let direct = Endpoint::direct();
    let ask = async |endpoint: &Endpoint, accept: &str| {
        endpoint.connect(asking.protocol).await.ask(asking.request(target, accept)).await
    };
    let both = async || {
        let (expected, shown) = tokio::join!(ask(&direct, asking.like), ask(door, asking.accept));
        let headers = (essential(&expected.headers), essential(&shown.headers));
        assert_eq!(shown.status, expected.status, "{target} {asking:?}: {}", shown.text());
        (List::read(&expected).retain(&is_shown), List::read(&shown), headers)
    };
    let mut answers = both().await;
    for _ in 0..5 {
        // Tables tell the age of things in seconds, and may be asked for on either side of one.
        if answers.0 != answers.1 {
            answers = both().await;
        }
    }
    let (expected, shown, (expected_headers, headers)) = answers;
    assert_eq!(shown.names(), expected.names(), "{target} {asking:?}");
    assert_eq!(shown, expected, "{target} {asking:?}");
    assert_eq!(headers, expected_headers, "{target} {asking:?}");
    shown
}

/// Headers, less those that differ from one answer to the next, and those that count bytes.
fn essential(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in ["date", "audit-id", "content-length", "transfer-encoding"] {
        headers.remove(name);
    }
    headers
}

/// A ConfigMap with the scene's label.
pub(super) fn map(scene: &Scene, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": scene.namespace, "labels": {"scene": scene.namespace}},
        "data": {"greeting": "hello"},
    })
}

/// A ConfigMap that has these owners.
pub(super) async fn owned(scene: &Scene, name: &str, owners: &[&Value]) -> Value {
    let mut object = map(scene, name);
    object["metadata"]["ownerReferences"] = owners.iter().map(|owner| reference(owner)).collect();
    apply(&object).await
}

/// A reference to an owner, as its objects carry it.
pub(super) fn reference(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"],
        "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
    })
}

/// An object's `resourceVersion`, or a list's.
pub(super) fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}
