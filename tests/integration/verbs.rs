//! Reads and refused requests through the door, beside the same at the API server itself: the same bytes.

use harness::{
    audit::Audit,
    client::{Body, Protocol, assert_same, empty, get, get_as, with_body, with_json},
    scene::{Scene, apply, deployment, tracked},
};
use http::Request;
use serde_json::{Value, json};

#[tokio::test]
async fn reads_without_the_filter_are_the_api_servers_bytes() {
    let scene = Scene::open("reads").await;
    for name in ["a", "b", "c"] {
        scene.untracked(name).await;
    }
    let last = scene.apply(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "labelled", "labels": {"tier": "x"}},
    }));
    let version = last.await["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    scene.apply(deployment("web", 0)).await;
    // Of one state, so that what other tests do at the same time does not show.
    let list = format!("{}?resourceVersion={version}&resourceVersionMatch=Exact", scene.core("configmaps"));
    let targets = [
        scene.core("configmaps/a"),
        scene.core("configmaps/a?pretty=true"),
        scene.core("configmaps/a/"),
        scene.core("configmaps/missing"),
        scene.core("configmaps/a?resourceVersion=nonsense"),
        list.clone(),
        format!("{list}&limit=2"),
        format!("{list}&labelSelector=tier%3Dx"),
        format!("{list}&labelSelector=tier+in+(x,y),!z"),
        format!("{list}&fieldSelector=metadata.name%3Db"),
        format!("{list}&field%53elector=metadata.name=b&&"),
        format!("{list}&limit=1%zz&a;b"),
        format!("/api/v1/namespaces/{}", scene.namespace),
        format!("/api/v1/namespaces/{}/status", scene.namespace),
        scene.apps("deployments/web/scale"),
        scene.apps("deployments/web/log"),
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin".to_owned(),
        "/apis/nope.example/v1/things".to_owned(),
        "/api/v1//namespaces".to_owned(),
        "/api/v1/namespaces/%2e%2e/pods/x".to_owned(),
        "/nope".to_owned(),
        "/".to_owned(),
        "/version".to_owned(),
        "/healthz".to_owned(),
        "/livez/ping".to_owned(),
        "/.well-known/openid-configuration".to_owned(),
    ];
    for target in &targets {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            assert_same(&scene.door, protocol, || get(target)).await;
        }
    }
}

#[tokio::test]
async fn reads_with_the_filter_are_the_api_servers_bytes_where_it_shows_anything() {
    let scene = Scene::filtered("reads").await;
    scene.tracked("a").await;
    scene.apply(tracked(deployment("web", 0))).await;
    for target in [
        &scene.core("configmaps/a"),
        &scene.core("configmaps/a?pretty=true"),
        &scene.core("configmaps/a/"),
        &scene.core("configmaps/missing"),
        &scene.core("configmaps/a?resourceVersion=nonsense"),
        &scene.apps("deployments/web/scale"),
        &scene.apps("deployments/web/status"),
        &scene.apps("deployments/web/log"),
        "/apis/nope.example/v1/things/x",
        "/version",
        "/healthz",
        "/readyz/ping",
        "/apis/apps/v1?timeout=32s",
    ] {
        for protocol in [Protocol::Http1, Protocol::NoAlpn, Protocol::Http2] {
            assert_same(&scene.door, protocol, || get(target)).await;
        }
    }
}

