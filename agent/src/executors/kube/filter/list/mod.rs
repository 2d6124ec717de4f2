//! Lists that show only what is managed: bytes in, bytes out, a decision asked for each item.

pub(super) mod answer;
pub(crate) mod head;
pub(crate) mod json;
pub(crate) mod protobuf;

use bytes::Bytes;
use http::HeaderMap;

use self::{head::ListHead, json::JsonList, protobuf::ProtobufList};
use super::{
    accept::{Encoding, encoding},
    item::{ITEM_LIMIT, ItemKind, RowObject, Subject},
    scan::ScanError,
};

/// Takes a list apart, whatever its encoding.
#[derive(Debug)]
pub(super) enum Scanner {
    Json(Box<JsonList>),
    Protobuf(Box<ProtobufList>),
}

// === impl Scanner ===

impl Scanner {
    /// `None` where the answer is in an encoding that is not read.
    pub(super) fn new(headers: &HeaderMap, items: ItemKind, rows: RowObject) -> Option<Self> {
        Some(match encoding(headers, false)? {
            Encoding::Json => Self::Json(JsonList::new(items, rows, ITEM_LIMIT).into()),
            Encoding::Protobuf => Self::Protobuf(ProtobufList::new(items, ITEM_LIMIT).into()),
        })
    }

    pub(super) fn push(&mut self, chunk: Bytes) -> Result<(), ScanError> {
        match self {
            Self::Json(list) => list.push(&chunk),
            Self::Protobuf(list) => list.push(chunk),
        }
    }

    pub(super) fn pending(&self) -> Option<&Subject> {
        match self {
            Self::Json(list) => list.pending(),
            Self::Protobuf(list) => list.pending(),
        }
    }

    pub(super) fn decide(&mut self, show: bool) {
        match self {
            Self::Json(list) => list.decide(show),
            Self::Protobuf(list) => list.decide(show),
        }
    }

    pub(super) fn output(&mut self) -> Option<Bytes> {
        match self {
            Self::Json(list) => list.output(),
            Self::Protobuf(list) => list.output(),
        }
    }

    pub(super) fn finish(&mut self) -> Result<(), ScanError> {
        match self {
            Self::Json(list) => list.finish(),
            Self::Protobuf(list) => list.finish(),
        }
    }

    /// What the list says of itself.
    pub(super) fn head(&self) -> Option<&ListHead> {
        match self {
            Self::Json(list) => list.head(),
            Self::Protobuf(list) => list.head(),
        }
    }
}
