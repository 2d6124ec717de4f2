//! Objects that are made.

use serde_json::json;

use super::{
    server::{MARK, deployment, marked, object, owned, pod},
    world::{Plan, World, request, with_body},
};

const PODS: &str = "/api/v1/namespaces/shop/pods";

async fn strict() -> World {
    let mut plan = Plan::filtered();
    plan.options.managed_creates_only = true;
    plan.build(|_| {}).await
}

#[tokio::test]
async fn anything_may_be_made_unless_it_must_be_managed() {
    let mut world = World::filtered().await;
    let read = world.send(with_body("POST", PODS, "application/json", object("web").to_string())).await;
    assert_eq!(read.status, 201);
    let [created] = &world.server.take()[..] else { panic!("one request") };
    assert_eq!((created.line(), &created.body[..]), (format!("POST {PODS}"), object("web").to_string().as_bytes()));
}

#[tokio::test]
async fn what_carries_the_mark_may_be_made_and_its_body_goes_out_untouched() {
    let mut world = strict().await;
    let body = format!(" {{ \"metadata\" : {{\"annotations\":{{\"{MARK}\":\"x\"}}}} }}\n");
    let read = world.send(with_body("POST", PODS, "application/json", body.clone())).await;
    assert_eq!(read.status, 201);
    let [created] = &world.server.take()[..] else { panic!("one request") };
    assert_eq!(created.body, body);
    assert_eq!(created.headers["content-length"].to_str().unwrap(), body.len().to_string());
}

#[tokio::test]
async fn what_belongs_to_a_managed_owner_may_be_made() {
    let mut world = strict().await;
    world.server.put(&deployment("d"), marked("d"));
    let mut job = owned("job", &[("Deployment", "d")]);
    // Where it is made is what the path says.
    job["metadata"]["namespace"] = json!("elsewhere");
    assert_eq!(world.send(with_body("POST", PODS, "application/json", job.to_string())).await.status, 201);
}

#[tokio::test]
async fn whatever_else_is_refused_where_it_must_be_managed() {
    let mut world = strict().await;
    let twice = format!(r#"{{"metadata":{{"annotations":{{"{MARK}":"x"}}}},"metadata":{{}}}}"#);
    for (content_type, body) in [
        ("application/json", object("web").to_string()),
        ("application/json", twice),
        ("application/json", "{}".to_owned()),
        ("application/yaml", "metadata: {}\n".to_owned()),
        ("application/vnd.kubernetes.protobuf", "k8s\0".to_owned()),
    ] {
        let read = world.send(with_body("POST", PODS, content_type, body)).await;
        assert_eq!((read.status.as_u16(), read.refusal()), (403, Some("create_not_managed")), "{content_type}");
    }
    let apply = with_body("PATCH", &pod("web"), "application/apply-patch+yaml", object("web").to_string());
    assert_eq!(world.send(apply).await.refusal(), Some("create_not_managed"));
    assert_eq!(world.server.lines(), [format!("GET {}", pod("web"))]);
    let apply = with_body("PATCH", &pod("web"), "application/apply-patch+yaml", marked("web").to_string());
    assert_eq!(world.send(apply).await.refusal(), None);
}

#[tokio::test]
async fn a_body_beyond_what_an_api_server_takes_is_refused() {
    let mut world = strict().await;
    let read = world.send(with_body("POST", PODS, "application/json", vec![b' '; (3 << 20) + 1])).await;
    assert_eq!((read.status.as_u16(), read.refusal()), (400, Some("bad_request")));
}

#[tokio::test]
async fn asking_for_ones_own_rights_is_no_create() {
    let mut world = strict().await;
    let review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    assert_eq!(world.send(request("POST", review)).await.status, 201);
}
