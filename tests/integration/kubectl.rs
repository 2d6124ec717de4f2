//! Everyday kubectl through the door, beside the same kubectl at the API server itself.

use harness::{
    kubectl::{Kubectl, Output},
    scene::{Scene, deployment, tracked},
};
use serde_json::json;

#[tokio::test]
async fn everything_reads_the_same_without_the_filter() {
    let scene = Scene::open("kubectl-reads").await;
    scene.untracked("a").await;
    scene.deployment("web", 2, false).await;
    for args in [
        &["get", "configmap", "a"][..],
        &["get", "configmaps", "-o", "wide"],
        &["get", "configmap", "a", "-o", "yaml"],
        &["get", "configmap", "a", "-o", "json", "--show-managed-fields"],
        &["get", "configmap", "a", "-o", "jsonpath={.data.greeting}"],
        &["get", "configmaps", "-o", "custom-columns=NAME:.metadata.name"],
        &["get", "configmaps", "--sort-by=.metadata.name", "--show-labels"],
        &["get", "deployment,replicaset,pod", "-o", "wide"],
        &["get", "all"],
        &["get", "deploy/web", "cm/a", "cm/missing"],
        &["get", "nodes", "-o", "name"],
        &["get", "--raw", "/version"],
        &["get", "pods", "--field-selector=status.phase=Running", "-o", "name"],
        &["describe", "deployment", "web"],
        &["describe", "configmap", "a"],
        &["describe", "pods"],
        &["explain", "deployment.spec.strategy"],
        &["explain", "configmap", "--output=plaintext-openapiv2"],
        &["api-resources", "-o", "wide"],
        &["api-versions"],
        &["version", "-o", "yaml"],
        &["auth", "can-i", "delete", "nodes"],
        &["auth", "whoami"],
        &["rollout", "history", "deployment/web"],
        &["get", "nonsense"],
        &["logs", "deployment/web", "--tail=1"],
    ] {
        assert_alike(&scene.kubectl(), &scene.kubectl_direct(), args).await;
    }
}

#[tokio::test]
async fn what_is_managed_reads_the_same_with_the_filter() {
    let scene = Scene::filtered("kubectl-reads").await;
    scene.tracked("a").await;
    scene.untracked("hidden").await;
    scene.deployment("web", 1, true).await;
    for args in [
        &["get", "configmap", "a"][..],
        &["get", "configmap", "a", "-o", "wide", "--show-labels"],
        &["get", "configmap", "a", "-o", "yaml"],
        &["get", "deploy/web", "cm/a"],
        &["get", "deployment", "web", "-o", "jsonpath={.spec.replicas}"],
        &["describe", "configmap", "a"],
        &["explain", "deployment.spec.strategy"],
        &["api-resources", "-o", "wide"],
        &["api-versions"],
        &["version", "-o", "yaml"],
        &["auth", "can-i", "delete", "nodes"],
        &["auth", "whoami"],
        &["get", "nonsense"],
        &["get", "--raw", "/apis/apps/v1"],
    ] {
        assert_alike(&scene.kubectl(), &scene.kubectl_direct(), args).await;
    }
    for (args, said) in [
        (&["get", "configmap", "hidden"][..], "(NotFound): resource not managed by app"),
        (&["delete", "configmap", "hidden"], "(NotFound): resource not managed by app"),
    ] {
        let output = scene.kubectl().fails(args).await;
        assert_eq!(output, format!("Error from server {said}\n"), "{args:?}");
    }
}

