//! Lists in Kubernetes protobuf, item by item.
//!
//! Every byte of a list is accounted for: what is neither its metadata nor an item that was asked about is refused. No
//! more is held than one item, and the beginning of what is shown (see [`shown`]), because the envelope says the list's
//! length before the list. That beginning goes out when it is complete or the list has ended well, so that what is found
//! to be wrong early can still be answered with an error.

mod pieces;
mod shown;
#[cfg(test)]
mod tests;

use std::mem;

use bytes::Bytes;

use self::{pieces::Pieces, shown::Shown};
use super::{
    super::{
        envelope::{EnvelopeField, EnvelopeFields, kind},
        item::{ItemKind, Subject},
        protobuf::{MAGIC, NOT_KUBERNETES, text},
        scan::ScanError,
        subject::SubjectScan,
        wire::{FieldHeads, Head, fields, put_bytes, without},
    },
    head::ListHead,
};

/// A list that passes. Feed it with [`push`](Self::push); as long as something is [`pending`](Self::pending), decide
/// on it; send on the [`output`](Self::output), also after [`finish`](Self::finish).
#[derive(Debug)]
pub(crate) struct ProtobufList {
    items: ItemKind,
    item_limit: usize,
    state: State,
    /// The chunk at hand, and how much of it has been read.
    chunk: Bytes,
    read: usize,
    /// Where the list's current field begins in the chunk, and what of it came before the chunk.
    begun: usize,
    pieces: Pieces,
    heads: FieldHeads,
    envelope: EnvelopeFields,
    /// What is left of the list.
    left: u64,
    /// What is read as a whole, as far as it has come: magic bytes, kind, the list's metadata.
    kept: Vec<u8>,
    shown: Shown,
    head: Option<ListHead>,
    pending: Option<Subject>,
    /// What went wrong where nobody could be told.
    failed: Option<ScanError>,
}

/// What comes next.
#[derive(Debug)]
enum State {
    Magic,
    /// The head of one of the envelope's fields, or the end.
    Envelope,
    TypeMeta {
        left: u64,
    },
    /// The head of the list's metadata or of an item, or the end of the list.
    List {
        first: bool,
    },
    ListMeta {
        left: u64,
    },
    Item {
        left: u64,
        scan: Box<SubjectScan>,
    },
    /// Nothing: the list has ended, or something is wrong.
    Over,
}

// === impl ProtobufList ===

impl ProtobufList {
    /// A list of such items, none larger than `item_limit`.
    pub(crate) fn new(items: ItemKind, item_limit: usize) -> Self {
        Self::holding(items, item_limit, HOLD_LIMIT)
    }

    pub(crate) fn holding(items: ItemKind, item_limit: usize, hold_limit: usize) -> Self {
        Self {
            items,
            item_limit,
            state: State::Magic,
            chunk: Bytes::new(),
            read: 0,
            begun: 0,
            pieces: Pieces::default(),
            heads: FieldHeads::default(),
            envelope: EnvelopeFields::default(),
            left: 0,
            kept: Vec::new(),
            shown: Shown::new(hold_limit),
            head: None,
            pending: None,
            failed: None,
        }
    }

    /// Reads on. Only while nothing is pending.
    ///
    /// # Errors
    /// When this is no list that can be filtered, or something is pending. The list is of no use after that: what was
    /// sent of it must break off.
    pub(crate) fn push(&mut self, chunk: Bytes) -> Result<(), ScanError> {
        self.check()?;
        (self.chunk, self.read) = (chunk, 0);
        self.advance();
        self.failed.take().map_or(Ok(()), Err)
    }

    /// What the list says of itself, once that was read.
    pub(crate) fn head(&self) -> Option<&ListHead> {
        self.head.as_ref()
    }

    /// The item that waits for a decision.
    pub(crate) fn pending(&self) -> Option<&Subject> {
        self.pending.as_ref()
    }

    /// Says whether the item that waits is shown. What is found to be wrong behind it is told by the next
    /// [`push`](Self::push) or by [`finish`](Self::finish).
    pub(crate) fn decide(&mut self, show: bool) {
        if self.pending.take().is_none() {
            return;
        }
        let range = self.begun..self.read;
        if show {
            self.shown.show(self.pieces.take(), &self.chunk, range, self.left);
        } else {
            self.shown.hide(self.pieces.len() + range.len());
            self.pieces = Pieces::default();
        }
        self.advance();
    }

