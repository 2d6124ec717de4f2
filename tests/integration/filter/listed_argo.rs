//! Argo CD's own objects and the namespaces that they deploy to, in lists.

use harness::{
    client::get_as,
    cluster, eventually,
    scene::{Scene, apply, tracked},
    shown::List,
};
use serde_json::{Value, json};

use super::mixed::{PROTOBUF, TABLE};

#[tokio::test]
async fn applications_of_the_agents_namespace_are_listed_and_those_elsewhere_are_not() {
    let scene = Scene::filtered("argo-lists").await;
    for (resource, kind) in
        [("applications", "Application"), ("appprojects", "AppProject"), ("applicationsets", "ApplicationSet")]
    {
        let object = |namespace: &str, name: &str| {
            json!({
                "apiVersion": "argoproj.io/v1alpha1", "kind": kind,
                "metadata": {"name": name, "namespace": namespace, "labels": {"scene": scene.namespace}}, "spec": {},
            })
        };
        apply(&object(&scene.argocd, "own")).await;
        apply(&object(&scene.namespace, "elsewhere")).await;
        apply(&tracked(object(&scene.namespace, "app-of-apps"))).await;
        let all = format!("/apis/argoproj.io/v1alpha1/{resource}?labelSelector=scene%3D{}", scene.namespace);
        let of = |namespace: &str| format!("/apis/argoproj.io/v1alpha1/namespaces/{namespace}/{resource}");
        for (target, names) in [
            (of(&scene.argocd), &["own"][..]),
            (of(&scene.namespace), &["app-of-apps"]),
            (all, &["own", "app-of-apps"]),
        ] {
            for accept in ["application/json", TABLE] {
                let list = List::read(&scene.door.ask(get_as(&target, accept)).await);
                let mut shown = list.names();
                shown.sort_unstable_by_key(|name| *name != "own");
                assert_eq!(shown, names, "{target}");
            }
        }
    }
}

#[tokio::test]
async fn the_namespaces_that_applications_deploy_to_are_listed() {
    let scene = Scene::filtered("listed-ns").await;
    let (marked, hidden) = (cluster::namespace("listed-ns").await, cluster::namespace("listed-ns").await);
    apply(&tracked(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": marked}}))).await;
    apply(&application(&scene.argocd, &scene.namespace)).await;
    apply(&application(&scene.namespace, &hidden)).await;
    // Of all the namespaces of the run, these are this test's.
    let own = [&scene.namespace, &scene.argocd, &marked, &hidden];
    for accept in ["application/json", PROTOBUF, TABLE] {
        eventually("the destination is listed", async || {
            let list = List::read(&scene.door.ask(get_as("/api/v1/namespaces", accept)).await);
            let shown: Vec<_> = list.names().into_iter().filter(|name| own.iter().any(|own| own == name)).collect();
            assert!(!shown.contains(&hidden.as_str()) && !shown.contains(&scene.argocd.as_str()), "{shown:?}");
            (shown == [&scene.namespace, &marked]).then_some(())
        })
        .await;
    }
}

fn application(namespace: &str, destination: &str) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "shop", "namespace": namespace},
        "spec": {"project": "default", "destination": {"name": "in-cluster", "namespace": destination}},
    })
}
