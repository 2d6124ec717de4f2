//! Objects that belong to a managed one are managed, UID for UID.

use harness::{
    client::{Protocol, assert_same, get, get_as, with_body, with_json},
    eventually,
    scene::{Scene, apply, tracked},
};
use serde_json::{Value, json};

#[tokio::test]
async fn pods_and_replica_sets_of_a_managed_deployment_are_shown_and_of_another_hidden() {
    let scene = Scene::filtered("owners").await;
    scene.deployment("shop", 1, true).await;
    scene.deployment("other", 1, false).await;
    let named = async |resource: &str, app: &str| {
        let list = scene.direct.object(&format!("{resource}?labelSelector=app%3D{app}")).await;
        let items = list["items"].as_array().unwrap().clone();
        assert_eq!(items.len(), 1, "{resource} {app}");
        format!("{resource}/{}", items[0]["metadata"]["name"].as_str().unwrap())
    };
    for resource in [scene.core("pods"), scene.apps("replicasets")] {
        let shown = named(&resource, "shop").await;
        for accept in ["application/json", "application/vnd.kubernetes.protobuf", "application/yaml"] {
            assert_same(&scene.door, Protocol::Http1, || get_as(&shown, accept)).await.expect_status(200);
        }
        let patch = r#"{"metadata":{"labels":{"seen":"yes"}}}"#;
        let patch = with_body("PATCH", &shown, "application/merge-patch+json", patch);
        scene.door.ask(patch).await.expect_status(200);
        scene.door.ask(get(&named(&resource, "other").await)).await.assert_not_managed();
    }
    let pod = named(&scene.core("pods"), "shop").await;
    scene.door.ask(get(&format!("{pod}/log"))).await.expect_status(200);
    scene.door.ask(with_body("DELETE", &pod, "application/json", "")).await.expect_status(200);
    let other = named(&scene.core("pods"), "other").await;
    scene.door.ask(with_body("DELETE", &other, "application/json", "")).await.assert_not_managed();
    scene.direct.ask(get(&other)).await.expect_status(200);
}

#[tokio::test]
async fn five_references_are_followed_and_no_more() {
    let scene = Scene::filtered("chain").await;
    let mut owner = scene.tracked("link-0").await;
    for depth in 1..=6 {
        owner = owned(&scene, &format!("link-{depth}"), &[reference(&owner)]).await;
    }
    for depth in 0..=6 {
        let answer = scene.door.ask(get(&scene.core(&format!("configmaps/link-{depth}")))).await;
        assert_eq!(answer.status, if depth <= 5 { 200 } else { 404 }, "{depth}: {}", answer.text());
    }
}

#[tokio::test]
async fn one_managed_owner_among_several_is_enough() {
    let scene = Scene::filtered("several").await;
    let (good, bad) = (scene.tracked("good").await, scene.untracked("bad").await);
    owned(&scene, "both", &[reference(&bad), reference(&good)]).await;
    owned(&scene, "neither", &[reference(&bad)]).await;
    scene.door.ask(get(&scene.core("configmaps/both"))).await.expect_status(200);
    scene.door.ask(get(&scene.core("configmaps/neither"))).await.assert_not_managed();
}

#[tokio::test]
async fn a_reference_must_name_the_owners_very_uid() {
    let scene = Scene::filtered("uid").await;
    let owner = scene.tracked("owner").await;
    let mut namesake = reference(&owner);
    namesake["uid"] = "00000000-0000-0000-0000-000000000000".into();
    let mut of_another_kind = reference(&owner);
    of_another_kind["kind"] = "Secret".into();
    let mut of_an_unknown_kind = reference(&owner);
    of_an_unknown_kind["apiVersion"] = "nope.example/v1".into();
    for (name, reference) in
        [("namesake", namesake), ("of-another-kind", of_another_kind), ("of-an-unknown-kind", of_an_unknown_kind)]
    {
        // The garbage collector would remove it: its owner does not exist.
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "ownerReferences": [reference], "finalizers": ["example.com/kept"]},
        });
        scene.apply(object).await;
        let path = scene.core(&format!("configmaps/{name}"));
        scene.door.ask(get(&path)).await.assert_not_managed();
        scene.direct.ask(get(&path)).await.expect_status(200);
    }
}

#[tokio::test]
async fn owners_that_own_each_other_are_an_answer_and_not_a_loop() {
    let scene = Scene::filtered("cycle").await;
    let first = scene.untracked("first").await;
    let second = owned(&scene, "second", &[reference(&first)]).await;
    owned(&scene, "first", &[reference(&second)]).await;
    for name in ["first", "second"] {
        scene.door.ask(get(&scene.core(&format!("configmaps/{name}")))).await.assert_not_managed();
    }
}

#[tokio::test]
async fn an_owner_may_be_of_a_kind_that_is_newer_than_the_agent_and_of_no_namespace() {
    let scene = Scene::filtered("kinds").await;
    scene.tracked("before").await;
    scene.door.ask(get(&scene.core("configmaps/before"))).await.expect_status(200);
    let group = format!("{}.example.com", scene.namespace);
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("oxen.{group}")},
        "spec": {
            "group": group, "scope": "Cluster",
            "names": {"kind": "Ox", "listKind": "OxList", "plural": "oxen", "singular": "ox"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            }}}],
        },
    });
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    scene.direct.ask(with_json("POST", crds, &crd)).await.expect_status(201);
    let oxen = format!("/apis/{group}/v1/oxen");
    let ox = tracked(json!({"apiVersion": format!("{group}/v1"), "kind": "Ox", "metadata": {"name": "owner"}}));
    let ox = eventually("the new kind is served", async || {
        let made = scene.direct.ask(with_json("POST", &oxen, &ox)).await;
        (made.status == 201).then(|| made.json())
    })
    .await;
    owned(&scene, "owned", &[reference(&ox)]).await;
    scene.door.ask(get(&scene.core("configmaps/owned"))).await.expect_status(200);
    scene.direct.ask(with_body("DELETE", &format!("{crds}/oxen.{group}"), "application/json", "")).await;
}

#[tokio::test]
async fn an_object_is_hidden_when_its_owner_is_no_longer_managed() {
    let scene = Scene::filtered("orphaned").await;
    let owner = scene.tracked("owner").await;
    owned(&scene, "owned", &[reference(&owner)]).await;
    let path = scene.core("configmaps/owned");
    scene.door.ask(get(&path)).await.expect_status(200);
    let unmark = r#"{"metadata":{"annotations":null}}"#;
    let unmark = with_body("PATCH", &scene.core("configmaps/owner"), "application/merge-patch+json", unmark);
    scene.direct.ask(unmark).await.expect_status(200);
    eventually("it is hidden", async || (scene.door.ask(get(&path)).await.status == 404).then_some(())).await;
}

fn reference(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"],
        "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
    })
}

/// A ConfigMap without a mark that has these owners.
async fn owned(scene: &Scene, name: &str, owners: &[Value]) -> Value {
    let metadata = json!({"name": name, "namespace": scene.namespace, "ownerReferences": owners});
    apply(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})).await
}
