//! A change of `argocd-cm` reaches lists within five seconds, and ends the watches that were opened before it.

use std::time::Duration;

use harness::{
    client::get_as,
    eventually,
    scene::{Scene, apply, argocd_cm},
    shown::List,
    watched::Watch,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::mixed::{PROTOBUF, TABLE};

/// How long a change may take.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn open_watches_end_with_gone_and_lists_follow_within_five_seconds() {
    let scene = Scene::filtered("changed").await;
    for (name, annotations, labels) in [
        ("annotated", json!({"argocd.argoproj.io/tracking-id": "x"}), json!({})),
        ("labelled", json!({}), json!({"app.kubernetes.io/instance": "x"})),
        ("keyed", json!({}), json!({"example.com/app": "x"})),
        (
            "of-mine",
            json!({"argocd.argoproj.io/tracking-id": "x", "argocd.argoproj.io/installation-id": "mine"}),
            json!({}),
        ),
    ] {
        let metadata = json!({"name": name, "annotations": annotations, "labels": labels});
        scene.apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})).await;
    }
    let mut shown = "annotated";
    for (settings, next) in [
        (json!({"application.resourceTrackingMethod": "label"}), "labelled"),
        (
            json!({"application.resourceTrackingMethod": "label", "application.instanceLabelKey": "example.com/app"}),
            "keyed",
        ),
        (json!({"installationID": "mine"}), "of-mine"),
        (json!({}), "annotated"),
    ] {
        let mut watches = Vec::new();
        for accept in ["application/json", PROTOBUF, TABLE] {
            let mut watch = Watch::open(&scene.door, &scene.core("configmaps?watch=true"), accept).await;
            watch.expect("ADDED", shown).await;
            watches.push(watch);
        }
        let began = Instant::now();
        configure(&scene, &settings).await;
        for watch in watches {
            let events = watch.rest().await;
            let last = events.last().unwrap();
            assert_eq!((last.kind.as_str(), last.code), ("ERROR", Some(410)), "{events:?}");
            assert!(events.iter().all(|event| event.kind != "ADDED"), "under which settings? {events:?}");
        }
        eventually("lists follow", async || (listed(&scene).await == [next]).then_some(())).await;
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        Watch::json(&scene.door, &scene.core("configmaps?watch=true")).await.expect("ADDED", next).await;
        shown = next;
    }
}

#[tokio::test]
async fn a_change_of_anything_else_in_the_settings_ends_no_watch() {
    let scene = Scene::filtered("unchanged").await;
    let method = json!({"application.resourceTrackingMethod": "annotation"});
    scene.tracked("a").await;
    let mut watch = Watch::json(&scene.door, &scene.core("configmaps?watch=true")).await;
    watch.expect("ADDED", "a").await;
    // What was the default is now said; and other things are said besides.
    for settings in [json!({"url": "https://example.com"}), method.clone(), json!({})] {
        configure(&scene, &settings).await;
    }
    scene.tracked("b").await;
    watch.expect("ADDED", "b").await;
}

#[tokio::test]
async fn settings_that_make_no_sense_end_watches_and_lists_say_why() {
    let scene = Scene::filtered("senseless").await;
    scene.tracked("a").await;
    let mut watch = Watch::json(&scene.door, &scene.core("configmaps?watch=true")).await;
    watch.expect("ADDED", "a").await;
    configure(&scene, &json!({"application.resourceTrackingMethod": "anotation"})).await;
    let events = watch.rest().await;
    assert!(events.iter().all(|event| event.kind == "ERROR") && !events.is_empty(), "{events:?}");
    let why = "cannot decide whether the resource is managed by app: ConfigMap argocd-cm: \
               `application.resourceTrackingMethod` is `anotation`, but must be `annotation`, `label` or \
               `annotation+label`";
    for query in ["", "?watch=true"] {
        let answer = scene.door.ask(get_as(&scene.core(&format!("configmaps{query}")), "application/json")).await;
        answer.assert_refusal(503, "ServiceUnavailable", why);
    }
    configure(&scene, &json!({})).await;
    eventually("it makes sense again", async || {
        let answer = scene.door.ask(get_as(&scene.core("configmaps"), "application/json")).await;
        (answer.status == 200 && List::read(&answer).names() == ["a"]).then_some(())
    })
    .await;
}

async fn configure(scene: &Scene, settings: &Value) {
    apply(&argocd_cm(&scene.argocd, settings)).await;
}

async fn listed(scene: &Scene) -> Vec<String> {
    let list = List::read(&scene.door.ask(get_as(&scene.core("configmaps"), "application/json")).await);
    list.names().into_iter().map(str::to_owned).collect()
}
