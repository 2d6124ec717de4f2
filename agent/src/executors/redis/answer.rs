//! One answer of Redis on its way to the principal: handed on, converted, or told in our words.
//!
//! Pure: events of the scanner in, pieces out, however the events are cut. What is of the wrong kind for its command is no
//! answer to it, and nobody knows then what the connection's next answer would be to.

use bytes::{BufMut, Bytes, BytesMut};
use common::resp::{
    Reply, ReplyEvent,
    frames::{self, BULK_END, Protocol},
    replies::{Marker, Role},
};

use super::{
    convert::{Compress, Decompress, PIECE, plain_length},
    failure::Failure,
    output::Output,
    policy::Form,
    transaction::{Transaction, behind_line},
};

/// The answer to one [`Ask`](super::policy::Ask).
#[derive(Debug)]
pub(super) struct Answer {
    form: Form,
    /// So many frames of Redis are to end.
    frames: u32,
    frame: Frame,
    /// What of the frame has come and is not worked on yet, and whether it is the last of it.
    rest: Bytes,
    is_last: bool,
    /// Why there will be no value. The first reason is the one that says most.
    failure: Option<Failure>,
    /// Some of it has been given out, so it can only go on or be cut.
    begun: bool,
}

/// Why an answer cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is of another kind than its command's answer.
    Kind,
    /// What has begun cannot be ended.
    Value,
}

/// ```text
///            ┌──► Same ──────────────────────────┐
///   Expected ├──► Compressed, Decompressed ► End ┤
///      ▲     ├──► Gathered ──────────────────────┤
///      │     └──► Dropped ───────────────────────┤
///      └────────────── its last part ────────────┘
/// ```
#[derive(Debug)]
enum Frame {
    /// It is not here yet.
    Expected,
    /// It is handed on as it comes.
    Same,
    /// Nobody needs it.
    Dropped,
    /// It is short, and looked at when it is here.
    Gathered(BytesMut),
    /// Of its string, so many bytes are to come.
    Compressed(Box<Compress>, u64),
    /// The same, and how long it will be is not told yet where that is here.
    Decompressed(Box<Decompress>, u64, Option<u64>),
    /// All of its string was handed on.
    End,
}

// === impl Answer ===

impl Answer {
    pub(super) fn new(form: Form) -> Self {
        Self {
            form,
            frames: if form == Form::Decompressed { TRANSACTION } else { 1 },
            frame: Frame::Expected,
            rest: Bytes::new(),
            is_last: false,
            failure: None,
            begun: false,
        }
    }

    /// Whether some of it has been given out.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether all of it has been given out.
    pub(super) fn is_over(&self) -> bool {
        self.frames == 0
    }

    /// Why it is an error, if it is.
    pub(super) fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Takes what Redis says next. To be called only when there is [no more](Self::give) of what it said before.
    pub(super) fn hear(&mut self, event: ReplyEvent, out: &mut Output) -> Result<(), Wrong> {
        match event {
            ReplyEvent::Reply(reply) => {
                self.is_last = reply.is_whole();
                self.rest = reply.part().bytes().clone();
                self.frame = self.begin(&reply, out)?;
            }
            ReplyEvent::Part(part) => {
                self.is_last = part.is_last();
                self.rest = part.into_bytes();
            }
        }
        Ok(())
    }

    /// Gives out some of what was heard. Whether there is more of it.
    pub(super) fn give(&mut self, out: &mut Output) -> Result<bool, Wrong> {
        match &mut self.frame {
            Frame::Expected => return Ok(false),
            Frame::Same => {
                self.begun = true;
                out.push(std::mem::take(&mut self.rest));
            }
            Frame::Dropped | Frame::End => self.rest.clear(),
            Frame::Gathered(gathered) => {
                let room = GATHERED.saturating_sub(gathered.len());
                gathered.put_slice(front(&mut self.rest, room as u64).as_ref());
                self.rest.clear();
            }
            Frame::Compressed(compress, left) => {
                let plain = front(&mut self.rest, *left);
                *left -= plain.len() as u64;
                let ends = *left == 0;
                if !plain.is_empty() {
                    compress.push(plain, |piece| out.push(piece));
                }
                if ends {
                    self.frame = Frame::End;
                }
            }
            Frame::Decompressed(decompress, left, untold) => {
                let piece = front(&mut self.rest, (*left).min(PIECE as u64));
                *left -= piece.len() as u64;
                let ends = *left == 0;
                let mut came = decompress.push(&piece).map(|plain| (plain, Bytes::new()));
                if let (Ok((_, last)), true) = (&mut came, ends) {
                    match decompress.finish() {
                        Ok(plain) => *last = plain,
                        Err(broken) => came = Err(broken),
                    }
                }
                let Ok((plain, last)) = came else {
                    return self.no_value(Failure::Conversion("decompressed")).map(|()| true);
                };
                if !plain.is_empty() || ends {
                    out.push(untold.take().map(frames::bulk_start).unwrap_or_default());
                    self.begun = true;
                }
                out.push(plain);
                out.push(last);
                if ends {
                    self.frame = Frame::End;
                }
            }
        }
        if self.rest.is_empty() && std::mem::take(&mut self.is_last) {
            self.end(out);
        }
        Ok(!self.rest.is_empty())
    }

