//! What is stored in the cluster: ConfigMaps of any size, and Pods with those that own them.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::contestants::ARGOCD_NAMESPACE;

/// Anything that can be created.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    /// Where it is created.
    pub(crate) collection: String,
    pub(crate) body: Bytes,
}

/// A ConfigMap to create.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConfigMap {
    namespace: &'static str,
    pub(crate) name: String,
    /// Bytes of its one value. The object as a whole is some 600 bytes larger.
    pub(crate) size: usize,
    /// Whether it bears the mark by which Argo CD tracks it.
    pub(crate) managed: bool,
}

// === impl ConfigMap ===

impl ConfigMap {
    pub(crate) fn managed(name: impl Into<String>, size: usize) -> Self {
        Self { namespace: NAMESPACE, name: name.into(), size, managed: true }
    }

    /// The same in another namespace.
    pub(crate) fn within(self, namespace: &'static str) -> Self {
        Self { namespace, ..self }
    }

    /// The same without the mark.
    pub(crate) fn unmarked(self) -> Self {
        Self { managed: false, ..self }
    }

    fn object(&self) -> Value {
        let Self { namespace, name, .. } = self;
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": name, "annotations": self.managed.then(|| mark("", "ConfigMap", namespace, name)) },
            "data": { "value": LINE.repeat(self.size.div_ceil(LINE.len())).split_at(self.size).0 },
        })
    }

    pub(crate) fn body(&self) -> Bytes {
        self.object().to_string().into()
    }

    /// The whole object after a change that nothing else makes.
    pub(crate) fn changed(&self, change: &str) -> Bytes {
        let mut object = self.object();
        if let Some(data) = object.get_mut("data").and_then(Value::as_object_mut) {
            data.insert("change".to_owned(), change.into());
        }
        object.to_string().into()
    }

    /// That change as a merge patch (RFC 7386).
    pub(crate) fn patch(change: &str) -> Bytes {
        json!({ "data": { "change": change } }).to_string().into()
    }

    /// Where it is found.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }

    /// Where it is created.
    pub(crate) fn collection(&self) -> String {
        collection(self.namespace)
    }
}

impl From<ConfigMap> for Object {
    fn from(object: ConfigMap) -> Self {
        Self { collection: object.collection(), body: object.body() }
    }
}

// === impl Object ===

impl Object {
    /// A Deployment that Argo CD tracks.
    pub(crate) fn deployment(name: &str) -> Self {
        Self::of_workload("Deployment", name, &mark("apps", "Deployment", NAMESPACE, name), &Value::Null)
    }

    /// A ReplicaSet that the Deployment of that name and uid has made.
    pub(crate) fn replica_set(name: &str, deployment: &str, uid: &str) -> Self {
        Self::of_workload("ReplicaSet", name, &Value::Null, &owner("Deployment", deployment, uid))
    }

    fn of_workload(kind: &str, name: &str, annotations: &Value, owners: &Value) -> Self {
        let body = json!({
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": { "name": name, "annotations": annotations, "ownerReferences": owners },
            "spec": {
                "selector": { "matchLabels": { "app": name } },
                "template": { "metadata": { "labels": { "app": name } }, "spec": pod_spec() },
            },
        });
        let plural = if kind == "Deployment" { "deployments" } else { "replicasets" };
        Self { collection: format!("/apis/apps/v1/namespaces/{NAMESPACE}/{plural}"), body: body.to_string().into() }
    }

    /// A Pod that the ReplicaSet of that name and uid has made.
    pub(crate) fn pod(name: &str, replica_set: &str, uid: &str) -> Self {
        Self::of_pod(name, &Value::Null, &owner("ReplicaSet", replica_set, uid))
    }

    /// A Pod of its own that Argo CD tracks.
    pub(crate) fn managed_pod(name: &str) -> Self {
        Self::of_pod(name, &mark("", "Pod", NAMESPACE, name), &Value::Null)
    }

    fn of_pod(name: &str, annotations: &Value, owners: &Value) -> Self {
        let body = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": name, "annotations": annotations, "ownerReferences": owners },
            "spec": pod_spec(),
        });
        Self { collection: pods(), body: body.to_string().into() }
    }
}

