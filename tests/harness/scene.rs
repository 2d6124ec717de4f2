//! What most end-to-end tests begin with: a world, one agent in it, and namespaces of their own in the cluster.

use serde_json::{Value, json};

use crate::{
    World,
    client::{Answer, Endpoint, with_body},
    cluster::{self, cluster},
    eventually,
    kubectl::Kubectl,
    world::Attached,
};

/// One agent between a caller and the API server.
#[derive(Debug)]
pub struct Scene {
    /// Principal and files.
    pub world: World,
    /// The agent. Its name is [`AGENT`].
    pub agent: Attached,
    /// A namespace of the test's own, for the objects that it is about.
    pub namespace: String,
    /// The agent's namespace, where its Argo CD would be.
    pub argocd: String,
    /// A caller at the door.
    pub door: Endpoint,
    /// The cluster's admin at the API server itself.
    pub direct: Endpoint,
}

/// The agent's name, and the callers'.
pub const AGENT: &str = "workload";

// === impl Scene ===

impl Scene {
    /// An agent that lets everything pass.
    pub async fn open(name: &str) -> Self {
        Self::with(name, |config| config.managed_only = false).await
    }

    /// An agent that shows what Argo CD manages, with Argo CD's default settings.
    pub async fn filtered(name: &str) -> Self {
        Self::with(name, |_config| {}).await
    }

    /// An agent with the filter on, for an Argo CD with these settings in its `argocd-cm`.
    pub async fn tracked_by(name: &str, settings: Value) -> Self {
        let argocd = cluster::namespace(&format!("{name}-argocd")).await;
        apply(&argocd_cm(&argocd, &settings)).await;
        Self::in_namespace(name, argocd, |_config| {}).await
    }

    /// An agent with other settings.
    pub async fn with(name: &str, change: impl FnOnce(&mut agent::config::Config)) -> Self {
        let argocd = cluster::namespace(&format!("{name}-argocd")).await;
        Self::in_namespace(name, argocd, change).await
    }

    /// An agent whose namespace is there already.
    pub async fn in_namespace(name: &str, argocd: String, change: impl FnOnce(&mut agent::config::Config)) -> Self {
        Self::of(World::start().await, name, argocd, change).await
    }

    /// The same in a world that is there already.
    pub async fn of(world: World, name: &str, argocd: String, change: impl FnOnce(&mut agent::config::Config)) -> Self {
        let agent = world.agent_with(AGENT, &argocd, change).await;
        let namespace = cluster::namespace(name).await;
        let door = Endpoint::door(&world, AGENT);
        Self { world, agent, namespace, argocd, door, direct: Endpoint::direct() }
    }

