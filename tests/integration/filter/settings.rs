//! `argocd-cm` says what the mark is, at every moment.

use harness::{
    client::{get, with_body},
    eventually,
    scene::{Scene, apply, argocd_cm},
};
use serde_json::{Value, json};

const TRACKING_ID: &str = "argocd.argoproj.io/tracking-id";
const INSTALLATION_ID: &str = "argocd.argoproj.io/installation-id";

#[tokio::test]
async fn each_tracking_method_shows_what_argo_cd_itself_would_take_for_its_own() {
    for (settings, shown) in [
        (json!({}), vec!["annotated"]),
        (json!({"application.resourceTrackingMethod": "annotation"}), vec!["annotated"]),
        (json!({"application.resourceTrackingMethod": "label"}), vec!["labelled"]),
        (json!({"application.resourceTrackingMethod": "annotation+label"}), vec!["annotated"]),
        (
            json!({"application.resourceTrackingMethod": "label", "application.instanceLabelKey": "example.com/app"}),
            vec!["labelled-by-key"],
        ),
        (json!({"installationID": "mine"}), vec!["of-mine"]),
        (json!({"installationID": "mine", "application.resourceTrackingMethod": "annotation+label"}), vec!["of-mine"]),
        (json!({"installationID": "mine", "application.resourceTrackingMethod": "label"}), vec!["labelled"]),
    ] {
        let scene = Scene::tracked_by("methods", settings.clone()).await;
        for (name, annotations, labels) in objects() {
            marked(&scene, name, &annotations, &labels).await;
        }
        assert_eq!(shown_of(&scene).await, shown, "{settings}");
    }
}

#[tokio::test]
async fn settings_take_effect_while_the_agent_runs_and_none_are_argo_cds_defaults() {
    let scene = Scene::filtered("live").await;
    for (name, annotations, labels) in objects() {
        marked(&scene, name, &annotations, &labels).await;
    }
    // There is no argocd-cm.
    assert_eq!(shown_of(&scene).await, ["annotated"]);
    for (settings, expected) in [
        (json!({"application.resourceTrackingMethod": "label"}), ["labelled"]),
        (
            json!({"application.resourceTrackingMethod": "label", "application.instanceLabelKey": "example.com/app"}),
            ["labelled-by-key"],
        ),
        (json!({"installationID": "mine", "application.resourceTrackingMethod": "annotation"}), ["of-mine"]),
    ] {
        apply(&argocd_cm(&scene.argocd, &settings)).await;
        eventually("the settings take effect", async || (shown_of(&scene).await == expected).then_some(())).await;
    }
    let path = format!("/api/v1/namespaces/{}/configmaps/argocd-cm", scene.argocd);
    scene.direct.ask(with_body("DELETE", &path, "application/json", "")).await.expect_status(200);
    eventually("the defaults are back", async || (shown_of(&scene).await == ["annotated"]).then_some(())).await;
}

#[tokio::test]
async fn settings_that_make_no_sense_show_nothing_and_say_why() {
    let settings = json!({"application.resourceTrackingMethod": "anotation"});
    let scene = Scene::tracked_by("nonsense", settings).await;
    scene.tracked("a").await;
    let path = scene.core("configmaps/a");
    let why = "cannot decide whether the resource is managed by app: ConfigMap argocd-cm: \
               `application.resourceTrackingMethod` is `anotation`, but must be `annotation`, `label` or \
               `annotation+label`";
    scene.door.ask(get(&path)).await.assert_refusal(503, "ServiceUnavailable", why);
    let delete = with_body("DELETE", &path, "application/json", "");
    scene.door.ask(delete).await.assert_refusal(503, "ServiceUnavailable", why);
    scene.direct.ask(get(&path)).await.expect_status(200);
    // What needs no decision is answered.
    scene.door.ask(get("/version")).await.expect_status(200);

    apply(&argocd_cm(&scene.argocd, &json!({"application.resourceTrackingMethod": "annotation"}))).await;
    eventually("it makes sense again", async || (scene.door.ask(get(&path)).await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn each_agent_goes_by_the_settings_of_its_own_cluster() {
    let labels = Scene::tracked_by("two", json!({"application.resourceTrackingMethod": "label"})).await;
    let annotations = Scene::filtered("two").await;
    for scene in [&labels, &annotations] {
        for (name, annotations, labels) in objects() {
            marked(scene, name, &annotations, &labels).await;
        }
    }
    assert_eq!(shown_of(&labels).await, ["labelled"]);
    assert_eq!(shown_of(&annotations).await, ["annotated"]);
}

/// Name, annotations, labels.
fn objects() -> [(&'static str, Value, Value); 6] {
    [
        ("annotated", json!({TRACKING_ID: "shop:x:y/z"}), json!({})),
        ("empty", json!({TRACKING_ID: "", INSTALLATION_ID: ""}), json!({})),
        ("labelled", json!({}), json!({"app.kubernetes.io/instance": "shop"})),
        ("labelled-by-key", json!({}), json!({"example.com/app": "shop"})),
        ("of-mine", json!({TRACKING_ID: "shop:x:y/z", INSTALLATION_ID: "mine"}), json!({})),
        ("of-others", json!({TRACKING_ID: "shop:x:y/z", INSTALLATION_ID: "others"}), json!({})),
    ]
}

async fn marked(scene: &Scene, name: &str, annotations: &Value, labels: &Value) {
    let metadata = json!({"name": name, "annotations": annotations, "labels": labels});
    scene.apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})).await;
}

/// Which of the objects can be read.
async fn shown_of(scene: &Scene) -> Vec<&'static str> {
    let mut shown = Vec::new();
    for (name, ..) in objects() {
        let answer = scene.door.ask(get(&scene.core(&format!("configmaps/{name}")))).await;
        if answer.status == 200 {
            shown.push(name);
        } else {
            answer.assert_not_managed();
        }
    }
    shown
}