/// Argo CD's settings, which say nothing but how it tracks: as it does anyway.
pub(crate) fn argocd_settings() -> Object {
    let labels = json!({ "app.kubernetes.io/part-of": "argocd" });
    let body = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "argocd-cm", "labels": labels },
        "data": { "application.resourceTrackingMethod": "annotation" },
    });
    Object { collection: collection(ARGOCD_NAMESPACE), body: body.to_string().into() }
}

fn pod_spec() -> Value {
    let container =
        json!({ "name": CONTAINER, "image": "registry.example/guestbook:v1", "ports": [{ "containerPort": 80 }] });
    json!({ "containers": [container], "terminationGracePeriodSeconds": 0 })
}

fn mark(group: &str, kind: &str, namespace: &str, name: &str) -> Value {
    json!({ "argocd.argoproj.io/tracking-id": format!("bench:{group}/{kind}:{namespace}/{name}") })
}

fn owner(kind: &str, name: &str, uid: &str) -> Value {
    json!([{ "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true }])
}

/// Where Pods are created and listed.
pub(crate) fn pods() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods")
}

/// The object that a contestant must deliver before it takes part.
pub(crate) fn ready() -> ConfigMap {
    ConfigMap::managed("ready", 1)
}

/// The object that a filter must withhold. No list has it: what is listed is managed, all of it.
pub(crate) fn unmanaged() -> ConfigMap {
    ConfigMap { namespace: ELSEWHERE, name: "unmanaged".to_owned(), size: 1, managed: false }
}

/// Where the ConfigMaps of a namespace are created and listed.
pub(crate) fn collection(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

pub(crate) fn namespace(name: &str) -> Bytes {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }).to_string().into()
}

/// The namespace of all that is measured.
pub(crate) const NAMESPACE: &str = "bench";

/// The namespace of what is not managed.
pub(crate) const ELSEWHERE: &str = "bench-elsewhere";

/// The namespace of which half is managed.
pub(crate) const MIXED: &str = "bench-mixed";

/// The one container of every Pod.
pub(crate) const CONTAINER: &str = "main";

/// Text such as configuration is. No character of it is escaped in JSON.
const LINE: &str = "listen = 0.0.0.0, log.level = info, retries = 5, timeout = 30s; ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_the_size_and_the_mark_that_were_asked_for() {
        for size in [1, 63, 64, 65, 20_000] {
            let object = ConfigMap::managed("a", size);
            let json = serde_json::from_slice::<serde_json::Value>(&object.body()).unwrap();
            assert_eq!(json["data"]["value"].as_str().unwrap().len(), size);
            let mark = &json["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"];
            assert_eq!(mark, "bench:/ConfigMap:bench/a");
            let plain = object.clone().unmarked().body();
            assert!(!String::from_utf8(plain.to_vec()).unwrap().contains("tracking-id"));
            assert_eq!(object.path(), "/api/v1/namespaces/bench/configmaps/a");
            assert_eq!(object.within(MIXED).path(), "/api/v1/namespaces/bench-mixed/configmaps/a");
        }
    }

    #[test]
    fn a_changed_object_is_what_its_patch_makes_of_it() {
        let object = ConfigMap::managed("a", 5);
        let mut patched = serde_json::from_slice::<Value>(&object.body()).unwrap();
        let patch = serde_json::from_slice::<Value>(&ConfigMap::patch("7")).unwrap();
        patched["data"]["change"] = patch["data"]["change"].clone();
        assert_eq!(serde_json::from_slice::<Value>(&object.changed("7")).unwrap(), patched);
        assert_eq!(patched["data"]["change"], "7");
    }

    #[test]
    fn of_a_family_the_deployment_alone_is_marked() {
        let family = [Object::deployment("d"), Object::replica_set("r", "d", "1"), Object::pod("p", "r", "2")];
        let [deployment, replica_set, pod] =
            family.map(|object| serde_json::from_slice::<Value>(&object.body).unwrap()["metadata"].clone());
        assert_eq!(deployment["annotations"]["argocd.argoproj.io/tracking-id"], "bench:apps/Deployment:bench/d");
        assert_eq!((&replica_set["annotations"], &pod["annotations"]), (&Value::Null, &Value::Null));
        assert_eq!(replica_set["ownerReferences"][0]["uid"], "1");
        assert_eq!(pod["ownerReferences"][0]["name"], "r");
    }
}
