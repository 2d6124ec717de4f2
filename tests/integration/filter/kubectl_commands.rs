//! The less common commands of kubectl behind the filter: each does to what is managed what it does without a filter,
//! and to what is hidden nothing, even where it works on many objects at once.

use harness::{
    eventually,
    kubectl::Kubectl,
    scene::{Scene, apply, tracked},
};
use serde_json::{Value, json};

use super::{
    argo,
    kubectl::{application, say},
};

#[tokio::test]
async fn questions_about_the_cluster_are_answered_as_by_the_api_server() {
    let scene = application("k-questions").await;
    let (kubectl, direct) = (scene.kubectl(), scene.kubectl_direct());
    // With this its Namespace is shown: kubectl tells that one's error where something in it is missing.
    apply(&argo::application(&scene.argocd, "shop", &scene.namespace)).await;
    eventually("the destination is shown", async || {
        (kubectl.run(&["get", "namespace", &scene.namespace]).await.code == Some(0)).then_some(())
    })
    .await;
    for args in [
        &["auth", "can-i", "--list"][..],
        &["top", "pods"],
        &["top", "nodes"],
        &["api-resources", "--verbs=list", "--namespaced=false", "-o", "name"],
        &["explain", "deployment.spec", "--recursive"],
        &["get", "--raw", "/openapi/v3"],
        // Mistakes get the words of the API server, or kubectl's own.
        &["get", "po/missing", "svc/missing"],
        &["get", "pods", "--field-selector=nope=x"],
        &["get", "pods", "-l", "!!"],
        &["get", "deployments.v1beta1.apps"],
        &["get", "--raw", "/api/v1/pods?continue=garbage"],
        &["rollout", "status", "deployment/missing"],
        &["wait", "configmap/missing", "--for=condition=x", "--timeout=5s"],
        &["wait", "configmap/missing", "--for=delete", "--timeout=5s"],
        &["scale", "deployment/shop", "--current-replicas=7", "--replicas=2"],
        &["logs", "deployment/shop", "-c", "missing"],
    ] {
        assert_eq!(answer(&kubectl, args).await, answer(&direct, args).await, "{args:?}");
    }
}

/// The exit code, and the lines of both outputs: rules come in no fixed order.
async fn answer(kubectl: &Kubectl, args: &[&str]) -> (Option<i32>, String) {
    let output = kubectl.run(args).await;
    let said = format!("{}{}", output.text(), output.stderr);
    let mut lines: Vec<_> = said.lines().collect();
    lines.sort_unstable();
    (output.code, lines.join("\n"))
}

#[tokio::test]
async fn pods_are_debugged_and_jobs_made_of_cron_jobs() {
    let scene = application("k-debug").await;
    let kubectl = scene.kubectl();
    let pod = say(&kubectl, &["get", "pods", "-o", "name"]).await;
    let pod = pod.lines().next().unwrap().trim_start_matches("pod/");
    say(&kubectl, &["debug", pod, "--image=tools", "-c", "tools", "--attach=false"]).await;
    let changed = scene.direct.object(&scene.core(&format!("pods/{pod}"))).await;
    assert_eq!(changed["spec"]["ephemeralContainers"][0]["name"], "tools");

    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "main"}]}});
    let cron_job = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"},
        "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": template}}},
    });
    scene.apply(tracked(cron_job)).await;
    say(&kubectl, &["create", "job", "now", "--from=cronjob/nightly"]).await;
    // It has no mark of its own; its owner has.
    say(&kubectl, &["wait", "job/now", "--for=jsonpath={.metadata.name}=now", "--timeout=50s"]).await;
    say(&kubectl, &["delete", "cronjob", "nightly", "--cascade=foreground", "--timeout=50s"]).await;
    let gone = scene.kubectl_direct().fails(&["get", "job", "now"]).await;
    assert!(gone.contains("NotFound"), "{gone}");
}

