//! What does not exist yet may be made, and reviews, which are never stored, may be asked.

use harness::{
    client::{Protocol, assert_same, get, with_body, with_json},
    scene::{Scene, tracked},
};
use serde_json::{Value, json};

#[tokio::test]
async fn an_object_can_be_made_in_every_way_and_is_then_shown_if_it_is_marked() {
    let scene = Scene::filtered("creates").await;
    let object = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let apply = |object: &Value| {
        let path = scene.core(&format!("configmaps/{}?fieldManager=x&force=true", text(object, "/metadata/name")));
        with_body("PATCH", &path, "application/apply-patch+yaml", object.to_string())
    };
    let post = |object: &Value| with_json("POST", &scene.core("configmaps"), object);
    scene.door.ask(post(&tracked(object("posted")))).await.expect_status(201);
    scene.door.ask(post(&object("untracked-posted"))).await.expect_status(201);
    scene.door.ask(apply(&tracked(object("applied")))).await.expect_status(201);
    scene.door.ask(apply(&object("untracked-applied"))).await.expect_status(201);
    let generated = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "generated-"}});
    let generated = scene.door.ask(post(&tracked(generated))).await.expect_status(201).json();

    for name in ["posted", "applied", &text(&generated, "/metadata/name")] {
        scene.door.ask(get(&scene.core(&format!("configmaps/{name}")))).await.expect_status(200);
    }
    for name in ["untracked-posted", "untracked-applied"] {
        let path = scene.core(&format!("configmaps/{name}"));
        scene.direct.ask(get(&path)).await.expect_status(200);
        scene.door.ask(get(&path)).await.assert_not_managed();
        // It exists now, so an apply would change it.
        scene.door.ask(apply(&tracked(object(name)))).await.assert_not_managed();
    }

    // A PUT makes what does not exist, where the API server allows that.
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "held"}});
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/held", scene.namespace);
    scene.door.ask(with_json("PUT", &path, &lease)).await.expect_status(201);
    scene.door.ask(with_json("PUT", &path, &tracked(lease))).await.assert_not_managed();
}

#[tokio::test]
async fn where_creates_must_be_managed_nothing_else_is_made() {
    let scene = Scene::with("managed-creates", |config| config.managed_creates_only = true).await;
    let object = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let maps = scene.core("configmaps");
    let apply = |name: &str, object: &Value| {
        let path = scene.core(&format!("configmaps/{name}?fieldManager=x"));
        with_body("PATCH", &path, "application/apply-patch+yaml", object.to_string())
    };
    for request in [
        with_json("POST", &maps, &object("a")),
        with_body("POST", &maps, "application/yaml", tracked(object("a")).to_string()),
        with_body("POST", &maps, "application/json", "{nonsense"),
        apply("a", &object("a")),
    ] {
        let what = format!("{} {}", request.method(), request.uri());
        let answer = scene.door.ask(request).await;
        assert_eq!(answer.status, 403, "{what}");
        answer.assert_refusal(403, "Forbidden", "not authorized to create resources that are not managed by app");
    }
    scene.direct.ask(get(&scene.core("configmaps/a"))).await.expect_status(404);

    scene.door.ask(with_json("POST", &maps, &tracked(object("posted")))).await.expect_status(201);
    scene.door.ask(apply("applied", &tracked(object("applied")))).await.expect_status(201);
    let owner = scene.tracked("owner").await;
    let mut owned = object("owned");
    owned["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}]);
    scene.door.ask(with_json("POST", &maps, &owned)).await.expect_status(201);
    owned["metadata"]["name"] = "foreign".into();
    owned["metadata"]["ownerReferences"][0]["uid"] = "another".into();
    scene.door.ask(with_json("POST", &maps, &owned)).await.expect_status(403);
}

#[tokio::test]
async fn a_create_that_changes_what_is_there_is_none() {
    let scene = Scene::filtered("bindings").await;
    scene.pod("bare", false).await;
    let node = json!({"apiVersion": "v1", "kind": "Node", "name": "envtest"});
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "bare"}, "target": node});
    // Binds a pod to a node, whichever pod its body names.
    scene.door.ask(with_json("POST", &scene.core("bindings"), &binding)).await.assert_not_managed();
    scene.door.ask(with_json("POST", &scene.core("pods/bare/binding"), &binding)).await.assert_not_managed();
}

#[tokio::test]
async fn reviews_are_answered_by_the_api_server() {
    let scene = Scene::filtered("reviews").await;
    let attributes = json!({"namespace": scene.namespace, "verb": "delete", "resource": "pods"});
    for (group, resource, kind, spec) in [
        (
            "authorization.k8s.io",
            "selfsubjectaccessreviews",
            "SelfSubjectAccessReview",
            json!({"resourceAttributes": attributes}),
        ),
        (
            "authorization.k8s.io",
            "subjectaccessreviews",
            "SubjectAccessReview",
            json!({"user": "eve", "resourceAttributes": attributes}),
        ),
        ("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview", Value::Null),
        ("authentication.k8s.io", "tokenreviews", "TokenReview", json!({"token": "nonsense"})),
    ] {
        let mut review = json!({"apiVersion": format!("{group}/v1"), "kind": kind});
        if !spec.is_null() {
            review["spec"] = spec;
        }
        let path = format!("/apis/{group}/v1/{resource}");
        let answer = assert_same(&scene.door, Protocol::Http1, || with_json("POST", &path, &review)).await;
        answer.expect_status(201);
    }
    let rules = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": scene.namespace},
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let rules = scene.door.ask(with_json("POST", path, &rules)).await.expect_status(201).json();
    assert!(rules["status"]["resourceRules"].as_array().is_some_and(|rules| !rules.is_empty()));
    assert_eq!(scene.kubectl().ok(&["auth", "can-i", "create", "pods"]).await, "yes\n");
}

fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap().to_owned()
}
