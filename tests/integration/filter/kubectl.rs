//! Real kubectl on an application behind the filter: it works as on a cluster that has nothing else.

use std::time::Duration;

use harness::{
    client::with_json,
    eventually,
    kubectl::Kubectl,
    scene::{Scene, tracked},
};
use serde_json::json;
use tokio::time::Instant;

use super::{mixed::owned, watches::mark};

/// A scene with an application called `shop`, and one of the same kind that nothing may ever say a word of: `secretive`.
pub(super) async fn application(name: &str) -> Scene {
    let scene = Scene::filtered(name).await;
    for (app, is_tracked) in [("shop", true), ("secretive", false)] {
        scene.deployment(app, 2, is_tracked).await;
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": app},
            "spec": {"selector": {"app": app}, "ports": [{"port": 80}]},
        });
        scene.apply(if is_tracked { tracked(service) } else { service }).await;
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": app}, "data": {"a": "b"}});
        scene.apply(if is_tracked { tracked(object) } else { object }).await;
    }
    scene
}

/// What kubectl says, on both outputs, which must not be about what is not managed.
pub(super) async fn say(kubectl: &Kubectl, args: &[&str]) -> String {
    let output = kubectl.run(args).await;
    let said = format!("{}{}", output.text(), output.stderr);
    assert_eq!(output.code, Some(0), "kubectl {args:?}: {said}");
    assert!(!said.contains("secretive") && !said.contains("kube-root-ca.crt"), "kubectl {args:?}: {said}");
    said
}

