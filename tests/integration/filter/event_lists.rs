//! Events in lists and watches: shown where what they are about is managed, or was.

use harness::{
    client::{get_as, with_json},
    cluster,
    scene::{Scene, deployment, tracked},
    shown::List,
    watched::Watch,
};
use serde_json::{Value, json};

use super::{
    mixed::{PROTOBUF, TABLE, owned},
    watches::{delete, mark},
};

const ENCODINGS: [&str; 3] = ["application/json", PROTOBUF, TABLE];

#[tokio::test]
async fn events_of_managed_objects_are_listed_in_both_groups_and_every_encoding() {
    let scene = Scene::filtered("event-lists").await;
    let (shown, hidden) = (scene.tracked("shown").await, scene.untracked("hidden").await);
    let child = owned(&scene, "child", &[&shown]).await;
    for (name, about) in [("of-child", &child), ("of-hidden", &hidden), ("of-shown", &shown)] {
        tell(&scene, name, about).await;
    }
    // Of nothing, and of what never was.
    let never =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "never", "namespace": scene.namespace}});
    tell(&scene, "of-never", &never).await;
    for path in lists(&scene) {
        for accept in ENCODINGS {
            for query in ["", "?limit=500", "?includeObject=Object", "?includeObject=None"] {
                let list = List::read(&scene.door.ask(get_as(&format!("{path}{query}"), accept)).await);
                if query.ends_with("None") && accept == TABLE {
                    assert_eq!(list.objects.len(), 2, "{path}");
                } else {
                    assert_eq!(list.names(), ["of-child", "of-shown"], "{path}{query} {accept}");
                }
            }
        }
        // A row carries no more than was asked for: the filter itself needs all of an event.
        let table = List::read(&scene.door.ask(get_as(&path, TABLE)).await);
        let direct = List::read(&scene.direct.ask(get_as(&path, TABLE)).await);
        for row in &table.objects {
            let expected = direct.objects.iter().find(|other| other.uid == row.uid).unwrap();
            assert_eq!(row.json()["object"], expected.json()["object"]);
            assert_eq!(row.json()["object"]["kind"], "PartialObjectMetadata");
        }
    }
    let all = format!("/api/v1/events?fieldSelector=metadata.namespace%3D{}", scene.namespace);
    for accept in ENCODINGS {
        let list = List::read(&scene.door.ask(get_as(&all, accept)).await);
        assert_eq!(list.names(), ["of-child", "of-shown"], "{accept}");
    }
    // By other things than the object.
    for (query, names) in [
        ("reason%3DTested", &["of-child", "of-shown"][..]),
        ("involvedObject.kind%3DConfigMap", &["of-child", "of-shown"]),
        ("involvedObject.name!%3Dshown", &["of-child"]),
        ("metadata.name%3Dof-hidden", &[]),
        ("involvedObject.name%3Dhidden", &[]),
    ] {
        let path = scene.core(&format!("events?fieldSelector={query}"));
        assert_eq!(List::read(&scene.door.ask(get_as(&path, "application/json")).await).names(), names, "{query}");
    }
}

#[tokio::test]
async fn the_metadata_of_events_alone_do_not_tell_what_they_are_about_and_are_filtered_all_the_same() {
    let scene = Scene::filtered("event-metadata").await;
    let (shown, hidden) = (scene.tracked("shown").await, scene.untracked("hidden").await);
    tell(&scene, "of-shown", &shown).await;
    tell(&scene, "of-hidden", &hidden).await;
    for accept in [
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
    ] {
        for path in lists(&scene) {
            let answer = scene.door.ask(get_as(&path, accept)).await;
            // An agent that has no way to decide says so.
            if answer.status == 406 {
                assert!(!answer.text().contains("of-hidden"), "{}", answer.text());
            } else {
                assert_eq!(List::read(&answer).names(), ["of-shown"], "{path} {accept}");
            }
        }
    }
}

#[tokio::test]
async fn events_are_watched_as_they_happen_and_only_those_of_managed_objects() {
    let scene = Scene::filtered("event-watch").await;
    let (shown, hidden) = (scene.tracked("shown").await, scene.untracked("hidden").await);
    for path in lists(&scene) {
        let mut watches = Vec::new();
        for accept in ["application/json", PROTOBUF, TABLE] {
            let since = List::read(&scene.direct.ask(get_as(&path, "application/json")).await).version;
            let target = format!("{path}?watch=true&resourceVersion={since}");
            watches.push(Watch::open(&scene.door, &target, accept).await);
        }
        let group = if path.starts_with("/apis") { "new" } else { "core" };
        tell(&scene, &format!("{group}-hidden"), &hidden).await;
        tell(&scene, &format!("{group}-shown"), &shown).await;
        tell(&scene, &format!("{group}-hidden-again"), &hidden).await;
        tell(&scene, &format!("{group}-shown-again"), &shown).await;
        for watch in &mut watches {
            let event = watch.expect("ADDED", &format!("{group}-shown")).await;
            assert!(event.columns.is_null() || event.columns.as_array().is_some_and(|columns| columns.len() > 2));
            watch.expect("ADDED", &format!("{group}-shown-again")).await;
        }
    }
}

