//! Watch events in JSON, tables included.
//!
//! Bytes in, events out, and events back into bytes. What leaves here can be shown as it is, once it is decided to be:
//! the rows of a table have been taken down to what the client wants. An event that cannot be read is an error, and
//! nothing is read behind one.

use std::{collections::VecDeque, ops::Range};

use bytes::{Buf, Bytes, BytesMut};
use serde_json::Value;

use super::{
    super::{
        item::{ItemKind, Reference, RowObject, Subject},
        json::object_meta,
        json_object::{Part, find},
        json_walk::{Member, ObjectWalk, is_space},
        meta::TypeMeta,
        scan::ScanError,
        table::{Table, type_meta},
    },
    event::{EventType, WatchEvent},
};

/// Takes a stream of events apart, and puts together what of it is shown.
#[derive(Debug)]
pub(crate) struct JsonEvents {
    items: ItemKind,
    rows: RowObject,
    limit: usize,
    /// What has not been looked at.
    input: VecDeque<Bytes>,
    /// The beginning of an event whose end has not come.
    held: BytesMut,
    walk: EventWalk,
    failed: bool,
    /// What kind of object was seen last.
    seen: Option<TypeMeta>,
    columns: Columns,
    last: Option<Last>,
}

/// Follows one event to its end.
#[derive(Debug, Default)]
struct EventWalk {
    walk: ObjectWalk,
    /// How much of the event has been read.
    read: usize,
    /// Whose value is being read.
    member: Option<EventMember>,
    /// Where the value of the member `type` is.
    kind: Option<Range<usize>>,
    /// Where the value of the member `object` is.
    object: Option<Range<usize>>,
}

#[derive(Debug, Clone, Copy)]
enum EventMember {
    Type,
    Object,
}

/// What a table's columns are, which only the first event says. Its row may be hidden, and its columns may not.
#[derive(Debug)]
enum Columns {
    /// No event has said.
    Unknown,
    /// Not yet shown.
    Known(Bytes),
    /// The client knows them.
    Shown,
}

/// The event that was read last, as it came: what is shown unchanged need not be copied.
#[derive(Debug)]
struct Last {
    kind: EventType,
    object: Bytes,
    whole: Bytes,
}

/// What there is in an object.
struct Read {
    event: WatchEvent,
    /// None for errors, whose object is of no kind that the watch is about.
    type_meta: Option<TypeMeta>,
    columns: Option<Bytes>,
}

// === impl JsonEvents ===

impl JsonEvents {
    /// Reads events about such objects, each of at most `limit` bytes.
    pub(crate) fn new(items: ItemKind, rows: RowObject, limit: usize) -> Self {
        Self {
            items,
            rows,
            limit,
            input: VecDeque::new(),
            held: BytesMut::new(),
            walk: EventWalk::default(),
            failed: false,
            seen: None,
            columns: Columns::Unknown,
            last: None,
        }
    }

