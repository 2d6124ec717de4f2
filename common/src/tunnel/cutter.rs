//! Chunks as they come in: cut out of whatever pieces HTTP/2 delivers, without copying and without waiting for the rest.
//!
//! Pure. What has come of a chunk's data is passed on at once; only numbers are kept from one piece to the next.

#[cfg(test)]
mod tests;

use bytes::{Buf, Bytes};
use prost::encoding::WireType;

use super::{
    frame::{DATA, FINISHED, PREFIX},
    limits::{CHUNK_COST, MESSAGE},
};

/// Where in the messages of one direction of a pipe what comes next belongs.
///
/// ```text
///  Prefix ──► Key ──┬──► Length ──► Data ──┐
///    ▲         ▲    ├──► Length ──► Skip ──┤
///    │         │    └──► Number ───────────┤
///    │         └──── bytes are left ───────┤
///    └─────────── the message's end ───────┘
/// ```
#[derive(Debug)]
pub struct Cutter {
    state: State,
    /// Bytes of the message that are still to come.
    left: usize,
    /// What the chunk costs beside its data, until it is told.
    due: u64,
    /// Its data has been there.
    said: bool,
    /// It is the last one.
    fin: bool,
}

/// What can be passed on of a chunk.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Some of its data, all of it, or none.
    pub data: Bytes,
    /// What that costs: its length, and with the first piece what the chunk costs beside. So what a chunk costs does not
    /// depend on how it was split, and nothing is counted that has not come.
    pub cost: u64,
    /// The peer ends its direction here.
    pub fin: bool,
}

/// What came is no stream of chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// Compressed, or a flag that does not exist.
    #[error("a message has flag {0} where no compression was agreed")]
    Flag(u8),
    /// Longer than any that is taken.
    #[error("a message has {0} bytes, more than {MESSAGE}")]
    Long(usize),
    /// A number of more than 64 bits.
    #[error("a number in a message has more than 64 bits")]
    Number,
    /// No field can be called that, or it has no type that its number or this protocol has.
    #[error("a message has {0} for a field's number and type")]
    Key(u64),
    /// It ends within a field.
    #[error("a field is longer than its message")]
    Short,
    /// Protobuf would have the last one count, but the first is passed on already.
    #[error("a message has data twice")]
    Twice,
}

/// What is next.
#[derive(Debug, Clone, Copy)]
enum State {
    /// gRPC's flag and length: so many of their bytes have come, and this is what they say.
    Prefix(usize, usize),
    /// Number and type of a field, or the end of the message.
    Key(Varint),
    /// How long a field is.
    Length(Field, Varint),
    /// The field itself, if it is a number.
    Number(Field, Varint),
    /// So many bytes of data.
    Data(usize),
    /// So many bytes of a field that this build does not know.
    Skip(usize),
}

/// A field of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Data,
    Fin,
    /// Of a later build.
    Other,
}

/// A number of which some bytes have come.
#[derive(Debug, Clone, Copy, Default)]
struct Varint {
    value: u64,
    bits: u32,
}

// === impl Cutter ===

impl Cutter {
    /// What can be passed on of `input`, which is taken off it; none when it is used up.
    ///
    /// # Errors
    /// When what came is no stream of chunks. Then nothing more can be cut.
    pub fn cut(&mut self, input: &mut Bytes) -> Result<Option<Piece>, BadMessage> {
        loop {
            match self.state {
                State::Key(Varint { bits: 0, .. }) if self.left == 0 => {
                    if let Some(piece) = self.end() {
                        return Ok(Some(piece));
                    }
                }
                State::Key(_) | State::Length(..) | State::Number(..) if self.left == 0 => {
                    return Err(BadMessage::Short);
                }
                _ if input.is_empty() => return Ok(None),
                State::Prefix(come, length) => self.prefix(come, length, input.get_u8())?,
                State::Data(left) => {
                    let data = input.split_to(left.min(input.len()));
                    self.pass(left, data.len(), State::Data);
                    let cost = data.len() as u64 + std::mem::take(&mut self.due);
                    return Ok(Some(Piece { data, cost, fin: false }));
                }
                State::Skip(left) => {
                    let skipped = left.min(input.len());
                    input.advance(skipped);
                    self.pass(left, skipped, State::Skip);
                }
                state => self.head(state, input.get_u8())?,
            }
        }
    }

    /// Whether a direction may end here: between two messages.
    #[must_use]
    pub fn is_between(&self) -> bool {
        matches!(self.state, State::Prefix(0, _))
    }

