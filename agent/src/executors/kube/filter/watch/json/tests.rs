use proptest::prelude::*;
use serde_json::{Value, json};

use self::tables::TABLES;
use super::{
    super::super::samples::{POD_JSON, pod_meta},
    *,
};

mod tables;

const LIMIT: usize = 1 << 20;

fn events(items: ItemKind, rows: RowObject) -> JsonEvents {
    JsonEvents::new(items, rows, LIMIT)
}

fn plain() -> JsonEvents {
    events(ItemKind::Object, RowObject::AsItCame)
}

/// Everything in the chunks, each event with the bytes that it is encoded to.
fn read<'c>(
    mut events: JsonEvents,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> Result<Vec<(WatchEvent, Bytes)>, ScanError> {
    let mut found = Vec::new();
    for chunk in chunks {
        events.push(Bytes::copy_from_slice(chunk));
        while let Some(event) = events.next()? {
            let encoded = events.encode(event.kind, &event);
            found.push((event, encoded));
        }
    }
    events.finish()?;
    Ok(found)
}

fn read_text(events: JsonEvents, text: &str) -> Result<Vec<(WatchEvent, Bytes)>, ScanError> {
    read(events, [text.as_bytes()])
}

/// The only event.
fn one(mut events: JsonEvents, text: &str) -> (JsonEvents, WatchEvent) {
    events.push(Bytes::copy_from_slice(text.as_bytes()));
    let event = events.next().unwrap().unwrap();
    assert_eq!(events.input.iter().map(Bytes::len).sum::<usize>(), 0);
    (events, event)
}

fn added(object: &str) -> String {
    format!("{{\"type\":\"ADDED\",\"object\":{object}}}\n")
}

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn an_event_is_read_and_passes_untouched_under_any_cut() {
    let line = added(POD_JSON.trim_end());
    let expected = WatchEvent {
        kind: EventType::Added,
        subject: Some(Subject { meta: pod_meta(), about: None }),
        object: POD_JSON.trim_end().into(),
    };
    let two = line.repeat(2);
    for cut in 0..two.len() {
        let (head, tail) = two.as_bytes().split_at(cut);
        let found = read(plain(), [head, tail]).unwrap();
        assert_eq!(found.len(), 2, "cut at {cut}");
        for (event, encoded) in found {
            assert_eq!((&event, encoded.as_ref()), (&expected, line.as_bytes()), "cut at {cut}");
        }
    }
    assert_eq!(read(plain(), two.as_bytes().chunks(1)).unwrap().len(), 2);
    // The end of an event is known before the end of its line.
    assert_eq!(read_text(plain(), line.trim_end()).unwrap().len(), 1);
}

