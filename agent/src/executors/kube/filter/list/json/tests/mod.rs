//! What comes out of a list, whatever is in it and wherever it is cut.

mod random;

use serde_json::Value;

use super::*;
use crate::executors::kube::filter::{item::Reference, samples::POD_JSON};

/// What came out, and what was asked about.
#[derive(Debug, PartialEq)]
struct Run {
    output: String,
    subjects: Vec<Subject>,
    pieces: usize,
}

/// Runs a list through the filter. Where it fails, what has come out until then is told with the error.
fn run<'c>(
    mut list: JsonList,
    chunks: impl IntoIterator<Item = &'c [u8]>,
    show: impl Fn(&Subject) -> bool,
) -> (Run, Result<(), ScanError>) {
    let (mut output, mut subjects, mut pieces) = (Vec::new(), Vec::new(), 0);
    let mut result = Ok(());
    for chunk in chunks {
        result = list.push(&Bytes::copy_from_slice(chunk));
        while let Some(subject) = list.pending() {
            let show = show(subject);
            subjects.push(subject.clone());
            list.decide(show);
        }
        while let Some(piece) = list.output() {
            assert!(!piece.is_empty());
            output.extend_from_slice(&piece);
            pieces += 1;
        }
        if result.is_err() {
            break;
        }
    }
    let result = result.and_then(|()| list.finish());
    (Run { output: String::from_utf8_lossy(&output).into_owned(), subjects, pieces }, result)
}

/// All output that there is for now.
fn drained(list: &mut JsonList) -> String {
    let output: Vec<u8> = std::iter::from_fn(|| list.output()).flatten().collect();
    String::from_utf8(output).unwrap()
}

fn objects() -> JsonList {
    JsonList::new(ItemKind::Object, RowObject::AsItCame, 1 << 20)
}

fn rows(rows: RowObject) -> JsonList {
    JsonList::new(ItemKind::Object, rows, 1 << 20)
}

fn shown(subject: &Subject) -> bool {
    subject.meta.uid.starts_with('s')
}

/// A list's output in one chunk, and bytewise.
fn filtered(text: &str) -> Result<String, ScanError> {
    let (whole, result) = run(objects(), [text.as_bytes()], shown);
    let (bytewise, bytewise_result) = run(objects(), text.as_bytes().chunks(1), shown);
    assert_eq!(result.is_ok(), bytewise_result.is_ok(), "{text}");
    if result.is_ok() {
        assert_eq!(whole.output, bytewise.output);
    }
    result.map(|()| whole.output)
}

fn pod_list() -> String {
    let pod = POD_JSON.trim_end();
    format!(
        r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"7"}},"items":[{pod},{pod},{pod}]}}"#
    ) + "\n"
}

fn table(rows: &str) -> String {
    format!(
        r#"{{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{{"resourceVersion":"7"}},"columnDefinitions":[{{"name":"Name"}}],"rows":{rows}}}"#
    )
}

#[test]
fn a_list_of_which_all_is_shown_passes_to_the_byte() {
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&pod_list()).unwrap()).unwrap();
    let empty = r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[]}"#.to_owned();
    let none = r#"{"apiVersion":"v1","items":null,"kind":"PodList","metadata":null}"#.to_owned();
    let spacious = " { \"items\" : [ ] , \"kind\" : \"L\" } \n".to_owned();
    for text in [pod_list(), pretty, empty, none, spacious, "{\"items\":[\n]}".to_owned()] {
        let bytes = text.as_bytes();
        for cut in 0..bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            let (run, result) = run(objects(), [head, tail], |_| true);
            result.unwrap();
            assert_eq!(run.output, text, "cut at {cut}");
        }
        let (run, result) = run(objects(), bytes.chunks(1), |_| true);
        result.unwrap();
        assert_eq!(run.output, text);
    }
}

#[test]
fn what_is_adjacent_goes_out_in_one_piece() {
    let (run, result) = run(objects(), [pod_list().as_bytes()], |_| true);
    result.unwrap();
    // The list's beginning, all items, the list's end.
    assert!(run.pieces <= 4, "{}", run.pieces);
}

