//! Lists, tables and events as an API server could write them: right, but for what no grammar asks for as untidy as can
//! be.

use agent::executors::kube::fuzz::Items;

use crate::{
    fate::{FATES, LABEL},
    source::Source,
};

/// A list of objects, or a table of them.
pub(super) fn list(source: &mut Source<'_>, items: Items, table: bool) -> Vec<u8> {
    let mut entries = Vec::new();
    for _ in 0..source.below(6) {
        let object = object(source, items);
        entries.push(if table { row(source, object) } else { object });
    }
    let entries = if entries.is_empty() && source.one_in(4) {
        "null".to_owned()
    } else {
        let separator = format!("{},{}", space(source), space(source));
        format!("[{}{}{}]", space(source), entries.join(&separator), space(source))
    };
    let metadata = metadata_of_list(source);
    let text = if table {
        // The API server writes a table's members in their order.
        let members = [
            ("kind", "\"Table\"".to_owned()),
            ("apiVersion", format!("\"{}\"", source.one_of(&["meta.k8s.io/v1", "meta.k8s.io/v1beta1"], ""))),
            ("metadata", metadata),
            ("columnDefinitions", source.one_of(&["[]", r#"[{"name":"]},\"rows\":"}]"#, "null"], "").to_owned()),
            ("rows", entries),
        ];
        joined(source, members.to_vec())
    } else {
        let mut members = vec![
            ("kind", source.one_of(&["\"PodList\"", "\"Table\"", "\"PartialObjectMetadataList\""], "").to_owned()),
            ("apiVersion", source.one_of(&["\"v1\"", "\"furniture.example/v1\""], "").to_owned()),
            ("metadata", metadata),
            ("items", entries),
        ];
        source.shuffle(&mut members);
        joined(source, members)
    };
    [text.as_str(), source.one_of(&["\n", "", " \n"], "")].concat().into_bytes()
}

/// Some events of a watch, of objects or of tables.
pub(super) fn events(source: &mut Source<'_>, items: Items, table: bool) -> Vec<u8> {
    let mut events = String::new();
    for number in 0..source.below(6) {
        let object = object(source, items);
        let object = if table { table_of(source, object, number == 0) } else { object };
        let (kind, object) = match source.below(8) {
            0 | 1 => ("ADDED", object),
            2 | 3 => ("MODIFIED", object),
            4 | 5 => ("DELETED", object),
            6 if !table => ("BOOKMARK", object),
            _ => ("ERROR", r#"{"kind":"Status","apiVersion":"v1","metadata":{},"code":410}"#.to_owned()),
        };
        let mut members = vec![("type", format!("\"{kind}\"")), ("object", object)];
        source.shuffle(&mut members);
        events += &joined(source, members);
        events += source.one_of(&["\n", "", "\r\n"], "");
    }
    events.into_bytes()
}

fn table_of(source: &mut Source<'_>, object: String, first: bool) -> String {
    let columns = if first { r#"[{"name":"Name"}]"# } else { "null" };
    let row = row(source, object);
    let members = [
        ("kind", "\"Table\"".to_owned()),
        ("apiVersion", "\"meta.k8s.io/v1\"".to_owned()),
        ("metadata", metadata_of_list(source)),
        ("columnDefinitions", columns.to_owned()),
        ("rows", format!("[{row}]")),
    ];
    joined(source, members.to_vec())
}

fn row(source: &mut Source<'_>, object: String) -> String {
    let mut members = vec![("cells", value(source, 2)), ("object", object), ("conditions", "[]".to_owned())];
    source.shuffle(&mut members);
    joined(source, members)
}

fn object(source: &mut Source<'_>, items: Items) -> String {
    let fate = source.one_of(&FATES, "");
    let mut metadata = vec![
        ("name", "\"a\"".to_owned()),
        ("labels", format!(r#"{{"x":"{}","{LABEL}":"{fate}"}}"#, source.one_of(&FATES, ""))),
        ("managedFields", value(source, 3)),
        ("annotations", source.one_of(&["{}", "null", r#"{"a":"\"labels\":{\"m\":\"1\"}"}"#], "").to_owned()),
    ];
    source.shuffle(&mut metadata);
    let mut members = vec![("kind", "\"Pod\"".to_owned()), ("metadata", joined(source, metadata))];
    members.push(("spec", value(source, 4)));
    let about = source.one_of(&FATES, "");
    let about = format!(r#"{{"kind":"Pod","uid":"{about}"}}"#);
    let about = if source.one_in(4) { "null".to_owned() } else { about };
    match items {
        Items::Objects => {}
        Items::CoreEvents => members.push(("involvedObject", about)),
        Items::Events => members.push(("regarding", about)),
    }
    source.shuffle(&mut members);
    joined(source, members)
}

fn metadata_of_list(source: &mut Source<'_>) -> String {
    let mut members = vec![("resourceVersion", "\"12\"".to_owned())];
    if source.one_in(2) {
        members.push(("remainingItemCount", "7".to_owned()));
    }
    if source.one_in(2) {
        members.push(("continue", "\"\\u0022}\"".to_owned()));
    }
    source.shuffle(&mut members);
    joined(source, members)
}

/// Any value, with much in it that looks like what is looked for.
fn value(source: &mut Source<'_>, depth: u8) -> String {
    match source.below(if depth == 0 { 6 } else { 8 }) {
        0 => "null".to_owned(),
        1 => "-1.5e3".to_owned(),
        2 => "\"\"".to_owned(),
        3 => format!("\"{}\"", source.one_of(&["}]", "\\\"", "\\\\", "{\\\"items\\\":[", "ä\\u00e4", "],\\n"], "")),
        4 => r#"{"metadata":{"labels":{"m":"1"}}}"#.to_owned(),
        5 => "[]".to_owned(),
        6 => {
            let inside = (0..source.below(4)).map(|_| value(source, depth - 1)).collect::<Vec<_>>();
            format!("[{}]", inside.join(","))
        }
        _ => {
            let keys = ["items", "rows", "metadata", "object", "labels", "a\\\\", "\\u006d"];
            let mut members = Vec::new();
            for (key, _) in keys.iter().zip(0..source.below(4)) {
                members.push((*key, value(source, depth - 1)));
            }
            joined(source, members)
        }
    }
}

/// An object of these members, each key written in one way or another.
fn joined(source: &mut Source<'_>, members: Vec<(&str, String)>) -> String {
    let mut text = String::new();
    for (key, value) in members {
        text += if text.is_empty() { "{" } else { "," };
        let key = match (source.below(8), key.split_at_checked(1)) {
            (7, Some(("m", rest))) => format!("\\u006d{rest}"),
            (7, Some(("i", rest))) => format!("\\u0069{rest}"),
            _ => key.to_owned(),
        };
        text += &format!("{}\"{key}\"{}:{}{value}{}", space(source), space(source), space(source), space(source));
    }
    if text.is_empty() { "{}".to_owned() } else { text + "}" }
}

fn space(source: &mut Source<'_>) -> &'static str {
    if source.one_in(8) { source.one_of(&[" ", "\n", "\t \r\n"], "") } else { "" }
}