    /// The next bytes for the client, in order. `None` when there are none for now.
    pub(crate) fn output(&mut self) -> Option<Bytes> {
        self.shown.output()
    }

    /// Says that the input ends here. What was held until now goes out.
    ///
    /// # Errors
    /// When the list is not complete.
    pub(crate) fn finish(&mut self) -> Result<(), ScanError> {
        self.check()?;
        if !matches!(self.state, State::Envelope) || !self.heads.is_between() {
            return Err(ScanError::Truncated);
        }
        self.envelope.finish()?;
        self.shown.finish();
        self.state = State::Over;
        Ok(())
    }

    fn check(&mut self) -> Result<(), ScanError> {
        if self.pending.is_some() || matches!(self.state, State::Over) {
            return Err(self.failed.take().unwrap_or(ScanError::Answered));
        }
        Ok(())
    }

    /// Reads until an item is pending or the chunk is used up.
    fn advance(&mut self) {
        loop {
            match self.step() {
                Ok(true) if self.pending.is_none() => {}
                Ok(true) => return,
                Ok(false) => break self.put_by(),
                Err(error) => {
                    self.failed = Some(error);
                    self.state = State::Over;
                    self.chunk = Bytes::new();
                    self.pieces = Pieces::default();
                    return;
                }
            }
        }
    }

    /// Keeps what the next chunk goes on with, and lets go of the chunk.
    fn put_by(&mut self) {
        let chunk = mem::take(&mut self.chunk);
        let within = match self.state {
            State::List { .. } => !self.heads.is_between(),
            State::Item { .. } => true,
            _ => false,
        };
        if within {
            self.pieces.push(chunk.slice_ref(chunk.get(self.begun..).unwrap_or_default()));
        }
        (self.begun, self.read) = (0, 0);
    }

    /// Goes one step. `false` when that takes more input.
    fn step(&mut self) -> Result<bool, ScanError> {
        match &mut self.state {
            State::Magic => {
                let missing = (MAGIC.len() - self.kept.len()) as u64;
                let (bytes, end) = take(&self.chunk, &mut self.read, missing);
                self.kept.extend_from_slice(bytes);
                if !MAGIC.starts_with(&self.kept) {
                    return Err(NOT_KUBERNETES);
                }
                if end {
                    self.kept.clear();
                    self.state = State::Envelope;
                }
                Ok(end)
            }
            State::Envelope => {
                let Some(head) = head(&mut self.heads, &self.chunk, &mut self.read, u64::MAX)? else {
                    return Ok(false);
                };
                self.state = match self.envelope.next(head)? {
                    EnvelopeField::TypeMeta => State::TypeMeta { left: within(head.length, META_LIMIT)? },
                    EnvelopeField::Object => {
                        self.left = head.length;
                        State::List { first: true }
                    }
                    EnvelopeField::Encoding => {
                        self.shown.close(head.number);
                        State::Envelope
                    }
                };
                Ok(true)
            }
            State::TypeMeta { left } => {
                let (bytes, end) = take(&self.chunk, &mut self.read, *left);
                *left -= bytes.len() as u64;
                self.kept.extend_from_slice(bytes);
                if end {
                    self.open()?;
                }
                Ok(end)
            }
            State::List { .. } if self.left == 0 => {
                if !self.heads.is_between() {
                    return Err(PAST_THE_END);
                }
                self.shown.end_list();
                self.state = State::Envelope;
                Ok(true)
            }
            State::List { first } => {
                let first = *first;
                if self.heads.is_between() {
                    self.begun = self.read;
                }
                let before = self.read;
                let head = head(&mut self.heads, &self.chunk, &mut self.read, self.left)?;
                self.left -= (self.read - before) as u64;
                match head {
                    Some(head) => self.begin(head, first).map(|()| true),
                    // The chunk is used up, or the list is: then the next step says so.
                    None => Ok(self.left == 0),
                }
            }
            State::ListMeta { left } => {
                let (bytes, end) = take(&self.chunk, &mut self.read, *left);
                *left -= bytes.len() as u64;
                self.left -= bytes.len() as u64;
                self.kept.extend_from_slice(bytes);
                if end {
                    self.metadata()?;
                }
                Ok(end)
            }
            State::Item { left, scan } => {
                let (bytes, end) = take(&self.chunk, &mut self.read, *left);
                *left -= bytes.len() as u64;
                self.left -= bytes.len() as u64;
                scan.push(bytes)?;
                if end && let State::Item { scan, .. } = mem::replace(&mut self.state, State::List { first: false }) {
                    self.pending = Some(scan.finish()?);
                }
                Ok(end)
            }
            State::Over => Ok(false),
        }
    }

