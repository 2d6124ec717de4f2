//! The API server's `Table`: what its rows show, and how much of each object.
//!
//! The filter decides on what a row says of its object, so it may have to ask for more of it than the client did. What
//! the client is shown is then what the API server would have shown it: `asTable` in
//! `apiserver/pkg/endpoints/handlers/response.go`.

use serde_json::Value;

use super::{
    item::RowObject,
    json::{object_meta, text},
    json_object::{Members, Part, elements, find},
    meta::TypeMeta,
    scan::ScanError,
};

/// A table that is there as a whole.
#[derive(Debug)]
pub(crate) struct Table<'t> {
    text: &'t [u8],
    api_version: String,
    columns: Option<Part<'t>>,
    rows: Option<Part<'t>>,
}

// === impl Table ===

impl<'t> Table<'t> {
    /// Reads a table. `None` for any other object.
    ///
    /// # Errors
    /// When it is no object, or says anything that counts twice.
    pub(crate) fn read(text: &'t [u8]) -> Result<Option<Self>, ScanError> {
        let type_meta = type_meta(text)?;
        if !type_meta.is_table() {
            return Ok(None);
        }
        let [_, _, columns, rows] = find(text, ["kind", "apiVersion", "columnDefinitions", "rows"])?;
        Ok(Some(Self { text, api_version: type_meta.api_version, columns, rows }))
    }

    /// What its columns are, where it says so: in a watch only the first event does (`watchEmbeddedEncoder`).
    pub(crate) fn columns(&self) -> Option<&'t [u8]> {
        self.columns.filter(|columns| !columns.is_null()).map(|columns| columns.bytes)
    }

    /// The table with other columns, or with `null` for none. `None` where it has no place for them.
    pub(crate) fn with_columns(&self, columns: &[u8]) -> Option<Vec<u8>> {
        self.columns.map(|place| place.replaced(self.text, columns))
    }

    /// The object in its only row.
    ///
    /// # Errors
    /// When there is none, or more than one row.
    pub(crate) fn only_object(&self) -> Result<&'t [u8], ScanError> {
        let rows = elements(self.rows.ok_or(ScanError::NoMetadata)?.bytes)?;
        let [row] = rows.as_slice() else { return Err(ScanError::NoMetadata) };
        let [object] = find(row.bytes, ["object"])?;
        object.filter(|object| !object.is_null()).map(|object| object.bytes).ok_or(ScanError::NoMetadata)
    }

    /// The table with no more of each object than is wanted.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub(crate) fn reduced(&self, rows: RowObject) -> Result<Vec<u8>, ScanError> {
        let Some(place) = self.rows.filter(|_| rows != RowObject::AsItCame) else { return Ok(self.text.to_vec()) };
        let reduced: Vec<Vec<u8>> = elements(place.bytes)?
            .iter()
            .map(|row| reduce_row(row.bytes, rows, &self.api_version))
            .collect::<Result<_, _>>()?;
        if reduced.is_empty() {
            return Ok(self.text.to_vec());
        }
        Ok(place.replaced(self.text, &[b"[", reduced.join(&b',').as_slice(), b"]"].concat()))
    }
}

/// What kind of object it is. No more is read than it takes to know: the API server says it first.
///
/// # Errors
/// When it is no object.
pub(crate) fn type_meta(object: &[u8]) -> Result<TypeMeta, ScanError> {
    let (mut kind, mut api_version) = (None, None);
    for member in Members::of(object) {
        let (key, part) = member?;
        match key.as_deref() {
            Some("kind") => kind = Some(text(part.bytes)?),
            Some("apiVersion") => api_version = Some(text(part.bytes)?),
            _ => continue,
        }
        if kind.is_some() && api_version.is_some() {
            break;
        }
    }
    Ok(TypeMeta { kind: kind.unwrap_or_default(), api_version: api_version.unwrap_or_default() })
}

