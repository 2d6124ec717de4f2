use proptest::prelude::*;

use super::*;

const KUBECTL: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,\
                       application/json";
const TYPED: &str = "application/vnd.kubernetes.protobuf,application/json";
const METADATA: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,\
                        application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
const EVENTS: [ItemKind; 2] = [ItemKind::CoreEvent, ItemKind::Event];

fn headers(values: &[&str]) -> HeaderMap {
    values.iter().map(|value| (ACCEPT, value.parse().unwrap())).collect()
}

/// The `Accept` header that the API server is sent.
fn accept_of(values: &[&str], items: ItemKind) -> String {
    let asked = ask(&headers(values), "", items).accept;
    asked.map_or_else(|| values.join(","), |accept| accept.to_str().unwrap().to_owned())
}

fn accept(value: &str) -> String {
    accept_of(&[value], ItemKind::Object)
}

#[test]
fn what_clients_send_passes_as_it_came() {
    for value in [
        KUBECTL,
        TYPED,
        METADATA,
        // Argo CD's cluster cache, and client-go's dynamic client.
        "application/json",
        // k9s, which asks for tables as kubectl does.
        "application/json;as=Table;v=v1;g=meta.k8s.io",
        "application/json;as=Table;v=v1;g=meta.k8s.io, application/json",
        "application/vnd.kubernetes.protobuf;stream=watch, application/json;stream=watch;q=0.5",
        "application/json ; as = Table ; v = v1 ; g = meta.k8s.io",
        "application/json;q=0",
    ] {
        assert_eq!(ask(&headers(&[value]), "watch=1", ItemKind::Object).accept, value_changed(value), "{value}");
    }
    // Neither does who says nothing, as Go's plain client, nor who says it with nothing.
    assert_eq!(ask(&headers(&[]), "", ItemKind::Object).accept, None);
    assert_eq!(ask(&headers(&[""]), "", ItemKind::Object).accept, None);
}

/// Blanks between the ranges are the only thing that may change.
fn value_changed(value: &str) -> Option<HeaderValue> {
    let plain = value.replace(", ", ",");
    (plain != value).then(|| plain.parse().unwrap())
}

#[test]
fn what_cannot_be_read_is_left_out() {
    for (came, sent) in [
        ("application/yaml, application/json", "application/json"),
        ("application/json, application/yaml;q=0.9", "application/json"),
        ("application/cbor, application/cbor-seq;q=1, application/vnd.kubernetes.protobuf ", TYPED_ALONE),
        ("application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1,application/json", "application/json"),
        ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", "application/json;q=0.8"),
        (",, application/json,", "application/json"),
    ] {
        assert_eq!(accept(came), sent, "{came}");
    }
    for unreadable in [
        "application/yaml",
        "application/cbor",
        "text/plain",
        // Neither does the API server know these.
        "Application/JSON",
        "application/json/x",
        "*/json",
        "application",
        "json",
        ",",
        " ; ",
        "application/json\tx",
        "\"application/json,\"",
    ] {
        assert_eq!(accept(unreadable), UNREADABLE, "{unreadable}");
    }
}

const TYPED_ALONE: &str = "application/vnd.kubernetes.protobuf";

#[test]
fn a_wildcard_is_json() {
    for (came, sent) in [
        // curl
        ("*/*", "application/json"),
        ("*", "application/json"),
        ("application/*", "application/json"),
        // client-go where it prefers nothing
        ("application/json, */*", "application/json"),
        (
            "*;q=0.1, application/vnd.kubernetes.protobuf;q=0.5",
            "application/json;q=0.1,application/vnd.kubernetes.protobuf;q=0.5",
        ),
        ("*/*;as=Table;v=v1;g=meta.k8s.io", "application/json;as=Table;v=v1;g=meta.k8s.io"),
        ("application/json;q=0.1, */*", "application/json;q=0.1,application/json"),
        ("*,*,*,*", "application/json"),
    ] {
        assert_eq!(accept(came), sent, "{came}");
    }
    assert_eq!(ask(&headers(&["*/*;as=Table"]), "includeObject=None", ItemKind::Object).rows, RowObject::Nothing);
}

#[test]
fn several_headers_are_one_list() {
    assert_eq!(accept_of(&["application/yaml", "application/json"], ItemKind::Object), "application/json");
    let two = ask(&headers(&["application/json", TYPED_ALONE]), "", ItemKind::Object).accept.unwrap();
    assert_eq!(two, "application/json,application/vnd.kubernetes.protobuf");
    let one = ask(&headers(&["application/json", "text/plain"]), "", ItemKind::Object).accept.unwrap();
    assert_eq!(one, "application/json");
}

#[test]
fn what_does_not_say_what_an_event_is_about_is_left_out() {
    for items in EVENTS {
        assert_eq!(accept_of(&[METADATA], items), "application/json");
        assert_eq!(accept_of(&[KUBECTL], items), KUBECTL);
        assert_eq!(accept_of(&[TYPED], items), TYPED);
        let single = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        assert_eq!(accept_of(&[single], items), UNREADABLE);
        // The last one counts, and what has no value does not.
        assert_eq!(accept_of(&["application/json;as=Table;as=PartialObjectMetadata;as=;as=a=b"], items), UNREADABLE);
        let table = "application/json;as=PartialObjectMetadata;as=Table";
        assert_eq!(accept_of(&[table], items), table);
    }
}