#[tokio::test]
async fn get_shows_the_application_in_every_output() {
    let scene = application("k-get").await;
    let kubectl = scene.kubectl();
    for (args, shown) in [
        (&["get", "deployments"][..], 1),
        (&["get", "pods"], 2),
        (&["get", "pods", "-o", "wide"], 2),
        (&["get", "pods", "-o", "name"], 2),
        (&["get", "pods", "-l", "app in (shop,secretive)"], 2),
        (&["get", "pods", "--field-selector=status.phase=Running", "--show-labels"], 2),
        (&["get", "pods", "-o", "custom-columns=NAME:.metadata.name"], 2),
        (&["get", "pods", "--sort-by=.metadata.name"], 2),
        (&["get", "pods", "--chunk-size=1"], 2),
        (&["get", "replicasets,services,configmaps", "--no-headers"], 3),
        (&["get", "deploy,rs,po,svc,cm", "--no-headers", "--chunk-size=10", "--show-kind"], 6),
        (&["get", "all", "--no-headers"], 5),
    ] {
        let said = say(&kubectl, args).await;
        let lines = said.lines().filter(|line| line.contains("shop") && !line.starts_with('#')).count();
        assert_eq!(lines, shown, "kubectl {args:?}: {said}");
    }
    for output in ["yaml", "json"] {
        let said = say(&kubectl, &["get", "deploy,pods,configmaps", "-o", output]).await;
        assert!(said.contains("kind: List") || said.contains(r#""kind": "List""#), "{said}");
    }
    let direct = scene.kubectl_direct();
    for args in [
        &["get", "pods", "-l", "app=shop", "-o", "yaml"][..],
        &["get", "deploy", "shop", "-o", "wide", "--no-headers"],
        &["get", "pods", "-l", "app=shop", "-o", "jsonpath={.items[*].metadata.uid}"],
    ] {
        let mut both = (say(&kubectl, args).await, say(&direct, args).await);
        for _ in 0..5 {
            // They tell the age of things in seconds.
            if both.0 != both.1 {
                both = (say(&kubectl, args).await, say(&direct, args).await);
            }
        }
        assert_eq!(both.0, both.1, "{args:?}");
    }
    let nothing = scene.kubectl().run(&["get", "secrets"]).await;
    assert_eq!(nothing.stderr, format!("No resources found in {} namespace.\n", scene.namespace));
}

#[tokio::test]
async fn get_of_all_namespaces_shows_the_application_and_nothing_of_its_neighbours() {
    let scene = application("k-all").await;
    for args in [
        &["get", "deploy", "-A"][..],
        &["get", "pods", "-A", "-o", "wide"],
        &["get", "pods,services", "-A", "--chunk-size=10"],
        &["get", "events", "-A"],
    ] {
        let said = say(&scene.kubectl(), args).await;
        assert!(said.lines().any(|line| line.contains(&scene.namespace) && line.contains("shop")), "{args:?}: {said}");
    }
}

#[tokio::test]
async fn get_w_shows_what_happens() {
    let scene = application("k-watch").await;
    let kubectl = scene.kubectl();
    let mut watch = kubectl.start(&["get", "configmaps", "--watch", "--output-watch-events"]);
    let mut yaml = kubectl.start(&["get", "configmaps", "--watch-only", "-o", "name"]);
    assert!(watch.line_with("ADDED").await.contains(" shop "));
    scene.untracked("secretive-too").await;
    mark(&scene, "secretive", true).await;
    assert!(watch.line_with("ADDED").await.contains(" secretive "));
    mark(&scene, "secretive", false).await;
    assert!(watch.line_with("DELETED").await.contains(" secretive "));
    // `--watch-only` begins with a list of one item for its version, and may have begun after any of the above.
    eventually("a change is seen", async || {
        scene.tracked("new").await;
        let path = scene.core("configmaps/new");
        let seen = tokio::time::timeout(Duration::from_secs(2), yaml.line_with("configmap/new")).await;
        scene.direct.ask(with_json("DELETE", &path, &json!({}))).await.expect_status(200);
        seen.ok()
    })
    .await;
    loop {
        let line = watch.line().await.unwrap();
        assert!(!line.contains("secretive"), "{line}");
        if line.contains("DELETED") && line.contains(" new ") {
            break;
        }
    }
    let mut all = kubectl.start(&["get", "pods", "-A", "-w", "-o", "wide"]);
    all.line_with(&scene.namespace).await;
}

#[tokio::test]
async fn describe_tells_the_events_and_the_replica_sets_of_what_is_managed() {
    let scene = application("k-describe").await;
    let kubectl = scene.kubectl();
    let said = say(&kubectl, &["describe", "deployment", "shop"]).await;
    assert!(said.contains("ScalingReplicaSet") && said.contains("NewReplicaSet:   shop-"), "{said}");
    let said = say(&kubectl, &["describe", "pods"]).await;
    assert_eq!(said.matches("Controlled By:  ReplicaSet/shop-").count(), 2, "{said}");
    let said = say(&kubectl, &["describe", "replicasets"]).await;
    assert!(said.contains("SuccessfulCreate"), "{said}");
    say(&kubectl, &["describe", "service", "shop"]).await;
    let hidden = kubectl.fails(&["describe", "deployment", "secretive"]).await;
    assert!(hidden.contains("NotFound"), "{hidden}");
}

#[tokio::test]
async fn get_events_shows_those_of_what_is_managed() {
    let scene = application("k-events").await;
    let kubectl = scene.kubectl();
    for args in [
        &["get", "events"][..],
        &["get", "events", "-o", "wide"],
        &["get", "events", "--sort-by=.lastTimestamp"],
        &["get", "events", "-o", "custom-columns=ABOUT:.involvedObject.name"],
        &["get", "events.events.k8s.io"],
        &["events"],
        &["events", "--for=deployment/shop"],
    ] {
        let said = say(&kubectl, args).await;
        assert!(said.contains("shop"), "{args:?}: {said}");
    }
}

#[tokio::test]
async fn wait_and_rollout_status_follow_the_application() {
    let scene = application("k-wait").await;
    let kubectl = scene.kubectl();
    say(&kubectl, &["wait", "deployment/shop", "--for=condition=Available", "--timeout=50s"]).await;
    say(&kubectl, &["wait", "pods", "--all", "--for=condition=Ready", "--timeout=50s"]).await;
    say(&kubectl, &["wait", "pods", "-l", "app=shop", "--for=jsonpath={.status.phase}=Running", "--timeout=50s"]).await;
    say(&kubectl, &["rollout", "status", "deployment/shop", "--timeout=50s"]).await;
    say(&kubectl, &["scale", "deployment/shop", "--replicas=3"]).await;
    say(&kubectl, &["rollout", "status", "deployment/shop", "--timeout=50s"]).await;
    say(&kubectl, &["set", "image", "deployment/shop", "main=other"]).await;
    let said = say(&kubectl, &["rollout", "status", "deployment/shop", "--timeout=50s"]).await;
    assert!(said.contains("successfully rolled out"), "{said}");
    let said = say(&kubectl, &["rollout", "history", "deployment/shop"]).await;
    assert!(said.contains("\n2 "), "{said}");
    say(&kubectl, &["rollout", "undo", "deployment/shop"]).await;
    say(&kubectl, &["rollout", "status", "deployment/shop", "--timeout=50s"]).await;

    // What waits sees the end of what it waits for.
    scene.tracked("waited").await;
    let mut waits = kubectl.start(&["wait", "configmap/waited", "--for=delete", "--timeout=50s"]);
    let path = scene.core("configmaps/waited");
    scene.direct.ask(with_json("DELETE", &path, &json!({}))).await.expect_status(200);
    assert_eq!(waits.end().await, Some(0));
    let mut waits =
        kubectl.start(&["wait", "deployment/shop", "--for=jsonpath={.metadata.labels.done}=yes", "--timeout=50s"]);
    scene.kubectl_direct().ok(&["label", "deployment", "shop", "done=yes"]).await;
    assert_eq!(waits.end().await, Some(0));
}

#[tokio::test]
async fn delete_waits_until_what_it_deletes_is_gone() {
    let scene = application("k-delete").await;
    let kubectl = scene.kubectl();
    let owner = scene.tracked("owner").await;
    owned(&scene, "child", &[&owner]).await;
    let began = Instant::now();
    say(&kubectl, &["delete", "configmap", "owner", "--wait", "--timeout=50s"]).await;
    say(&kubectl, &["delete", "deployment", "shop", "--cascade=foreground", "--wait", "--timeout=50s"]).await;
    assert!(began.elapsed() < Duration::from_secs(100));
    let said = say(&kubectl, &["get", "deploy,rs,pods"]).await;
    assert!(said.contains("No resources found"), "{said}");
    // A selector deletes what is shown one by one; what is hidden stays.
    scene.tracked("labelled").await;
    say(&kubectl, &["label", "configmaps", "--all", "tier=front"]).await;
    say(&kubectl, &["delete", "configmaps", "-l", "tier=front", "--timeout=50s"]).await;
    let left = scene.kubectl_direct().ok(&["get", "deploy,configmaps", "-o", "name"]).await;
    assert_eq!(left, "deployment.apps/secretive\nconfigmap/kube-root-ca.crt\nconfigmap/secretive\n");
}

#[tokio::test]
async fn logs_and_exec_find_a_pod_of_the_deployment() {
    let scene = application("k-logs").await;
    let kubectl = scene.kubectl();
    say(&kubectl, &["logs", "deployment/shop", "--tail=1"]).await;
    say(&kubectl, &["logs", "-l", "app=shop", "--tail=1", "--prefix"]).await;
    assert_eq!(say(&kubectl, &["exec", "deployment/shop", "--", "echo", "hello"]).await, "hello\n");
    for args in [&["logs", "deployment/secretive"][..], &["exec", "deployment/secretive", "--", "id"]] {
        let said = kubectl.fails(args).await;
        assert!(said.contains("NotFound") || said.contains("not managed"), "{said}");
    }
}