    /// The kind is complete: so is what stands before the list.
    fn open(&mut self) -> Result<(), ScanError> {
        let message = mem::take(&mut self.kept);
        kind(&message)?;
        let mut opening = MAGIC.to_vec();
        put_bytes(&mut opening, 1, &message);
        self.shown.open(opening);
        self.state = State::Envelope;
        Ok(())
    }

    /// A field of the list begins.
    fn begin(&mut self, head: Head, first: bool) -> Result<(), ScanError> {
        if head.length > self.left {
            return Err(PAST_THE_END);
        }
        self.state = match head.number {
            // They are shown first, and only once: gogo merges what stands twice.
            1 if first => {
                self.pieces = Pieces::default();
                State::ListMeta { left: within(head.length, META_LIMIT)? }
            }
            2 if head.length > self.item_limit as u64 => {
                return Err(ScanError::ItemTooLarge { limit: self.item_limit });
            }
            2 => State::Item { left: head.length, scan: Box::new(SubjectScan::new(self.items)) },
            _ => return Err(ScanError::Malformed("a field is none that a list has there")),
        };
        Ok(())
    }

    /// The list's metadata are complete.
    fn metadata(&mut self) -> Result<(), ScanError> {
        let message = mem::take(&mut self.kept);
        self.head = Some(list_head(&message)?);
        let mut field = Vec::with_capacity(message.len() + 4);
        put_bytes(&mut field, 1, &without(&message, REMAINING_ITEM_COUNT)?);
        self.shown.metadata(&field);
        self.state = State::List { first: false };
        Ok(())
    }
}

/// Reads `metav1.ListMeta`.
fn list_head(message: &[u8]) -> Result<ListHead, ScanError> {
    let mut head = ListHead::default();
    fields(message, |number, bytes| {
        match number {
            2 => head.resource_version = text(bytes),
            3 => head.more = text(bytes),
            _ => {}
        }
        Ok(())
    })?;
    Ok(head)
}

/// Takes up to `most` bytes of what has not been read of a chunk, and says whether they are as many.
fn take<'c>(chunk: &'c [u8], read: &mut usize, most: u64) -> (&'c [u8], bool) {
    let unread = chunk.get(*read..).unwrap_or_default();
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let bytes = unread.get(..most).unwrap_or(unread);
    *read += bytes.len();
    (bytes, bytes.len() == most)
}

/// Reads on in the head of a field, which may have no more than `most` bytes.
fn head(heads: &mut FieldHeads, chunk: &[u8], read: &mut usize, most: u64) -> Result<Option<Head>, ScanError> {
    let mut ahead = *read;
    let (mut unread, _) = take(chunk, &mut ahead, most);
    let before = unread.len();
    let head = heads.next(&mut unread);
    *read += before - unread.len();
    head
}

fn within(length: u64, limit: usize) -> Result<u64, ScanError> {
    if length > limit as u64 { Err(ScanError::TooLarge { limit }) } else { Ok(length) }
}

/// `ListMeta.remainingItemCount` counts what is hidden, too.
const REMAINING_ITEM_COUNT: u64 = 4;
/// The most that is held of what is shown. Larger lists tell how many bytes of them are hidden behind this.
const HOLD_LIMIT: usize = 4 << 20;
/// The most that the list's own metadata and its kind have. A continue token holds one key of etcd.
const META_LIMIT: usize = 64 << 10;

const PAST_THE_END: ScanError = ScanError::Malformed("a field is longer than the list it is in");