#[tokio::test]
async fn commands_on_all_objects_change_those_that_are_shown() {
    let scene = application("k-all-of").await;
    let (kubectl, direct) = (scene.kubectl(), scene.kubectl_direct());
    let labelled = |name: &str| {
        let metadata = json!({"name": name, "namespace": scene.namespace, "labels": {"set": "one"}});
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    };
    // All three were applied by kubectl, which is what its prune goes by.
    for object in [tracked(labelled("kept")), tracked(labelled("pruned")), labelled("secretive-one")] {
        direct.ok_with_input(&["apply", "-f", "-"], &object.to_string()).await;
    }
    let before = hidden(&scene).await;
    let prune = ["apply", "--prune", "-l", "set=one", "--prune-allowlist=core/v1/ConfigMap", "-f", "-"];
    kubectl.ok_with_input(&prune, &tracked(labelled("kept")).to_string()).await;
    let left = direct.ok(&["get", "configmaps", "-l", "set=one", "-o", "name"]).await;
    assert_eq!(left, "configmap/kept\nconfigmap/secretive-one\n");

    say(&kubectl, &["annotate", "configmaps", "--all", "seen=yes"]).await;
    say(&kubectl, &["scale", "deployments", "--all", "--replicas=1"]).await;
    say(&kubectl, &["rollout", "restart", "deployment"]).await;
    say(&kubectl, &["set", "env", "deployments", "--all", "A=b"]).await;
    say(&kubectl, &["delete", "configmaps,services,deployments", "--all", "--timeout=50s"]).await;
    assert_eq!(hidden(&scene).await, before);
    let said = say(&kubectl, &["get", "configmaps,services,deployments"]).await;
    assert!(said.contains("No resources found"), "{said}");
    // kubectl deletes one by one; what asks the API server to delete them all is refused.
    let said = kubectl.fails(&["delete", "--raw", &scene.core("configmaps")]).await;
    assert_eq!(said, "Error from server (Forbidden): not authorized to delete collections of resources\n");
}

#[tokio::test]
async fn every_command_on_what_is_hidden_is_refused_and_changes_nothing() {
    let scene = application("k-refused").await;
    let kubectl = scene.kubectl();
    let before = hidden(&scene).await;
    let namespace = scene.namespace.as_str();
    for args in [
        &["get", "deployment", "secretive"][..],
        &["get", "deployment", "secretive", "-w"],
        &["describe", "deployment", "secretive"],
        &["edit", "deployment", "secretive"],
        &["scale", "deployment", "secretive", "--replicas=0"],
        &["rollout", "restart", "deployment/secretive"],
        &["rollout", "history", "deployment/secretive"],
        &["rollout", "undo", "deployment/secretive"],
        &["rollout", "pause", "deployment/secretive"],
        &["set", "image", "deployment/secretive", "main=other"],
        &["autoscale", "deployment", "secretive", "--max=3"],
        &["expose", "deployment", "secretive", "--port=80"],
        &["logs", "deployment/secretive"],
        &["exec", "deployment/secretive", "--", "id"],
        &["port-forward", "deployment/secretive", ":80"],
        &["patch", "configmap", "secretive", "-p", r#"{"data":{"a":"c"}}"#],
        &["annotate", "configmap", "secretive", "argocd.argoproj.io/tracking-id=shop:x:y/z"],
        &["label", "configmap", "secretive", "app=shop"],
        &["delete", "configmap", "secretive"],
        &["apply", "view-last-applied", "configmap/secretive"],
        &["create", "token", "default"],
        &["cordon", "envtest"],
        &["drain", "envtest"],
        &["taint", "node", "envtest", "a=b:NoSchedule"],
        &["label", "namespace", namespace, "a=b"],
        &["delete", "namespace", namespace],
    ] {
        let said = kubectl.fails(args).await;
        // kubectl 1.30 forgets the error of the one object that it was to scale, missing ones' too.
        let forgotten = args[0] == "scale" && said == "error: no objects passed to scale\n";
        assert!(forgotten || said.contains("resource not managed by app"), "kubectl {args:?}: {said}");
    }
    // It is created, as far as kubectl can know; the API server does not let it be.
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "secretive"}, "data": {"a": "c"}});
    let map = tracked(map).to_string();
    for (args, said) in [
        (&["create", "-f", "-"][..], "AlreadyExists"),
        (&["apply", "-f", "-"], "AlreadyExists"),
        (&["replace", "--force", "-f", "-"], "AlreadyExists"),
        (&["replace", "-f", "-"], "resource not managed by app"),
        (&["apply", "--server-side", "--force-conflicts", "-f", "-"], "resource not managed by app"),
    ] {
        let output = kubectl.run_with_input(args, map.as_bytes()).await;
        assert!(output.code == Some(1) && output.stderr.contains(said), "kubectl {args:?}: {}", output.stderr);
    }
    assert_eq!(hidden(&scene).await, before);
}

/// Name, UID and what is wanted of everything in the test's namespace that is hidden and nobody but a user changes.
async fn hidden(scene: &Scene) -> Vec<Value> {
    let mut found = Vec::new();
    for path in [scene.core("configmaps"), scene.core("services"), scene.apps("deployments")] {
        let list = scene.direct.object(&path).await;
        let items = list["items"].as_array().unwrap().iter();
        found.extend(items.filter(|item| item["metadata"]["name"].as_str().unwrap().starts_with("secretive")).map(
            |item| {
                let metadata = &item["metadata"];
                json!([metadata["uid"], metadata["labels"], metadata["annotations"], item["spec"], item["data"]])
            },
        ));
    }
    assert!(found.len() >= 3, "{found:?}");
    found
}
