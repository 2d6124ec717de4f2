//! Lists of events.

use serde_json::{Value, json};

use super::{
    server::{marked, object, pod},
    world::World,
};

const EVENTS: &str = "/api/v1/namespaces/shop/events";
/// As Argo CD sends it: without a kind.
const ARGO_CD: &str = "fieldSelector=involvedObject.namespace%3Dshop%2CinvolvedObject.uid%3Duid-web\
                       %2CinvolvedObject.name%3Dweb";

fn event(kind: &str, name: &str, uid: &str) -> Value {
    json!({"involvedObject": {"apiVersion": "v1", "kind": kind, "namespace": "shop", "name": name, "uid": uid}})
}

fn list(events: &[Value]) -> Value {
    json!({"kind": "EventList", "metadata": {"resourceVersion": "1"}, "items": events})
}

#[tokio::test]
async fn events_of_a_managed_object_come_as_they_were_asked_for() {
    let mut world = World::filtered().await;
    world.server.put(EVENTS, list(&[event("Pod", "web", "uid-web"), event("Pod", "web", "uid-web")]));
    world.server.put(&pod("web"), marked("web"));
    let target = format!("{EVENTS}?{ARGO_CD}&limit=10&labelSelector=a%3Db");
    assert_eq!(world.get(&target).await.status, 200);
    let lines = world.server.lines();
    assert_eq!(
        lines,
        [
            format!("GET {EVENTS}?{ARGO_CD}&limit=500"),
            "GET /api/v1".to_owned(),
            format!("GET {}", pod("web")),
            format!("GET {target}"),
        ]
    );
}

#[tokio::test]
async fn events_of_anything_else_are_not_listed() {
    let mut world = World::filtered().await;
    world.server.put(&pod("web"), marked("web"));
    world.server.put(&pod("other"), object("other"));
    let many: Vec<Value> = (0..17).map(|n| event("Pod", &format!("p{n}"), "1")).collect();
    let mut page = list(&[event("Pod", "web", "uid-web")]);
    page["metadata"]["continue"] = json!("more");
    for (why, events) in [
        ("unmanaged", list(&[event("Pod", "web", "uid-web"), event("Pod", "other", "uid-other")])),
        ("an earlier one of that name", list(&[event("Pod", "web", "uid-before")])),
        ("gone", list(&[event("Pod", "gone", "uid-gone")])),
        ("of no known kind", list(&[event("Unheard", "web", "uid-web")])),
        ("too many", list(&many)),
        ("more than a page", page),
    ] {
        world.server.put(EVENTS, events);
        let read = world.get(&format!("{EVENTS}?{ARGO_CD}")).await;
        assert_eq!((read.status.as_u16(), read.refusal()), (403, Some("list_not_allowed")), "{why}");
        assert_eq!(world.server.lines().iter().filter(|line| line.contains("/events")).count(), 1, "{why}");
    }
}

#[tokio::test]
async fn no_events_are_listed_where_only_one_object_can_be_meant() {
    let mut world = World::filtered().await;
    world.server.put(EVENTS, list(&[]));
    for (selector, status) in [
        (ARGO_CD, 200),
        ("fieldSelector=involvedObject.name%3Dweb,involvedObject.kind%3DPod", 200),
        ("fieldSelector=involvedObject.name%3Dweb", 403),
        ("fieldSelector=reason%3DScheduled", 403),
        ("limit=1", 403),
    ] {
        assert_eq!(world.get(&format!("{EVENTS}?{selector}")).await.status.as_u16(), status, "{selector}");
    }
}

#[tokio::test]
async fn events_that_the_agent_may_not_list_are_answered_as_the_api_server_does() {
    let mut world = World::filtered().await;
    world.server.fail(EVENTS, 403);
    let read = world.get(&format!("{EVENTS}?{ARGO_CD}")).await;
    assert_eq!((read.status.as_u16(), read.refusal()), (403, None));
}

#[tokio::test]
async fn events_of_their_own_group_are_about_what_they_regard() {
    let mut world = World::filtered().await;
    let path = "/apis/events.k8s.io/v1/namespaces/shop/events";
    let about = json!({"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "web", "uid": "uid-web"});
    world.server.put(path, list(&[json!({"regarding": about})]));
    world.server.put(&pod("web"), marked("web"));
    assert_eq!(world.get(&format!("{path}?fieldSelector=regarding.name%3Dweb")).await.status, 200);
    world.server.put(&pod("web"), object("web"));
    assert_eq!(world.get(&format!("{path}?fieldSelector=regarding.name%3Dweb")).await.status, 403);
}
