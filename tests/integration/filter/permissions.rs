//! Who asks, as the API server sees it: the agent, or whoever is to be impersonated; and what RBAC then says.

use std::{
    fs,
    path::{Path, PathBuf},
};

use harness::{
    client::{Answer, Body, Endpoint, get, with_body, with_json},
    cluster::{self, cluster},
    eventually, pki,
    scene::{Scene, apply, deployment, tracked},
};
use http::{Request, header::HeaderName};
use serde_json::{Value, json};

#[tokio::test]
async fn whoever_is_to_be_impersonated_is_whom_the_api_server_sees() {
    let (open, filtered) = tokio::join!(Scene::open("impersonate"), Scene::filtered("impersonate"));
    for scene in [&open, &filtered] {
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let itself = scene.door.ask(with_json("POST", path, &review)).await.expect_status(201).json();
        assert_eq!(itself["status"]["userInfo"]["username"], "envtest-admin");

        let mut request = with_json("POST", path, &review);
        for (name, value) in [
            ("impersonate-user", "system:serviceaccount:shop:robot"),
            ("impersonate-group", "shop-keepers"),
            ("impersonate-group", "night-shift"),
            ("impersonate-uid", "06f6ce97-e2c5-4ab8-7ba5-7654dd08d52b"),
            ("impersonate-extra-reason", "inventory"),
            ("impersonate-extra-example.com%2fshop", "a b"),
            // A field that is listed here goes no further; not so one that decides who asks.
            ("connection", "impersonate-user, impersonate-group"),
        ] {
            request.headers_mut().append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let user = scene.door.ask(request).await.expect_status(201).json()["status"]["userInfo"].clone();
        assert_eq!(user["username"], "system:serviceaccount:shop:robot");
        assert_eq!(user["uid"], "06f6ce97-e2c5-4ab8-7ba5-7654dd08d52b");
        let groups: Vec<_> = user["groups"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(groups.contains(&"shop-keepers") && groups.contains(&"night-shift"), "{user}");
        assert_eq!(user["extra"]["reason"], json!(["inventory"]));
        assert_eq!(user["extra"]["example.com/shop"], json!(["a b"]));
    }
}

#[tokio::test]
async fn what_the_impersonated_may_not_do_is_refused_by_the_api_server_in_its_words() {
    let (open, filtered) = tokio::join!(Scene::open("eve"), Scene::filtered("eve"));
    for scene in [&open, &filtered] {
        scene.tracked("a").await;
        let as_eve = |endpoint: &Endpoint, method: &str, name: &str| {
            let path = scene.core(&format!("configmaps/{name}"));
            let mut request = with_body(method, &path, "application/merge-patch+json", r#"{"data":{"x":"y"}}"#);
            request.headers_mut().insert("impersonate-user", "eve".parse().unwrap());
            let endpoint = endpoint.clone();
            async move { endpoint.ask(request).await }
        };
        for method in ["GET", "PATCH"] {
            for name in ["a", "missing"] {
                let direct = as_eve(&scene.direct, method, name).await.expect_status(403);
                let answer = as_eve(&scene.door, method, name).await;
                assert_eq!((answer.status, answer.text()), (direct.status, direct.text()), "{method} {name}");
            }
        }
        let kubectl = scene.kubectl();
        let said = kubectl.fails(&["get", "configmap", "a", "--as=eve", "--as-group=nobody"]).await;
        assert!(said.contains(r#"User "eve" cannot get resource "configmaps""#), "{said}");
    }
}

#[tokio::test]
async fn what_the_agent_may_not_do_is_refused_by_the_api_server_in_its_words() {
    let (scene, robot) = limited("limited", READS_CONFIG).await;
    scene.tracked("a").await;
    let me = with_json(
        "POST",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        &json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}),
    );
    let me = scene.door.ask(me).await.expect_status(201).json();
    assert_eq!(me["status"]["userInfo"]["username"], robot.name.as_str());
    scene.door.ask(get(&scene.core("configmaps/a"))).await.expect_status(200);
    for (method, path) in [
        ("GET", scene.core("secrets/a")),
        ("GET", scene.apps("deployments/a")),
        // The kind does not exist, but RBAC comes first.
        ("GET", "/apis/nope.example/v1/namespaces/x/things/y".to_owned()),
        ("POST", scene.core("configmaps")),
        ("PATCH", scene.core("configmaps/a")),
        ("DELETE", scene.core("configmaps/a")),
    ] {
        let body = if method == "DELETE" { "" } else { r#"{"metadata":{"name":"b"}}"# };
        let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let request = || with_body(method, &path, content_type, body);
        let direct = robot.ask(request()).await.expect_status(403);
        let answer = scene.door.ask(request()).await;
        assert_eq!((answer.status, answer.text()), (direct.status, direct.text()), "{method} {path}");
    }
    scene.direct.ask(get(&scene.core("configmaps/a"))).await.expect_status(200);
}

#[tokio::test]
async fn an_owner_that_the_agent_may_not_read_leaves_it_undecided_and_the_permission_is_named() {
    let (scene, robot) = limited("undecided", READS_CONFIG).await;
    let owner = scene.apply(tracked(deployment("web", 0))).await;
    let mut owned = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned"}});
    owned["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": owner["metadata"]["uid"],
    }]);
    scene.apply(owned).await;
    let why = format!(
        "cannot decide whether the resource is managed by app: deployments.apps \\\"web\\\" is forbidden: User \
         \\\"{}\\\" cannot get resource \\\"deployments\\\" in API group \\\"apps\\\" in the namespace \\\"{}\\\"",
        robot.name, scene.namespace,
    );
    let path = scene.core("configmaps/owned");
    scene.door.ask(get(&path)).await.assert_refusal(503, "ServiceUnavailable", &why);
    let delete = with_body("DELETE", &path, "application/json", "");
    scene.door.ask(delete).await.assert_refusal(503, "ServiceUnavailable", &why);
    // What carries the mark itself needs no owner.
    scene.tracked("a").await;
    scene.door.ask(get(&scene.core("configmaps/a"))).await.expect_status(200);
}

#[tokio::test]
async fn an_agent_that_may_not_read_its_settings_shows_nothing_and_says_why() {
    let (scene, robot) = limited("blind", "").await;
    scene.tracked("a").await;
    let why = format!(
        "cannot decide whether the resource is managed by app: cannot read ConfigMap argocd-cm: configmaps \
         \\\"argocd-cm\\\" is forbidden: User \\\"{}\\\" cannot list resource \\\"configmaps\\\" in API group \\\"\\\" \
         in the namespace \\\"{}\\\"",
        robot.name, scene.argocd,
    );
    scene.door.ask(get(&scene.core("configmaps/a"))).await.assert_refusal(503, "ServiceUnavailable", &why);
}

#[tokio::test]
async fn a_token_that_is_renewed_is_used_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let token = pki::write(folder.path(), "token", "not yet a token");
    let kubeconfig = kubeconfig(folder.path(), &json!({"tokenFile": token}));
    let argocd = cluster::namespace("renewed-argocd").await;
    let robot = Robot::create(&argocd, READS_CONFIG).await;
    let scene = Scene::in_namespace("renewed", argocd, |config| config.kube.kubeconfig = Some(kubeconfig)).await;
    scene.tracked("a").await;
    let path = scene.core("configmaps/a");
    let why = "cannot decide whether the resource is managed by app: cannot read ConfigMap argocd-cm: Unauthorized";
    scene.door.ask(get(&path)).await.assert_refusal(503, "ServiceUnavailable", why);
    fs::write(&token, robot.token).unwrap();
    eventually("the new token is used", async || (scene.door.ask(get(&path)).await.status == 200).then_some(())).await;
}

/// Permissions of an agent: its settings and Applications, and ConfigMaps.
pub(super) const READS_CONFIG: &str = r#"[
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["get", "list", "watch"]}
]"#;

