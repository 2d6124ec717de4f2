//! What is known of a command when its first byte is handed on.

use std::fmt;

use bytes::Bytes;

use super::word::{Word, until_nul};
use crate::resp::{frames::Protocol, line::Span};

/// A command, or its beginning where it is too long to be held.
///
/// It is the first [`Part`] of the command's bytes; where that is not the last one, others follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub(super) word: Word,
    pub(super) count: u32,
    /// The first of what is here is the word itself.
    pub(super) part: Part,
}

/// Some bytes of a command, as they came, and what of its arguments is in them.
#[derive(Clone, PartialEq, Eq)]
pub struct Part {
    pub(super) bytes: Bytes,
    /// What the arguments are parts of: the bytes, or the words of a line without their quotes.
    pub(super) text: Bytes,
    pub(super) arguments: Vec<Known>,
    pub(super) last: bool,
}

/// Where an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) span: Span,
    pub(super) whole: bool,
}

/// An argument of a command. No more is kept of it than a key of ours may have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Argument<'p> {
    bytes: &'p [u8],
    whole: bool,
}

// === impl Command ===

impl Command {
    /// What kind of command it is.
    #[must_use]
    pub fn word(&self) -> Word {
        self.word
    }

    /// The word as it came, for a log: neither text nor short.
    #[must_use]
    pub fn word_as_it_came(&self) -> &[u8] {
        self.part.arguments().next().map_or(&[], |word| word.bytes)
    }

    /// How many arguments it has, its word included: Redis's `argc`.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The arguments behind the word, in order, as far as they are known: those that matter for its word, and all of
    /// them only where the command is whole or [`Part`]s follow.
    pub fn arguments(&self) -> impl Iterator<Item = Argument<'_>> {
        self.part.arguments().skip(1)
    }

    /// The first argument, if it is no longer than a key of ours.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.arguments().next()?.whole()
    }

    /// Its bytes, or the first of them.
    #[must_use]
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// Whether this is all of it.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.part.last
    }

    /// Its bytes, or the first of them.
    #[must_use]
    pub fn into_part(self) -> Part {
        self.part
    }

    /// Whether this is CLIENT REPLY OFF or SKIP, behind which nobody knows any more which reply belongs to which
    /// command. Redis compares as C does, so `OFF\0` and anything behind is OFF, too; `REPLY` it compares as it does
    /// [words](Word). What is not known, behind an argument that is too long to be held, may be it.
    #[must_use]
    pub fn silences(&self) -> bool {
        let is = |argument: Option<Argument<'_>>, names: &[&str]| {
            argument.is_none_or(|argument| {
                let text = until_nul(argument.bytes);
                names.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(text))
            })
        };
        let mut arguments = self.arguments();
        self.word == Word::Client
            && self.count == 3
            && is(arguments.next(), &["reply"])
            && is(arguments.next(), &["off", "skip"])
    }

    /// The protocol that HELLO asks for, if it does and Redis may grant it.
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        match (self.word, self.key()?) {
            (Word::Hello, b"2") => Some(Protocol::Resp2),
            (Word::Hello, b"3") => Some(Protocol::Resp3),
            _ => None,
        }
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

    /// Whether the command ends here.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// The arguments that matter and begin in this part, in order.
    pub fn arguments(&self) -> impl Iterator<Item = Argument<'_>> {
        self.arguments.iter().map(|known| Argument { bytes: known.span.of(&self.text), whole: known.whole })
    }
}

impl fmt::Debug for Part {
    /// Neither passwords nor values get into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("length", &self.bytes.len()).field("last", &self.last).finish_non_exhaustive()
    }
}

// === impl Argument ===

impl<'p> Argument<'p> {
    /// The argument, if it is no longer than a key of ours: any other is none of them.
    #[must_use]
    pub fn whole(&self) -> Option<&'p [u8]> {
        self.whole.then_some(self.bytes)
    }

    /// The argument, or as much of it as a key of ours may have.
    #[must_use]
    pub fn beginning(&self) -> &'p [u8] {
        self.bytes
    }
}

impl fmt::Debug for Argument<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Argument").field("length", &self.bytes.len()).field("whole", &self.whole).finish()
    }
}
