//! Watches, filtered.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::timeout};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};

use super::{
    lists::list,
    server::{self, marked, object, owned, pod},
    world::{LONG, World, request},
};

const PODS: &str = "/api/v1/namespaces/shop/pods";
const SETS: &str = "/apis/apps/v1/namespaces/shop/replicasets";

/// A world whose server answers watches with what is sent here.
struct Watched {
    world: World,
    watches: Arc<Mutex<HashMap<String, mpsc::Receiver<Bytes>>>>,
}

/// The answer to a watch, event by event.
struct Events {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Watched {
    async fn new() -> Self {
        let world = World::filtered().await;
        let watches: Arc<Mutex<HashMap<String, mpsc::Receiver<Bytes>>>> = Arc::default();
        let answering = Arc::clone(&watches);
        world.server.special(move |request| {
            let is_watch = request.uri().query().is_some_and(|query| query.contains("watch"));
            let pieces = is_watch.then(|| answering.lock().unwrap().remove(request.uri().path())).flatten();
            async move {
                let Some(pieces) = pieces else { return Err(request) };
                let mut answer = server::pieces(pieces);
                answer.headers_mut().insert("content-type", "application/json".parse().unwrap());
                Ok(answer)
            }
        });
        Self { world, watches }
    }

    /// What the next watch of a path will be answered with.
    fn watch_of(&self, path: &str) -> mpsc::Sender<Bytes> {
        let (sender, receiver) = mpsc::channel(64);
        self.watches.lock().unwrap().insert(path.to_owned(), receiver);
        sender
    }

    async fn begin(&mut self, target: &str) -> Events {
        let answer = self.world.begin(request("GET", target)).await;
        assert_eq!(answer.status(), 200);
        Events { body: answer.into_body(), buffer: Vec::new() }
    }
}

impl Events {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = timeout(LONG, self.body.frame()).await.expect("an event or the end in time")?;
            self.buffer.extend_from_slice(frame.unwrap().data_ref().unwrap());
        }
    }

    /// Type and name of the next event.
    async fn brief(&mut self) -> String {
        let event = self.next().await.expect("an event");
        let name = event.pointer("/object/metadata/name").or_else(|| event.pointer("/object/reason"));
        format!("{} {}", event["type"].as_str().unwrap(), name.and_then(Value::as_str).unwrap_or_default())
    }
}

async fn send(events: &mpsc::Sender<Bytes>, kind: &str, object: &Value) {
    events.send(format!("{}\n", json!({"type": kind, "object": object})).into()).await.unwrap();
}

fn at(mut object: Value, version: u32) -> Value {
    object["metadata"]["resourceVersion"] = json!(version.to_string());
    object
}

#[tokio::test]
async fn an_object_is_seen_to_become_managed_and_to_stop() {
    let mut watched = Watched::new().await;
    let pods = watched.watch_of(PODS);
    let mut events = watched.begin(&format!("{PODS}?watch=1")).await;
    for (kind, object) in [
        ("ADDED", at(object("a"), 1)),
        ("ADDED", at(object("never"), 2)),
        ("MODIFIED", at(marked("a"), 3)),
        ("MODIFIED", at(marked("a"), 4)),
        ("MODIFIED", at(object("never"), 5)),
        ("MODIFIED", at(object("a"), 6)),
        ("MODIFIED", at(object("a"), 7)),
        ("DELETED", at(object("a"), 8)),
        ("DELETED", at(object("never"), 9)),
        ("ADDED", at(marked("b"), 10)),
        ("BOOKMARK", json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": "11"}})),
        ("DELETED", at(marked("b"), 12)),
        ("ERROR", json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "reason": "Expired", "code": 410})),
    ] {
        send(&pods, kind, &object).await;
    }
    for expected in ["ADDED a", "MODIFIED a", "DELETED a", "ADDED b", "BOOKMARK ", "DELETED b", "ERROR Expired"] {
        assert_eq!(events.brief().await, expected);
    }
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_watch_goes_on_from_what_its_list_showed() {
    let mut watched = Watched::new().await;
    watched.world.server.put(PODS, list("PodList", &[at(marked("a"), 1), at(object("b"), 2)]));
    assert_eq!(watched.world.get(PODS).await.status, 200);
    let pods = watched.watch_of(PODS);
    let mut events = watched.begin(&format!("{PODS}?watch=1&resourceVersion=7")).await;
    send(&pods, "MODIFIED", &at(object("b"), 8)).await;
    send(&pods, "MODIFIED", &at(object("a"), 9)).await;
    assert_eq!(events.brief().await, "DELETED a");
}

#[tokio::test]
async fn a_watch_goes_on_from_what_an_earlier_one_showed() {
    let mut watched = Watched::new().await;
    let pods = watched.watch_of(PODS);
    let mut events = watched.begin(&format!("{PODS}?watch=1")).await;
    send(&pods, "ADDED", &at(marked("a"), 21)).await;
    assert_eq!(events.brief().await, "ADDED a");
    drop(pods);
    assert_eq!(events.next().await, None);

    let pods = watched.watch_of(PODS);
    let mut events = watched.begin(&format!("{PODS}?watch=1&resourceVersion=21")).await;
    send(&pods, "MODIFIED", &at(object("a"), 22)).await;
    assert_eq!(events.brief().await, "DELETED a");
}

