use super::*;

/// As kube-apiserver 1.36 wrote them for a watch of a table with bookmarks, less most of the columns and metadata.
pub(super) const TABLES: [&str; 4] = [
    r#"{"type":"ADDED","object":{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"203"},"columnDefinitions":[{"name":"Name","type":"string","format":"name","description":"Name","priority":0}],"rows":[{"cells":["root-ca",1,"23s"],"object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"root-ca","uid":"5a80"}}}]}}"#,
    r#"{"type":"BOOKMARK","object":{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"286"},"columnDefinitions":null,"rows":[{"cells":["",0,"\u003cunknown\u003e"],"object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"286","annotations":{"k8s.io/initial-events-end":"true"}}}}]}}"#,
    r#"{"type":"MODIFIED","object":{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"290"},"columnDefinitions":null,"rows":[{"cells":["web",2,"1s"],"object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"web","uid":"77"}}}]}}"#,
    r#"{"type":"BOOKMARK","object":{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"301"},"columnDefinitions":null,"rows":[{"cells":["",0,"\u003cunknown\u003e"],"object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"301"}}}]}}"#,
];

#[test]
fn a_tables_rows_are_shown_as_the_client_wants_them() {
    let text = TABLES.join("\n") + "\n";
    let shown = |rows, size| -> String {
        let found = read(events(ItemKind::Object, rows), text.as_bytes().chunks(size)).unwrap();
        assert_eq!(found[0].0.subject.as_ref().unwrap().meta.uid, "5a80");
        assert_eq!(found[1].0.subject, None);
        assert_eq!(found[2].0.subject.as_ref().unwrap().meta.name, "web");
        found.iter().map(|(_, encoded)| std::str::from_utf8(encoded).unwrap()).collect()
    };
    let mut without = text.clone();
    for metadata in [r#""name":"root-ca","uid":"5a80""#, r#""name":"web","uid":"77""#, r#""resourceVersion":"301""#] {
        let object =
            format!(r#"{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{{{metadata}}}}}"#);
        assert!(without.contains(&object));
        without = without.replace(&object, "null");
    }
    for size in [1, 7, 300, text.len()] {
        assert_eq!(shown(RowObject::AsItCame, size), text);
        assert_eq!(shown(RowObject::Metadata, size), text);
        // As direct: the end of the initial events keeps its metadata.
        assert_eq!(shown(RowObject::Nothing, size), without);
    }
}

#[test]
fn columns_are_shown_once_with_the_first_event_that_is_shown() {
    let columns = |event: &[u8]| value(event)["object"]["columnDefinitions"].clone();
    let expected = columns(TABLES[0].as_bytes());
    for rows in [RowObject::AsItCame, RowObject::Nothing] {
        for (first, second) in [(1, 2), (2, 1), (2, 0), (0, 2)] {
            let mut events = events(ItemKind::Object, rows);
            let all: Vec<WatchEvent> = TABLES
                .iter()
                .map(|text| {
                    events.push(Bytes::from_static(text.as_bytes()));
                    events.next().unwrap().unwrap()
                })
                .collect();
            assert_eq!(columns(&events.encode(EventType::Added, &all[first])), expected, "{first}");
            for again in [second, first, second] {
                assert_eq!(columns(&events.encode(EventType::Added, &all[again])), Value::Null, "{first} {again}");
            }
        }
    }
    // They wait for an event that has a place for them.
    let mut waiting = events(ItemKind::Object, RowObject::AsItCame);
    waiting.push(Bytes::from_static(TABLES[0].as_bytes()));
    assert!(waiting.next().unwrap().is_some());
    let object = value(TABLES[2].as_bytes())["object"].to_string().replace("columnDefinitions", "x");
    let bare = waiting.object(object.into()).unwrap();
    assert_eq!(columns(&waiting.encode(EventType::Added, &bare)), Value::Null);
    let object = value(TABLES[2].as_bytes())["object"].to_string();
    let asked = waiting.object(object.into()).unwrap();
    assert_eq!(columns(&waiting.encode(EventType::Added, &asked)), expected);
    // Of one that was asked for, too, and an error is none of the table's.
    let body = value(TABLES[0].as_bytes())["object"].to_string();
    let mut events = events(ItemKind::Object, RowObject::Nothing);
    let asked = events.object(body.into()).unwrap();
    assert_eq!(value(&asked.object)["rows"][0]["object"], Value::Null);
    let error =
        format!("{}\n", r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","columnDefinitions":1}}"#);
    events.push(error.clone().into());
    let event = events.next().unwrap().unwrap();
    assert_eq!(events.encode(EventType::Error, &event), error);
    assert_eq!(columns(&events.encode(asked.kind, &asked)), expected);
    assert_eq!(columns(&events.encode(asked.kind, &asked)), Value::Null);
}

#[test]
fn a_table_without_a_row_to_decide_on_is_refused() {
    for rows in [r#"[]"#, "null", r#"[{"cells":[],"object":null}]"#, r#"[{"cells":[]}]"#] {
        let table = format!(r#"{{"kind":"Table","apiVersion":"meta.k8s.io/v1","rows":{rows}}}"#);
        assert!(matches!(read_text(plain(), &added(&table)), Err(ScanError::NoMetadata)), "{rows}");
        let bookmark = added(&table).replace("ADDED", "BOOKMARK");
        assert!(read_text(events(ItemKind::Object, RowObject::Nothing), &bookmark).is_ok(), "{rows}");
    }
    // What the API server cannot convert it shows as it is (`watchEmbeddedEncoder`).
    let (_, event) = one(events(ItemKind::Object, RowObject::Nothing), &added(POD_JSON.trim_end()));
    assert_eq!(event.subject.unwrap().meta, pod_meta());
}