#[test]
fn what_is_shown_as_it_came_is_not_copied() {
    let chunk = Bytes::from(added(r#"{"metadata":{"uid":"1"}}"#) + &added(r#"{"metadata":{"uid":"2"}}"#));
    let mut events = plain();
    events.push(chunk.clone());
    for at in [0, chunk.len() / 2] {
        let event = events.next().unwrap().unwrap();
        let encoded = events.encode(event.kind, &event);
        assert_eq!(encoded.as_ptr(), chunk[at..].as_ptr());
        assert_eq!(encoded.len(), chunk.len() / 2);
        assert_eq!(event.object.as_ptr(), chunk[at + 25..].as_ptr());
        // It may be shown again, later, and otherwise.
        assert_eq!(events.encode(event.kind, &event), encoded);
        let deleted = events.encode(EventType::Deleted, &event);
        assert_eq!(value(&deleted), json!({"type": "DELETED", "object": value(&event.object)}));
        assert!(deleted.ends_with(b"}\n"));
    }
}

#[test]
fn an_event_that_was_held_back_is_not_mixed_up_with_another() {
    let mut events = plain();
    events.push((added(r#"{"metadata":{"uid":"1"}}"#) + &added(r#"{"metadata":{"uid":"2"}}"#)).into());
    let first = events.next().unwrap().unwrap();
    let second = events.next().unwrap().unwrap();
    assert_eq!(events.encode(EventType::Added, &first), added(r#"{"metadata":{"uid":"1"}}"#));
    assert_eq!(events.encode(EventType::Added, &second), added(r#"{"metadata":{"uid":"2"}}"#));
}

#[test]
fn events_need_no_lines_and_members_no_order() {
    let text = " {\"object\" :{\"metadata\":{\"uid\":\"1\"}}, \"type\": \"DELETED\" }{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{}}}\r\n\n";
    for size in 1..text.len() {
        let found = read(plain(), text.as_bytes().chunks(size)).unwrap();
        assert_eq!(
            found.iter().map(|(event, _)| event.kind).collect::<Vec<_>>(),
            [EventType::Deleted, EventType::Modified]
        );
        assert_eq!(found[0].0.object, r#"{"metadata":{"uid":"1"}}"#);
        assert_eq!(value(&found[0].1), json!({"type": "DELETED", "object": {"metadata": {"uid": "1"}}}));
        assert!(found.iter().all(|(_, encoded)| encoded.ends_with(b"\n")));
    }
}

#[test]
fn bookmarks_and_errors_pass_unread() {
    let bookmark = r#"{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"7","annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
    let error = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version","reason":"Expired","code":410}}"#;
    for rows in [RowObject::AsItCame, RowObject::Metadata, RowObject::Nothing] {
        for (line, kind) in [(bookmark, EventType::Bookmark), (error, EventType::Error)] {
            let found = read_text(events(ItemKind::CoreEvent, rows), &format!("{line}\n")).unwrap();
            let [(event, encoded)] = found.as_slice() else { panic!("one event") };
            assert_eq!((event.kind, &event.subject), (kind, &None));
            assert_eq!(encoded, format!("{line}\n").as_bytes());
        }
    }
}

#[test]
fn what_is_no_event_is_refused_and_nothing_is_read_behind_it() {
    for text in [
        "[]",
        "null",
        "x",
        "{}",
        r#"{"type":"ADDED"}"#,
        r#"{"object":{"metadata":{}}}"#,
        r#"{"type":"ADDED","object":{"metadata":{}},"x":0}"#,
        r#"{"type":"ADDED","type":"ADDED","object":{"metadata":{}}}"#,
        r#"{"type":"ADDED","object":{"metadata":{}},"object":{"metadata":{}}}"#,
        r#"{"type":"added","object":{"metadata":{}}}"#,
        r#"{"type":"","object":{"metadata":{}}}"#,
        r#"{"type":null,"object":{"metadata":{}}}"#,
        r#"{"type":"ADDED","object":[]}"#,
        r#"{"type":"ADDED","object":null}"#,
        r#"{"type":"BOOKMARK","object":null}"#,
        r#"{"type":"ADDED","object":{"metadata":{},"metadata":{}}}"#,
        r#"{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{},"kind":"Table"}}"#,
        r#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[]}"#,
    ] {
        let mut events = plain();
        events.push(format!("{text}\n{}", added(r#"{"metadata":{}}"#)).into());
        assert!(matches!(events.next(), Err(ScanError::Malformed(_))), "{text}");
        events.push(added(r#"{"metadata":{}}"#).into());
        assert!(matches!(events.next(), Err(ScanError::Answered)), "{text}");
        assert!(events.finish().is_err(), "{text}");
    }
    for object in ["{}", r#"{"metadata":null}"#, r#"{"metadata":[]}"#] {
        assert!(matches!(read_text(plain(), &added(object)), Err(ScanError::NoMetadata)), "{object}");
    }
    for object in [r#"{"metadata":{"uid":1}}"#, r#"{"metadata":{]}"#, r#"{"kind":1,"metadata":{}}"#] {
        assert!(matches!(read_text(plain(), &added(object)), Err(ScanError::Metadata(_))), "{object}");
    }
    let line = added(POD_JSON.trim_end());
    for cut in 1..line.len() - 1 {
        assert!(matches!(read(plain(), [&line.as_bytes()[..cut]]), Err(ScanError::Truncated)), "cut at {cut}");
    }
    assert!(read_text(plain(), "\n \n").unwrap().is_empty());
}

#[test]
fn no_more_than_the_limit_is_held_of_an_event() {
    let line = added(r#"{"metadata":{"uid":"12345"}}"#);
    let limit = line.len() - 1;
    for size in 1..=line.len() {
        let with = |limit| JsonEvents::new(ItemKind::Object, RowObject::AsItCame, limit);
        assert_eq!(read(with(limit), line.repeat(3).as_bytes().chunks(size)).unwrap().len(), 3);
        let error = read(with(limit - 1), line.as_bytes().chunks(size)).unwrap_err();
        assert!(matches!(error, ScanError::ItemTooLarge { limit: told } if told == limit - 1));
    }
    let mut events = JsonEvents::new(ItemKind::Object, RowObject::AsItCame, 10);
    events.push(Bytes::from_static(br#"{"type":"A"#));
    assert!(events.next().unwrap().is_none());
    events.push(Bytes::from_static(b"D"));
    assert!(matches!(events.next(), Err(ScanError::ItemTooLarge { limit: 10 })));
    assert!(events.held.is_empty());
    let body = Bytes::from_static(br#"{"metadata":{}}"#);
    assert!(matches!(events.object(body), Err(ScanError::ItemTooLarge { .. })));
}

#[test]
fn a_large_event_in_small_pieces_costs_no_more_than_its_length() {
    let line = added(&format!(r#"{{"data":"{}","metadata":{{"uid":"1"}}}}"#, "x".repeat(300_000)));
    let mut events = JsonEvents::new(ItemKind::Object, RowObject::AsItCame, 4 << 20);
    let line = Bytes::from(line);
    for at in 0..line.len() {
        events.push(line.slice(at..=at));
    }
    let event = events.next().unwrap().unwrap();
    assert_eq!(event.object.len(), line.len() - 27);
    let found = read(JsonEvents::new(ItemKind::Object, RowObject::AsItCame, 4 << 20), line.chunks(1)).unwrap();
    assert_eq!(found[0].0, event);
}

#[test]
fn events_say_what_they_are_about() {
    let about = json!({"kind": "Pod", "namespace": "shop", "name": "web", "uid": "1", "apiVersion": "v1"});
    let reference = Some(Reference {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
        uid: "1".to_owned(),
    });
    for (items, member) in [(ItemKind::CoreEvent, "involvedObject"), (ItemKind::Event, "regarding")] {
        let object = json!({"metadata": {}, member: about});
        let (_, event) = one(events(items, RowObject::AsItCame), &added(&object.to_string()));
        assert_eq!(event.subject.unwrap().about, reference);
        let row = json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "rows": [{"cells": [], "object": object}]});
        let (_, event) = one(events(items, RowObject::Nothing), &added(&row.to_string()));
        assert_eq!(event.subject.unwrap().about, reference);
        let (_, event) = one(plain(), &added(&object.to_string()));
        assert_eq!(event.subject.unwrap().about, None);
        for none in ["{\"metadata\":{}}".to_owned(), json!({"metadata": {}, member: null}).to_string()] {
            let (_, event) = one(events(items, RowObject::AsItCame), &added(&none));
            assert_eq!(event.subject.unwrap().about, None);
        }
        for bad in [json!(["v1", "Pod", "shop", "web", "1"]), json!("Pod"), json!({"uid": 1})] {
            let object = json!({"metadata": {}, member: bad});
            assert!(read_text(events(items, RowObject::AsItCame), &added(&object.to_string())).is_err());
        }
        let twice = format!(r#"{{"metadata":{{}},"{member}":{about},"{member}":{about}}}"#);
        assert!(read_text(events(items, RowObject::AsItCame), &added(&twice)).is_err());
    }
}

#[test]
fn an_object_that_was_asked_for_is_an_event_in_one_line() {
    let events = plain();
    let event = events.object(POD_JSON.into()).unwrap();
    assert_eq!(event.kind, EventType::Added);
    assert_eq!(event.subject.as_ref().unwrap().meta, pod_meta());
    let pretty = format!("{:#}\n", value(POD_JSON.as_bytes()));
    let line = events.object(pretty.into()).unwrap();
    assert_eq!(value(&line.object), value(POD_JSON.as_bytes()));
    assert!(!line.object.contains(&b'\n'));
    for bad in ["", "{", "[]", "{\"metadata\":{}}{}", "{\"kind\":\"Status\"}"] {
        assert!(events.object(bad.into()).is_err(), "{bad}");
    }
}

#[test]
fn errors_and_bookmarks_of_our_own_are_as_the_api_server_writes_them() {
    let status = value(&plain().error(410, "Expired", "a \"b\"\n"));
    assert_eq!(
        status,
        json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
               "message": "a \"b\"\n", "reason": "Expired", "code": 410}})
    );
    assert_eq!(plain().bookmark("7"), None);
    let (events, _) = one(plain(), &added(POD_JSON.trim_end()));
    let expected = json!({"type": "BOOKMARK", "object": {"kind": "Pod", "apiVersion": "v1",
                          "metadata": {"resourceVersion": "7"}}});
    assert_eq!(value(&events.bookmark("7").unwrap()), expected);
    assert_eq!(read_text(plain(), std::str::from_utf8(&events.bookmark("7").unwrap()).unwrap()).unwrap().len(), 1);
    let (mut events, _) = one(events, TABLES[2]);
    let table = json!({"type": "BOOKMARK", "object": {"kind": "Table", "apiVersion": "meta.k8s.io/v1",
                       "metadata": {"resourceVersion": "8"}, "columnDefinitions": null, "rows": []}});
    assert_eq!(value(&events.bookmark("8").unwrap()), table);
    // What failed is none of the objects.
    events.push(events.error(500, "InternalError", "x"));
    assert!(events.next().unwrap().is_some());
    assert_eq!(value(&events.bookmark("8").unwrap()), table);
}

/// One event, and what is to be read in it.
fn any_event() -> impl Strategy<Value = (Value, Option<String>)> {
    let text = || "[\\PC\"\\\\\n{}]{0,9}";
    let kind = prop_oneof![Just("ADDED"), Just("MODIFIED"), Just("DELETED"), Just("BOOKMARK"), Just("ERROR")];
    (kind, text(), text(), text(), any::<bool>()).prop_map(|(kind, uid, noise, label, table)| {
        let mut object = json!({
            "kind": "Thing", "apiVersion": "v1", "a": [noise, {"metadata": {"uid": "no"}}], "spec": {noise.clone(): [[]]},
            "metadata": {"uid": uid, "labels": {noise.clone(): label}, "managedFields": [{"x": {}}]},
        });
        if table {
            object = json!({
                "kind": "Table", "apiVersion": "meta.k8s.io/v1beta1", "columnDefinitions": null, "metadata": {},
                "rows": [{"cells": [noise, 1, null], "object": object}],
            });
        }
        let subject = (!matches!(kind, "BOOKMARK" | "ERROR")).then_some(uid);
        (json!({"type": kind, "object": object}), subject)
    })
}

/// What a row is to be in place of what it is.
fn reduce(event: &Value, rows: RowObject) -> Value {
    let mut event = event.clone();
    if event["object"]["kind"] == "Table" && event["type"] != "ERROR" {
        let object = &mut event["object"]["rows"][0]["object"];
        let metadata = object["metadata"].take();
        *object = match rows {
            RowObject::Nothing => Value::Null,
            _ => json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1beta1", "metadata": metadata}),
        };
    }
    event
}

proptest! {
    #[test]
    fn any_watch_is_read_as_serde_json_reads_it(
        expected in proptest::collection::vec(any_event(), 0..6),
        separator in "[ \n\t\r]{0,3}",
        cuts in proptest::collection::vec(0_usize..300, 0..12),
        indent in any::<bool>(),
    ) {
        let text: String = expected
            .iter()
            .map(|(event, _)| if indent { format!("{event:#}{separator}") } else { format!("{event}{separator}") })
            .collect();
        let mut chunks = Vec::new();
        let mut rest = text.as_bytes();
        for cut in cuts {
            let (head, tail) = rest.split_at(cut.min(rest.len()));
            chunks.push(head);
            rest = tail;
        }
        chunks.push(rest);
        for rows in [RowObject::AsItCame, RowObject::Metadata, RowObject::Nothing] {
            let found = read(events(ItemKind::Object, rows), chunks.iter().copied()).unwrap();
            prop_assert_eq!(found.len(), expected.len());
            for ((event, encoded), (came, uid)) in found.iter().zip(&expected) {
                let shown = if rows == RowObject::AsItCame { came.clone() } else { reduce(came, rows) };
                prop_assert_eq!(&value(encoded), &shown);
                prop_assert_eq!(&value(&event.object), &shown["object"]);
                prop_assert_eq!(event.subject.as_ref().map(|subject| &subject.meta.uid), uid.as_ref());
                prop_assert_eq!(encoded.last(), Some(&b'\n'));
            }
        }
    }

    #[test]
    fn garbage_never_makes_it_panic_and_passes_only_where_it_is_an_event(
        text in "([{}\\[\\]:,\"]|\"type\":|\"object\":|\"ADDED\"|\"ERROR\"|\"metadata\":\\{\\}|\"rows\":|\\\\|1| |\n){0,16}",
        size in 1_usize..9,
    ) {
        let whole = read_text(plain(), &text);
        let pieces = read(plain(), text.as_bytes().chunks(size));
        prop_assert_eq!(whole.is_ok(), pieces.is_ok());
        for (event, _) in whole.into_iter().chain(pieces).flatten() {
            prop_assert!(event.kind == EventType::Error || event.subject.is_some());
        }
    }

    #[test]
    fn no_event_that_was_damaged_passes_as_another(at in 0_usize..1_000, byte in any::<u8>(), which in 0..TABLES.len()) {
        let mut text = TABLES[which].as_bytes().to_vec();
        let at = at % text.len();
        text[at] = byte;
        let found = read(events(ItemKind::Object, RowObject::Nothing), [text.as_slice()]).unwrap_or_default();
        for (event, encoded) in found {
            // Where it is still JSON, it is read as JSON.
            if let Ok(damaged) = serde_json::from_slice::<Value>(&text) {
                prop_assert_eq!(&value(&encoded)["type"], &damaged["type"]);
                let row = &damaged["object"]["rows"][0]["object"]["metadata"];
                let uid = event.subject.map(|subject| subject.meta.uid);
                prop_assert!(uid.is_none_or(|uid| uid.is_empty() || row["uid"] == uid));
            }
        }
    }
}
