//! A watch shows the whole life of what is managed, and nothing of the life of anything else.

use harness::{
    client::{Protocol, with_body, with_json},
    scene::{Scene, apply, tracked},
    watched::Watch,
};
use serde_json::{Value, json};

use super::mixed::{PROTOBUF, TABLE, map, version};

const MERGE: &str = "application/merge-patch+json";

/// Every encoding that a watch comes in.
const WATCHES: [&str; 7] = [
    "application/json",
    "application/json;stream=watch",
    PROTOBUF,
    "application/vnd.kubernetes.protobuf;stream=watch",
    TABLE,
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
];

#[tokio::test]
async fn a_managed_object_is_added_modified_and_deleted_in_every_encoding() {
    let scene = Scene::filtered("life").await;
    let mut watches = Vec::new();
    for accept in WATCHES {
        watches.push(Watch::open(&scene.door, &scene.core("configmaps?watch=true"), accept).await);
    }
    let added = scene.tracked("a").await;
    let modified = patch(&scene, "a", &json!({"data": {"greeting": "again"}})).await;
    let deleted = delete(&scene, "a").await;
    let last = scene.tracked("z").await;
    for (watch, accept) in watches.iter_mut().zip(WATCHES) {
        for (kind, object) in [("ADDED", &added), ("MODIFIED", &modified)] {
            let event = watch.expect(kind, "a").await;
            assert_eq!(event.object.version, version(object), "{accept}");
        }
        let event = watch.expect("DELETED", "a").await;
        assert!(number(&event.object.version) > number(&version(&modified)), "{accept} {deleted}");
        assert_eq!(watch.expect("ADDED", "z").await.object.version, version(&last), "{accept}");
    }
}

#[tokio::test]
async fn the_whole_life_of_an_unmanaged_object_shows_nothing() {
    let scene = Scene::filtered("unseen").await;
    scene.untracked("before").await;
    let mut watches = Vec::new();
    for accept in WATCHES {
        watches.push(Watch::open(&scene.door, &scene.core("configmaps?watch=true"), accept).await);
    }
    scene.untracked("a").await;
    patch(&scene, "a", &json!({"data": {"greeting": "again"}})).await;
    patch(&scene, "before", &json!({"metadata": {"labels": {"x": "y"}}})).await;
    // A mark that says nothing is none.
    patch(&scene, "a", &json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": ""}}})).await;
    delete(&scene, "a").await;
    delete(&scene, "before").await;
    scene.untracked("a").await;
    scene.tracked("last").await;
    for watch in &mut watches {
        watch.expect("ADDED", "last").await;
    }
    delete(&scene, "a").await;
    delete(&scene, "last").await;
    for watch in &mut watches {
        watch.expect("DELETED", "last").await;
    }
}

#[tokio::test]
async fn an_object_that_gets_the_mark_is_added_and_one_that_loses_it_is_deleted_once() {
    let scene = Scene::filtered("marks").await;
    scene.untracked("a").await;
    let mut watches = Vec::new();
    for accept in WATCHES {
        watches.push(Watch::open(&scene.door, &scene.core("configmaps?watch=true"), accept).await);
    }
    let marked = mark(&scene, "a", true).await;
    let changed = patch(&scene, "a", &json!({"data": {"greeting": "seen"}})).await;
    let unmarked = mark(&scene, "a", false).await;
    // What happens to it from here on is nobody's business: no second DELETED either.
    patch(&scene, "a", &json!({"data": {"greeting": "unseen"}})).await;
    delete(&scene, "a").await;
    scene.untracked("a").await;
    let again = mark(&scene, "a", true).await;
    scene.tracked("last").await;
    for (watch, accept) in watches.iter_mut().zip(WATCHES) {
        assert_eq!(watch.expect("ADDED", "a").await.object.version, version(&marked), "{accept}");
        assert_eq!(watch.expect("MODIFIED", "a").await.object.version, version(&changed), "{accept}");
        // With the version of the change that took the mark off, as a selector that matches no longer gives it.
        assert_eq!(watch.expect("DELETED", "a").await.object.version, version(&unmarked), "{accept}");
        assert_eq!(watch.expect("ADDED", "a").await.object.version, version(&again), "{accept}");
        watch.expect("ADDED", "last").await;
    }
}

#[tokio::test]
async fn what_was_there_before_comes_first_and_only_what_is_managed() {
    let scene = Scene::filtered("before").await;
    for name in ["a", "c", "e"] {
        scene.tracked(name).await;
        scene.untracked(&format!("{name}-hidden")).await;
    }
    for accept in WATCHES {
        for query in ["watch=true", "watch=true&resourceVersion=0", "watch=1&resourceVersion=&allowWatchBookmarks=true"]
        {
            let mut watch = Watch::open(&scene.door, &scene.core(&format!("configmaps?{query}")), accept).await;
            watch.expect_all("ADDED", &["a", "c", "e"]).await;
        }
    }
}

#[tokio::test]
async fn the_columns_of_a_table_come_with_the_first_event_that_is_shown() {
    let scene = Scene::filtered("columns").await;
    scene.untracked("first").await;
    scene.tracked("second").await;
    for include in ["", "&includeObject=None", "&includeObject=Metadata", "&includeObject=Object"] {
        let target = scene.core(&format!("configmaps?watch=true{include}"));
        let mut direct = Watch::open(&scene.direct, &target, TABLE).await;
        let expected = direct.change().await.columns;
        assert!(expected.as_array().is_some_and(|columns| !columns.is_empty()));
        let mut watch = Watch::open(&scene.door, &target, TABLE).await;
        let event = watch.expect("ADDED", "second").await;
        assert_eq!(event.columns, expected, "{include}");
        assert_eq!(event.object.json()["object"].is_null(), include.ends_with("None"), "{include}");
        assert_eq!(event.object.json()["object"]["data"].is_null(), !include.ends_with("=Object"), "{include}");
        // And with that one alone.
        patch(&scene, "second", &json!({"data": {"greeting": include}})).await;
        let event = watch.expect("MODIFIED", "second").await;
        assert!(event.columns.as_array().is_none_or(Vec::is_empty), "{event:?}");
    }
}

#[tokio::test]
async fn every_spelling_of_a_watch_is_filtered() {
    let scene = Scene::filtered("spellings").await;
    scene.untracked("hidden").await;
    scene.tracked("shown").await;
    let list = scene.core("configmaps");
    let legacy = list.replace("/api/v1/", "/api/v1/watch/");
    let targets = [
        format!("{list}?watch=true"),
        format!("{list}?watch=1"),
        format!("{list}?watch=yes"),
        format!("{list}?watch=TRUE"),
        format!("{list}?watch"),
        format!("{list}?watch="),
        format!("{list}?w%61tch=1"),
        format!("{list}?watch=true&watch=false"),
        format!("{list}/?watch=true"),
        list.replace("configmaps", "config%6Daps?watch=t"),
        legacy.clone(),
        format!("{legacy}?watch=false"),
        format!("{legacy}/shown"),
        format!("{list}?watch=true&fieldSelector=metadata.name%3Dshown"),
        "/api/v1/watch/configmaps?fieldSelector=metadata.namespace%3D".to_owned() + &scene.namespace,
        "/api/v1/configmaps?watch=1&fieldSelector=metadata.namespace%3D".to_owned() + &scene.namespace,
    ];
    for target in &targets {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let connection = scene.door.connect(protocol).await;
            let mut watch = Watch::on(connection, target, "application/json").await;
            assert_eq!(watch.change().await.brief(), ("ADDED", "shown"), "{target}");
        }
    }
    // These name an object that is not managed: there is nothing to see, and nothing to come.
    for target in [format!("{legacy}/hidden"), format!("{list}?watch=1&fieldSelector=metadata.name%3Dhidden")] {
        let target = format!("{target}{}timeoutSeconds=1", if target.contains('?') { '&' } else { '?' });
        assert_eq!(Watch::json(&scene.door, &target).await.rest().await, []);
    }
}

