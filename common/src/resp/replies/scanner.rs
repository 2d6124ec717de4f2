//! Where one frame ends and the next begins.

use bytes::BytesMut;

use super::{
    Limits, ReplyError,
    nesting::Nesting,
    reply::{Marker, Part, Reply, STRINGS, Shape},
};
use crate::resp::line::{Span, number};

/// Follows what Redis says on one connection.
#[derive(Debug)]
pub struct ReplyScanner {
    limits: Limits,
    state: State,
    nesting: Nesting,
    /// How much of the input's front has been judged.
    judged: usize,
    /// How much of the input's front has no end of a line behind what is judged.
    searched: usize,
    reading: Option<Reading>,
    failed: Option<ReplyError>,
}

/// What comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyEvent {
    /// A frame begins, and ends with its last [`Part`], which may be this.
    Reply(Reply),
    /// More of the frame that has begun.
    Part(Part),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a frame's first line, or within it.
    First,
    /// Within a line that is too long to be held.
    Line,
    /// Within a string that matters, of this length.
    String(u64),
    /// Within bytes of which so many are to come, and two behind them.
    Blob(u64),
}

/// The frame that is being read.
#[derive(Debug, Clone, Copy)]
struct Reading {
    marker: Marker,
    length: Option<u64>,
    strings: [Option<Span>; STRINGS],
    /// How many of its first elements are to be known, and how many are.
    wanted: usize,
    known: usize,
    begun: bool,
}

// === impl ReplyScanner ===