    /// What a frame is for, by its beginning.
    fn begin(&mut self, reply: &Reply, out: &mut Output) -> Result<Frame, Wrong> {
        if reply.role() != Role::Answer {
            return Err(Wrong::Kind);
        }
        let gathered = || Frame::Gathered(BytesMut::new());
        if reply.is_error() {
            return Ok(gathered());
        }
        match (self.form, reply.marker()) {
            (Form::Value, Marker::Bulk) | (Form::Number, Marker::Integer) => Ok(Frame::Same),
            (Form::CompressedLength, Marker::Integer) | (Form::PlainLength, Marker::Bulk) => Ok(gathered()),
            (Form::Compressed, Marker::Bulk) => match reply.length() {
                Some(length) => self.compress(length, out),
                None => Ok(Frame::Same),
            },
            // OK, QUEUED and QUEUED, or whatever is said where there is no transaction.
            (Form::Decompressed, _) if self.frames > 1 => Ok(Frame::Dropped),
            (Form::Decompressed, Marker::Array) => self.decompress(out),
            _ => Err(Wrong::Kind),
        }
    }

    fn compress(&mut self, length: u64, out: &mut Output) -> Result<Frame, Wrong> {
        self.rest = behind_line(&self.rest).ok_or(Wrong::Kind)?;
        self.begun = true;
        let (mut compress, header) = Compress::begin(length);
        out.push(frames::bulk_start(Compress::length(length)));
        out.push(header);
        if length == 0 {
            compress.push(Bytes::new(), |piece| out.push(piece));
            return Ok(Frame::End);
        }
        Ok(Frame::Compressed(Box::new(compress), length))
    }

    fn decompress(&mut self, out: &mut Output) -> Result<Frame, Wrong> {
        match Transaction::read(&self.rest).ok_or(Wrong::Kind)? {
            Transaction::Nil => {
                self.begun = true;
                out.push(frames::nil(Protocol::Resp2));
            }
            Transaction::Error(line) => self.no_value(Failure::refused(&line))?,
            Transaction::Value { last_bytes, length, begins } => {
                if let Some(plain) = plain_length(&last_bytes) {
                    self.rest = begins;
                    return Ok(Frame::Decompressed(Box::new(Decompress::begin(plain)), length, Some(plain)));
                }
                self.no_value(Failure::Conversion("decompressed"))?;
            }
        }
        Ok(Frame::Dropped)
    }

    /// There will be none, unless it has begun.
    fn no_value(&mut self, failure: Failure) -> Result<(), Wrong> {
        if self.begun {
            return Err(Wrong::Value);
        }
        self.failure.get_or_insert(failure);
        self.frame = Frame::Dropped;
        Ok(())
    }

    /// A frame has ended.
    fn end(&mut self, out: &mut Output) {
        self.frames = self.frames.saturating_sub(1);
        match std::mem::replace(&mut self.frame, Frame::Expected) {
            Frame::End => out.push(Bytes::from_static(BULK_END)),
            Frame::Gathered(line) if line.starts_with(b"-") => {
                self.failure.get_or_insert_with(|| Failure::refused(&line));
            }
            Frame::Gathered(gathered) => match self.length(&gathered) {
                Some(length) => out.push(frames::integer(i64::try_from(length).unwrap_or(i64::MAX))),
                None => self.failure = Some(Failure::Conversion("measured")),
            },
            _ => {}
        }
        if let (Some(failure), 0) = (&self.failure, self.frames) {
            out.push(failure.frame());
        }
    }

    /// The length that follows from what was gathered.
    fn length(&self, gathered: &[u8]) -> Option<u64> {
        let text = |bytes| std::str::from_utf8(bytes).ok();
        if self.form == Form::CompressedLength {
            let length = text(gathered.strip_prefix(b":")?.strip_suffix(b"\r\n")?)?.parse().ok()?;
            // What is empty is as good as not there, and that is how Redis says so.
            return Some(if length == 0 { 0 } else { Compress::length(length) });
        }
        match gathered {
            b"$0\r\n\r\n" => Some(0),
            bytes => plain_length(bytes.strip_prefix(b"$4\r\n")?.strip_suffix(b"\r\n")?),
        }
    }
}

/// The front of `bytes`, at most `most`, taken off.
fn front(bytes: &mut Bytes, most: u64) -> Bytes {
    bytes.split_to(usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len()))
}

/// MULTI, GETRANGE, GET, EXEC.
const TRANSACTION: u32 = 4;

/// More than any error of Redis has, or a number, or the end of a string.
const GATHERED: usize = 1 << 10;

#[cfg(test)]
mod tests;
