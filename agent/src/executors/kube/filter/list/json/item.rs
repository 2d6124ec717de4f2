//! One item of a list: an object, or a row of a table with an object in it.

use bytes::Bytes;

use super::{
    object::ObjectScan,
    outgoing::{Piece, Undecided},
};
use crate::executors::kube::filter::{
    item::{ItemKind, RowObject},
    json_walk::{Member, ObjectWalk},
    meta::TypeMeta,
    scan::ScanError,
};

/// Reads one item after the other and holds each, as parts of the chunks that it came in.
#[derive(Debug)]
pub(super) struct ItemScan {
    object: ObjectScan,
    /// Where the items are rows: the row around the object.
    row: Option<Row>,
    text: Vec<Piece>,
    /// What is held of the item, and what was left out of it.
    size: usize,
    limit: usize,
}

/// What of the object passes in a row.
#[derive(Debug, Clone, Copy)]
pub(super) enum RowShape {
    AsItCame,
    /// A `PartialObjectMetadata` of this version.
    Metadata {
        api_version: &'static str,
    },
    Nothing,
}

#[derive(Debug)]
struct Row {
    walk: ObjectWalk,
    shape: RowShape,
    object: RowStage,
}

/// Where a row is with its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowStage {
    Missing,
    Within,
    Read,
}

// === impl ItemScan ===

impl ItemScan {
    /// A reader of objects that holds at most `limit` bytes of each.
    pub(super) fn new(items: ItemKind, limit: usize) -> Self {
        Self { object: ObjectScan::new(items), row: None, text: Vec::new(), size: 0, limit }
    }

    /// Says that the items are rows.
    pub(super) fn expect_rows(&mut self, shape: RowShape) {
        self.row = Some(Row { walk: ObjectWalk::default(), shape, object: RowStage::Missing });
    }

    /// Reads on, and says whether the item is over.
    pub(super) fn push(&mut self, chunk: &Bytes, input: &mut &[u8]) -> Result<bool, ScanError> {
        let before = *input;
        let over = match &mut self.row {
            Some(row) => row.push(&mut self.object, &mut self.text, chunk, input)?,
            None => {
                let over = self.object.push(input)?;
                self.text.push(Piece::read(chunk, before, input));
                over
            }
        };
        self.size = self.size.saturating_add((before.len() - input.len()).max(PIECE_COST));
        if self.size > self.limit {
            return Err(ScanError::ItemTooLarge { limit: self.limit });
        }
        Ok(over)
    }

    /// The item that is over. The next one may come.
    pub(super) fn take(&mut self) -> Result<Undecided, ScanError> {
        if let Some(row) = &mut self.row {
            row.walk = ObjectWalk::default();
            row.object = RowStage::Missing;
        }
        self.size = 0;
        Ok(Undecided { subject: self.object.take()?, text: std::mem::take(&mut self.text) })
    }
}

// === impl Row ===

impl Row {
    /// Reads on, and appends to `text` what passes if the row is shown.
    fn push(
        &mut self,
        object: &mut ObjectScan,
        text: &mut Vec<Piece>,
        chunk: &Bytes,
        input: &mut &[u8],
    ) -> Result<bool, ScanError> {
        loop {
            let before = *input;
            let within = self.object == RowStage::Within;
            let over = if within { object.push(input)? } else { self.advance(input)? };
            if !within || matches!(self.shape, RowShape::AsItCame) {
                text.push(Piece::read(chunk, before, input));
            }
            if within && over {
                text.extend(self.shape.instead_of(object).map(Piece::from));
                self.object = RowStage::Read;
                self.walk.value_was_read();
            } else if self.object != RowStage::Within || within {
                return Ok(over);
            }
        }
    }

    /// Reads on to the object or the row's end, and says whether the row is over.
    fn advance(&mut self, input: &mut &[u8]) -> Result<bool, ScanError> {
        while let Some(member) = self.walk.next(input)? {
            match (member, self.object) {
                (Member::Key(Some(key)), RowStage::Missing) if key == "object" => {
                    self.object = RowStage::Within;
                    return Ok(false);
                }
                (Member::Key(Some(key)), _) if key == "object" => {
                    return Err(ScanError::Malformed("a row has two objects"));
                }
                (Member::Key(_) | Member::Value { .. }, _) => {}
                (Member::End, RowStage::Read) => return Ok(true),
                (Member::End, _) => return Err(ScanError::NoMetadata),
            }
        }
        Ok(false)
    }
}

// === impl RowShape ===

impl RowShape {
    /// What is to pass of the objects in a table of this type. Its version is that of what it has objects replaced by
    /// (`asTable`, `apiserver/pkg/endpoints/handlers/response.go`).
    pub(super) fn new(rows: RowObject, table: &TypeMeta) -> Self {
        match rows {
            RowObject::AsItCame => Self::AsItCame,
            RowObject::Nothing => Self::Nothing,
            RowObject::Metadata if table.api_version.ends_with("/v1beta1") => {
                Self::Metadata { api_version: "meta.k8s.io/v1beta1" }
            }
            RowObject::Metadata => Self::Metadata { api_version: "meta.k8s.io/v1" },
        }
    }

    /// What passes in the place of an object that is over.
    fn instead_of(self, object: &ObjectScan) -> Option<Vec<u8>> {
        let mut text;
        match self {
            Self::AsItCame => return None,
            Self::Nothing => text = b"null".to_vec(),
            Self::Metadata { api_version } => {
                text = format!(r#"{{"kind":"PartialObjectMetadata","apiVersion":"{api_version}","metadata":"#)
                    .into_bytes();
                text.extend_from_slice(object.metadata());
                text.push(b'}');
            }
        }
        Some(text)
    }
}

/// What a piece is counted as if it is shorter. Each costs memory of its own, and an API server may send it all in
/// pieces of one byte.
const PIECE_COST: usize = 64;