impl ReplyScanner {
    /// For a connection on which nothing was said yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::First,
            nesting: Nesting::default(),
            judged: 0,
            searched: 0,
            reading: None,
            failed: None,
        }
    }

    /// Whether all that came out until now are whole frames.
    #[must_use]
    pub fn is_between(&self) -> bool {
        !self.reading.is_some_and(|reading| reading.begun)
    }

    /// How many levels are held.
    #[cfg(test)]
    pub(super) fn depth(&self) -> usize {
        self.nesting.depth()
    }

    /// The next thing in `input`, whose front becomes it. `None` when more input is needed: it is to be appended to what
    /// is left, which is at most three times what is [held](Limits::hold).
    ///
    /// # Errors
    /// When this is nothing that Redis says. Nothing comes out any more.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<ReplyEvent>, ReplyError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let event = self.scan(input);
        self.failed = event.as_ref().err().copied();
        event
    }

    fn scan(&mut self, input: &mut BytesMut) -> Result<Option<ReplyEvent>, ReplyError> {
        loop {
            let came = input.get(self.judged..).unwrap_or_default();
            match self.state {
                State::First if self.reading.is_some() && self.nesting.is_over() => return Ok(self.part(input, true)),
                State::First => match self.first(came)? {
                    Some(state) => self.state = state,
                    None => return Ok(self.so_far(input)),
                },
                State::Line => match self.line(came) {
                    Some(end) => {
                        self.judged += end + BEHIND;
                        self.state = State::First;
                    }
                    None => {
                        // A carriage return may be the first half of the line's end.
                        self.judged += came.len() - usize::from(came.last() == Some(&b'\r'));
                        return Ok(self.so_far(input));
                    }
                },
                State::String(length) => {
                    match usize::try_from(length).ok().filter(|length| *length <= self.limits.hold) {
                        Some(length) if came.len() < length => return Ok(self.so_far(input)),
                        Some(length) => self.know(Span::new(self.judged, length)),
                        // It streams, and what is behind it comes too late.
                        None => self.no_more_strings(),
                    }
                    self.state = State::Blob(length);
                }
                State::Blob(0) => {
                    let Some(behind) = came.get(..BEHIND) else { return Ok(self.so_far(input)) };
                    if behind != b"\r\n" {
                        return Err(ReplyError::Malformed("a string does not end where it should"));
                    }
                    self.judged += BEHIND;
                    self.state = State::First;
                }
                State::Blob(_) if came.is_empty() => return Ok(self.so_far(input)),
                State::Blob(left) => {
                    let some = usize::try_from(left).unwrap_or(usize::MAX).min(came.len());
                    self.judged += some;
                    self.state = State::Blob(left - some as u64);
                }
            }
        }
    }

    /// Reads the first line of a frame: what is behind it, or nothing where the line is not there.
    fn first(&mut self, came: &[u8]) -> Result<Option<State>, ReplyError> {
        let Some(first) = came.first() else { return Ok(None) };
        let marker = Marker::of(*first).ok_or(ReplyError::Malformed("no type begins like this"))?;
        let Some(end) = self.line(came) else {
            if came.len() <= self.limits.hold {
                return Ok(None);
            }
            if marker.shape() != Shape::Line {
                return Err(NO_LENGTH);
            }
            self.element(marker, None)?;
            self.no_more_strings();
            return Ok(Some(State::Line));
        };
        let text = came.get(1..end).unwrap_or_default();
        let length = if marker.shape() == Shape::Line { None } else { length(marker, text)? };
        let wanted = self.element(marker, length)?;
        let start = self.judged + 1;
        self.judged += end + BEHIND;
        Ok(Some(match (marker.shape(), length) {
            // As long as it would be held if it came in pieces, so that it does not matter whether it does.
            (Shape::Line, _) if wanted && end < self.limits.hold => {
                self.know(Span::new(start, text.len()));
                State::First
            }
            (Shape::Line, _) if wanted => {
                self.no_more_strings();
                State::First
            }
            (Shape::Blob, Some(length)) if wanted => State::String(length),
            (Shape::Blob, Some(length)) => State::Blob(length),
            (Shape::Frames(each), Some(length)) => {
                let elements = length.checked_mul(each).ok_or(ReplyError::Malformed("too many elements"))?;
                self.nesting.open(elements, self.limits.depth)?;
                State::First
            }
            _ => State::First,
        }))
    }

    /// An element begins, or the frame itself. Whether it is a string that is to be known.
    fn element(&mut self, marker: Marker, length: Option<u64>) -> Result<bool, ReplyError> {
        let Some(reading) = &mut self.reading else {
            let strings = if matches!(marker, Marker::Array | Marker::Push) { length.unwrap_or(0) } else { 0 };
            let wanted = usize::try_from(strings).unwrap_or(STRINGS).min(STRINGS);
            self.reading = Some(Reading { marker, length, strings: [None; STRINGS], wanted, known: 0, begun: false });
            return Ok(false);
        };
        if marker == Marker::Push {
            return Err(ReplyError::Malformed("a push within another frame"));
        }
        if marker != Marker::Attribute {
            self.nesting.element();
        }
        let is_string = marker == Marker::Simple || (marker == Marker::Bulk && length.is_some());
        if !is_string {
            reading.wanted = reading.known;
        }
        Ok(reading.known < reading.wanted)
    }

    fn know(&mut self, string: Span) {
        let Some(reading) = &mut self.reading else { return };
        if let Some(known) = reading.strings.get_mut(reading.known) {
            *known = Some(string);
        }
        reading.known += 1;
    }

    fn no_more_strings(&mut self) {
        if let Some(reading) = &mut self.reading {
            reading.wanted = reading.known;
        }
    }

    /// What is judged, if all that is to be known is.
    fn so_far(&mut self, input: &mut BytesMut) -> Option<ReplyEvent> {
        let ready = self.reading.is_some_and(|reading| reading.begun || reading.known >= reading.wanted);
        (ready && self.judged > 0).then(|| self.part(input, false)).flatten()
    }

    fn part(&mut self, input: &mut BytesMut, last: bool) -> Option<ReplyEvent> {
        let Reading { marker, length, strings, begun, .. } = self.reading?;
        let judged = std::mem::take(&mut self.judged).min(input.len());
        self.searched = self.searched.saturating_sub(judged);
        let part = Part { bytes: input.split_to(judged).freeze(), last };
        match &mut self.reading {
            Some(reading) if !last => reading.begun = true,
            reading => *reading = None,
        }
        Some(if begun { ReplyEvent::Part(part) } else { ReplyEvent::Reply(Reply { marker, length, strings, part }) })
    }

    /// Where the line that begins here ends.
    fn line(&mut self, came: &[u8]) -> Option<usize> {
        let mut at = self.searched.saturating_sub(self.judged);
        while let Some(more) = came.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n')) {
            at += more;
            let end = at.checked_sub(1).filter(|end| came.get(*end) == Some(&b'\r'));
            if end.is_some() {
                return end;
            }
            at += 1;
        }
        self.searched = self.judged + came.len();
        None
    }
}

/// The length in a frame's first line; none where the frame is nil.
fn length(marker: Marker, digits: &[u8]) -> Result<Option<u64>, ReplyError> {
    match number(digits).ok_or(NO_LENGTH)? {
        -1 if matches!(marker, Marker::Bulk | Marker::Array) => Ok(None),
        length => u64::try_from(length).map(Some).map_err(|_negative| NO_LENGTH),
    }
}

/// The same of a length that is no number and of one that does not end: which it is depends on how it comes.
const NO_LENGTH: ReplyError = ReplyError::Malformed("a length is no number");

/// A carriage return and a line feed.
const BEHIND: usize = 2;