    /// kubectl at the door, in the test's own namespace.
    #[must_use]
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::door(&self.world, AGENT, &self.namespace)
    }

    /// kubectl of the admin at the API server, in the test's own namespace.
    #[must_use]
    pub fn kubectl_direct(&self) -> Kubectl {
        Kubectl::direct(&self.world, &self.namespace)
    }

    /// The path of an object of the core group in the test's own namespace.
    #[must_use]
    pub fn core(&self, rest: &str) -> String {
        format!("/api/v1/namespaces/{}/{rest}", self.namespace)
    }

    /// The path of an object of the apps group in the test's own namespace.
    #[must_use]
    pub fn apps(&self, rest: &str) -> String {
        format!("/apis/apps/v1/namespaces/{}/{rest}", self.namespace)
    }

    /// Makes an object, or changes it, past the door. It gets the test's own namespace unless it says another.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub async fn apply(&self, mut object: Value) -> Value {
        let metadata = object.get_mut("metadata").and_then(Value::as_object_mut).expect("an object has metadata");
        metadata.entry("namespace").or_insert_with(|| self.namespace.clone().into());
        apply(&object).await
    }

    /// A ConfigMap that Argo CD tracks, past the door.
    pub async fn tracked(&self, name: &str) -> Value {
        self.apply(tracked(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"greeting": "hello"},
        })))
        .await
    }

    /// A ConfigMap that Argo CD does not track, past the door.
    pub async fn untracked(&self, name: &str) -> Value {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"greeting": "hello"},
        });
        self.apply(object).await
    }

    /// A Pod that runs, past the door.
    pub async fn pod(&self, name: &str, is_tracked: bool) -> Value {
        let object = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [{"name": "main", "image": "main"}], "terminationGracePeriodSeconds": 0},
        });
        self.apply(if is_tracked { tracked(object) } else { object }).await;
        let path = self.core(&format!("pods/{name}"));
        eventually("the pod runs", async || {
            let pod = self.direct.object(&path).await;
            (pod["status"]["containerStatuses"][0]["ready"] == true).then_some(pod)
        })
        .await
    }

    /// A Deployment whose pods run, past the door; by the real controllers.
    pub async fn deployment(&self, name: &str, replicas: u32, is_tracked: bool) -> Value {
        let object = deployment(name, replicas);
        self.apply(if is_tracked { tracked(object) } else { object }).await;
        let path = self.apps(&format!("deployments/{name}"));
        eventually("the deployment is available", async || {
            let deployment = self.direct.object(&path).await;
            (deployment["status"]["availableReplicas"] == replicas).then_some(deployment)
        })
        .await
    }

    /// Where the log of a container is written from; see `envtest`.
    #[must_use]
    pub fn log_file(&self, pod: &str, container: &str) -> std::path::PathBuf {
        cluster().kubelet_dir().join(format!("{}_{pod}_{container}.log", self.namespace))
    }
}

/// Makes an object, or changes it, as the cluster's admin; returns what became of it.
///
/// # Panics
/// When the API server refuses it.
pub async fn apply(object: &Value) -> Value {
    let path = format!("{}?fieldManager=argocd-controller&force=true", object_path(object));
    let request = with_body("PATCH", &path, "application/apply-patch+yaml", object.to_string());
    let answer: Answer = Endpoint::direct().ask(request).await;
    assert!(answer.status.is_success(), "{object}: {}", answer.text());
    answer.json()
}

/// `argocd-cm` with these settings.
#[must_use]
pub fn argocd_cm(namespace: &str, settings: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm", "namespace": namespace},
        "data": settings,
    })
}

/// The same object with the mark that Argo CD leaves by default.
///
/// # Panics
/// When it has no metadata.
#[must_use]
pub fn tracked(mut object: Value) -> Value {
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut).expect("an object has metadata");
    metadata.insert("annotations".to_owned(), json!({"argocd.argoproj.io/tracking-id": "shop:x:y/z"}));
    object
}

/// A Deployment of pods that only run.
#[must_use]
pub fn deployment(name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "main"}], "terminationGracePeriodSeconds": 0},
            },
        },
    })
}

/// The path of an object.
///
/// # Panics
/// When it does not say what it is.
#[must_use]
pub fn object_path(object: &Value) -> String {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
    let version = text("/apiVersion").expect("an object has an API version");
    let root = if version.contains('/') { "apis" } else { "api" };
    let namespace = text("/metadata/namespace").filter(|_| !is_cluster_scoped(object));
    let namespace = namespace.map_or(String::new(), |namespace| format!("/namespaces/{namespace}"));
    let kind = text("/kind").expect("an object has a kind").to_lowercase();
    let plural = match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    };
    format!("/{root}/{version}{namespace}/{plural}/{}", text("/metadata/name").expect("an object has a name"))
}

fn is_cluster_scoped(object: &Value) -> bool {
    let kinds = ["ClusterRole", "ClusterRoleBinding", "Namespace", "ValidatingWebhookConfiguration"];
    object.get("kind").and_then(Value::as_str).is_some_and(|kind| kinds.contains(&kind))
}
