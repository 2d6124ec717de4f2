//! Watches of an API server that is broken: nothing of them is ever shown unfiltered; each ends, and says why or breaks
//! off.

use harness::{
    broken::{Broken, SECRET, Taken, envelope, message, pieces, pod, pod_message},
    client::Protocol,
    watched::Event,
    wire,
};
use serde_json::{Value, json};

use super::mixed::PROTOBUF;

const JSON: &str = "application/json";
const WATCH: &str = "?watch=true";

#[tokio::test]
async fn a_sound_watch_is_filtered_so_that_what_follows_means_something() {
    let lines = [line("ADDED", &pod("a", true)), line("ADDED", &pod("b", false)), line("MODIFIED", &pod("a", true))];
    let taken = watch(JSON, lines.to_vec(), true).await;
    taken.assert_hides(JSON);
    assert_eq!((taken.status.as_u16(), taken.is_cut), (200, false), "{}", taken.text());
    let kinds: Vec<_> = events(&taken).into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["ADDED", "MODIFIED"]);
    let frames = [frame("ADDED", &pod_message("b", false)), frame("ADDED", &pod_message("a", true))];
    let taken = watch(PROTOBUF, frames.to_vec(), true).await;
    taken.assert_hides(PROTOBUF);
    assert!(!taken.is_cut && taken.text().contains("in public"), "{}", taken.text());
}

