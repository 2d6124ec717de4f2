//! JSON lists and tables, item by item.
//!
//! A list passes but for the items that are not shown and the count of what remains. What is shown passes as it stands,
//! to the byte; of what cannot be read, nothing passes. No more is held than one item, the list's own metadata and what
//! is left of a chunk.
//!
//! An item is what its brackets and quotes enclose. What is in it besides the metadata is not validated: where that is
//! broken, so is the answer for whoever reads it.

mod array;
mod item;
mod list_meta;
mod object;
mod outgoing;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use serde::de::IgnoredAny;

use self::{
    array::{ArrayWalk, Element},
    item::{ItemScan, RowShape},
    outgoing::{Outgoing, Piece},
};
use crate::executors::kube::filter::{
    item::{ItemKind, RowObject, Subject},
    json,
    json_walk::{Member, ObjectWalk, is_space},
    list::head::ListHead,
    meta::TypeMeta,
    scan::{ScanError, keep},
};

/// A filter for one JSON list. It does no IO and asks for a decision on each item.
#[derive(Debug)]
pub(crate) struct JsonList {
    stage: Stage,
    walk: ObjectWalk,
    /// The member of the list whose value is next or being read.
    member: Option<ListMember>,
    /// The members that there have been.
    seen: Vec<ListMember>,
    /// The member's value as far as it has come, where it is needed whole.
    kept: Vec<u8>,
    type_meta: TypeMeta,
    /// The text outside of the items, until it is certain that this is a list.
    own: Vec<u8>,
    array: ArrayWalk,
    item: ItemScan,
    rows: RowObject,
    head: Option<ListHead>,
    out: Outgoing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Outside of the items.
    List,
    /// Between the items.
    Array,
    Item,
    /// Behind the list.
    Over,
    /// After an error.
    Failed,
}

/// The members that a list or a table has (`metav1.List`, `metav1.Table`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListMember {
    Kind,
    ApiVersion,
    Metadata,
    ColumnDefinitions,
    Items,
    Rows,
}

// === impl JsonList ===

impl JsonList {
    /// A filter that holds at most `item_limit` bytes of an item.
    pub(crate) fn new(items: ItemKind, rows: RowObject, item_limit: usize) -> Self {
        Self {
            stage: Stage::List,
            walk: ObjectWalk::default(),
            member: None,
            seen: Vec::new(),
            kept: Vec::new(),
            type_meta: TypeMeta::default(),
            own: Vec::new(),
            array: ArrayWalk::default(),
            item: ItemScan::new(items, item_limit),
            rows,
            head: None,
            out: Outgoing::default(),
        }
    }

    /// Takes the next chunk. Called only while nothing is pending. All items that end in it become pending one after
    /// the other, so what is kept of them grows with the chunk.
    ///
    /// # Errors
    /// When what came is no list, or an item cannot be decided on. Nothing will be pending any more.
    pub(crate) fn push(&mut self, chunk: &Bytes) -> Result<(), ScanError> {
        debug_assert!(self.pending().is_none(), "decisions come before the next chunk");
        let result = self.advance(chunk);
        if result.is_err() {
            self.stage = Stage::Failed;
            self.out.forget_undecided();
        }
        result
    }

    /// The item on which a decision is waited for.
    pub(crate) fn pending(&self) -> Option<&Subject> {
        self.out.pending()
    }

    /// Shows or drops the pending item.
    pub(crate) fn decide(&mut self, show: bool) {
        self.out.decide(show);
    }

    /// The next piece of output, in order; `None` when there is none for now. What is adjacent comes in one piece if all
    /// that is pending is decided on first.
    pub(crate) fn output(&mut self) -> Option<Bytes> {
        self.out.next()
    }

    /// What the list says of itself, once that was read.
    pub(crate) fn head(&self) -> Option<&ListHead> {
        self.head.as_ref()
    }

    /// Says that the input has ended.
    ///
    /// # Errors
    /// When the list is not complete, or there was none.
    pub(crate) fn finish(&self) -> Result<(), ScanError> {
        match self.stage {
            Stage::Over => Ok(()),
            Stage::Failed => Err(ScanError::Answered),
            Stage::List if !self.walk.has_begun() => Err(ScanError::NoMetadata),
            Stage::List | Stage::Array | Stage::Item => Err(ScanError::Truncated),
        }
    }

    fn advance(&mut self, chunk: &Bytes) -> Result<(), ScanError> {
        let mut input = chunk.as_ref();
        while !input.is_empty() {
            match self.stage {
                Stage::List => self.advance_list(&mut input)?,
                Stage::Array => self.advance_array(chunk, &mut input)?,
                Stage::Item => {
                    if self.item.push(chunk, &mut input)? {
                        self.out.wait(self.item.take()?);
                        self.stage = Stage::Array;
                    }
                }
                Stage::Over if input.iter().all(|byte| is_space(*byte)) => {
                    self.out.push(Piece::read(chunk, input, &[]));
                    input = &[];
                }
                Stage::Over => return Err(ScanError::Malformed("something follows the list")),
                Stage::Failed => return Err(ScanError::Answered),
            }
        }
        Ok(())
    }