#[tokio::test]
async fn events_of_a_managed_object_are_still_shown_when_it_is_gone_if_it_was_seen() {
    let scene = Scene::filtered("event-gone").await;
    let (owner, hidden) = (scene.tracked("owner").await, scene.untracked("hidden").await);
    let child = owned(&scene, "child", &[&owner]).await;
    // Seen through the agent.
    assert_eq!(
        List::read(&scene.door.ask(get_as(&scene.core("configmaps"), "application/json")).await).names(),
        ["child", "owner"]
    );
    for (name, about) in [("of-child", &child), ("of-hidden", &hidden), ("of-owner", &owner)] {
        tell(&scene, name, about).await;
    }
    delete(&scene, "hidden").await;
    delete(&scene, "child").await;
    delete(&scene, "owner").await;
    for path in lists(&scene) {
        for accept in ENCODINGS {
            let list = List::read(&scene.door.ask(get_as(&path, accept)).await);
            assert_eq!(list.names(), ["of-child", "of-owner"], "{path} {accept}");
        }
    }
    // One of the same name that came later is another.
    let again = scene.untracked("owner").await;
    tell(&scene, "of-another", &again).await;
    for path in lists(&scene) {
        let list = List::read(&scene.door.ask(get_as(&path, "application/json")).await);
        assert_eq!(list.names(), ["of-child", "of-owner"], "{path}");
    }
}

#[tokio::test]
async fn events_of_an_object_that_is_no_longer_managed_are_hidden() {
    let scene = Scene::filtered("event-unmarked").await;
    let object = scene.tracked("a").await;
    tell(&scene, "of-a", &object).await;
    let listed = async || {
        let list = List::read(&scene.door.ask(get_as(&scene.core("events"), "application/json")).await);
        list.objects.len()
    };
    assert_eq!(listed().await, 1);
    mark(&scene, "a", false).await;
    harness::eventually("they are hidden", async || (listed().await == 0).then_some(())).await;
    mark(&scene, "a", true).await;
    harness::eventually("they are shown", async || (listed().await == 1).then_some(())).await;
}

#[tokio::test]
async fn events_of_a_rollout_are_those_of_the_managed_deployment() {
    let scene = Scene::filtered("event-rollout").await;
    scene.apply(deployment("other", 1)).await;
    let mut watch = Watch::json(&scene.door, &scene.core("events?watch=true")).await;
    scene.apply(tracked(deployment("shop", 1))).await;
    // The controllers' own events: of the Deployment, and of its ReplicaSet.
    let mut reasons = Vec::new();
    while !["ScalingReplicaSet", "SuccessfulCreate"].iter().all(|reason| reasons.contains(&(*reason).to_owned())) {
        let event = watch.change().await;
        let about = event.object.json()["involvedObject"]["name"].as_str().unwrap();
        assert!(about.starts_with("shop"), "{event:?}");
        reasons.push(event.object.json()["reason"].as_str().unwrap().to_owned());
    }
}

#[tokio::test]
async fn events_about_things_of_the_cluster_and_of_other_namespaces_are_decided_there() {
    let scene = Scene::filtered("event-cluster").await;
    let marked = cluster::namespace("event-cluster").await;
    let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let shown = harness::scene::apply(&tracked(namespace(&marked))).await;
    let hidden = scene.direct.object(&format!("/api/v1/namespaces/{}", scene.namespace)).await;
    // What is about no object of a namespace is told in `default`.
    for (name, about) in [("of-shown", &shown), ("of-hidden", &hidden)] {
        let name = format!("{name}-{}", scene.namespace);
        let event = event("default", &name, about);
        scene.direct.ask(with_json("POST", "/api/v1/namespaces/default/events", &event)).await.expect_status(201);
    }
    let list = List::read(&scene.door.ask(get_as("/api/v1/namespaces/default/events", "application/json")).await);
    let own: Vec<_> = list.names().into_iter().filter(|name| name.ends_with(&scene.namespace)).collect();
    assert_eq!(own, [format!("of-shown-{}", scene.namespace)]);
}

/// Both groups' spelling of the same events.
fn lists(scene: &Scene) -> [String; 2] {
    [scene.core("events"), format!("/apis/events.k8s.io/v1/namespaces/{}/events", scene.namespace)]
}

async fn tell(scene: &Scene, name: &str, about: &Value) {
    let event = event(&scene.namespace, name, about);
    scene.direct.ask(with_json("POST", &scene.core("events"), &event)).await.expect_status(201);
}

fn event(namespace: &str, name: &str, about: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": namespace},
        "involvedObject": {
            "apiVersion": about["apiVersion"], "kind": about["kind"], "name": about["metadata"]["name"],
            "namespace": about["metadata"]["namespace"], "uid": about["metadata"]["uid"],
        },
        "reason": "Tested", "message": "This is a test", "type": "Normal", "source": {"component": "test"},
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1,
    })
}
