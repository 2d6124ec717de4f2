//! Random lists and tables under random cuts, against what serde_json reads in them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Run, objects, run};
use crate::executors::kube::filter::{
    item::{ItemKind, RowObject, Subject},
    json::tests::to_json,
    json_walk::tests::any_json,
    list::json::JsonList,
    meta::ObjectMeta,
    samples::any_meta,
    scan::ScanError,
};

/// A list with its text, and what each item is to be read as.
#[derive(Debug, Clone)]
struct Sample {
    text: String,
    items: ItemKind,
    rows: Option<RowObject>,
}

proptest! {
    #[test]
    fn any_list_is_filtered_as_serde_json_reads_it(
        sample in any_sample(),
        sizes in proptest::collection::vec(1_usize..200, 1..6),
        shown in proptest::collection::vec(any::<bool>(), 8),
    ) {
        let list = JsonList::new(sample.items, sample.rows.unwrap_or(RowObject::AsItCame), 1 << 20);
        let (run, result) = run_in_order(list, &cut(&sample.text, &sizes), &shown);
        result.unwrap();
        let mut expected: Value = serde_json::from_str(&sample.text).unwrap();
        if let Some(metadata) = expected.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("remainingItemCount");
        }
        let version = expected["apiVersion"].clone();
        let items = expected.get_mut(if sample.rows.is_some() { "rows" } else { "items" }).unwrap();
        if let Some(items) = items.as_array_mut() {
            let subjects: Vec<_> = items.iter().map(|item| subject_of(item, &sample)).collect();
            prop_assert_eq!(&run.subjects, &subjects);
            let mut shown = shown.iter();
            items.retain(|_| *shown.next().unwrap());
            items.iter_mut().for_each(|row| reshape(row, sample.rows, &version));
        }
        prop_assert_eq!(serde_json::from_str::<Value>(&run.output).unwrap(), expected);
    }

    #[test]
    fn cuts_change_nothing(sample in any_sample(), sizes in proptest::collection::vec(1_usize..90, 1..6)) {
        let list = || JsonList::new(sample.items, sample.rows.unwrap_or(RowObject::AsItCame), 1 << 20);
        let (whole, result) = run(list(), [sample.text.as_bytes()], |subject| subject.meta.labels.len() != 1);
        result.unwrap();
        let (cut, result) = run(list(), cut(&sample.text, &sizes), |subject| subject.meta.labels.len() != 1);
        result.unwrap();
        prop_assert_eq!(whole.output, cut.output);
        prop_assert_eq!(whole.subjects, cut.subjects);
    }

    #[test]
    fn a_truncated_list_shows_no_more_than_its_beginning(
        sample in any_sample(),
        sizes in proptest::collection::vec(1_usize..200, 1..4),
        shown in proptest::collection::vec(any::<bool>(), 8),
        at in any::<proptest::sample::Index>(),
    ) {
        let list = || JsonList::new(sample.items, sample.rows.unwrap_or(RowObject::AsItCame), 1 << 20);
        let (whole, result) = run_in_order(list(), &cut(&sample.text, &sizes), &shown);
        result.unwrap();
        let complete = sample.text.trim_end();
        let beginning = complete.as_bytes().get(..at.index(complete.len())).unwrap();
        let (run, result) = run_in_order(list(), &beginning.chunks(sizes[0]).collect::<Vec<_>>(), &shown);
        prop_assert!(result.is_err());
        let output = run.output.trim_end_matches('\u{fffd}');
        prop_assert!(whole.output.starts_with(output), "{} {}", whole.output, output);
    }

    #[test]
    fn no_damage_shows_what_is_not_decided_on(
        sample in any_sample(),
        size in 1_usize..200,
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), "[\\[\\]{}:,\"\\\\a1 ]"), 1..4),
    ) {
        let mut bytes = sample.text.into_bytes();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte.as_bytes()[0];
        }
        let list = JsonList::new(sample.items, sample.rows.unwrap_or(RowObject::AsItCame), 1 << 20);
        let (run, _result) = run(list, bytes.chunks(size), |_| false);
        prop_assert!(!run.output.contains(SECRET), "{}", run.output);
    }

    #[test]
    fn no_input_makes_it_panic(
        text in "(\\{\"items\":\\[|\\{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"rows\":\\[|)(\\{\"metadata\":\\{\\}\\}|[{}\\[\\]:,\"]|\"metadata\":|\"object\":|\"kind\":\"Table\"|\"rows\":|\"items\":|\\\\|1| ){0,24}",
        size in 1_usize..9,
    ) {
        let (whole, result) = run(objects(), [text.as_bytes()], |_| true);
        let (pieces, pieces_result) = run(objects(), text.as_bytes().chunks(size), |_| true);
        prop_assert_eq!(result.is_ok(), pieces_result.is_ok());
        if result.is_ok() {
            prop_assert_eq!(whole.output, pieces.output);
        }
    }
}

