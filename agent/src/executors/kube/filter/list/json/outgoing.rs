//! What is to go out, in the order in which it came: some of it waits for a decision.
//!
//! Nothing is copied. What stands side by side in a chunk goes out in one piece, so that a list of which all is shown
//! costs the client's side no more than if it had not been looked at.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::executors::kube::filter::item::Subject;

/// A part of a chunk.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    chunk: Bytes,
    /// Never behind `end`.
    start: usize,
    /// Never behind the end of the chunk.
    end: usize,
}

/// An item that is complete.
#[derive(Debug)]
pub(super) struct Undecided {
    pub(super) subject: Subject,
    /// Its text, white space before it included, without a comma.
    pub(super) text: Vec<Piece>,
}

/// The output of a list.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    ready: VecDeque<Piece>,
    /// What waits. The first is always an item.
    waiting: VecDeque<Waiting>,
    /// Whether an item has been shown, so that a comma must precede the next.
    shown: bool,
}

#[derive(Debug)]
enum Waiting {
    Item(Box<Undecided>),
    /// What stands behind an item.
    Text(Piece),
}

// === impl Piece ===

impl Piece {
    /// What of `chunk` was read while its unread rest went from `before` to `after`.
    pub(super) fn read(chunk: &Bytes, before: &[u8], after: &[u8]) -> Self {
        let start = chunk.len().saturating_sub(before.len());
        let end = chunk.len().saturating_sub(after.len()).max(start);
        Self { chunk: chunk.clone(), start, end }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The same without the comma at its end, if there is one.
    pub(super) fn without_comma(mut self) -> Self {
        if !self.is_empty() && self.chunk.get(self.end - 1) == Some(&b',') {
            self.end -= 1;
        }
        self
    }

    /// The same with the comma that stands before it, unless that was in another chunk.
    fn with_comma(&self) -> Option<Self> {
        let start = self.start.checked_sub(1)?;
        (self.chunk.get(start) == Some(&b',')).then(|| Self { start, ..self.clone() })
    }

    /// Makes one piece of two if they are adjacent.
    fn join(&mut self, next: &Self) -> bool {
        // Two chunks that are alive at once are not in one place.
        let same = self.chunk.as_ptr() == next.chunk.as_ptr() && self.chunk.len() == next.chunk.len();
        let adjacent = same && self.end == next.start;
        if adjacent {
            self.end = next.end;
        }
        adjacent
    }
}

impl From<Vec<u8>> for Piece {
    fn from(text: Vec<u8>) -> Self {
        Self { start: 0, end: text.len(), chunk: text.into() }
    }
}

impl From<Piece> for Bytes {
    fn from(piece: Piece) -> Self {
        piece.chunk.slice(piece.start..piece.end)
    }
}

// === impl Outgoing ===

impl Outgoing {
    /// Appends what needs no decision of its own.
    pub(super) fn push(&mut self, text: Piece) {
        if self.waiting.is_empty() {
            self.release(text);
        } else if !text.is_empty() {
            self.waiting.push_back(Waiting::Text(text));
        }
    }

    /// Appends an item.
    pub(super) fn wait(&mut self, item: Undecided) {
        self.waiting.push_back(Waiting::Item(Box::new(item)));
    }

    pub(super) fn pending(&self) -> Option<&Subject> {
        match self.waiting.front()? {
            Waiting::Item(item) => Some(&item.subject),
            Waiting::Text(_) => None,
        }
    }

    /// Shows or drops the first item that waits, and lets go what waited for that alone.
    pub(super) fn decide(&mut self, show: bool) {
        let Some(Waiting::Item(item)) = self.waiting.pop_front() else { return };
        if show {
            self.show(item.text);
        }
        while let Some(Waiting::Text(text)) = self.waiting.pop_front_if(|next| matches!(next, Waiting::Text(_))) {
            self.release(text);
        }
    }

    pub(super) fn next(&mut self) -> Option<Bytes> {
        self.ready.pop_front().map(Bytes::from)
    }

    /// Drops what waits.
    pub(super) fn forget_undecided(&mut self) {
        self.waiting.clear();
    }

    fn show(&mut self, text: Vec<Piece>) {
        let mut text = text.into_iter();
        let Some(mut first) = text.next() else { return };
        if self.shown {
            match first.with_comma() {
                Some(with_comma) => first = with_comma,
                None => self.release(Piece::from(b",".to_vec())),
            }
        }
        self.shown = true;
        self.release(first);
        text.for_each(|piece| self.release(piece));
    }

    fn release(&mut self, piece: Piece) {
        if !piece.is_empty() && !self.ready.back_mut().is_some_and(|last| last.join(&piece)) {
            self.ready.push_back(piece);
        }
    }
}
