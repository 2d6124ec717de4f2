//! Lists of events: shown where what they are about is managed.

use serde_json::{Value, json};

use super::{
    lists::{list, names},
    server::{marked, object, owned, pod, replica_set},
    world::World,
};

const EVENTS: &str = "/api/v1/namespaces/shop/events";
/// As Argo CD sends it: without a kind.
const ARGO_CD: &str = "fieldSelector=involvedObject.namespace%3Dshop%2CinvolvedObject.uid%3Duid-web\
                       %2CinvolvedObject.name%3Dweb";

fn event(name: &str, about: &str, uid: &str) -> Value {
    let mut event = object(name);
    event["involvedObject"] =
        json!({"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": about, "uid": uid});
    event
}

#[tokio::test]
async fn events_come_as_they_were_asked_for_and_what_they_are_about_is_asked_for_once() {
    let mut world = World::filtered().await;
    let events: Vec<_> = (0..50).map(|n| event(&format!("e{n}"), "web", "uid-web")).collect();
    world.server.put(EVENTS, list("EventList", &events));
    world.server.put(&pod("web"), marked("web"));
    let target = format!("{EVENTS}?{ARGO_CD}&limit=10&labelSelector=a%3Db");
    let read = world.get(&target).await;
    assert_eq!((read.status.as_u16(), names(&read).len()), (200, 50));
    assert_eq!(
        world.server.lines(),
        [format!("GET {target}"), "GET /api/v1".to_owned(), format!("GET {}", pod("web"))]
    );
}

#[tokio::test]
async fn only_events_about_what_is_managed_are_shown() {
    let mut world = World::filtered().await;
    world.server.put(&pod("web"), marked("web"));
    world.server.put(&pod("other"), object("other"));
    world.server.put(&pod("owned"), owned("owned", &[("ReplicaSet", "set")]));
    world.server.put(&replica_set("set"), marked("set"));
    let mut unheard = event("of-no-known-kind", "web", "uid-unheard");
    unheard["involvedObject"]["kind"] = json!("Unheard");
    let mut nameless = event("about-nothing", "", "");
    nameless["involvedObject"] = json!({});
    let mut marked_itself = event("marked-itself", "other", "uid-other");
    marked_itself["metadata"]["annotations"] = marked("x")["metadata"]["annotations"].clone();
    world.server.put(
        EVENTS,
        list(
            "EventList",
            &[
                event("managed", "web", "uid-web"),
                event("unmanaged", "other", "uid-other"),
                event("earlier-one-of-that-name", "web", "uid-before"),
                event("gone", "gone", "uid-gone"),
                event("owned", "owned", "uid-owned"),
                unheard,
                nameless,
                marked_itself,
            ],
        ),
    );
    assert_eq!(names(&world.get(&format!("{EVENTS}?limit=5")).await), ["managed", "owned"]);
    assert_eq!(names(&world.get(EVENTS).await), ["managed", "owned"], "asked for by the page");
}

#[tokio::test]
async fn events_of_the_other_group_say_what_they_regard() {
    let mut world = World::filtered().await;
    world.server.put(&pod("web"), marked("web"));
    let events = "/apis/events.k8s.io/v1/namespaces/shop/events";
    let regarding = |name: &str, uid: &str| {
        let mut event = event(name, "web", uid);
        event["regarding"] = event["involvedObject"].take();
        // Not what it would be in the core group.
        event["involvedObject"] =
            json!({"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "web", "uid": "uid-web"});
        event
    };
    world.server.put(events, list("EventList", &[regarding("shown", "uid-web"), regarding("hidden", "uid-before")]));
    assert_eq!(names(&world.get(events).await), ["shown"]);
}

#[tokio::test]
async fn events_of_a_managed_object_are_shown_when_it_is_gone() {
    let mut world = World::filtered().await;
    world.server.put(EVENTS, list("EventList", &[event("a", "web", "uid-web"), event("b", "other", "uid-other")]));
    world.server.put(&pod("web"), marked("web"));
    world.server.put(&pod("other"), object("other"));
    assert_eq!(world.get_pod("web").await.status, 200);
    assert_eq!(world.get_pod("other").await.status, 404);
    world.server.remove(&pod("web"));
    world.server.remove(&pod("other"));
    assert_eq!(names(&world.get(EVENTS).await), ["a"]);
}

#[tokio::test]
async fn events_whose_object_cannot_be_read_are_undecidable() {
    let mut world = World::filtered().await;
    world.server.put(EVENTS, list("EventList", &[event("a", "web", "uid-web")]));
    world.server.fail(&pod("web"), 403);
    let read = world.get(&format!("{EVENTS}?limit=5")).await;
    assert_eq!((read.status.as_u16(), read.refusal()), (503, Some("undecidable")));
    assert!(read.message().contains(&format!("{} is not for you", pod("web"))), "{}", read.message());
}
