//! Watches that show only what is managed.

pub(super) mod answer;
pub(crate) mod event;
mod fetch;
pub(crate) mod json;
mod past;
mod position;
pub(crate) mod protobuf;
pub(crate) mod recall;
pub(crate) mod shown;
pub(crate) mod websocket;

use bytes::Bytes;
use http::HeaderMap;

pub(crate) use self::event::{EventType, WatchEvent};
use self::{json::JsonEvents, protobuf::ProtobufEvents};
use super::{
    accept::{Encoding, encoding},
    item::{ITEM_LIMIT, ItemKind, RowObject},
    scan::ScanError,
};

/// Takes a watch apart, whatever its encoding.
#[derive(Debug)]
enum Events {
    Json(Box<JsonEvents>),
    Protobuf(Box<ProtobufEvents>),
}

// === impl Events ===

impl Events {
    /// `None` where the answer is in an encoding that is not read.
    fn new(headers: &HeaderMap, items: ItemKind, rows: RowObject) -> Option<Self> {
        Some(match encoding(headers, true)? {
            Encoding::Json => Self::Json(JsonEvents::new(items, rows, ITEM_LIMIT).into()),
            Encoding::Protobuf => Self::Protobuf(ProtobufEvents::new(items, ITEM_LIMIT).into()),
        })
    }

    fn push(&mut self, chunk: Bytes) {
        match self {
            Self::Json(events) => events.push(chunk),
            Self::Protobuf(events) => events.push(chunk),
        }
    }

    fn next(&mut self) -> Result<Option<WatchEvent>, ScanError> {
        match self {
            Self::Json(events) => events.next(),
            Self::Protobuf(events) => events.next(),
        }
    }

    fn finish(&self) -> Result<(), ScanError> {
        match self {
            Self::Json(events) => events.finish(),
            Self::Protobuf(events) => events.finish(),
        }
    }

    fn encode(&mut self, kind: EventType, event: &WatchEvent) -> Bytes {
        match self {
            Self::Json(events) => events.encode(kind, event),
            Self::Protobuf(events) => events.encode(kind, event),
        }
    }

    fn object(&self, body: Bytes) -> Result<WatchEvent, ScanError> {
        match self {
            Self::Json(events) => events.object(body),
            Self::Protobuf(events) => events.object(body),
        }
    }

    fn error(&self, code: u16, reason: &str, message: &str) -> Bytes {
        match self {
            Self::Json(events) => events.error(code, reason, message),
            Self::Protobuf(events) => events.error(code, reason, message),
        }
    }

    fn bookmark(&self, resource_version: &str) -> Option<Bytes> {
        match self {
            Self::Json(events) => events.bookmark(resource_version),
            Self::Protobuf(events) => events.bookmark(resource_version),
        }
    }
}