/// A row of a table with no more of its object than is wanted.
///
/// The bookmark that ends the initial events keeps its metadata even where no object is wanted, since it is known by
/// its annotation alone (`HasInitialEventsEndBookmarkAnnotation`, which looks at any row).
///
/// # Errors
/// When the row cannot be read.
pub(crate) fn reduce_row(row: &[u8], rows: RowObject, table_api_version: &str) -> Result<Vec<u8>, ScanError> {
    let [object] = find(row, ["object"])?;
    let Some(object) = object.filter(|object| rows != RowObject::AsItCame && !object.is_null()) else {
        return Ok(row.to_vec());
    };
    let [metadata] = find(object.bytes, ["metadata"])?;
    let metadata = metadata.ok_or(ScanError::NoMetadata)?.bytes;
    if rows == RowObject::Nothing && !ends_initial_events(metadata)? {
        return Ok(object.replaced(row, b"null"));
    }
    let head =
        format!(r#"{{"kind":"PartialObjectMetadata","apiVersion":{},"metadata":"#, Value::from(table_api_version),);
    Ok(object.replaced(row, &[head.as_bytes(), metadata, b"}"].concat()))
}

fn ends_initial_events(metadata: &[u8]) -> Result<bool, ScanError> {
    // Hardly any row has it, and reading them all would double the work.
    if !metadata.windows(INITIAL_EVENTS_END.len()).any(|window| window == INITIAL_EVENTS_END.as_bytes()) {
        return Ok(false);
    }
    let meta = object_meta(metadata)?;
    Ok(meta.annotations.get(INITIAL_EVENTS_END).is_some_and(|value| value == "true"))
}

/// `InitialEventsAnnotationKey` of `apimachinery/pkg/apis/meta/v1/types.go`.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

#[cfg(test)]
mod tests {
    use super::*;

    /// As kube-apiserver 1.36 wrote them, less most of the columns.
    const FIRST: &str = r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"203"},"columnDefinitions":[{"name":"Name","type":"string","format":"name","description":"Name","priority":0}],"rows":[{"cells":["root-ca",1,"23s"],"object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"root-ca","uid":"5a80"},"data":{}}}]}"#;
    const LAST_INITIAL: &str = r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"289"},"columnDefinitions":null,"rows":[{"cells":["",0,"\u003cunknown\u003e"],"object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"289","annotations":{"k8s.io/initial-events-end":"true"}}}}]}"#;

    fn table(text: &str) -> Table<'_> {
        Table::read(text.as_bytes()).unwrap().unwrap()
    }

    fn reduced(text: &str, rows: RowObject) -> String {
        String::from_utf8(table(text).reduced(rows).unwrap()).unwrap()
    }

    #[test]
    fn rows_show_no_more_of_an_object_than_is_wanted() {
        let object = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"root-ca","uid":"5a80"},"data":{}}"#;
        let partial = r#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"root-ca","uid":"5a80"}}"#;
        assert_eq!(table(FIRST).only_object().unwrap(), object.as_bytes());
        assert_eq!(reduced(FIRST, RowObject::AsItCame), FIRST);
        assert_eq!(reduced(FIRST, RowObject::Metadata), FIRST.replace(object, partial));
        assert_eq!(reduced(FIRST, RowObject::Nothing), FIRST.replace(object, "null"));
        let v1beta1 = FIRST.replace("meta.k8s.io/v1", "meta.k8s.io/v1beta1");
        let expected = partial.replace("meta.k8s.io/v1", "meta.k8s.io/v1beta1");
        assert!(reduced(&v1beta1, RowObject::Metadata).contains(&expected));
    }

    #[test]
    fn the_end_of_the_initial_events_is_known_in_every_row() {
        let whole = r#"{"kind":"ConfigMap","apiVersion":"v1""#;
        let partial = r#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1""#;
        for rows in [RowObject::Metadata, RowObject::Nothing] {
            assert_eq!(reduced(LAST_INITIAL, rows), LAST_INITIAL.replace(whole, partial));
        }
        for other in [r#""false""#, r#"null"#] {
            let text = LAST_INITIAL.replace(r#""true""#, other);
            assert!(reduced(&text, RowObject::Nothing).ends_with(r#""object":null}]}"#), "{other}");
        }
    }

    #[test]
    fn tables_have_one_row_or_none_to_decide_on() {
        let with_rows = |rows: &str| format!(r#"{{"kind":"Table","apiVersion":"meta.k8s.io/v1","rows":{rows}}}"#);
        let row = r#"{"cells":[],"object":{"metadata":{}}}"#;
        assert!(table(&with_rows(&format!("[{row}]"))).only_object().is_ok());
        let none = ["[]".into(), "null".into(), format!("[{row},{row}]"), r#"[{"cells":[]}]"#.into()];
        for rows in none.into_iter().chain([r#"[{"object":null}]"#.into()]) {
            let text = with_rows(&rows);
            assert!(matches!(table(&text).only_object(), Err(ScanError::NoMetadata)), "{rows}");
            // Nothing to decide on may still be a bookmark.
            assert!(table(&text).reduced(RowObject::Nothing).is_ok(), "{rows}");
        }
        let several = with_rows(&format!("[{row}, {row} ]"));
        let nulls = with_rows(r#"[{"cells":[],"object":null},{"cells":[],"object":null}]"#);
        assert_eq!(reduced(&several, RowObject::Nothing), nulls);
    }

    #[test]
    fn columns_are_put_where_they_were() {
        let columns = table(FIRST).columns().unwrap();
        assert!(columns.starts_with(br#"[{"name":"Name""#) && columns.ends_with(b"}]"));
        assert_eq!(table(LAST_INITIAL).columns(), None);
        let carried = String::from_utf8(table(LAST_INITIAL).with_columns(columns).unwrap()).unwrap();
        assert_eq!(table(&carried).columns(), Some(columns));
        assert_eq!(table(&carried).with_columns(b"null").unwrap(), LAST_INITIAL.as_bytes());
    }

    #[test]
    fn what_is_no_table_or_two_is_no_table() {
        for other in [r#"{"kind":"Pod","apiVersion":"v1"}"#, r#"{"kind":"Table","apiVersion":"oak.example/v1"}"#, "{}"]
        {
            assert!(Table::read(other.as_bytes()).unwrap().is_none(), "{other}");
        }
        for (member, twice) in [("rows", "[]"), ("kind", r#""Pod""#), ("columnDefinitions", "null")] {
            let text = format!(r#"{},"{member}":{twice}}}"#, FIRST.strip_suffix('}').unwrap());
            assert!(Table::read(text.as_bytes()).is_err(), "{member}");
        }
        for row in [r#"{"object":{}}"#, r#"{"object":{"metadata":{},"metadata":{}}}"#, r#"{"object":[]}"#, "[]", "1"] {
            assert!(reduce_row(row.as_bytes(), RowObject::Nothing, "meta.k8s.io/v1").is_err(), "{row}");
        }
    }
}
