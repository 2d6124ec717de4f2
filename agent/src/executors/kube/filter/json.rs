//! Finds the metadata in the JSON of one object while it passes.
//!
//! Only the `metadata` of the object itself count, wherever among its members they stand, and only their bytes are
//! kept. The API server writes kind and apiVersion before them, so that its `Table` is known for one in time: what it
//! shows is in its rows, and its own metadata are those of the answer.

use serde::Deserialize;

use super::{
    json_walk::{Member, ObjectWalk},
    meta::{ObjectMeta, TypeMeta},
    scan::{Found, Progress, ScanError, whole},
};

/// A scanner for one JSON object.
#[derive(Debug)]
pub(crate) struct JsonMetadata {
    walk: ObjectWalk,
    /// What the current member is to us.
    part: Option<Part>,
    /// The current member's value as far as it has come, where it is one of interest.
    kept: Vec<u8>,
    limit: usize,
    type_meta: Option<TypeMeta>,
    answered: bool,
}

/// The members of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    ApiVersion,
    Kind,
    Metadata,
    Rows,
}

/// A row of a `Table`, with what the API server says of the object in it.
#[derive(Deserialize)]
struct Row {
    object: Option<RowObject>,
}

#[derive(Deserialize)]
struct RowObject {
    metadata: Option<ObjectMeta>,
}

// === impl JsonMetadata ===

impl JsonMetadata {
    /// A scanner that keeps at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { walk: ObjectWalk::default(), part: None, kept: Vec::new(), limit, type_meta: None, answered: false }
    }

    /// Reads on.
    ///
    /// # Errors
    /// When it is certain that no metadata will be found. The scanner is of no use after that.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<Progress, ScanError> {
        if self.answered {
            return Err(ScanError::Answered);
        }
        let progress = self.advance(chunk);
        self.answered = !matches!(progress, Ok(Progress::NeedMore));
        progress
    }

    /// What is wrong when the input ends here.
    pub(crate) fn finish(&self) -> ScanError {
        if self.walk.has_begun() { ScanError::Truncated } else { ScanError::NoMetadata }
    }

    fn advance(&mut self, mut chunk: &[u8]) -> Result<Progress, ScanError> {
        while let Some(member) = self.walk.next(&mut chunk)? {
            match (member, self.part) {
                (Member::Key(key), _) => {
                    self.part = key.and_then(|key| self.part_of(&key));
                    self.kept.clear();
                    if self.part == Some(Part::Metadata)
                        && let Some(meta) = first_object(chunk.get(..self.limit).unwrap_or(chunk))?
                    {
                        return Ok(self.found(meta));
                    }
                }
                (Member::Value { .. }, None) => {}
                (Member::Value { bytes, end }, Some(part)) => {
                    let Some(value) = whole(&mut self.kept, bytes, end, self.limit)? else { continue };
                    if let Some(meta) = read(part, value, &mut self.type_meta)? {
                        return Ok(self.found(meta));
                    }
                }
                (Member::End, _) => return Err(ScanError::NoMetadata),
            }
        }
        Ok(Progress::NeedMore)
    }

    fn found(&mut self, meta: ObjectMeta) -> Progress {
        Progress::Done(Box::new(Found { type_meta: self.type_meta.take(), meta }))
    }

    fn part_of(&self, key: &str) -> Option<Part> {
        let table = self.type_meta.as_ref().is_some_and(TypeMeta::is_table);
        match key {
            "apiVersion" => Some(Part::ApiVersion),
            "kind" => Some(Part::Kind),
            "metadata" if !table => Some(Part::Metadata),
            "rows" if table => Some(Part::Rows),
            _ => None,
        }
    }
}

/// Reads a member that is complete.
fn read(part: Part, value: &[u8], type_meta: &mut Option<TypeMeta>) -> Result<Option<ObjectMeta>, ScanError> {
    match part {
        Part::ApiVersion => type_meta.get_or_insert_default().api_version = text(value)?,
        Part::Kind => type_meta.get_or_insert_default().kind = text(value)?,
        Part::Metadata => return object_meta(value).map(Some),
        Part::Rows => {
            let mut rows = row_metas(value)?;
            let row = rows.pop().flatten().filter(|_| rows.is_empty());
            return row.map(Some).ok_or(ScanError::NoMetadata);
        }
    }
    Ok(None)
}

/// The metadata in the rows of a `Table`, given the value of its member `rows`. A row says nothing about its object
/// when the client asked for `includeObject=None`.
pub(crate) fn row_metas(rows: &[u8]) -> Result<Vec<Option<ObjectMeta>>, ScanError> {
    let rows: Option<Vec<Row>> = parse(rows)?;
    Ok(rows.unwrap_or_default().into_iter().map(|row| row.object.and_then(|object| object.metadata)).collect())
}