#[tokio::test]
async fn objects_are_changed_by_every_command_that_changes_objects() {
    let (open, filtered) = tokio::join!(Scene::open("kubectl-writes"), Scene::filtered("kubectl-writes"));
    for scene in [&open, &filtered] {
        let kubectl = scene.kubectl();
        let data = async || scene.direct.object(&scene.core("configmaps/a")).await["data"].clone();
        let manifest = |value: &str| {
            tracked(json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"key": value},
            }))
            .to_string()
        };
        kubectl.ok_with_input(&["apply", "-f", "-"], &manifest("created")).await;
        assert_eq!(data().await, json!({"key": "created"}));
        kubectl.ok_with_input(&["apply", "-f", "-"], &manifest("applied")).await;
        assert_eq!(data().await, json!({"key": "applied"}));
        let server_side = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        kubectl.ok_with_input(&server_side, &manifest("server-side")).await;
        assert_eq!(data().await, json!({"key": "server-side"}));
        kubectl.ok_with_input(&["replace", "-f", "-"], &manifest("replaced")).await;
        assert_eq!(data().await, json!({"key": "replaced"}));
        let differs = kubectl.run_with_input(&["diff", "-f", "-"], manifest("differs").as_bytes()).await;
        assert_eq!(differs.code, Some(1), "{}", differs.stderr);
        assert!(differs.text().contains("+  key: differs"), "{}", differs.text());
        kubectl.ok(&["patch", "configmap", "a", "--type=merge", "-p", r#"{"data":{"key":"patched"}}"#]).await;
        assert_eq!(data().await, json!({"key": "patched"}));
        kubectl.clone().env("KUBE_EDITOR", "sed -i s/patched/edited/").ok(&["edit", "configmap", "a"]).await;
        assert_eq!(data().await, json!({"key": "edited"}));
        kubectl.ok(&["label", "configmap", "a", "tier=front"]).await;
        kubectl.ok(&["annotate", "configmap", "a", "note=seen"]).await;
        let metadata = scene.direct.object(&scene.core("configmaps/a")).await["metadata"].clone();
        assert_eq!((&metadata["labels"]["tier"], &metadata["annotations"]["note"]), (&json!("front"), &json!("seen")));
        kubectl.ok(&["create", "configmap", "made", "--from-literal=x=y"]).await;
        let deleted = kubectl.ok(&["delete", "configmap", "a", "--timeout=20s"]).await;
        assert!(deleted.starts_with(r#"configmap "a" deleted"#), "{deleted}");
        let gone = scene.kubectl_direct().fails(&["get", "configmap", "a"]).await;
        assert!(gone.contains("NotFound"), "{gone}");
    }
}

#[tokio::test]
async fn workloads_are_scaled_and_rolled_out() {
    let (open, filtered) = tokio::join!(Scene::open("kubectl-rollout"), Scene::filtered("kubectl-rollout"));
    for scene in [&open, &filtered] {
        let kubectl = scene.kubectl();
        kubectl.ok_with_input(&["apply", "-f", "-"], &tracked(deployment("web", 1)).to_string()).await;
        kubectl.ok(&["scale", "deployment/web", "--replicas=2"]).await;
        kubectl.ok(&["set", "image", "deployment/web", "main=other"]).await;
        kubectl.ok(&["rollout", "restart", "deployment/web"]).await;
        let spec = scene.direct.object(&scene.apps("deployments/web")).await["spec"].clone();
        assert_eq!(
            (&spec["replicas"], &spec["template"]["spec"]["containers"][0]["image"]),
            (&json!(2), &json!("other"))
        );
    }
    let kubectl = open.kubectl();
    kubectl.ok(&["rollout", "status", "deployment/web", "--timeout=50s"]).await;
    kubectl.ok(&["wait", "deployment/web", "--for=condition=Available", "--timeout=50s"]).await;
    kubectl.ok(&["delete", "deployment", "web", "--cascade=foreground", "--timeout=50s"]).await;
    let none = kubectl.run(&["get", "pods,replicasets", "-o", "name"]).await;
    assert_eq!(none.text(), "");
}

/// Asserts that both say the same and end in the same way.
async fn assert_alike(door: &Kubectl, direct: &Kubectl, args: &[&str]) {
    let both = async || -> (Output, Output) { tokio::join!(door.run(args), direct.run(args)) };
    let mut outputs = both().await;
    for _ in 0..5 {
        // They tell the age of things in seconds, and may ask on either side of one.
        if outputs.0 != outputs.1 {
            outputs = both().await;
        }
    }
    let (door, direct) = outputs;
    assert_eq!((door.code, door.text(), door.stderr), (direct.code, direct.text(), direct.stderr), "{args:?}");
}
