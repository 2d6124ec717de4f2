//! Argo CD's own objects, and the namespaces that they deploy to.

use harness::{
    client::{Protocol, assert_same, get, with_body, with_json},
    cluster, eventually,
    scene::{Scene, apply},
};
use serde_json::{Value, json};

#[tokio::test]
async fn applications_projects_and_sets_of_the_agents_namespace_need_no_mark() {
    let scene = Scene::filtered("argo").await;
    for (resource, kind) in
        [("applications", "Application"), ("appprojects", "AppProject"), ("applicationsets", "ApplicationSet")]
    {
        let collection = |namespace: &str| format!("/apis/argoproj.io/v1alpha1/namespaces/{namespace}/{resource}");
        let object = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": {"name": "shop"}, "spec": {"x": 1},
        });
        let path = format!("{}/shop", collection(&scene.argocd));
        scene.door.ask(with_json("POST", &collection(&scene.argocd), &object)).await.expect_status(201);
        assert_same(&scene.door, Protocol::Http1, || get(&path)).await.expect_status(200);
        // A refresh and a sync, as Argo CD's user interface asks for them.
        for patch in [
            r#"{"metadata":{"annotations":{"argocd.argoproj.io/refresh":"hard"}}}"#,
            r#"{"operation":{"sync":{"revision":"HEAD"}}}"#,
        ] {
            scene.door.ask(with_body("PATCH", &path, "application/merge-patch+json", patch)).await.expect_status(200);
        }
        scene.door.ask(with_body("DELETE", &path, "application/json", "")).await.expect_status(200);

        // Elsewhere it is an object like any other.
        let elsewhere = format!("{}/shop", collection(&scene.namespace));
        scene.apply(object).await;
        scene.door.ask(get(&elsewhere)).await.assert_not_managed();
    }
}

#[tokio::test]
async fn further_namespaces_of_applications_are_named_or_given_by_a_pattern() {
    for by_pattern in [false, true] {
        let team = cluster::namespace("team").await;
        let further = if by_pattern { team.replace("team", "t?a*") } else { team.clone() };
        let scene = Scene::with("teams", |config| {
            config.application_namespaces = vec![config.namespace.clone(), further];
        })
        .await;
        apply(&application(&team, "shop", &scene.namespace)).await;
        let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{team}/applications/shop");
        scene.door.ask(get(&path)).await.expect_status(200);
        let namespace = format!("/api/v1/namespaces/{}", scene.namespace);
        eventually("the destination is shown", async || {
            (scene.door.ask(get(&namespace)).await.status == 200).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_namespace_is_shown_as_long_as_an_application_deploys_to_it() {
    let scene = Scene::filtered("destination").await;
    let namespace = format!("/api/v1/namespaces/{}", scene.namespace);
    scene.door.ask(get(&namespace)).await.assert_not_managed();
    apply(&application(&scene.argocd, "shop", &scene.namespace)).await;
    eventually("the destination is shown", async || {
        (scene.door.ask(get(&namespace)).await.status == 200).then_some(())
    })
    .await;
    assert_same(&scene.door, Protocol::Http2, || get(&namespace)).await.expect_status(200);
    // So kubectl shows the error that there is, and not one of the namespace.
    let missing = scene.kubectl().fails(&["get", "configmap", "missing"]).await;
    assert_eq!(missing, "Error from server (NotFound): configmaps \"missing\" not found\n");
    // To be seen is not to be changed.
    let patch = with_body("PATCH", &namespace, "application/merge-patch+json", r#"{"metadata":{"labels":{"x":"y"}}}"#);
    scene.door.ask(patch).await.assert_not_managed();
    scene.door.ask(with_body("DELETE", &namespace, "application/json", "")).await.assert_not_managed();

    let other = cluster::namespace("destination").await;
    apply(&application(&scene.argocd, "shop", &other)).await;
    eventually("the former destination is hidden", async || {
        (scene.door.ask(get(&namespace)).await.status == 404).then_some(())
    })
    .await;
    scene.door.ask(get(&format!("/api/v1/namespaces/{other}"))).await.expect_status(200);
    let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{}/applications/shop", scene.argocd);
    scene.direct.ask(with_body("DELETE", &path, "application/json", "")).await.expect_status(200);
    eventually("no destination is left", async || {
        (scene.door.ask(get(&format!("/api/v1/namespaces/{other}"))).await.status == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_argo_cds_own_objects_own_is_managed() {
    let scene = Scene::filtered("owned-by-argo").await;
    let owner = apply(&application(&scene.argocd, "shop", &scene.namespace)).await;
    let owned = |namespace: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "owned", "namespace": namespace, "ownerReferences": [{
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "name": "shop",
                "uid": owner["metadata"]["uid"],
            }]},
        })
    };
    apply(&owned(&scene.argocd)).await;
    let path = format!("/api/v1/namespaces/{}/configmaps/owned", scene.argocd);
    scene.door.ask(get(&path)).await.expect_status(200);
}

pub(super) fn application(namespace: &str, name: &str, destination: &str) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"project": "default", "destination": {"name": "in-cluster", "namespace": destination}},
    })
}
