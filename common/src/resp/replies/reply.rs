//! What is known of a frame from Redis when its first byte is handed on.

use std::fmt;

use bytes::Bytes;

use crate::resp::line::Span;

/// A frame, or its beginning.
///
/// It is the first [`Part`] of the frame's bytes; where that is not the last one, others follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub(super) marker: Marker,
    pub(super) length: Option<u64>,
    pub(super) strings: [Option<Span>; STRINGS],
    pub(super) part: Part,
}

/// Some bytes of a frame, as they came.
#[derive(Clone, PartialEq, Eq)]
pub struct Part {
    pub(super) bytes: Bytes,
    pub(super) last: bool,
}

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The reply to a command; or, while a RESP2 client subscribes or monitors, a message.
    Answer,
    /// A message that answers nothing, or tells of a subscription (RESP3).
    Push,
    /// Something about the frame behind it, which is yet to come (RESP3).
    Attribute,
}

/// The type of a frame: its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Marker {
    /// `+`
    Simple,
    /// `-`
    Error,
    /// `:`
    Integer,
    /// `$`
    Bulk,
    /// `*`
    Array,
    /// `_`
    Null,
    /// `#`
    Boolean,
    /// `,`
    Double,
    /// `(`
    BigNumber,
    /// `!`
    BulkError,
    /// `=`
    Verbatim,
    /// `%`
    Map,
    /// `~`
    Set,
    /// `>`
    Push,
    /// `|`
    Attribute,
}

/// What follows a frame's first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Nothing.
    Line,
    /// As many bytes as it says, and two more.
    Blob,
    /// So many frames for each that it says.
    Frames(u64),
}

// === impl Reply ===

impl Reply {
    /// What it is for.
    #[must_use]
    pub fn role(&self) -> Role {
        match self.marker {
            Marker::Push => Role::Push,
            Marker::Attribute => Role::Attribute,
            _ => Role::Answer,
        }
    }

    /// Its type.
    #[must_use]
    pub fn marker(&self) -> Marker {
        self.marker
    }

    /// How many bytes it has, or elements, or pairs, if it says so and is not nil.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether Redis refused.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self.marker, Marker::Error | Marker::BulkError)
    }

    /// Whether there is nothing, in RESP2 or in RESP3.
    #[must_use]
    pub fn is_nil(&self) -> bool {
        match self.marker {
            Marker::Null => true,
            Marker::Bulk | Marker::Array => self.length.is_none(),
            _ => false,
        }
    }

    /// The first element of a push or array, if it is a string and no longer than a key of ours: `message`, `subscribe`
    /// and the like.
    #[must_use]
    pub fn kind(&self) -> Option<&[u8]> {
        self.string(0)
    }

    /// The second element, if both are strings, and no longer than a key of ours: the channel or pattern.
    #[must_use]
    pub fn channel(&self) -> Option<&[u8]> {
        self.string(1)
    }

    /// Its bytes, or the first of them.
    #[must_use]
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// Its bytes, or the first of them.
    #[must_use]
    pub fn into_part(self) -> Part {
        self.part
    }

    /// Whether this is all of it.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.part.last
    }

    fn string(&self, number: usize) -> Option<&[u8]> {
        let span = (*self.strings.get(number)?)?;
        Some(span.of(&self.part.bytes))
    }
}

// === impl Part ===

impl Part {
    /// What is to be handed on.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What is to be handed on.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Whether the frame ends here.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.last
    }
}

impl fmt::Debug for Part {
    /// Neither passwords nor values get into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("length", &self.bytes.len()).field("last", &self.last).finish_non_exhaustive()
    }
}

// === impl Marker ===

impl Marker {
    /// The type that begins with this byte. Streamed strings and aggregates, which are in RESP3's text and which no
    /// Redis sends, are none.
    pub(super) fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            b'+' => Self::Simple,
            b'-' => Self::Error,
            b':' => Self::Integer,
            b'$' => Self::Bulk,
            b'*' => Self::Array,
            b'_' => Self::Null,
            b'#' => Self::Boolean,
            b',' => Self::Double,
            b'(' => Self::BigNumber,
            b'!' => Self::BulkError,
            b'=' => Self::Verbatim,
            b'%' => Self::Map,
            b'~' => Self::Set,
            b'>' => Self::Push,
            b'|' => Self::Attribute,
            _ => return None,
        })
    }

    pub(super) fn shape(self) -> Shape {
        match self {
            Self::Simple | Self::Error | Self::Integer => Shape::Line,
            Self::Null | Self::Boolean | Self::Double | Self::BigNumber => Shape::Line,
            Self::Bulk | Self::BulkError | Self::Verbatim => Shape::Blob,
            Self::Array | Self::Set | Self::Push => Shape::Frames(1),
            Self::Map | Self::Attribute => Shape::Frames(2),
        }
    }
}

/// So many strings are known of a push: what it is, and of which channel.
pub(super) const STRINGS: usize = 2;