/// Shows the items that are to be shown by their order.
fn run_in_order(list: JsonList, chunks: &[&[u8]], shown: &[bool]) -> (Run, Result<(), ScanError>) {
    let asked = std::cell::Cell::new(0);
    run(list, chunks.iter().copied(), |_| {
        asked.set(asked.get() + 1);
        shown[asked.get() - 1]
    })
}

fn cut<'t>(text: &'t str, sizes: &[usize]) -> Vec<&'t [u8]> {
    let mut chunks = Vec::new();
    let mut rest = text.as_bytes();
    for size in sizes.iter().cycle() {
        let (head, tail) = rest.split_at((*size).min(rest.len()));
        chunks.push(head);
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    chunks
}

fn subject_of(item: &Value, sample: &Sample) -> Subject {
    let object = if sample.rows.is_some() { &item["object"] } else { item };
    let about = match sample.items {
        ItemKind::Object => None,
        ItemKind::CoreEvent => object.get("involvedObject"),
        ItemKind::Event => object.get("regarding"),
    };
    Subject {
        meta: serde_json::from_value::<ObjectMeta>(object["metadata"].clone()).unwrap(),
        about: about.map(|about| serde_json::from_value(about.clone()).unwrap()),
    }
}

fn reshape(row: &mut Value, rows: Option<RowObject>, version: &Value) {
    match rows {
        None | Some(RowObject::AsItCame) => {}
        Some(RowObject::Nothing) => row["object"] = Value::Null,
        Some(RowObject::Metadata) => {
            row["object"] = json!({
                "kind": "PartialObjectMetadata", "apiVersion": version, "metadata": row["object"]["metadata"],
            });
        }
    }
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let items = prop_oneof![Just(ItemKind::Object), Just(ItemKind::CoreEvent), Just(ItemKind::Event)];
    let rows = prop_oneof![
        3 => Just(None),
        1 => Just(Some(RowObject::AsItCame)),
        1 => Just(Some(RowObject::Metadata)),
        1 => Just(Some(RowObject::Nothing)),
    ];
    let version = prop_oneof![Just("meta.k8s.io/v1"), Just("meta.k8s.io/v1beta1")];
    let spaces = proptest::collection::vec(prop_oneof![4 => Just(String::new()), 1 => "[ \n\t]{1,3}"], 1..7);
    let escapes = prop_oneof![3 => Just(0), 1 => 1_usize..12];
    (items, rows, version, spaces, escapes).prop_flat_map(|(items, rows, version, spaces, escapes)| {
        any_list(rows.map(|_| version)).prop_map(move |text| Sample {
            text: respell(&text, &spaces, escapes),
            items,
            rows,
        })
    })
}