#[tokio::test]
async fn where_it_is_not_known_what_was_shown_the_client_lists_again() {
    let mut watched = Watched::new().await;
    let _pods = watched.watch_of(PODS);
    let mut events = watched.begin(&format!("{PODS}?watch=1&resourceVersion=7")).await;
    let event = events.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!((&event["object"]["kind"], &event["object"]["reason"]), (&json!("Status"), &json!("Expired")));
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn children_come_and_go_with_the_mark_of_their_owner() {
    let mut watched = Watched::new().await;
    let child = at(owned("child", &[("ReplicaSet", "set")]), 5);
    watched.world.server.put(SETS, list("ReplicaSetList", &[at(object("set"), 3)]));
    watched.world.server.put(&pod("child"), child.clone());
    let (pods, sets) = (watched.watch_of(PODS), watched.watch_of(SETS));
    let mut events = watched.begin(&format!("{PODS}?watch=1")).await;
    send(&pods, "ADDED", &child).await;
    send(&sets, "MODIFIED", &at(marked("set"), 6)).await;
    let event = events.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]), (&json!("ADDED"), &child));
    send(&sets, "MODIFIED", &at(marked("set"), 7)).await;
    send(&sets, "MODIFIED", &at(object("set"), 8)).await;
    let event = events.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]), (&json!("DELETED"), &child));
    send(&pods, "DELETED", &at(child, 9)).await;
    send(&pods, "ADDED", &at(marked("next"), 10)).await;
    assert_eq!(events.brief().await, "ADDED next", "it was told once that it is gone");
}

#[tokio::test]
async fn what_has_changed_meanwhile_is_told_by_its_own_event() {
    let mut watched = Watched::new().await;
    let child = |version| at(owned("child", &[("ReplicaSet", "set")]), version);
    watched.world.server.put(SETS, list("ReplicaSetList", &[at(object("set"), 3)]));
    let (pods, sets) = (watched.watch_of(PODS), watched.watch_of(SETS));
    let mut events = watched.begin(&format!("{PODS}?watch=1")).await;
    send(&pods, "ADDED", &child(5)).await;
    // It is newer than what the watch has come to.
    watched.world.server.put(&pod("child"), child(9));
    send(&pods, "ADDED", &at(marked("shown"), 6)).await;
    assert_eq!(events.brief().await, "ADDED shown");
    send(&sets, "MODIFIED", &at(marked("set"), 7)).await;
    send(&pods, "MODIFIED", &at(marked("shown"), 8)).await;
    assert_eq!(events.brief().await, "MODIFIED shown", "no version of the child has been told yet");
    send(&pods, "MODIFIED", &child(9)).await;
    let event = events.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]), (&json!("ADDED"), &child(9)));
}

#[tokio::test]
async fn what_cannot_be_read_ends_the_watch_with_a_status() {
    for bad in [
        "gibberish\n",
        "{\"type\":\"ADDED\",\"object\":{\"kind\":\"Pod\"}}\n",
        "{\"type\":\"SOMETHING\",\"object\":{\"kind\":\"Pod\",\"metadata\":{\"name\":\"x\",\"uid\":\"y\"}}}\n",
        "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"x\"}}}\n",
    ] {
        let mut watched = Watched::new().await;
        let pods = watched.watch_of(PODS);
        let mut events = watched.begin(&format!("{PODS}?watch=1")).await;
        send(&pods, "ADDED", &at(marked("a"), 1)).await;
        pods.send(bad.into()).await.unwrap();
        assert_eq!(events.brief().await, "ADDED a");
        let event = events.next().await.unwrap();
        assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(503)), "{bad}");
        assert_eq!(events.next().await, None);
    }
}

#[tokio::test]
async fn a_watch_that_ends_within_an_event_ends_with_a_status() {
    let mut watched = Watched::new().await;
    let pods = watched.watch_of(PODS);
    let mut events = watched.begin(&format!("{PODS}?watch=1")).await;
    pods.send("{\"type\":\"ADDED\",".into()).await.unwrap();
    drop(pods);
    assert_eq!(events.brief().await, "ERROR ServiceUnavailable");
}

#[tokio::test]
async fn a_browser_is_answered_in_a_websocket_event_by_event() {
    let mut watched = Watched::new().await;
    let pods = watched.watch_of(PODS);
    let mut call = request("GET", &format!("{PODS}?watch=1"));
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "base64.binary.k8s.io, another"),
    ] {
        call.headers_mut().insert(name, value.parse().unwrap());
    }
    let answer = watched.world.begin(call).await;
    assert_eq!(answer.status(), 101);
    assert_eq!(answer.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(answer.headers()["sec-websocket-protocol"], "base64.binary.k8s.io");
    let lines = watched.world.server.take();
    assert!(
        lines.iter().all(|seen| !seen.headers.contains_key("upgrade")),
        "the API server is asked for a plain watch"
    );

    let stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
    send(&pods, "ADDED", &at(object("hidden"), 1)).await;
    send(&pods, "ADDED", &at(marked("shown"), 2)).await;
    let message = timeout(LONG, socket.next()).await.unwrap().unwrap().unwrap();
    let event: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
    assert_eq!((&event["type"], &event["object"]), (&json!("ADDED"), &at(marked("shown"), 2)));
    drop(pods);
    assert!(timeout(LONG, socket.next()).await.unwrap().unwrap().unwrap().is_close());
}

#[tokio::test]
async fn a_handshake_that_makes_no_sense_is_refused() {
    let mut world = World::filtered().await;
    let mut call = request("GET", &format!("{PODS}?watch=1"));
    call.headers_mut().insert("connection", "upgrade".parse().unwrap());
    call.headers_mut().insert("upgrade", "websocket".parse().unwrap());
    let read = world.send(call).await;
    assert_eq!((read.status.as_u16(), read.refusal()), (400, Some("bad_request")));
    assert_eq!(world.server.lines(), Vec::<String>::new());
}
