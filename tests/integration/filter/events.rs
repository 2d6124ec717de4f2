//! Events of one object, as Argo CD and kubectl ask for them.

use harness::{
    client::{Answer, get, get_as, with_json},
    scene::{Scene, tracked},
    watched::Watch,
};
use serde_json::{Value, json};

#[tokio::test]
async fn events_of_a_managed_object_are_listed_by_argo_cds_selector_in_any_order() {
    let scene = Scene::filtered("events").await;
    let map = scene.tracked("shop").await;
    event(&scene, "one", &map).await;
    event(&scene, "two", &map).await;
    let terms = [
        "involvedObject.name=shop".to_owned(),
        format!("involvedObject.namespace={}", scene.namespace),
        format!("involvedObject.uid={}", map["metadata"]["uid"].as_str().unwrap()),
    ];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let selector = order.map(|term| terms[term].as_str()).join(",");
        for encoded in [selector.replace('=', "%3D").replace(',', "%2C"), selector.clone()] {
            let path = scene.core(&format!("events?fieldSelector={encoded}"));
            let answer = scene.door.ask(get(&path)).await.expect_status(200);
            assert_eq!(names(&answer), ["one", "two"], "{selector}");
        }
    }
    let selector = terms.join(",");
    // As Argo CD's typed client asks, which takes JSON as well but prefers this.
    let accept = "application/vnd.kubernetes.protobuf,application/json";
    let path = scene.core(&format!("events?fieldSelector={}", selector.replace('=', "%3D").replace(',', "%2C")));
    let answer = scene.door.ask(get_as(&path, accept)).await.expect_status(200);
    assert_eq!(answer.headers["content-type"], "application/vnd.kubernetes.protobuf");
    assert!(answer.body.starts_with(b"k8s\0"));
    // Where no namespace is named the events of all are looked through.
    let everywhere = format!("/api/v1/events?fieldSelector={selector}");
    assert_eq!(names(&scene.door.ask(get(&everywhere)).await.expect_status(200)), ["one", "two"]);
    let newer = format!("/apis/events.k8s.io/v1/namespaces/{}/events?fieldSelector=", scene.namespace);
    let newer = newer + &selector.replace("involvedObject", "regarding");
    assert_eq!(names(&scene.door.ask(get(&newer)).await.expect_status(200)), ["one", "two"]);
}

#[tokio::test]
async fn a_managed_object_without_events_has_an_empty_list() {
    let scene = Scene::filtered("events").await;
    let map = scene.tracked("shop").await;
    let selector = format!(
        "involvedObject.name=shop,involvedObject.namespace={},involvedObject.uid={}",
        scene.namespace,
        map["metadata"]["uid"].as_str().unwrap(),
    );
    let answer = scene.door.ask(get(&scene.core(&format!("events?fieldSelector={selector}")))).await;
    assert!(names(&answer.expect_status(200)).is_empty());
}

#[tokio::test]
async fn events_of_anything_else_are_never_shown_whatever_is_selected() {
    let scene = Scene::filtered("events").await;
    let (shown, hidden) = (scene.tracked("shown").await, scene.untracked("hidden").await);
    event(&scene, "of-shown", &shown).await;
    event(&scene, "of-hidden", &hidden).await;
    let uid = |object: &Value| object["metadata"]["uid"].as_str().unwrap().to_owned();
    let (shown, hidden) = (uid(&shown), uid(&hidden));
    for (selector, expected) in [
        (format!("involvedObject.name=hidden,involvedObject.uid={hidden}"), &[][..]),
        (
            format!(
                "involvedObject.name=hidden,involvedObject.namespace={},involvedObject.uid={hidden}",
                scene.namespace
            ),
            &[],
        ),
        (format!("involvedObject.uid={hidden}"), &[]),
        ("involvedObject.name=hidden".to_owned(), &[]),
        ("involvedObject.kind=ConfigMap".to_owned(), &["of-shown"]),
        ("involvedObject.name!=shown".to_owned(), &[]),
        (format!("involvedObject.uid!={shown}"), &[]),
        ("reason=Tested".to_owned(), &["of-shown"]),
        ("metadata.name=of-hidden".to_owned(), &[]),
        (String::new(), &["of-shown"]),
    ] {
        let path = scene.core(&format!("events?fieldSelector={selector}"));
        let answer = scene.door.ask(get(&path)).await.expect_status(200);
        assert_eq!(names(&answer), expected, "{selector}");
        // A second selector that says otherwise changes nothing: the API server goes by the first.
        let path = format!("{path}&fieldSelector=involvedObject.uid={hidden}");
        let answer = scene.door.ask(get(&path)).await.expect_status(200);
        assert_eq!(names(&answer), expected, "{path}");
        // And so when it is watched.
        let watched = scene.core(&format!("events?fieldSelector={selector}&watch=1&timeoutSeconds=1"));
        let events = Watch::json(&scene.door, &watched).await.rest().await;
        assert_eq!(events.iter().map(|event| &event.object.name[..]).collect::<Vec<_>>(), expected, "{selector}");
    }
    scene.door.ask(get(&scene.core("events/of-hidden"))).await.assert_not_managed();
}

#[tokio::test]
async fn kubectl_describe_tells_the_events_of_a_managed_object() {
    let scene = Scene::filtered("describe").await;
    let pod = scene.pod("shop", true).await;
    event(&scene, "one", &pod).await;
    let said = scene.kubectl().ok(&["describe", "pod", "shop"]).await;
    assert!(said.contains("This is a test") && said.contains("Tested"), "{said}");
    let map = scene.apply(tracked(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}))).await;
    event(&scene, "two", &map).await;
    let said = scene.kubectl().ok(&["describe", "configmap", "m"]).await;
    assert!(said.contains("This is a test"), "{said}");
}

async fn event(scene: &Scene, name: &str, about: &Value) {
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": name},
        "involvedObject": {
            "apiVersion": about["apiVersion"], "kind": about["kind"], "name": about["metadata"]["name"],
            "namespace": about["metadata"]["namespace"], "uid": about["metadata"]["uid"],
        },
        "reason": "Tested", "message": "This is a test", "type": "Normal", "source": {"component": "test"},
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1,
    });
    scene.direct.ask(with_json("POST", &scene.core("events"), &event)).await.expect_status(201);
}

fn names(list: &Answer) -> Vec<String> {
    let list = list.json();
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}