/// A ServiceAccount, at the API server itself.
pub(super) struct Robot {
    pub(super) name: String,
    token: String,
}

/// An agent that is a ServiceAccount with these permissions and a token of the API server.
pub(super) async fn limited(name: &str, rules: &str) -> (Scene, Robot) {
    let argocd = cluster::namespace(&format!("{name}-argocd")).await;
    let robot = Robot::create(&argocd, rules).await;
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = kubeconfig(folder.path(), &json!({"token": robot.token}));
    let scene = Scene::in_namespace(name, argocd, |config| config.kube.kubeconfig = Some(kubeconfig)).await;
    (scene, robot)
}

/// A kubeconfig of the cluster for a user who shows this.
fn kubeconfig(folder: &Path, user: &Value) -> PathBuf {
    let ca = pki::write(folder, "ca.crt", cluster().ca_pem());
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "robot",
        "clusters": [{"name": "c", "cluster": {"server": cluster().api_server_url(), "certificate-authority": ca}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "robot", "context": {"cluster": "c", "user": "u"}}],
    });
    pki::write(folder, "kubeconfig", &kubeconfig.to_string())
}

// === impl Robot ===

impl Robot {
    async fn create(namespace: &str, rules: &str) -> Self {
        let metadata = json!({"name": "robot", "namespace": namespace});
        apply(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})).await;
        if !rules.is_empty() {
            let rbac = |kind: &str| json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": namespace}});
            let mut role = rbac("ClusterRole");
            role["rules"] = serde_json::from_str(rules).unwrap();
            apply(&role).await;
            let mut binding = rbac("ClusterRoleBinding");
            binding["roleRef"] =
                json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace});
            binding["subjects"] = json!([{"kind": "ServiceAccount", "name": "robot", "namespace": namespace}]);
            apply(&binding).await;
        }
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/robot/token");
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let token = Endpoint::direct().ask(with_json("POST", &path, &request)).await.expect_status(201).json();
        let token = token["status"]["token"].as_str().unwrap().to_owned();
        Self { name: format!("system:serviceaccount:{namespace}:robot"), token }
    }

    pub(super) async fn ask(&self, mut request: Request<Body>) -> Answer {
        let cluster = cluster();
        let address = cluster.api_server_url().trim_start_matches("https://").parse().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
        Endpoint::new(address, cluster.ca_pem()).ask(request).await
    }
}