/// A list, or a table of a version.
fn any_list(table: Option<&'static str>) -> BoxedStrategy<String> {
    let metadata = proptest::sample::subsequence(
        vec![("resourceVersion", "\"7\""), ("remainingItemCount", "5"), ("continue", "\"a,b\"")],
        0..4,
    );
    let metadata = metadata
        .prop_map(|members| members.into_iter().map(|(key, value)| (key, value.to_owned())).collect())
        .prop_flat_map(shuffled);
    let items = proptest::collection::vec(any_object(), 0..6);
    match table {
        None => {
            let items = prop_oneof![9 => items.prop_map(|items| format!("[{}]", items.join(","))), 1 => Just("null".to_owned())];
            (metadata, items)
                .prop_flat_map(|(metadata, items)| {
                    let text = |text: &str| json!(text).to_string();
                    let kind = ("kind", text("PodList"));
                    shuffled(vec![kind, ("apiVersion", text("v1")), ("metadata", metadata), ("items", items)])
                })
                .boxed()
        }
        Some(version) => (metadata, items, any_json())
            .prop_flat_map(move |(metadata, objects, cell)| {
                let row = |object: String| shuffled(vec![("cells", format!("[{cell}]")), ("object", object)]);
                let rows: Vec<_> = objects.into_iter().map(row).collect();
                rows.prop_flat_map(move |rows| {
                    let rows = format!("[{}]", rows.join(","));
                    shuffled(vec![
                        ("metadata", metadata.clone()),
                        ("columnDefinitions", "[{}]".to_owned()),
                        ("rows", rows),
                    ])
                })
            })
            .prop_map(move |rest| rest.replacen('{', &format!(r#"{{"kind":"Table","apiVersion":"{version}","#), 1))
            .boxed(),
    }
}

fn any_object() -> impl Strategy<Value = String> {
    let about = || {
        proptest::option::of(any_meta().prop_map(|meta| {
        json!({"apiVersion": "v1", "kind": meta.resource_version, "name": meta.name, "uid": meta.uid, "fieldPath": "x"})
    }))
    };
    (any_meta(), any_json(), about(), about()).prop_flat_map(|(meta, spec, involved, regarding)| {
        let mut members = vec![("metadata", to_json(&meta).to_string()), ("spec", json!([SECRET, spec]).to_string())];
        members.extend(involved.map(|about| ("involvedObject", about.to_string())));
        members.extend(regarding.map(|about| ("regarding", about.to_string())));
        shuffled(members)
    })
}

/// An object with its members in any order.
fn shuffled(members: Vec<(&'static str, String)>) -> impl Strategy<Value = String> {
    Just(members).prop_shuffle().prop_map(|members| {
        let members: Vec<_> = members.iter().map(|(key, value)| format!("{}:{value}", json!(key))).collect();
        format!("{{{}}}", members.join(","))
    })
}

/// The same JSON with other white space, and every so many letters escaped (none if that is 0).
fn respell(text: &str, spaces: &[String], escapes: usize) -> String {
    let mut spaces = spaces.iter().cycle();
    let mut out = String::new();
    let (mut within, mut behind_backslash, mut letters) = (false, false, 0);
    let mut unescapable = 0;
    for char in text.chars() {
        if within && !behind_backslash && unescapable == 0 && char.is_ascii_alphanumeric() {
            letters += 1;
            if escapes > 0 && letters % escapes == 0 {
                out += &format!("\\u{:04x}", u32::from(char));
                continue;
            }
        }
        let structural = !within && "{}[]:,".contains(char);
        if structural {
            out += spaces.next().unwrap();
        }
        out.push(char);
        if structural {
            out += spaces.next().unwrap();
        }
        unescapable = if behind_backslash && char == 'u' { 4 } else { usize::saturating_sub(unescapable, 1) };
        within ^= char == '"' && !behind_backslash;
        behind_backslash = within && char == '\\' && !behind_backslash;
    }
    out + spaces.next().unwrap()
}

/// Is in every object, and nowhere else.
const SECRET: &str = "secret of the object";