#[tokio::test]
async fn a_watch_of_all_namespaces_shows_what_is_managed_in_each() {
    let scene = Scene::filtered("all-watch").await;
    let other = harness::cluster::namespace("all-watch").await;
    let target = format!("/api/v1/configmaps?watch=true&labelSelector=scene%3D{}", scene.namespace);
    let mut watches = Vec::new();
    for accept in WATCHES {
        watches.push(Watch::open(&scene.door, &target, accept).await);
    }
    for namespace in [&scene.namespace, &other] {
        for (name, is_tracked) in [("hidden", false), ("shown", true)] {
            let mut object = map(&scene, name);
            object["metadata"]["namespace"] = namespace.as_str().into();
            apply(&if is_tracked { tracked(object) } else { object }).await;
        }
    }
    for watch in &mut watches {
        for namespace in [&scene.namespace, &other] {
            assert_eq!(watch.expect("ADDED", "shown").await.object.namespace, *namespace);
        }
    }
}

#[tokio::test]
async fn argo_cds_own_objects_and_destinations_are_watched() {
    let scene = Scene::filtered("argo-watch").await;
    let applications = "/apis/argoproj.io/v1alpha1/applications?watch=true";
    let mut watched =
        Watch::json(&scene.door, &format!("{applications}&labelSelector=scene%3D{}", scene.namespace)).await;
    let target = format!("/api/v1/namespaces?watch=true&fieldSelector=metadata.name%3D{}", scene.namespace);
    let mut namespaces = Watch::json(&scene.door, &target).await;
    let application = |namespace: &str, name: &str| {
        json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "namespace": namespace, "labels": {"scene": scene.namespace}},
            "spec": {"project": "default", "destination": {"name": "in-cluster", "namespace": scene.namespace}},
        })
    };
    apply(&application(&scene.namespace, "elsewhere")).await;
    apply(&application(&scene.argocd, "own")).await;
    watched.expect("ADDED", "own").await;
    namespaces.expect("ADDED", &scene.namespace).await;
    let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{}/applications/own", scene.argocd);
    scene.direct.ask(with_body("DELETE", &path, "application/json", "")).await.expect_status(200);
    watched.expect("DELETED", "own").await;
    namespaces.expect("DELETED", &scene.namespace).await;
}

/// Puts the mark on an object, or takes it off.
pub(super) async fn mark(scene: &Scene, name: &str, is_marked: bool) -> Value {
    let mark = if is_marked { json!("shop:x:y/z") } else { Value::Null };
    patch(scene, name, &json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": mark}}})).await
}

/// Changes a ConfigMap past the door.
pub(super) async fn patch(scene: &Scene, name: &str, change: &Value) -> Value {
    let path = scene.core(&format!("configmaps/{name}"));
    let request = with_body("PATCH", &path, MERGE, change.to_string());
    scene.direct.ask(request).await.expect_status(200).json()
}

/// Deletes a ConfigMap past the door.
pub(super) async fn delete(scene: &Scene, name: &str) -> Value {
    let path = scene.core(&format!("configmaps/{name}"));
    scene.direct.ask(with_json("DELETE", &path, &json!({}))).await.expect_status(200).json()
}

pub(super) fn number(version: &str) -> u64 {
    version.parse().unwrap()
}