#[tokio::test]
async fn a_bad_event_ends_the_watch_behind_the_good_ones() {
    let hidden = pod("b", false);
    let bare = |value: Value| format!("{value}\n").into_bytes();
    for (what, bad) in [
        ("garbage", b"\0\x01{nonsense hunter2\n".to_vec()),
        ("text", b"hunter2\n".to_vec()),
        ("no type", bare(json!({"object": hidden}))),
        ("no object", bare(json!({"type": "ADDED"}))),
        ("an object that is text", bare(json!({"type": "ADDED", "object": SECRET}))),
        ("an object without metadata", bare(json!({"type": "ADDED", "object": {"spec": SECRET}}))),
        ("a type that is unknown", bare(json!({"type": "FROBNICATED", "object": pod("c", true), "x": SECRET}))),
        ("a type that is a number", bare(json!({"type": 1, "object": hidden}))),
        ("two types", format!(r#"{{"type":"BOOKMARK","object":{hidden},"type":"ADDED"}}"#).into_bytes()),
        ("two objects", format!(r#"{{"type":"ADDED","object":{},"object":{hidden}}}"#, pod("c", true)).into_bytes()),
        ("an array", bare(json!([{"type": "ADDED", "object": hidden}]))),
        ("a bad escape", format!(r#"{{"type":"ADDED","object":{{"spec":"\q{SECRET}"}}}}"#).into_bytes()),
        ("nesting", [&br#"{"type":"ADDED","object":{"spec":"#[..], &b"[".repeat(200_000)].concat()),
    ] {
        for ends in [true, false] {
            // Some of these do not end by themselves, and then only a server that ends shows that they never will.
            if !ends && !bad.ends_with(b"\n") {
                continue;
            }
            let taken = watch(JSON, vec![line("ADDED", &pod("a", true)), bad.clone()], ends).await;
            assert_ends(&taken, what);
            assert!(taken.text().contains("in public"), "{what}: {}", taken.text());
        }
    }
}

#[tokio::test]
async fn an_event_that_is_half_there_ends_the_watch() {
    let (good, whole) = (line("ADDED", &pod("a", true)), line("ADDED", &pod("b", false)));
    let halves = (1..whole.len() - 1).step_by(5).map(|end| vec![good.clone(), whole[..end].to_vec()]);
    for (number, taken) in watch_each(JSON, halves.collect()).await.iter().enumerate() {
        assert_ends(taken, &format!("cut {number}"));
    }
    let (good, whole) = (frame("ADDED", &pod_message("a", true)), frame("ADDED", &pod_message("b", false)));
    let halves = (1..whole.len()).step_by(3).map(|end| vec![good.clone(), whole[..end].to_vec()]);
    for (number, taken) in watch_each(PROTOBUF, halves.collect()).await.iter().enumerate() {
        assert_ends(taken, &format!("frame cut {number}"));
    }
}

#[tokio::test]
async fn a_bad_frame_ends_the_watch() {
    let hidden = pod_message("b", false);
    let object = |object: &[u8]| message(&[(1, object)]);
    let framed = |event: Vec<u8>| [&u32::try_from(event.len()).unwrap().to_be_bytes()[..], &event].concat();
    for (what, bad) in [
        ("a length of four gibibytes", vec![0xff; 4]),
        ("garbage of some length", [&[0, 0, 0, 7][..], SECRET.as_bytes()].concat()),
        ("no type", framed(message(&[(2, &object(&envelope("Pod", &hidden)))]))),
        ("no object", framed(message(&[(1, b"ADDED")]))),
        ("no envelope", framed(message(&[(1, b"ADDED"), (2, &object(&hidden))]))),
        ("JSON", framed(message(&[(1, b"ADDED"), (2, &object(pod("b", false).to_string().as_bytes()))]))),
        ("an unknown type", framed(message(&[(1, b"FROBNICATED"), (2, &object(&envelope("Pod", &hidden)))]))),
        ("an object without metadata", frame("ADDED", &message(&[(2, &message(&[(10, SECRET.as_bytes())]))]))),
        ("an empty frame", vec![0; 4]),
        ("JSON lines", line("ADDED", &pod("b", false))),
    ] {
        for ends in [true, false] {
            // A length that is one, with less behind it, is waited for.
            if !ends && ["JSON lines"].contains(&what) {
                continue;
            }
            let taken = watch(PROTOBUF, vec![frame("ADDED", &pod_message("a", true)), bad.clone()], ends).await;
            assert_ends(&taken, what);
            assert!(taken.text().contains("in public"), "{what}: {}", taken.text());
        }
    }
}

#[tokio::test]
async fn an_event_over_sixteen_mebibytes_ends_the_watch() {
    let mut large = pod("large", true);
    large["spec"]["stuffing"] = "x".repeat(17 << 20).into();
    let taken = watch(JSON, vec![line("ADDED", &pod("a", true)), line("ADDED", &large)], false).await;
    assert_ends(&taken, "JSON");
    let large = [pod_message("large", true), message(&[(2, &vec![b'x'; 17 << 20])])].concat();
    let taken = watch(PROTOBUF, vec![frame("ADDED", &pod_message("a", true)), frame("ADDED", &large)], false).await;
    assert_ends(&taken, "protobuf");
    // A line without an end is no reason to hold it all.
    let stuffing: Vec<_> = (0..64).map(|_| vec![b'x'; 1 << 20]).collect();
    let begun = [vec![br#"{"type":"ADDED","object":{"spec":""#.to_vec()], stuffing].concat();
    assert_ends(&watch(JSON, begun, false).await, "without end");
}

#[tokio::test]
async fn a_watch_that_is_not_what_it_says_is_an_error() {
    for (what, content_type, accept) in [
        ("JSON called protobuf", PROTOBUF, PROTOBUF),
        ("JSON called YAML", "application/yaml", JSON),
        ("a page of a website", "text/html", JSON),
        ("JSON called CBOR", "application/cbor-seq", JSON),
    ] {
        let lines = vec![line("ADDED", &pod("b", false))];
        let content_type = content_type.to_owned();
        let broken = Broken::pods(move |_| pieces(&content_type, lines.clone(), true)).await;
        let taken = broken.take(WATCH, accept, Protocol::Http1).await;
        taken.assert_hides(what);
        assert!(taken.is_cut || !taken.status.is_success() || is_error(&taken), "{what}: {}", taken.text());
    }
}

#[tokio::test]
async fn errors_of_the_api_server_pass_as_they_are() {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "too old resource version",
        "reason": "Expired", "code": 410,
    });
    let taken = watch(JSON, vec![line("ADDED", &pod("b", false)), line("ERROR", &status)], true).await;
    taken.assert_hides("error");
    assert_eq!(taken.text(), String::from_utf8(line("ERROR", &status)).unwrap());
    // What is no error is none, whatever it is called.
    let taken = watch(JSON, vec![line("ERROR", &pod("b", false))], true).await;
    taken.assert_hides("no error");
    let taken = watch(JSON, vec![line("BOOKMARK", &pod("b", false))], true).await;
    taken.assert_hides("no bookmark");
}

/// Behind the events that were shown comes an error that says what it is, or a break. Nothing that must not be seen came.
fn assert_ends(taken: &Taken, what: &str) {
    taken.assert_hides(what);
    assert_eq!(taken.status, 200, "{what}: {}", taken.excerpt());
    assert!(taken.is_cut || is_error(taken), "{what}: {}", taken.excerpt());
}

/// Whether the last event is an error with a Status that says why.
fn is_error(taken: &Taken) -> bool {
    let events = events(taken);
    let last = events.last();
    last.is_some_and(|last| last.kind == "ERROR" && last.code.is_some() && !last.message.is_empty())
}

fn events(taken: &Taken) -> Vec<Event> {
    if taken.headers["content-type"].to_str().unwrap().starts_with(PROTOBUF) {
        let (mut rest, mut events) = (taken.body.clone(), Vec::new());
        while !rest.is_empty() {
            let length = u32::from_be_bytes(wire::take(&mut rest, 4)[..].try_into().unwrap());
            events.push(Event::of_protobuf(wire::take(&mut rest, usize::try_from(length).unwrap())));
        }
        return events;
    }
    let text = taken.text();
    text.lines().map(|line| Event::of_json(&serde_json::from_str(line).unwrap())).collect()
}

async fn watch(content_type: &'static str, events: Vec<Vec<u8>>, ends: bool) -> Taken {
    let broken = Broken::pods(move |_| pieces(&as_stream(content_type), events.clone(), ends)).await;
    broken.take(WATCH, content_type, Protocol::Http1).await
}

/// Several watches, each of which ends.
async fn watch_each(content_type: &'static str, watches: Vec<Vec<Vec<u8>>>) -> Vec<Taken> {
    let answer = move |events: &Vec<Vec<u8>>| pieces(&as_stream(content_type), events.clone(), true);
    Broken::each(watches, "watch=true", content_type, answer).await
}

/// What the API server calls a watch in an encoding.
fn as_stream(content_type: &str) -> String {
    if content_type == PROTOBUF { format!("{content_type};stream=watch") } else { content_type.to_owned() }
}

fn line(kind: &str, object: &Value) -> Vec<u8> {
    format!("{}\n", json!({"type": kind, "object": object})).into_bytes()
}

fn frame(kind: &str, object: &[u8]) -> Vec<u8> {
    let event = message(&[(1, kind.as_bytes()), (2, &message(&[(1, &envelope("Pod", object))]))]);
    [&u32::try_from(event.len()).unwrap().to_be_bytes()[..], &event].concat()
}