#[test]
fn only_what_is_shown_passes() {
    let item = |uid: &str| format!(r#"{{"metadata":{{"uid":"{uid}"}}}}"#);
    let list = |uids: &[&str]| {
        let items: Vec<_> = uids.iter().map(|uid| item(uid)).collect();
        format!(r#"{{"kind":"L","items":[{}]}}"#, items.join(","))
    };
    for uids in [&["h", "s1"][..], &["s1", "h"], &["h"], &["h", "s1", "h", "h", "s2", "h"], &["s1", "s2"], &[]] {
        let expected: Vec<_> = uids.iter().copied().filter(|uid| uid.starts_with('s')).collect();
        assert_eq!(filtered(&list(uids)).unwrap(), list(&expected), "{uids:?}");
    }
}

#[test]
fn output_behind_an_undecided_item_waits() {
    let mut list = objects();
    let text = r#"{"items":[{"metadata":{"uid":"a"}},{"metadata":{"uid":"b"}}]}"#;
    list.push(&Bytes::from_static(text.as_bytes())).unwrap();
    assert_eq!(list.pending().unwrap().meta.uid, "a");
    assert_eq!(drained(&mut list), r#"{"items":["#);
    list.decide(true);
    assert_eq!(list.pending().unwrap().meta.uid, "b");
    assert_eq!(drained(&mut list), r#"{"metadata":{"uid":"a"}}"#);
    assert!(list.output().is_none());
    list.decide(false);
    assert_eq!(list.pending(), None);
    list.decide(true);
    assert_eq!(drained(&mut list), "]}");
    list.finish().unwrap();
}

#[test]
fn members_come_in_any_order_and_spelling() {
    let item = r#"{"spec":{"metadata":{"uid":"h"}},"metadata":{"uid":"s"}}"#;
    for text in [
        format!(r#"{{"apiVersion":"x/v1","items":[{item}],"kind":"XList","metadata":{{"continue":"c"}}}}"#),
        format!(r#"{{"items":[{item}]}}"#),
        format!(r#"{{"it\u0065ms":[{item}],"\u006bind":"XList"}}"#),
        format!(r#"{{"metadata":{{}},"items":[{item}]}}"#),
        format!(r#"{{"items":[{}]}}"#, item.replace("uid", r"\u0075\u0069\u0064")),
        format!(r#"{{"items":[{}]}}"#, item.replace("metadata", r"m\u0065tadata")),
    ] {
        assert_eq!(filtered(&text).unwrap(), text);
    }
    let hidden = filtered(r#"{"items":[{"spec":{"metadata":{"uid":"s"}},"met\u0061data":{"uid":"h"}}]}"#);
    assert_eq!(hidden.unwrap(), r#"{"items":[]}"#);
}

#[test]
fn what_remains_is_not_counted() {
    let text = r#"{"metadata":{"continue":"c","remainingItemCount":5},"items":[]}"#;
    assert_eq!(filtered(text).unwrap(), r#"{"metadata":{"continue":"c"},"items":[]}"#);
    let behind = r#"{"items":[],"metadata":{"remainingItemCount":5,"continue":"c"}}"#;
    assert_eq!(filtered(behind).unwrap(), r#"{"items":[],"metadata":{"continue":"c"}}"#);
}

#[test]
fn nothing_passes_of_what_is_no_list() {
    for text in [
        "",
        " ",
        "null",
        "[]",
        "1",
        "{}",
        POD_JSON,
        r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure"}"#,
        r#"{"kind":"PodList","metadata":{"secret":"x"}}"#,
        r#"{"kind":"PodList","metadata":{"secret":"x"},"rows":[]}"#,
        r#"{"kind":"PodList","metadata":{},"columnDefinitions":[]}"#,
        r#"{"metadata":{"secret":"x"},"Items":[]}"#,
        r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","items":[]}"#,
        r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1"}"#,
        r#"{"rows":[],"kind":"Table","apiVersion":"meta.k8s.io/v1"}"#,
        r#"{"metadata":["secret"],"items":[]}"#,
        r#"{"metadata":{"a":tru},"items":[]}"#,
        r#"{"kind":["PodList"],"items":[]}"#,
        r#"{"kind":"a","kind":"b","items":[]}"#,
        r#"{"metadata":{},"metadata":{},"items":[]}"#,
    ] {
        let (run, result) = run(objects(), [text.as_bytes()], |_| true);
        let error = result.unwrap_err();
        let expected = matches!(error, ScanError::NoMetadata | ScanError::Malformed(_) | ScanError::Metadata(_));
        assert!(expected, "{text}: {error:?}");
        assert_eq!(run.output, "", "{text}");
    }
}

#[test]
fn what_cannot_be_read_ends_the_list() {
    let good = r#"{"metadata":{"uid":"s"}}"#;
    for items in [
        "[1]",
        "[null]",
        "[\"x\"]",
        "[[]]",
        "{}",
        "[{}]",
        r#"[{"metadata":null}]"#,
        r#"[{"metadata":["a"]}]"#,
        r#"[{"metadata":{"uid":1}}]"#,
        r#"[{"metadata":{"uid":"s"},"metadata":{"uid":"h"}}]"#,
        r#"[{"metadata":{"uid":"s","uid":"h"}}]"#,
        r#"[{"metadata":{"uid":"s"},"met\u0061data":{"uid":"s"}}]"#,
        &format!("[{good} {good}]"),
        &format!("[{good},]"),
        &format!("[,{good}]"),
        &format!(r#"[{good}],"items":[{good}]"#),
        &format!(r#"[{good}],"secret":1"#),
        &format!(r#"[{good}],"{}":1"#, "k".repeat(200)),
        &format!(r#"[{good}],"rows":[{good}]"#),
        &format!("[{good}]}} x"),
        &format!("[{good}]}}{{"),
        &format!(r#"[{good}],"kind":"Table","apiVersion":"meta.k8s.io/v1""#),
    ] {
        let text = format!(r#"{{"items":{items}}}"#);
        for size in [1, 7, 10_000] {
            let (run, result) = run(objects(), text.as_bytes().chunks(size), shown);
            let error = result.unwrap_err();
            assert!(!matches!(error, ScanError::Truncated), "{text}: {error:?}");
            assert!(!run.output.contains("\"h\"") && !run.output.contains("secret"), "{text}: {}", run.output);
        }
    }
}

#[test]
fn after_an_error_nothing_more_comes_and_nothing_is_asked() {
    let mut list = objects();
    let text = r#"{"items":[{"metadata":{"uid":"s"}},1"#;
    assert!(matches!(list.push(&Bytes::from_static(text.as_bytes())), Err(ScanError::NoMetadata)));
    assert_eq!(list.pending(), None);
    assert_eq!(drained(&mut list), r#"{"items":["#);
    assert!(matches!(list.push(&Bytes::from_static(b",{}]}")), Err(ScanError::Answered)));
    assert!(list.finish().is_err());
    assert!(list.output().is_none());
}

#[test]
fn a_list_that_is_cut_short_is_no_list() {
    let text = pod_list();
    let text = text.trim_end();
    for cut in 1..text.len() {
        let (run, result) = run(objects(), [&text.as_bytes()[..cut]], |_| true);
        assert!(matches!(result, Err(ScanError::Truncated)), "cut at {cut}: {result:?}");
        assert!(text.starts_with(&run.output));
    }
}

#[test]
fn no_item_is_held_beyond_the_limit() {
    let item = format!(r#"{{"metadata":{{"uid":"s"}},"data":"{}"}}"#, "x".repeat(10_000));
    let text = format!(r#"{{"items":[{item},{item}]}}"#);
    let list = |limit| JsonList::new(ItemKind::Object, RowObject::AsItCame, limit);
    for size in [100, 20_000] {
        let (run, result) = run(list(item.len() + 64), text.as_bytes().chunks(size), shown);
        result.unwrap();
        assert_eq!(run.output, text);
    }
    for size in [100, 20_000] {
        let (run, result) = run(list(item.len() - 1), text.as_bytes().chunks(size), shown);
        assert!(matches!(result, Err(ScanError::ItemTooLarge { .. })));
        assert_eq!(run.output, r#"{"items":["#);
    }
    // A million pieces of one byte are not held either.
    let (_, result) = run(list(item.len() + 64), text.as_bytes().chunks(1), shown);
    assert!(matches!(result, Err(ScanError::ItemTooLarge { .. })));
}

#[test]
fn what_a_list_says_of_itself_is_held_to_a_limit() {
    let long = "x".repeat(OWN_LIMIT);
    for text in [
        format!(r#"{{"metadata":{{"continue":"{long}"}},"items":[]}}"#),
        format!(r#"{{"kind":"{long}","items":[]}}"#),
        format!(r#"{{"{long}":1,"items":[]}}"#),
        format!(r#"{{{}"items":[]}}"#, " ".repeat(OWN_LIMIT)),
    ] {
        let (run, result) = run(objects(), text.as_bytes().chunks(4_096), shown);
        assert!(matches!(result, Err(ScanError::TooLarge { .. } | ScanError::Malformed(_))), "{result:?}");
        assert_eq!(run.output, "");
    }
}

#[test]
fn events_are_about_something() {
    let event = r#"{"metadata":{"uid":"s"},"involvedObject":{"kind":"Pod","namespace":"shop","name":"web","uid":"0f3c","apiVersion":"v1"},"regarding":{"kind":"Node"}}"#;
    let text = format!(r#"{{"items":[{event},{{"metadata":{{"uid":"s"}}}}]}}"#);
    let about = |items| {
        let (run, result) = run(JsonList::new(items, RowObject::AsItCame, 1 << 20), [text.as_bytes()], shown);
        result.unwrap();
        assert_eq!(run.output, text);
        run.subjects.into_iter().map(|subject| subject.about).collect::<Vec<_>>()
    };
    let own = str::to_owned;
    let pod = Reference {
        api_version: own("v1"),
        kind: own("Pod"),
        namespace: own("shop"),
        name: own("web"),
        uid: own("0f3c"),
    };
    assert_eq!(about(ItemKind::CoreEvent), [Some(pod), None]);
    assert_eq!(about(ItemKind::Event), [Some(Reference { kind: own("Node"), ..Reference::default() }), None]);
    assert_eq!(about(ItemKind::Object), [None, None]);
    for bad in [r#"["a"]"#, "1", r#"{"uid":"a","uid":"b"}"#, r#"{},"involvedObject":{}"#] {
        let text = format!(r#"{{"items":[{{"metadata":{{"uid":"s"}},"involvedObject":{bad}}}]}}"#);
        let list = JsonList::new(ItemKind::CoreEvent, RowObject::AsItCame, 1 << 20);
        run(list, [text.as_bytes()], shown).1.unwrap_err();
    }
}

#[test]
fn rows_are_items() {
    let row = |uid: &str, object: &str| format!(r#"{{"cells":["{uid}",{{"object":1}}],"object":{object}}}"#);
    let full = |uid: &str| {
        row(uid, &format!(r#"{{"kind":"Event","metadata":{{"uid":"{uid}" }},"note":{{"metadata":{{}}}}}}"#))
    };
    let partial = |uid: &str, version: &str| {
        let object = format!(
            r#"{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/{version}","metadata":{{"uid":"{uid}" }}}}"#
        );
        row(uid, &object)
    };
    let text = table(&format!("[{},{},{}]", full("h"), full("s1"), full("s2")));
    for (shape, expected) in [
        (RowObject::AsItCame, [full("s1"), full("s2")]),
        (RowObject::Metadata, [partial("s1", "v1"), partial("s2", "v1")]),
        (RowObject::Nothing, [row("s1", "null"), row("s2", "null")]),
    ] {
        let expected = table(&format!("[{}]", expected.join(",")));
        for size in [1, 5, 10_000] {
            let (run, result) = run(rows(shape), text.as_bytes().chunks(size), shown);
            result.unwrap();
            assert_eq!(run.output, expected);
        }
    }
    let beta = |text: &str| text.replacen("meta.k8s.io/v1", "meta.k8s.io/v1beta1", 1);
    let (run, result) = run(rows(RowObject::Metadata), [beta(&text).as_bytes()], shown);
    result.unwrap();
    let expected = format!("[{},{}]", partial("s1", "v1beta1"), partial("s2", "v1beta1"));
    assert_eq!(run.output, beta(&table(&expected)));
}

#[test]
fn a_row_without_its_object_ends_the_table() {
    for bad in [
        r#"{"cells":[]}"#,
        r#"{"cells":[],"object":null}"#,
        r#"{"object":{}}"#,
        r#"{"object":[]}"#,
        r#"{"object":{"metadata":{"uid":"s"}},"object":{"metadata":{"uid":"h"}}}"#,
        r#"{"object":{"metadata":{"uid":"s"}},"\u006fbject":null}"#,
        r#"{"object":{"metadata":{"uid":"s"},"metadata":{"uid":"s"}}}"#,
        "null",
    ] {
        for shape in [RowObject::AsItCame, RowObject::Metadata, RowObject::Nothing] {
            let text = table(&format!("[{bad}]"));
            let (run, result) = run(rows(shape), text.as_bytes().chunks(9), |_| true);
            assert!(matches!(result, Err(ScanError::NoMetadata | ScanError::Malformed(_))), "{bad}: {result:?}");
            assert!(run.subjects.is_empty());
        }
    }
    let empty = table("null");
    let (run, result) = run(rows(RowObject::Nothing), [empty.as_bytes()], shown);
    result.unwrap();
    assert_eq!(run.output, empty);
}

#[test]
fn hostile_input_costs_no_more_than_its_length() {
    let deep = 300_000;
    let nested = format!("{}0{}", "[{\"x\":".repeat(deep), "}]".repeat(deep));
    let item = format!(r#"{{"spec":{nested},"metadata":{{"uid":"s","x":{nested}}},"y":"{}"}}"#, "\\\"".repeat(deep));
    let text = format!(r#"{{"metadata":{{"a":1}},"items":[{item},{item}]}}"#);
    let list = JsonList::new(ItemKind::Object, RowObject::AsItCame, 16 << 20);
    let (run, result) = run(list, text.as_bytes().chunks(1_021), shown);
    result.unwrap();
    assert_eq!(run.output, text);
}