    /// Takes what has come. It is looked at by [`Self::next`], until that says that more is needed.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        self.input.push_back(chunk);
    }

    /// The next event, or `None` when more input is needed. Its object is a piece of what was pushed, and keeps it.
    ///
    /// # Errors
    /// When what comes next cannot be read. There is nothing behind it, either.
    pub(crate) fn next(&mut self) -> Result<Option<WatchEvent>, ScanError> {
        self.last = None;
        if self.failed {
            return Err(ScanError::Answered);
        }
        let event = self.advance();
        if event.is_err() {
            self.failed = true;
            self.input.clear();
            self.held = BytesMut::new();
        }
        event
    }

    /// What is wrong when the input ends here, if anything.
    pub(crate) fn finish(&self) -> Result<(), ScanError> {
        match (self.failed, self.walk.walk.has_begun()) {
            (true, _) => Err(ScanError::Answered),
            (false, true) => Err(ScanError::Truncated),
            (false, false) => Ok(()),
        }
    }

    /// An event as bytes for the wire (newline at the end).
    pub(crate) fn encode(&mut self, kind: EventType, event: &WatchEvent) -> Bytes {
        let rewritten = self.with_columns(&event.object);
        match (rewritten, self.last.take()) {
            (None, Some(last)) if last.kind == kind && is_same(&last.object, &event.object) => last.whole,
            (rewritten, _) => frame(kind, rewritten.as_deref().unwrap_or(&event.object)),
        }
    }

    /// The object of a GET in the same encoding (the whole body), as an event to be shown.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn object(&self, body: Bytes) -> Result<WatchEvent, ScanError> {
        if body.len() > self.limit {
            return Err(ScanError::ItemTooLarge { limit: self.limit });
        }
        // Events are lines to many clients. Within JSON text a line end is white space and nothing else.
        let body = match body.strip_suffix(b"\n") {
            Some(line) if !line.contains(&b'\n') => body.slice_ref(line),
            None if !body.contains(&b'\n') => body,
            _ => body.iter().copied().filter(|byte| *byte != b'\n').collect(),
        };
        self.read(EventType::Added, body).map(|read| read.event)
    }

    /// An ERROR event with a Status (code, reason, message; status "Failure").
    pub(crate) fn error(&self, code: u16, reason: &str, message: &str) -> Bytes {
        let status = format!(
            r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":{},"reason":{},"code":{code}}}"#,
            Value::from(message),
            Value::from(reason),
        );
        frame(EventType::Error, status.as_bytes())
    }

    /// A BOOKMARK event that says the resource version, of the kind of object seen last; None when none was seen.
    ///
    /// In a table the API server gives it a row of empty cells. There is nothing that they could say here, and a table
    /// with no rows is one, too.
    pub(crate) fn bookmark(&self, resource_version: &str) -> Option<Bytes> {
        let seen = self.seen.as_ref()?;
        let object = format!(
            r#"{{"kind":{},"apiVersion":{},"metadata":{{"resourceVersion":{}}}{}}}"#,
            Value::from(seen.kind.as_str()),
            Value::from(seen.api_version.as_str()),
            Value::from(resource_version),
            if seen.is_table() { r#","columnDefinitions":null,"rows":[]"# } else { "" },
        );
        Some(frame(EventType::Bookmark, object.as_bytes()))
    }

    fn advance(&mut self) -> Result<Option<WatchEvent>, ScanError> {
        while let Some(chunk) = self.input.front_mut() {
            if !self.walk.walk.has_begun() {
                chunk.advance(chunk.iter().take_while(|byte| is_space(**byte)).count());
            }
            let room = self.limit.saturating_sub(self.held.len());
            let window = chunk.get(..room).unwrap_or(chunk);
            if let Some(end) = self.walk.feed(window)? {
                let newline = usize::from(chunk.get(end) == Some(&b'\n'));
                let piece = chunk.split_to(end + newline);
                let whole = if self.held.is_empty() {
                    piece
                } else {
                    self.held.extend_from_slice(&piece);
                    self.held.split().freeze()
                };
                let walked = std::mem::take(&mut self.walk);
                return self.event(whole, &walked).map(Some);
            }
            if window.len() < chunk.len() {
                return Err(ScanError::ItemTooLarge { limit: self.limit });
            }
            self.held.extend_from_slice(chunk);
            self.input.pop_front();
        }
        Ok(None)
    }

    /// Reads an event that is there as a whole.
    fn event(&mut self, whole: Bytes, walked: &EventWalk) -> Result<WatchEvent, ScanError> {
        let part = |at: &Option<Range<usize>>| at.clone().and_then(|at| whole.get(at));
        let (Some(kind), Some(object)) = (part(&walked.kind), part(&walked.object)) else {
            return Err(ScanError::Malformed("an event has a type and an object"));
        };
        let kind = event_type(kind).ok_or(ScanError::Malformed("not a type of event"))?;
        let object = whole.slice_ref(object);
        let read = self.read(kind, object.clone())?;
        self.seen = read.type_meta.or(self.seen.take());
        if let (Columns::Unknown, Some(columns)) = (&self.columns, read.columns) {
            self.columns = Columns::Known(columns);
        }
        if is_same(&object, &read.event.object) && whole.ends_with(b"\n") {
            self.last = Some(Last { kind, object, whole });
        }
        Ok(read.event)
    }

    fn read(&self, kind: EventType, object: Bytes) -> Result<Read, ScanError> {
        if kind == EventType::Error {
            return Ok(Read { event: WatchEvent { kind, subject: None, object }, type_meta: None, columns: None });
        }
        let type_meta = Some(type_meta(&object)?);
        let decides = kind != EventType::Bookmark;
        if let Some(table) = Table::read(&object)? {
            let subject = if decides { Some(self.subject(table.only_object()?)?) } else { None };
            // A copy, so that it does not keep all else that came with it.
            let columns = table.columns().map(Bytes::copy_from_slice);
            let object = match self.rows {
                RowObject::AsItCame => object.clone(),
                rows => table.reduced(rows)?.into(),
            };
            return Ok(Read { event: WatchEvent { kind, subject, object }, type_meta, columns });
        }
        let subject = if decides { Some(self.subject(&object)?) } else { None };
        Ok(Read { event: WatchEvent { kind, subject, object }, type_meta, columns: None })
    }

    fn subject(&self, object: &[u8]) -> Result<Subject, ScanError> {
        let about = match self.items {
            ItemKind::Object => None,
            ItemKind::CoreEvent => Some("involvedObject"),
            ItemKind::Event => Some("regarding"),
        };
        let [metadata, reference, _, _] = find(object, ["metadata", about.unwrap_or_default(), "kind", "apiVersion"])?;
        Ok(Subject {
            meta: object_meta(metadata.ok_or(ScanError::NoMetadata)?.bytes)?,
            about: reference.filter(|part| about.is_some() && !part.is_null()).map(parse_reference).transpose()?,
        })
    }

    /// The object with the columns that are to be shown with it, where it has not the right ones.
    fn with_columns(&mut self, object: &[u8]) -> Option<Vec<u8>> {
        // What was read before is a table or is none; what is an error may be anything.
        let table = Table::read(object).ok().flatten()?;
        let rewritten = match (&self.columns, table.columns()) {
            (Columns::Unknown | Columns::Known(_), Some(_)) => None,
            (Columns::Known(columns), None) => Some(table.with_columns(columns)?),
            (Columns::Shown, Some(_)) => return table.with_columns(b"null"),
            (Columns::Unknown | Columns::Shown, None) => return None,
        };
        self.columns = Columns::Shown;
        rewritten
    }
}