#[test]
fn rows_are_asked_for_with_what_it_takes_to_decide() {
    let asked = |query: &'static str, items| {
        let asked = ask(&headers(&[KUBECTL]), query, items);
        (asked.query.into_owned(), asked.rows)
    };
    for (came, sent, rows) in [
        ("includeObject=None", "includeObject=Metadata", RowObject::Nothing),
        ("a=%31&include%4fbject=N%6fne&b", "a=%31&include%4fbject=Metadata&b", RowObject::Nothing),
        ("includeObject=None&includeObject=Object", "includeObject=Metadata&includeObject=Object", RowObject::Nothing),
        // Go would not read the first two.
        (
            "includeObject=a;b&includeObject=%zz&includeObject=None",
            "includeObject=a;b&includeObject=%zz&includeObject=Metadata",
            RowObject::Nothing,
        ),
    ] {
        assert_eq!(asked(came, ItemKind::Object), (sent.to_owned(), rows), "{came}");
    }
    for untouched in ["", "limit=5", "includeObject", "includeObject=Metadata", "includeObject=Object"] {
        assert_eq!(asked(untouched, ItemKind::Object), (untouched.to_owned(), RowObject::AsItCame), "{untouched}");
    }
    for items in EVENTS {
        for (came, sent, rows) in [
            ("", "includeObject=Object", RowObject::Metadata),
            ("limit=5", "limit=5&includeObject=Object", RowObject::Metadata),
            ("includeObject&a", "includeObject=Object&a", RowObject::Metadata),
            ("includeObject=Metadata", "includeObject=Object", RowObject::Metadata),
            ("includeObject=None", "includeObject=Object", RowObject::Nothing),
            ("includeObject=Object", "includeObject=Object", RowObject::AsItCame),
        ] {
            assert_eq!(asked(came, items), (sent.to_owned(), rows), "{came}");
        }
    }
    // The API server refuses these.
    for invalid in ["includeObject=none", "includeObject=All&includeObject=None"] {
        for items in [ItemKind::Object, ItemKind::CoreEvent] {
            assert_eq!(asked(invalid, items), (invalid.to_owned(), RowObject::AsItCame), "{invalid}");
        }
    }
}

#[test]
fn a_query_is_rewritten_only_for_a_table() {
    for value in [TYPED, METADATA, "*/*", "application/yaml;as=Table", "application/json;as=\"Table\""] {
        let asked = ask(&headers(&[value]), "includeObject=None", ItemKind::Object);
        assert!(matches!(asked.query, Cow::Borrowed("includeObject=None")), "{value}");
        assert_eq!(asked.rows, RowObject::AsItCame);
    }
}

#[test]
fn no_more_parameters_are_asked_than_go_reads() {
    let full = "a&".repeat(9_999) + "a";
    let asked = ask(&headers(&[KUBECTL]), &full, ItemKind::CoreEvent);
    assert_eq!((asked.query.as_ref(), asked.rows), (full.as_str(), RowObject::AsItCame));
}

#[test]
fn only_encodings_that_can_be_read_are_recognised() {
    let encoding_of = |values: &[&str], watch| {
        let headers: HeaderMap = values.iter().map(|value| (CONTENT_TYPE, value.parse().unwrap())).collect();
        encoding(&headers, watch)
    };
    for (value, list, watch) in [
        ("application/json", Some(Encoding::Json), Some(Encoding::Json)),
        ("Application/JSON; charset=utf-8", Some(Encoding::Json), Some(Encoding::Json)),
        ("application/json;as=Table;v=v1;g=meta.k8s.io", Some(Encoding::Json), Some(Encoding::Json)),
        ("application/json;stream=watch", None, Some(Encoding::Json)),
        ("application/json; Stream=\"watch\"", None, Some(Encoding::Json)),
        ("application/json;stream=other", None, None),
        ("application/vnd.kubernetes.protobuf", Some(Encoding::Protobuf), None),
        ("application/vnd.kubernetes.protobuf;stream=watch", None, Some(Encoding::Protobuf)),
        ("application/vnd.kubernetes.protobuf ; v=1; stream=watch", None, Some(Encoding::Protobuf)),
        ("application/yaml", None, None),
        ("application/cbor", None, None),
        ("application/cbor-seq", None, None),
        ("text/plain", None, None),
        ("", None, None),
    ] {
        assert_eq!(encoding_of(&[value], false), list, "{value}");
        assert_eq!(encoding_of(&[value], true), watch, "{value}");
    }
    assert_eq!(encoding_of(&[], false), None);
    assert_eq!(encoding_of(&["application/json", "application/json"], false), None);
}

proptest! {
    #[test]
    fn whatever_is_asked_for_can_be_read(
        value in "(application/(json|yaml|vnd\\.kubernetes\\.protobuf|\\*)|\\*/\\*|\\*|a|/|,|, |;| |=|;as=Table|;q=0\\.5){0,12}",
        query in "(includeObject=|None|Object|&|=|;|%4f|a){0,6}",
    ) {
        for items in [ItemKind::Object, ItemKind::CoreEvent] {
            let asked = ask(&headers(&[value.trim()]), &query, items);
            let sent = asked.accept.as_ref().map_or(value.trim(), |accept| accept.to_str().unwrap());
            prop_assert_eq!(sent, sent.trim());
            for range in sent.split(',').filter(|_| sent != UNREADABLE && !sent.is_empty()) {
                let name = range.split(';').next().unwrap().replace(' ', "");
                prop_assert!(matches!(name.as_str(), "application/json" | TYPED_ALONE), "{}", sent);
            }
            // Asking once more changes nothing.
            prop_assert_eq!(ask(&headers(&[sent]), &query, items).accept.is_none(), sent != UNREADABLE);
            let include = query::first(&asked.query, INCLUDE_OBJECT).unwrap_or_default();
            if asked.rows == RowObject::Nothing {
                prop_assert_eq!(query::first(&query, INCLUDE_OBJECT).unwrap(), b"None");
                let needed = if items == ItemKind::Object { "Metadata" } else { "Object" };
                prop_assert_eq!(include, needed.as_bytes());
            }
        }
    }
}
