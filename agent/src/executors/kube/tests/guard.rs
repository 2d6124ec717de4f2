//! Whatever changes an object, or reaches it through a subresource.

use http::Request;
use http_body_util::Full;

use super::{
    server::{marked, object, owned, pod, replica_set},
    world::{World, request, with_body},
};

fn merge_patch(target: &str) -> Request<Full<bytes::Bytes>> {
    with_body("PATCH", target, "application/merge-patch+json", "{}")
}

fn apply(target: &str) -> Request<Full<bytes::Bytes>> {
    with_body("PATCH", target, "application/apply-patch+yaml", "{}")
}

fn impersonating(mut request: Request<Full<bytes::Bytes>>) -> Request<Full<bytes::Bytes>> {
    request.headers_mut().insert("impersonate-user", "jane".parse().unwrap());
    request
}

#[tokio::test]
async fn a_change_looks_the_object_up_first_by_its_metadata_alone() {
    let mut world = World::filtered().await;
    world.server.put(&pod("web"), marked("web"));
    for change in [merge_patch(&pod("web")), request("PUT", &pod("web")), request("DELETE", &pod("web"))] {
        let method = change.method().clone();
        assert_eq!(world.send(impersonating(change)).await.status, 200);
        let [look_up, forwarded] = &world.server.take()[..] else { panic!("two requests") };
        assert_eq!(look_up.line(), format!("GET {}", pod("web")));
        assert!(look_up.headers["accept"].to_str().unwrap().contains("as=PartialObjectMetadata"));
        assert!(!look_up.headers.contains_key("impersonate-user"), "the agent asks for itself");
        assert_eq!(forwarded.line(), format!("{method} {}", pod("web")));
        assert_eq!(forwarded.headers["impersonate-user"], "jane");
    }
}

#[tokio::test]
async fn an_unmanaged_object_is_not_touched() {
    let mut world = World::filtered().await;
    world.server.put(&pod("web"), object("web"));
    let patch = r#"{"metadata":{"annotations":{"argocd.argoproj.io/tracking-id":"mine"}}}"#;
    for change in [
        with_body("PATCH", &pod("web"), "application/merge-patch+json", patch),
        with_body("PATCH", &pod("web"), "application/apply-patch+yaml", patch),
        request("PUT", &pod("web")),
        request("DELETE", &pod("web")),
        request("POST", &format!("{}/eviction", pod("web"))),
        request("GET", &format!("{}/log?follow=true", pod("web"))),
        request("POST", &format!("{}/exec?command=sh", pod("web"))),
        request("HEAD", &pod("web")),
        request("GET", &format!("{}?includeObject=None", pod("web"))),
    ] {
        let read = world.send(change).await;
        assert_eq!((read.status.as_u16(), read.refusal()), (404, Some("not_managed")));
        assert_eq!(world.server.lines(), [format!("GET {}", pod("web"))]);
    }
}

#[tokio::test]
async fn a_subresource_asks_for_its_parent() {
    let mut world = World::filtered().await;
    world.server.put(&pod("web"), owned("web", &[("ReplicaSet", "rs")]));
    world.server.put(&replica_set("rs"), marked("rs"));
    let log = format!("{}/log?tailLines=3", pod("web"));
    world.server.put(&format!("{}/log", pod("web")), object("log"));
    assert_eq!(world.get(&log).await.status, 200);
    let lines = world.server.lines();
    assert_eq!((lines.len(), lines.last()), (4, Some(&format!("GET {log}"))));
}

#[tokio::test]
async fn what_does_not_exist_is_the_api_servers_own_404() {
    let mut world = World::filtered().await;
    for change in [merge_patch(&pod("web")), request("DELETE", &pod("web")), apply(&format!("{}/status", pod("web")))] {
        let read = world.send(change).await;
        assert_eq!((read.status.as_u16(), read.refusal()), (404, None));
        assert_eq!(read.message(), format!("{} not found", pod("web")));
        assert_eq!(world.server.lines(), [format!("GET {}", pod("web"))]);
    }
    let read = world.send(impersonating(request("DELETE", &pod("web")))).await;
    assert_eq!((read.status.as_u16(), read.refusal()), (404, None));
    let forwarded = world.server.lines();
    assert_eq!(forwarded.last(), Some(&format!("DELETE {}", pod("web"))), "the API server judges who is impersonated");
}

#[tokio::test]
async fn put_and_apply_of_what_does_not_exist_create_it() {
    let mut world = World::filtered().await;
    for change in [request("PUT", &pod("web")), apply(&pod("web"))] {
        let expected = format!("{} {}", change.method(), pod("web"));
        assert_eq!(world.send(change).await.refusal(), None);
        assert_eq!(world.server.lines(), [format!("GET {}", pod("web")), expected]);
    }
}

#[tokio::test]
async fn a_look_up_that_is_forbidden_is_answered_as_the_api_server_does() {
    let mut world = World::filtered().await;
    world.server.fail(&pod("web"), 403);
    let read = world.send(merge_patch(&pod("web"))).await;
    assert_eq!((read.status.as_u16(), read.refusal()), (403, None));
    assert_eq!(read.message(), format!("{} is not for you", pod("web")));
}

#[tokio::test]
async fn argo_cds_own_objects_pass_without_a_look_up() {
    let mut world = World::filtered().await;
    let application = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/app";
    world.server.put(application, object("app"));
    for call in [request("GET", application), merge_patch(application), request("DELETE", application)] {
        let expected = format!("{} {application}", call.method());
        assert_eq!(world.send(call).await.status, 200);
        assert_eq!(world.server.lines(), [expected]);
    }
}

#[tokio::test]
async fn collections_and_paths_that_cannot_be_read_are_refused_without_a_request() {
    let mut world = World::filtered().await;
    for (method, target, status, label) in [
        ("HEAD", "/api/v1/namespaces/shop/pods", 404, "not_managed"),
        ("DELETE", "/api/v1/namespaces/shop/pods", 403, "delete_collection_not_allowed"),
        ("GET", "/metrics", 404, "not_managed"),
        ("GET", "/api/v1//pods", 400, "bad_request"),
        ("GET", "/api/v1/namespaces/shop/pods/..%2fsecrets", 400, "bad_request"),
    ] {
        let read = world.send(request(method, target)).await;
        assert_eq!((read.status.as_u16(), read.refusal()), (status, Some(label)), "{target}");
        assert_eq!(world.server.lines(), Vec::<String>::new());
    }
}
