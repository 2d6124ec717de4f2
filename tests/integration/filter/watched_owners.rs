//! A watch follows what its objects belong to: also where only the owner changes, or comes later.

use harness::{
    client::with_json,
    eventually,
    scene::{Scene, apply, deployment, tracked},
    watched::Watch,
};
use serde_json::{Value, json};

use super::{
    mixed::{PROTOBUF, TABLE, map, owned, reference, version},
    watches::{delete, mark, number, patch},
};

#[tokio::test]
async fn children_come_and_go_with_their_owners_mark_and_without_a_change_of_their_own() {
    let scene = Scene::filtered("owner-marked").await;
    let owner = scene.untracked("owner").await;
    let child = owned(&scene, "child", &[&owner]).await;
    let grandchild = owned(&scene, "grandchild", &[&child]).await;
    for accept in ["application/json", PROTOBUF, TABLE] {
        let mut watch = Watch::open(&scene.door, &scene.core("configmaps?watch=true"), accept).await;
        for _ in 0..2 {
            mark(&scene, "owner", true).await;
            let events = watch.expect_all("ADDED", &["owner", "child", "grandchild"]).await;
            for (name, object) in [("child", &child), ("grandchild", &grandchild)] {
                let event = events.iter().find(|event| event.object.name == name).unwrap();
                assert_eq!(event.object.version, version(object), "it did not change: {accept}");
            }
            mark(&scene, "owner", false).await;
            watch.expect_all("DELETED", &["owner", "child", "grandchild"]).await;
        }
    }
}

#[tokio::test]
async fn children_of_another_kind_and_of_all_namespaces_follow_their_owner_too() {
    let scene = Scene::filtered("owner-kinds").await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "owner"}});
    let owner = scene.apply(secret.clone()).await;
    owned(&scene, "child", &[&owner]).await;
    let all = format!("/api/v1/configmaps?watch=true&labelSelector=scene%3D{}", scene.namespace);
    for target in [scene.core("configmaps?watch=true"), all] {
        let mut watch = Watch::json(&scene.door, &target).await;
        scene.apply(tracked(secret.clone())).await;
        watch.expect("ADDED", "child").await;
        // Applied without the mark, it has none any more.
        scene.apply(secret.clone()).await;
        watch.expect("DELETED", "child").await;
    }
}

#[tokio::test]
async fn a_child_whose_references_change_comes_and_goes() {
    let scene = Scene::filtered("references").await;
    let (good, bad) = (scene.tracked("good").await, scene.untracked("bad").await);
    owned(&scene, "child", &[&bad]).await;
    let mut watch = Watch::json(&scene.door, &scene.core("configmaps?watch=true")).await;
    watch.expect("ADDED", "good").await;
    let owners = |owners: &[&Value]| {
        let owners: Vec<_> = owners.iter().map(|owner| reference(owner)).collect();
        json!({"metadata": {"ownerReferences": owners}})
    };
    patch(&scene, "child", &owners(&[&bad, &good])).await;
    watch.expect("ADDED", "child").await;
    patch(&scene, "child", &owners(&[&good])).await;
    watch.expect("MODIFIED", "child").await;
    let left = patch(&scene, "child", &owners(&[&bad])).await;
    assert_eq!(watch.expect("DELETED", "child").await.object.version, version(&left));
    patch(&scene, "child", &json!({"data": {"greeting": "unseen"}})).await;
    scene.tracked("last").await;
    watch.expect("ADDED", "last").await;
}

#[tokio::test]
async fn an_owner_that_is_marked_just_after_its_child_was_made_does_not_lose_the_child() {
    let scene = Scene::filtered("late").await;
    let mut watch = Watch::json(&scene.door, &scene.core("configmaps?watch=true")).await;
    for number in 0..10 {
        let owner = scene.untracked(&format!("owner-{number}")).await;
        let child = owned(&scene, &format!("child-{number}"), &[&owner]).await;
        owned(&scene, &format!("grandchild-{number}"), &[&child]).await;
        mark(&scene, &format!("owner-{number}"), true).await;
        let names = ["owner", "child", "grandchild"].map(|name| format!("{name}-{number}"));
        watch.expect_all("ADDED", &names.each_ref().map(String::as_str)).await;
    }
}

#[tokio::test]
async fn a_deployment_made_while_everything_is_watched_brings_its_replica_set_and_its_pods() {
    let scene = Scene::filtered("rollout-watch").await;
    let mut sets = Watch::json(&scene.door, &scene.apps("replicasets?watch=true")).await;
    let mut pods = Watch::open(&scene.door, &scene.core("pods?watch=true"), PROTOBUF).await;
    scene.apply(deployment("other", 2)).await;
    scene.apply(tracked(deployment("shop", 3))).await;
    let set = sets.change().await;
    assert_eq!(set.kind, "ADDED");
    assert!(set.object.name.starts_with("shop-"), "{set:?}");
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 3 {
        let event = pods.change().await;
        assert!(event.object.name.starts_with("shop-"), "{event:?}");
        assert_eq!(event.kind == "ADDED", seen.insert(event.object.name.clone()), "{event:?}");
    }
    // With the Deployment they go, each once.
    let path = scene.apps("deployments/shop");
    scene.direct.ask(with_json("DELETE", &path, &json!({}))).await.expect_status(200);
    while !seen.is_empty() {
        let event = pods.change().await;
        assert!(event.object.name.starts_with("shop-"), "{event:?}");
        // Nothing comes of a Pod that is gone.
        assert!(seen.contains(&event.object.name), "{event:?}");
        if event.kind == "DELETED" {
            seen.remove(&event.object.name);
        }
    }
    let path = scene.apps("deployments/other");
    scene.direct.ask(with_json("DELETE", &path, &json!({}))).await.expect_status(200);
}

#[tokio::test]
async fn an_owner_that_is_gone_takes_its_children_along_once() {
    let scene = Scene::filtered("gone").await;
    let owner = scene.tracked("owner").await;
    // The garbage collector may not remove it: it would, since its only owner is gone.
    let mut kept = map(&scene, "kept");
    kept["metadata"]["ownerReferences"] = json!([reference(&owner)]);
    kept["metadata"]["finalizers"] = json!(["example.com/kept"]);
    let kept = apply(&kept).await;
    let mut watch = Watch::json(&scene.door, &scene.core("configmaps?watch=true")).await;
    watch.expect_all("ADDED", &["owner", "kept"]).await;
    let orphan = with_json("DELETE", &scene.core("configmaps/owner"), &json!({"propagationPolicy": "Background"}));
    scene.direct.ask(orphan).await.expect_status(200);
    let mut gone = std::collections::BTreeSet::new();
    while gone.len() < 2 {
        let event = watch.change().await;
        match event.kind.as_str() {
            "DELETED" => assert!(gone.insert(event.object.name.clone()), "once: {event:?}"),
            // Marked for deletion while its owner was still known.
            kind => assert_eq!((kind, event.object.name.as_str()), ("MODIFIED", "kept")),
        }
        assert!(number(&event.object.version) >= number(&version(&kept)) || event.object.name == "owner");
    }
    patch(&scene, "kept", &json!({"metadata": {"finalizers": null}})).await;
    eventually("it is gone", async || {
        let path = scene.core("configmaps/kept");
        (scene.direct.ask(harness::client::get(&path)).await.status == 404).then_some(())
    })
    .await;
    scene.tracked("last").await;
    watch.expect("ADDED", "last").await;
    delete(&scene, "last").await;
}
