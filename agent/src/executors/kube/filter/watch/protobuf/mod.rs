//! Watch events in Kubernetes protobuf.
//!
//! A frame holds a `metav1.WatchEvent` without magic bytes, and its object one with them, in an envelope of its own
//! (`apimachinery/pkg/runtime/serializer/protobuf`, `apiserver/pkg/endpoints/handlers/watch.go`). What a frame holds
//! beyond type and object is refused, so that nothing passes that was not looked at.

mod frames;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use self::frames::{Frames, PREFIX, prefix};
use super::{
    super::{
        envelope::Envelope,
        item::ItemKind,
        scan::ScanError,
        subject::SubjectScan,
        wire::{parts, put_bytes, put_number},
    },
    event::{EventType, WatchEvent},
};

/// The events of one watch. Feed it with [`push`](Self::push), and take events until there are none for now.
#[derive(Debug)]
pub(crate) struct ProtobufEvents {
    items: ItemKind,
    limit: usize,
    frames: Frames,
    /// The event that was taken last, in its frame.
    last: Option<Came>,
    /// The kind of the object that was seen last, as a message.
    kind: Option<Bytes>,
    failed: bool,
}

/// An event as it came.
#[derive(Debug)]
struct Came {
    frame: Bytes,
    kind: EventType,
    object: Bytes,
}

// === impl ProtobufEvents ===

impl ProtobufEvents {
    /// Events about such objects, none of more than `limit` bytes.
    pub(crate) fn new(items: ItemKind, limit: usize) -> Self {
        Self { items, limit, frames: Frames::new(limit), last: None, kind: None, failed: false }
    }

    /// Adds what came. Once [`next`](Self::next) has no more, so that no more is held than one event.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        self.frames.push(chunk);
    }

    /// The next event. `None` when more input is needed.
    ///
    /// # Errors
    /// When what came is no event that can be filtered. No more events come after that.
    pub(crate) fn next(&mut self) -> Result<Option<WatchEvent>, ScanError> {
        self.last = None;
        if self.failed {
            return Err(ScanError::Answered);
        }
        let event = self.frames.next().and_then(|frame| frame.map(|frame| self.read(frame)).transpose());
        self.failed = event.is_err();
        event
    }

    /// Says that the input ends here.
    ///
    /// # Errors
    /// When that is within an event.
    pub(crate) fn finish(&self) -> Result<(), ScanError> {
        if self.frames.is_between() { Ok(()) } else { Err(ScanError::Truncated) }
    }

    /// An event as bytes for the wire. One that was just taken and keeps its type is the bytes that came.
    pub(crate) fn encode(&mut self, kind: EventType, event: &WatchEvent) -> Bytes {
        if let Some(came) = &self.last
            && came.kind == kind
            // The frame is alive, so what lies at the same place is the same.
            && (came.object.as_ptr(), came.object.len()) == (event.object.as_ptr(), event.object.len())
        {
            return came.frame.clone();
        }
        write(kind, &event.object)
    }

    /// The object that a GET answered in the same encoding, as an event that it is there.
    ///
    /// # Errors
    /// When it is no object that can be filtered.
    pub(crate) fn object(&self, body: Bytes) -> Result<WatchEvent, ScanError> {
        if body.len() > self.limit {
            return Err(ScanError::ItemTooLarge { limit: self.limit });
        }
        let subject = SubjectScan::whole(self.items, Envelope::parse(&body)?.object)?;
        Ok(WatchEvent { kind: EventType::Added, subject: Some(subject), object: body })
    }

    /// An ERROR event, whose `Status` says what ends the watch.
    pub(crate) fn error(&self, code: u16, reason: &str, message: &str) -> Bytes {
        let mut kind = Vec::new();
        put_bytes(&mut kind, 1, b"v1");
        put_bytes(&mut kind, 2, b"Status");
        let mut status = Vec::new();
        put_bytes(&mut status, 1, &[]);
        put_bytes(&mut status, 2, b"Failure");
        put_bytes(&mut status, 3, message.as_bytes());
        put_bytes(&mut status, 4, reason.as_bytes());
        put_number(&mut status, 6, code.into());
        write(EventType::Error, &Envelope { type_meta: &kind, object: &status }.write())
    }

    /// A BOOKMARK event that says how far the watch is, of the kind of object that was seen last. `None` where none was,
    /// since clients take no bookmark of another kind.
    pub(crate) fn bookmark(&self, resource_version: &str) -> Option<Bytes> {
        let type_meta = self.kind.as_deref()?;
        let mut meta = Vec::new();
        put_bytes(&mut meta, 6, resource_version.as_bytes());
        let mut object = Vec::new();
        put_bytes(&mut object, 1, &meta);
        Some(write(EventType::Bookmark, &Envelope { type_meta, object: &object }.write()))
    }

    fn read(&mut self, frame: Bytes) -> Result<WatchEvent, ScanError> {
        let [kind, extension] = parts(frame.get(PREFIX..).unwrap_or_default())?;
        let kind = kind.and_then(parse_type).ok_or(ScanError::Malformed("the type of an event is unknown"))?;
        let [object] = parts(extension.unwrap_or_default())?;
        let object = object.ok_or(ScanError::Malformed("an event has no object"))?;
        let envelope = Envelope::parse(object)?;
        let subject = match kind {
            EventType::Added | EventType::Modified | EventType::Deleted => {
                Some(SubjectScan::whole(self.items, envelope.object)?)
            }
            EventType::Bookmark | EventType::Error => None,
        };
        if kind != EventType::Error && self.kind.as_deref() != Some(envelope.type_meta) {
            self.kind = Some(Bytes::copy_from_slice(envelope.type_meta));
        }
        let object = frame.slice_ref(object);
        self.last = Some(Came { frame, kind, object: object.clone() });
        Ok(WatchEvent { kind, subject, object })
    }
}

/// Writes a frame as the API server does.
fn write(kind: EventType, object: &[u8]) -> Bytes {
    let mut extension = Vec::with_capacity(object.len() + 16);
    put_bytes(&mut extension, 1, object);
    let mut out = Vec::with_capacity(extension.len() + 32);
    out.extend_from_slice(&[0; PREFIX]);
    put_bytes(&mut out, 1, type_text(kind));
    put_bytes(&mut out, 2, &extension);
    let length = prefix(out.len() - PREFIX);
    out.iter_mut().zip(length).for_each(|(byte, length)| *byte = length);
    out.into()
}

fn parse_type(text: &[u8]) -> Option<EventType> {
    [EventType::Added, EventType::Modified, EventType::Deleted, EventType::Bookmark, EventType::Error]
        .into_iter()
        .find(|kind| type_text(*kind) == text)
}

/// A type as it stands in an event (`apimachinery/pkg/watch/watch.go`).
fn type_text(kind: EventType) -> &'static [u8] {
    match kind {
        EventType::Added => b"ADDED",
        EventType::Modified => b"MODIFIED",
        EventType::Deleted => b"DELETED",
        EventType::Bookmark => b"BOOKMARK",
        EventType::Error => b"ERROR",
    }
}
