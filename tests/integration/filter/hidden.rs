//! What Argo CD does not manage can neither be seen nor touched, whatever is asked of it.

use harness::{
    audit::Audit,
    client::{Body, Protocol, empty, full, get},
    scene::{Scene, deployment, tracked},
};
use http::Request;
use serde_json::json;

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
/// A patch by which an object would become one of Argo CD's.
const ADOPT: &str = r#"{"metadata":{"annotations":{"argocd.argoproj.io/tracking-id":"shop:x:y/z"}}}"#;

#[tokio::test]
async fn an_unmanaged_object_is_neither_read_nor_changed_nor_adopted() {
    let scene = Scene::filtered("hidden").await;
    scene.untracked("a").await;
    let map = scene.core("configmaps/a");
    let before = scene.direct.ask(get(&map)).await;
    let object = tracked(before.json());
    let mut audit = Audit::from_now();
    let whole = object.to_string();
    let marked = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","annotations":{"argocd.argoproj.io/tracking-id":"x"}}}"#;
    let adopt_by_json =
        r#"[{"op":"add","path":"/metadata/annotations","value":{"argocd.argoproj.io/tracking-id":"x"}}]"#;
    for (method, query, content_type, body) in [
        ("GET", "", JSON, ""),
        ("GET", "?watch=1", JSON, ""),
        ("GET", "?resourceVersion=0", JSON, ""),
        ("PUT", "", JSON, whole.as_str()),
        ("PUT", "?dryRun=All", JSON, &whole),
        ("PATCH", "", MERGE, ADOPT),
        ("PATCH", "?dryRun=All", MERGE, ADOPT),
        ("PATCH", "", "application/strategic-merge-patch+json", ADOPT),
        ("PATCH", "", "application/json-patch+json", adopt_by_json),
        ("PATCH", "?fieldManager=x&force=true", APPLY, marked),
        ("PATCH", "?fieldManager=x", "application/apply-patch+yaml; charset=utf-8", marked),
        ("PATCH", "", "", ADOPT),
        ("DELETE", "", JSON, ""),
        ("DELETE", "", JSON, r#"{"dryRun":["All"]}"#),
        ("DELETE", "?dryRun=All", JSON, ""),
        ("POST", "", JSON, &whole),
        ("OPTIONS", "", JSON, ""),
        ("FROBNICATE", "", JSON, ""),
    ] {
        for path in [map.clone(), map.replace("configmaps", "config%6Daps"), format!("{map}/")] {
            for protocol in [Protocol::Http1, Protocol::Http2] {
                let request = request(method, &format!("{path}{query}"), content_type, body);
                let answer = scene.door.connect(protocol).await.ask(request).await;
                assert_eq!(answer.status, 404, "{method} {path}{query}: {}", answer.text());
                answer.assert_not_managed();
            }
        }
    }
    let head = scene.door.ask(request("HEAD", &map, JSON, "")).await.expect_status(404);
    assert!(head.body.is_empty());
    assert_eq!(scene.direct.ask(get(&map)).await.body, before.body);
    let reached = audit.completed("aps/a");
    let mut of_this = reached.iter().filter(|line| line.contains(&scene.namespace));
    assert!(of_this.all(|line| line.starts_with("get ")), "{reached:?}");
}

#[tokio::test]
async fn subresources_of_an_unmanaged_object_are_refused() {
    let scene = Scene::filtered("hidden").await;
    let before = scene.pod("bare", false).await;
    scene.apply(deployment("web", 0)).await;
    let mut audit = Audit::from_now();
    let pod = |rest: &str| scene.core(&format!("pods/bare/{rest}"));
    let subresources = [
        pod("log"),
        pod("log?follow=true"),
        pod("exec?command=id&stdout=true"),
        pod("attach?stdin=true"),
        pod("portforward?ports=80"),
        pod("eviction"),
        pod("binding"),
        pod("status"),
        pod("resize"),
        pod("ephemeralcontainers"),
        pod("proxy/"),
        pod("proxy/a/b?c=d"),
        scene.core("pods/bare:80/proxy/"),
        scene.core("pods/http:bare:80/proxy/"),
        scene.apps("deployments/web/scale"),
        scene.apps("deployments/web/status"),
    ];
    for target in &subresources {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let answer = scene.door.ask(request(method, target, MERGE, r#"{"spec":{"replicas":3}}"#)).await;
            assert_eq!(answer.status, 404, "{method} {target}: {}", answer.text());
            answer.assert_not_managed();
        }
    }
    // In the words of clients that mean to switch protocols.
    for (method, protocol) in [("GET", "websocket"), ("POST", "SPDY/3.1")] {
        for target in [pod("exec?command=id&stdout=true"), pod("attach?stdout=true"), pod("portforward")] {
            let request = Request::builder().method(method).uri(target);
            let request = request
                .header("connection", "Upgrade")
                .header("upgrade", protocol)
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")
                .header("sec-websocket-protocol", "v5.channel.k8s.io")
                .header("x-stream-protocol-version", "v4.channel.k8s.io");
            let mut connection = scene.door.connect(Protocol::NoAlpn).await;
            connection.ask(request.body(empty()).unwrap()).await.assert_not_managed();
        }
    }
    let after = scene.direct.object(&scene.core("pods/bare")).await;
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"], "not evicted");
    let reached = audit.completed(&scene.core("pods"));
    assert!(reached.iter().all(|line| line.ends_with("/pods/bare") && line.starts_with("get ")), "{reached:?}");
    for args in [&["logs", "bare"][..], &["exec", "bare", "--", "id"], &["port-forward", "bare", ":80"]] {
        assert!(scene.kubectl().fails(args).await.contains("resource not managed by app"), "{args:?}");
    }
}

#[tokio::test]
async fn paths_that_two_readers_may_read_differently_are_refused() {
    let scene = Scene::filtered("paths").await;
    scene.tracked("shown").await;
    scene.untracked("secret").await;
    let (shown, secret) = (scene.core("configmaps/shown"), scene.core("configmaps/secret"));
    for target in [
        format!("{shown}/../secret"),
        format!("{shown}/%2e%2e/secret"),
        format!("{shown}%2f..%2fsecret"),
        format!("{shown}%00"),
        format!("{shown}/proxy/../../secret"),
        secret.replace("/namespaces", "//namespaces"),
        format!("/{secret}"),
        secret.replace("/api/", "/API/"),
        secret.replace("/api/v1", "/api/v1/."),
        "/metrics".to_owned(),
        "/debug/pprof/".to_owned(),
        "/logs/".to_owned(),
        "/.well-known/openid-configuration".to_owned(),
        "/".to_owned(),
    ] {
        let answer = scene.door.ask(get(&target)).await;
        assert!(matches!(answer.status.as_u16(), 400 | 404), "{target}: {} {}", answer.status, answer.text());
        assert!(!answer.text().contains("hello") && answer.body.len() < 1024, "{target}: {}", answer.text());
    }
}

#[tokio::test]
async fn an_object_that_carries_the_mark_costs_one_request_and_others_no_more_than_they_must() {
    let scene = Scene::filtered("cost").await;
    for name in ["read", "changed"] {
        scene.tracked(name).await;
    }
    scene.untracked("hidden").await;
    let mut connection = scene.door.connect(Protocol::Http2).await;
    // The agent has read its settings, once.
    connection.ask(get(&scene.core("configmaps/read"))).await.expect_status(200);
    let mut audit = Audit::from_now();
    connection.ask(get(&scene.core("configmaps/read?pretty=true"))).await.expect_status(200);
    let patch = request("PATCH", &scene.core("configmaps/changed"), MERGE, r#"{"data":{"x":"y"}}"#);
    connection.ask(patch).await.expect_status(200);
    connection.ask(get(&scene.core("configmaps/hidden"))).await.assert_not_managed();
    audit.event("ResponseComplete", "configmaps/hidden").await;
    let expected = [
        format!("get {}", scene.core("configmaps/read?pretty=true")),
        format!("get {}", scene.core("configmaps/changed")),
        format!("patch {}", scene.core("configmaps/changed")),
        format!("get {}", scene.core("configmaps/hidden")),
    ];
    assert_eq!(audit.completed(&scene.core("configmaps/")), expected);
}

#[tokio::test]
async fn a_managed_object_that_loses_its_mark_is_hidden_from_then_on() {
    let scene = Scene::filtered("unmarked").await;
    scene.tracked("a").await;
    let map = scene.core("configmaps/a");
    let remove = json!({"metadata": {"annotations": null}}).to_string();
    scene.door.ask(request("PATCH", &map, MERGE, &remove)).await.expect_status(200);
    scene.door.ask(get(&map)).await.assert_not_managed();
    scene.tracked("a").await;
    scene.door.ask(get(&map)).await.expect_status(200);
}

fn request(method: &str, target: &str, content_type: &str, body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(target);
    if !content_type.is_empty() {
        request = request.header("content-type", content_type);
    }
    request.body(if body.is_empty() { empty() } else { full(body.to_owned()) }).unwrap()
}