    /// A byte of what gRPC puts before a message.
    fn prefix(&mut self, come: usize, length: usize, byte: u8) -> Result<(), BadMessage> {
        match (come, byte) {
            (0, 0) => self.state = State::Prefix(1, 0),
            (0, flag) => return Err(BadMessage::Flag(flag)),
            _ => {
                let (come, length) = (come + 1, length << 8 | usize::from(byte));
                if come < PREFIX {
                    self.state = State::Prefix(come, length);
                } else if length > MESSAGE {
                    return Err(BadMessage::Long(length));
                } else {
                    *self = Self { state: State::Key(Varint::default()), left: length, ..Self::default() };
                }
            }
        }
        Ok(())
    }

    /// A byte of a field's head, or of a number.
    fn head(&mut self, state: State, byte: u8) -> Result<(), BadMessage> {
        self.left -= 1;
        self.state = match state {
            State::Key(key) => match key.and(byte)? {
                (key, false) => State::Key(key),
                (key, true) => self.field(key.value)?,
            },
            State::Length(field, length) => match length.and(byte)? {
                (length, false) => State::Length(field, length),
                (length, true) => {
                    let length = usize::try_from(length.value).ok().filter(|length| *length <= self.left);
                    match (length.ok_or(BadMessage::Short)?, field) {
                        (0, _) => State::Key(Varint::default()),
                        (length, Field::Data) => State::Data(length),
                        (length, Field::Fin | Field::Other) => State::Skip(length),
                    }
                }
            },
            State::Number(field, number) => match number.and(byte)? {
                (number, false) => State::Number(field, number),
                (number, true) => {
                    if field == Field::Fin {
                        self.fin = number.value != 0;
                    }
                    State::Key(Varint::default())
                }
            },
            bytes @ (State::Prefix(..) | State::Data(_) | State::Skip(_)) => bytes,
        };
        Ok(())
    }

    /// What comes behind such a key.
    fn field(&mut self, key: u64) -> Result<State, BadMessage> {
        let bad = BadMessage::Key(key);
        let number = u32::try_from(key).map_err(|_large| bad)? >> 3;
        let field = match number {
            0 => return Err(bad),
            DATA if std::mem::replace(&mut self.said, true) => return Err(BadMessage::Twice),
            DATA => Field::Data,
            FINISHED => Field::Fin,
            _ => Field::Other,
        };
        match (WireType::try_from(key & 0x07).map_err(|_unknown| bad)?, field) {
            (WireType::LengthDelimited, Field::Data | Field::Other) => Ok(State::Length(field, Varint::default())),
            (WireType::Varint, Field::Fin | Field::Other) => Ok(State::Number(field, Varint::default())),
            (WireType::ThirtyTwoBit, Field::Other) => self.skip(4),
            (WireType::SixtyFourBit, Field::Other) => self.skip(8),
            // Groups are no part of proto3.
            _ => Err(bad),
        }
    }

    fn skip(&self, length: usize) -> Result<State, BadMessage> {
        if length > self.left { Err(BadMessage::Short) } else { Ok(State::Skip(length)) }
    }

    /// `passed` of a field's `left` bytes are done with.
    fn pass(&mut self, left: usize, passed: usize, rest: fn(usize) -> State) {
        // A field is never longer than what is left of its message.
        self.left -= passed;
        self.state = if passed == left { State::Key(Varint::default()) } else { rest(left - passed) };
    }

    /// The message has ended: what is to be told of it.
    fn end(&mut self) -> Option<Piece> {
        let Self { due, fin, .. } = std::mem::take(self);
        // One that is nothing but the end costs nothing.
        let cost = if fin { 0 } else { due };
        (fin || cost > 0).then_some(Piece { data: Bytes::new(), cost, fin })
    }
}

impl Default for Cutter {
    fn default() -> Self {
        Self { state: State::Prefix(0, 0), left: 0, due: CHUNK_COST, said: false, fin: false }
    }
}

// === impl Varint ===

impl Varint {
    /// With one byte more, and whether that was the last.
    fn and(self, byte: u8) -> Result<(Self, bool), BadMessage> {
        let seven = u64::from(byte & 0x7f);
        let value =
            seven.checked_shl(self.bits).filter(|value| value >> self.bits == seven).ok_or(BadMessage::Number)?;
        Ok((Self { value: self.value | value, bits: self.bits + 7 }, byte < 0x80))
    }
}