// === impl EventWalk ===

impl EventWalk {
    /// Reads on. `Some(n)` when the event ended with the chunk's first `n` bytes.
    fn feed(&mut self, chunk: &[u8]) -> Result<Option<usize>, ScanError> {
        let mut rest = chunk;
        while let Some(member) = self.walk.next(&mut rest)? {
            let through = chunk.len() - rest.len();
            match member {
                Member::Key(key) => {
                    let (member, at) = match key.as_deref() {
                        Some("type") => (EventMember::Type, &self.kind),
                        Some("object") => (EventMember::Object, &self.object),
                        _ => return Err(ScanError::Malformed("an event has a type and an object and nothing else")),
                    };
                    if at.is_some() {
                        return Err(ScanError::Malformed("an event says something twice"));
                    }
                    self.member = Some(member);
                }
                Member::Value { bytes, .. } => {
                    let at = match self.member {
                        Some(EventMember::Object) => &mut self.object,
                        Some(EventMember::Type) | None => &mut self.kind,
                    };
                    let end = self.read + through;
                    at.get_or_insert(end - bytes.len()..end).end = end;
                }
                Member::End => return Ok(Some(through)),
            }
        }
        self.read += chunk.len();
        Ok(None)
    }
}

/// Whether these are the same bytes of the same buffer.
fn is_same(one: &Bytes, other: &Bytes) -> bool {
    one.as_ptr() == other.as_ptr() && one.len() == other.len()
}

/// The types of `apimachinery/pkg/watch/watch.go`, spelled as Go writes them.
fn event_type(json: &[u8]) -> Option<EventType> {
    EVENT_TYPES.into_iter().find(|(_, spelling)| json == spelling.as_bytes()).map(|(kind, _)| kind)
}

fn frame(kind: EventType, object: &[u8]) -> Bytes {
    let spelling = EVENT_TYPES.into_iter().find(|(other, _)| *other == kind).map_or("", |(_, spelling)| spelling);
    [br#"{"type":"#, spelling.as_bytes(), br#","object":"#, object, b"}\n"].concat().into()
}

fn parse_reference(part: Part<'_>) -> Result<Reference, ScanError> {
    // Serde would take an array for the struct's fields in order.
    if !part.bytes.starts_with(b"{") {
        return Err(ScanError::Malformed("what an event is about is no object"));
    }
    serde_json::from_slice(part.bytes).map_err(ScanError::Metadata)
}

const EVENT_TYPES: [(EventType, &str); 5] = [
    (EventType::Added, r#""ADDED""#),
    (EventType::Modified, r#""MODIFIED""#),
    (EventType::Deleted, r#""DELETED""#),
    (EventType::Bookmark, r#""BOOKMARK""#),
    (EventType::Error, r#""ERROR""#),
];

#[cfg(test)]
mod tests;
