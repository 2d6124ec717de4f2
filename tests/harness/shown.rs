//! What a list shows, in whatever encoding it came: the same few things of each object, and the object itself as it stood
//! there, so that what two lists show can be compared one by one.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::Value;

use crate::{
    client::Answer,
    wire::{self, Message},
};

/// An object as it stood in a list, a table or an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Its UID; empty where a row of a table carries no object.
    pub uid: String,
    /// Its namespace; empty where it has none.
    pub namespace: String,
    /// Its name; for a row without an object what stands in its first column.
    pub name: String,
    /// Its `resourceVersion`.
    pub version: String,
    /// Whether it is the bookmark behind the first events of a watch, by its annotation.
    pub ends_initial_events: bool,
    /// All of it.
    pub content: Content,
}

/// An object in the words of its encoding.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// An object, or the row of a table.
    Json(Value),
    /// A message.
    Protobuf(Bytes),
}

/// A whole list, or a table.
#[derive(Debug, Clone, PartialEq)]
pub struct List {
    /// `kind` of the list itself.
    pub kind: String,
    /// Its `resourceVersion`.
    pub version: String,
    /// Where the next page begins; empty on the last.
    pub next: String,
    /// How many come behind this page, if it says so.
    pub remaining: Option<u64>,
    /// The columns of a table.
    pub columns: Value,
    /// What it shows.
    pub objects: Vec<Object>,
}

/// The body as it was before it was compressed, if it was.
///
/// # Panics
/// When it is not what its header says.
#[must_use]
pub fn plain(answer: &Answer) -> Bytes {
    if !answer.headers.contains_key(CONTENT_ENCODING) {
        return answer.body.clone();
    }
    assert_eq!(answer.headers[CONTENT_ENCODING], "gzip");
    let mut plain = Vec::new();
    MultiGzDecoder::new(&answer.body[..]).read_to_end(&mut plain).expect("gzip");
    plain.into()
}

// === impl List ===

impl List {
    /// Reads an answer that is a list or a table.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn read(answer: &Answer) -> Self {
        let content_type = answer.headers[CONTENT_TYPE].to_str().expect("a media type");
        let body = plain(answer);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&body));
        if content_type.starts_with("application/vnd.kubernetes.protobuf") {
            Self::of_protobuf(body)
        } else {
            let value = serde_json::from_slice(&body);
            Self::of_json(value.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&body))))
        }
    }

    /// The same without what `is_shown` does not let pass.
    #[must_use]
    pub fn retain(mut self, is_shown: impl Fn(&Object) -> bool) -> Self {
        self.objects.retain(is_shown);
        self
    }

    /// The names, in order.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.objects.iter().map(|object| object.name.as_str()).collect()
    }

    fn of_json(mut list: Value) -> Self {
        let is_table = list["kind"] == "Table";
        let items = list[if is_table { "rows" } else { "items" }].take();
        let items = match items {
            Value::Array(items) => items,
            // As Go writes a list that was never begun.
            Value::Null => Vec::new(),
            other => panic!("no items: {list} {other}"),
        };
        let read = if is_table { Object::of_row } else { Object::of_json };
        Self {
            kind: text(&list["kind"]),
            version: text(&list["metadata"]["resourceVersion"]),
            next: text(&list["metadata"]["continue"]),
            remaining: list["metadata"]["remainingItemCount"].as_u64(),
            columns: list["columnDefinitions"].take(),
            objects: items.iter().map(read).collect(),
        }
    }

    fn of_protobuf(body: Bytes) -> Self {
        let (kind, list) = wire::open(body);
        let metadata = list.message(1);
        Self {
            kind,
            version: metadata.text(2),
            next: metadata.text(3),
            remaining: metadata.number(4),
            columns: Value::Null,
            objects: list.all(2).map(Object::of_protobuf).collect(),
        }
    }
}

// === impl Object ===

impl Object {
    /// An object in JSON.
    #[must_use]
    pub fn of_json(object: &Value) -> Self {
        Self::of_metadata(&object["metadata"], Content::Json(object.clone()))
    }

    /// The row of a table.
    #[must_use]
    pub fn of_row(row: &Value) -> Self {
        let mut this = Self::of_metadata(&row["object"]["metadata"], Content::Json(row.clone()));
        if row["object"].is_null() {
            this.name = text(&row["cells"][0]);
        }
        this
    }

    /// An object in protobuf, out of its envelope.
    #[must_use]
    pub fn of_protobuf(object: Bytes) -> Self {
        let metadata = Message::read(object.clone()).message(1);
        let annotations = metadata.all(12).map(Message::read);
        Self {
            uid: metadata.text(5),
            namespace: metadata.text(3),
            name: metadata.text(1),
            version: metadata.text(6),
            ends_initial_events: annotations.into_iter().any(|entry| entry.text(1) == INITIAL_EVENTS_END),
            content: Content::Protobuf(object),
        }
    }

    fn of_metadata(metadata: &Value, content: Content) -> Self {
        Self {
            uid: text(&metadata["uid"]),
            namespace: text(&metadata["namespace"]),
            name: text(&metadata["name"]),
            version: text(&metadata["resourceVersion"]),
            ends_initial_events: metadata["annotations"][INITIAL_EVENTS_END] == "true",
            content,
        }
    }

    /// All of it as JSON.
    ///
    /// # Panics
    /// When it is in protobuf.
    #[must_use]
    pub fn json(&self) -> &Value {
        match &self.content {
            Content::Json(json) => json,
            Content::Protobuf(_) => panic!("{} is in protobuf", self.name),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What the API server writes on the bookmark behind the first events (KEP-3157).
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";