#[tokio::test]
async fn methods_beside_the_verbs_are_answered_by_the_api_server() {
    let (open, filtered) = tokio::join!(Scene::open("methods"), Scene::filtered("methods"));
    for scene in [&open, &filtered] {
        scene.tracked("a").await;
        for method in ["HEAD", "OPTIONS", "POST", "FROBNICATE"] {
            for target in [&scene.core("configmaps/a"), "/version"] {
                if method != "HEAD" && target == "/version" && scene.argocd == filtered.argocd {
                    continue;
                }
                let request = || Request::builder().method(method).uri(target).body(empty()).unwrap();
                for protocol in [Protocol::Http1, Protocol::Http2] {
                    assert_same(&scene.door, protocol, request).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn what_the_api_server_refuses_is_refused_in_its_own_words() {
    let (open, filtered) = tokio::join!(Scene::open("errors"), Scene::filtered("errors"));
    for scene in [&open, &filtered] {
        scene.tracked("a").await;
        scene.apply(tracked(deployment("web", 0))).await;
        for (status, request) in refused(scene) {
            let answer = assert_same(&scene.door, Protocol::Http1, &request).await;
            assert_eq!(answer.status, status, "{} {}: {}", request().method(), request().uri(), answer.text());
        }
    }
}

/// Requests that change nothing, and the status of their answer.
fn refused(scene: &Scene) -> Vec<(u16, impl Fn() -> Request<Body> + use<>)> {
    let json = "application/json";
    let (maps, map, web) = (scene.core("configmaps"), scene.core("configmaps/a"), scene.apps("deployments/web"));
    let config_map = |metadata: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
    let strict = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"n"},"nonsense":1}"#.to_owned();
    let foreign_apply = r#"{"apiVersion":"v1","kind":"ConfigMap","data":{"greeting":"mine"}}"#.to_owned();
    let cases = [
        (404, "GET", scene.core("configmaps/missing"), json, String::new()),
        (404, "DELETE", scene.core("configmaps/missing"), json, String::new()),
        (404, "PATCH", scene.core("configmaps/missing"), "application/merge-patch+json", "{}".to_owned()),
        (404, "GET", "/apis/nope.example/v1/namespaces/x/things/y".to_owned(), json, String::new()),
        (409, "POST", maps.clone(), json, config_map(json!({"name": "a"})).to_string()),
        (409, "PUT", map.clone(), json, config_map(json!({"name": "a", "resourceVersion": "1"})).to_string()),
        (409, "DELETE", map.clone(), json, r#"{"preconditions":{"uid":"another"}}"#.to_owned()),
        (409, "PATCH", format!("{map}?fieldManager=other"), "application/apply-patch+yaml", foreign_apply),
        (400, "PUT", map.clone(), json, config_map(json!({"name": "b"})).to_string()),
        (400, "POST", maps.clone(), json, "{nonsense".to_owned()),
        (400, "POST", format!("{maps}?fieldValidation=Strict"), json, strict),
        (
            422,
            "PATCH",
            format!("{map}?fieldValidation=Strict"),
            "application/merge-patch+json",
            r#"{"nonsense":1}"#.into(),
        ),
        (422, "POST", maps.clone(), json, config_map(json!({"name": "Not_A_Name"})).to_string()),
        (422, "PATCH", web, "application/merge-patch+json", r#"{"spec":{"replicas":-1}}"#.to_owned()),
        (
            422,
            "PATCH",
            map.clone(),
            "application/json-patch+json",
            r#"[{"op":"test","path":"/data/x","value":"y"}]"#.into(),
        ),
        (422, "DELETE", map.clone(), json, r#"{"propagationPolicy":"Nonsense"}"#.to_owned()),
        // Of the subresource, and not of its parent.
        (405, "DELETE", scene.apps("deployments/web/scale"), json, String::new()),
        (404, "DELETE", scene.core("configmaps/a/log"), json, String::new()),
        (415, "PATCH", map, "application/nonsense", "{}".to_owned()),
        (415, "POST", maps.clone(), "text/plain", "{}".to_owned()),
        // Answered before all of it is read.
        (413, "POST", maps, json, format!(r#"{{"data":{{"x":"{}"}}}}"#, "x".repeat((3 << 20) + 1000))),
    ];
    let requests = cases.into_iter().map(|(status, method, target, content_type, body)| {
        (status, move || with_body(method, &target, content_type, body.clone()))
    });
    requests.collect()
}

#[tokio::test]
async fn an_answer_that_nobody_accepts_is_the_api_servers_406() {
    let scene = Scene::open("accept").await;
    scene.tracked("a").await;
    for accept in ["application/nonsense", "application/json;as=Nonsense;g=meta.k8s.io;v=v1", "image/png;q=1"] {
        let request = || get_as(&scene.core("configmaps/a"), accept);
        assert_eq!(assert_same(&scene.door, Protocol::Http1, request).await.status, 406);
    }
}

#[tokio::test]
async fn a_state_of_the_future_keeps_the_api_servers_own_retry_after() {
    let scene = Scene::open("future").await;
    let target = scene.core("configmaps?resourceVersion=99999999999");
    let answer = scene.door.ask(get(&target)).await.expect_status(504);
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(answer.json()["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
}

#[tokio::test]
async fn names_with_blanks_pluses_and_colons_are_found_however_they_are_written() {
    let (open, filtered) = tokio::join!(Scene::open("names"), Scene::filtered("names"));
    for scene in [&open, &filtered] {
        let name = format!("read er+x:{}", scene.namespace);
        let role = tracked(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": [],
        }));
        let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
        scene.direct.ask(with_json("POST", roles, &role)).await.expect_status(201);
        for prefix in ["read%20er+x:", "read%20er%2Bx%3A", "%72ead%20er%2bx:"] {
            let target = format!("{roles}/{prefix}{}", scene.namespace);
            let answer = assert_same(&scene.door, Protocol::Http1, || get(&target)).await.expect_status(200);
            assert_eq!(answer.json()["metadata"]["name"], name.as_str());
            let patch = || with_body("PATCH", &target, "application/merge-patch+json", r#"{"rules":[]}"#);
            assert_same(&scene.door, Protocol::Http2, patch).await.expect_status(200);
        }
        assert_eq!(scene.kubectl().ok(&["get", "clusterrole", &name, "-o", "jsonpath={.metadata.name}"]).await, name);
        scene.kubectl().ok(&["delete", "clusterrole", &name, "--wait=false"]).await;
    }
}

#[tokio::test]
async fn the_api_server_sees_the_callers_own_name_and_id_of_the_request() {
    let (open, filtered) = tokio::join!(Scene::open("headers"), Scene::filtered("headers"));
    for scene in [&open, &filtered] {
        scene.tracked("a").await;
        let mut audit = Audit::from_now();
        let target = scene.core("configmaps/a?seen");
        let mut request = get(&target);
        let agent = "argocd-server/v0.0.0 (linux/amd64) kubernetes/$Format";
        request.headers_mut().insert("user-agent", agent.parse().unwrap());
        request.headers_mut().insert("audit-id", "the-callers-own".parse().unwrap());
        let answer = scene.door.ask(request).await.expect_status(200);
        assert_eq!(answer.headers["audit-id"], "the-callers-own");
        let event = audit.event("ResponseComplete", &target).await;
        assert_eq!((&event["userAgent"], &event["auditID"]), (&json!(agent), &json!("the-callers-own")));
        assert_eq!(event["user"]["username"], "envtest-admin", "the agent's, and no other");
    }
}

#[tokio::test]
async fn a_namespace_is_an_object_with_subresources_of_its_own() {
    let (open, filtered) = tokio::join!(Scene::open("namespaces"), Scene::filtered("namespaces"));
    for scene in [&open, &filtered] {
        let namespace = format!("/api/v1/namespaces/{}", scene.namespace);
        if scene.argocd == filtered.argocd {
            for rest in ["", "/status", "/finalize"] {
                scene.door.ask(get(&format!("{namespace}{rest}"))).await.assert_not_managed();
            }
            apply(&tracked(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": scene.namespace}})))
                .await;
        }
        for rest in ["", "/status", "/finalize"] {
            let target = format!("{namespace}{rest}");
            assert_same(&scene.door, Protocol::Http1, || get(&target)).await;
        }
        let patch = r#"{"metadata":{"labels":{"seen":"yes"}}}"#;
        let patch = with_body("PATCH", &format!("{namespace}/status"), "application/merge-patch+json", patch);
        scene.door.ask(patch).await.expect_status(200);
    }
}