    fn advance_list(&mut self, input: &mut &[u8]) -> Result<(), ScanError> {
        let before = *input;
        let found = self.walk.next(input)?;
        // The white space before a value goes with what is before it.
        let value = if let Some(Member::Value { bytes, .. }) = &found { bytes.len() } else { 0 };
        keep(&mut self.own, before.get(..before.len() - input.len() - value).unwrap_or_default(), OWN_LIMIT)?;
        match found {
            Some(Member::Key(key)) => self.begin(key.as_deref().and_then(ListMember::of_key)),
            Some(Member::Value { bytes, end }) => self.value(bytes, end),
            Some(Member::End) => self.end(),
            None => Ok(()),
        }
    }

    /// Begins with the value of a member.
    fn begin(&mut self, member: Option<ListMember>) -> Result<(), ScanError> {
        let member = member.ok_or(ScanError::Malformed("a list has no such member"))?;
        if self.seen.contains(&member) {
            return Err(ScanError::Malformed("a member of the list stands twice"));
        }
        self.seen.push(member);
        self.member = Some(member);
        self.kept.clear();
        let table = self.type_meta.is_table();
        match member {
            ListMember::Kind | ListMember::ApiVersion | ListMember::Metadata => {}
            ListMember::ColumnDefinitions if table => {}
            ListMember::Items if !table => self.stage = Stage::Array,
            ListMember::Rows if table => {
                self.item.expect_rows(RowShape::new(self.rows, &self.type_meta));
                self.stage = Stage::Array;
            }
            _ => return Err(ScanError::Malformed("a table has rows, and a list has items")),
        }
        if self.stage == Stage::Array {
            // No single object looks so: if there were metadata, they were a list's.
            self.own_is_certain();
        }
        Ok(())
    }

    /// Takes a piece of the value of a member that has no items. It is held whole and must be JSON: text that is broken
    /// might run on into the items.
    fn value(&mut self, bytes: &[u8], end: bool) -> Result<(), ScanError> {
        keep(&mut self.kept, bytes, OWN_LIMIT)?;
        if !end {
            return Ok(());
        }
        match self.member.take() {
            Some(ListMember::Kind) => self.type_meta.kind = json::text(&self.kept)?,
            Some(ListMember::ApiVersion) => self.type_meta.api_version = json::text(&self.kept)?,
            member => {
                let IgnoredAny = json::parse(&self.kept)?;
                if member == Some(ListMember::Metadata) {
                    self.head = json::parse(&self.kept)?;
                    return list_meta::without_remaining(&self.kept, &mut self.own);
                }
            }
        }
        self.own.append(&mut self.kept);
        Ok(())
    }

    fn advance_array(&mut self, chunk: &Bytes, input: &mut &[u8]) -> Result<(), ScanError> {
        let before = *input;
        let found = self.array.next(input)?;
        let read = Piece::read(chunk, before, input);
        match found {
            Some(Element::Next) => {
                // The comma goes with the item.
                self.out.push(read.without_comma());
                self.stage = Stage::Item;
                return Ok(());
            }
            Some(Element::End) => {
                self.walk.value_was_read();
                self.member = None;
                self.stage = Stage::List;
            }
            None => {}
        }
        self.out.push(read);
        Ok(())
    }

    fn end(&mut self) -> Result<(), ScanError> {
        let items = if self.type_meta.is_table() { ListMember::Rows } else { ListMember::Items };
        if !self.seen.contains(&items) {
            return Err(ScanError::NoMetadata);
        }
        self.own_is_certain();
        self.stage = Stage::Over;
        Ok(())
    }

    /// Lets go of the text outside of the items.
    fn own_is_certain(&mut self) {
        self.out.push(Piece::from(std::mem::take(&mut self.own)));
    }
}

// === impl ListMember ===

impl ListMember {
    fn of_key(key: &str) -> Option<Self> {
        Some(match key {
            "kind" => Self::Kind,
            "apiVersion" => Self::ApiVersion,
            "metadata" => Self::Metadata,
            "columnDefinitions" => Self::ColumnDefinitions,
            "items" => Self::Items,
            "rows" => Self::Rows,
            _ => return None,
        })
    }
}

/// The most that is held of what a list says of itself. Most of it are the token to continue with, of some hundred bytes,
/// and the columns of a table, of some thousand; those of a custom resource are described by its author.
const OWN_LIMIT: usize = 1 << 20;