/// The metadata that begin here, if all of them are here. So their end need not be looked for first.
fn first_object(json: &[u8]) -> Result<Option<ObjectMeta>, ScanError> {
    if !json.starts_with(b"{") {
        return Ok(None);
    }
    match ObjectMeta::deserialize(&mut serde_json::Deserializer::from_slice(json)) {
        Ok(meta) => Ok(Some(meta)),
        Err(error) if error.is_eof() => Ok(None),
        Err(error) => Err(ScanError::Metadata(error)),
    }
}

pub(super) fn object_meta(json: &[u8]) -> Result<ObjectMeta, ScanError> {
    // Serde would take an array for the struct's fields in order.
    if json.starts_with(b"{") { parse(json) } else { Err(ScanError::NoMetadata) }
}

pub(super) fn text(json: &[u8]) -> Result<String, ScanError> {
    parse(json).map(Option::unwrap_or_default)
}

pub(super) fn parse<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, ScanError> {
    serde_json::from_slice(json).map_err(ScanError::Metadata)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{
        super::samples::{POD_JSON, any_meta, pod_meta},
        *,
    };

    fn scan<'c>(limit: usize, chunks: impl IntoIterator<Item = &'c [u8]>) -> Result<Found, ScanError> {
        let mut scanner = JsonMetadata::new(limit);
        for chunk in chunks {
            if let Progress::Done(found) = scanner.push(chunk)? {
                return Ok(*found);
            }
        }
        Err(scanner.finish())
    }

    fn scan_text(text: &str) -> Result<Found, ScanError> {
        scan(1 << 20, [text.as_bytes()])
    }

    fn name_in(text: &str) -> Result<String, ScanError> {
        scan_text(text).map(|found| found.meta.name)
    }

    fn type_meta(api_version: &str, kind: &str) -> Option<TypeMeta> {
        Some(TypeMeta { api_version: api_version.to_owned(), kind: kind.to_owned() })
    }

    #[test]
    fn a_pod_is_read_under_any_cut() {
        let expected = Found { type_meta: type_meta("v1", "Pod"), meta: pod_meta() };
        let bytes = POD_JSON.as_bytes();
        for cut in 0..bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(scan(1_000, [head, tail]).unwrap(), expected, "cut at {cut}");
        }
        assert_eq!(scan(1_000, bytes.chunks(1)).unwrap(), expected);
    }

    #[test]
    fn nothing_behind_the_metadata_is_waited_for() {
        let mut scanner = JsonMetadata::new(1_000);
        let end = POD_JSON.find(r#","spec""#).unwrap();
        assert_eq!(scanner.push(&POD_JSON.as_bytes()[..end - 1]).unwrap(), Progress::NeedMore);
        assert!(matches!(scanner.push(b"}").unwrap(), Progress::Done(_)));
        assert!(matches!(scanner.push(b","), Err(ScanError::Answered)));
    }

    #[test]
    fn only_the_objects_own_metadata_count() {
        for text in [
            r#"{"metadata":{"name":"own"}}"#,
            r#" { "spec" : {"metadata":{"name":"no"}} , "metadata" : { "name" : "own" } }"#,
            r#"{"x":"{\"metadata\":{\"name\":\"no\"}}","metadata":{"name":"own"}}"#,
            r#"{"a":[{"metadata":{"name":"no"}},"metadata"],"Metadata":{"name":"no"},"metadata":{"name":"own"}}"#,
            r#"{"kind":null,"met\u0061data":{"n\u0061me":"own"}}"#,
            r#"{"metadata":{"name":"own"},"metadata":{"name":"no"}}"#,
            r#"{"x":"\\","y":"\\\"","metadata":{"name":"own"}}"#,
        ] {
            assert_eq!(name_in(text).unwrap(), "own", "{text}");
        }
    }

    #[test]
    fn without_metadata_there_is_nothing_to_decide_on() {
        for text in [
            "{}",
            "",
            " ",
            r#"{"kind":"Pod","spec":{"metadata":{}}}"#,
            r#"{"metadata":null}"#,
            r#"{"metadata":["name"]}"#,
            r#"{"metadata":"x"}"#,
            r#"{"metadata\u0000":{}}"#,
        ] {
            assert!(matches!(scan_text(text), Err(ScanError::NoMetadata)), "{text}");
        }
        for text in [
            r#"{"metadata":{"name":1}}"#,
            r#"{"metadata":{]}"#,
            r#"{"kind":[]}"#,
            r#"{"metadata":{"uid":"a","uid":""}}"#,
        ] {
            assert!(matches!(scan_text(text), Err(ScanError::Metadata(_))), "{text}");
        }
        for cut in 1..POD_JSON.find(r#","spec""#).unwrap() {
            let error = scan(1_000, [&POD_JSON.as_bytes()[..cut]]).unwrap_err();
            assert!(matches!(error, ScanError::Truncated), "cut at {cut}");
        }
    }

    #[test]
    fn a_table_is_judged_by_its_only_row() {
        let table = |rows: &str| {
            format!(r#"{{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{{"name":"no"}},"rows":{rows}}}"#)
        };
        let row =
            r#"{"cells":["web",{"metadata":1}],"object":{"kind":"PartialObjectMetadata","metadata":{"name":"web"}}}"#;
        let found = scan_text(&table(&format!("[{row}]"))).unwrap();
        assert_eq!(found.meta.name, "web");
        assert_eq!(found.type_meta, type_meta("meta.k8s.io/v1", "Table"));
        let none = [format!("[{row},{row}]"), "[]".into(), "null".into(), r#"[{"cells":[],"object":null}]"#.into()];
        for rows in none {
            assert!(matches!(scan_text(&table(&rows)), Err(ScanError::NoMetadata)), "{rows}");
        }
        let metas = row_metas(format!(r#"[{row},{{"cells":[]}},{{"object":{{}}}}]"#).as_bytes()).unwrap();
        assert_eq!(metas.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, false]);
    }

    #[test]
    fn a_custom_resource_may_be_called_table() {
        let text = r#"{"apiVersion":"furniture.example/v1","kind":"Table","metadata":{"name":"oak"},"rows":[]}"#;
        assert_eq!(name_in(text).unwrap(), "oak");
    }

    #[test]
    fn no_more_than_the_limit_is_kept() {
        let text = format!(r#"{{"spec":"{}","metadata":{{"name":"{}"}}}}"#, "x".repeat(10_000), "n".repeat(89));
        assert!(scan(100, text.as_bytes().chunks(7)).is_ok());
        assert!(matches!(scan(99, text.as_bytes().chunks(7)), Err(ScanError::TooLarge { limit: 99 })));
    }

    #[test]
    fn hostile_input_costs_no_more_than_its_length() {
        let deep = 1_000_000;
        let nested = format!("{}{}", "[".repeat(deep), "]".repeat(deep));
        let text =
            format!(r#"{{"a":{nested},"b":"{}","metadata":{{"name":"own","x":{nested}}}}}"#, "\\\"".repeat(deep));
        let found = scan(8 << 20, text.as_bytes().chunks(1_021)).unwrap();
        assert_eq!(found.meta.name, "own");
        let bytewise = scan(8 << 20, text.as_bytes().chunks(1)).unwrap();
        assert_eq!(bytewise, found);
    }

    pub(in super::super) fn to_json(meta: &ObjectMeta) -> Value {
        let owners: Vec<_> = meta
            .owners
            .iter()
            .map(|o| json!({"apiVersion": o.api_version, "kind": o.kind, "name": o.name, "uid": o.uid, "controller": true}))
            .collect();
        json!({
            "name": meta.name, "namespace": meta.namespace, "uid": meta.uid, "resourceVersion": meta.resource_version,
            "labels": meta.labels, "annotations": meta.annotations, "ownerReferences": owners,
            "managedFields": [{"fieldsV1": {"f:metadata": {"f:name": {}}}}],
        })
    }

    proptest! {
        #[test]
        fn any_object_is_read_as_serde_json_reads_it(
            meta in any_meta(),
            before in proptest::collection::btree_map("\\PC{0,9}", "\\PC*", 0..3),
            behind in "\\PC*",
            size in 1_usize..64,
        ) {
            prop_assume!(["metadata", "kind", "apiVersion"].iter().all(|key| !before.contains_key(*key)));
            let members = before.iter().map(|(key, value)| format!("{}:{}, ", json!(key), json!([value])));
            let text = format!(
                "{{{}\"kind\": \"K\", \"metadata\": {}, \"z\": {}}}",
                members.collect::<String>(), to_json(&meta), json!(behind),
            );
            let expected = Found { type_meta: type_meta("", "K"), meta };
            prop_assert_eq!(scan(1 << 20, text.as_bytes().chunks(size)).unwrap(), expected);
        }

        #[test]
        fn no_input_makes_it_panic(text in "([{}\\[\\]:,\"]|\"metadata\":|\"kind\":\"Table\"|\"rows\":|\\\\|1| ){0,24}") {
            let whole = scan_text(&text);
            let pieces = scan(1 << 20, text.as_bytes().chunks(1));
            prop_assert_eq!(whole.ok(), pieces.ok());
        }
    }
}
