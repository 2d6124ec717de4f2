//! Where one command ends and the next begins.

use bytes::{Bytes, BytesMut};

use super::{
    command::{Command, Known, Part},
    error::ProtocolError,
    inline::{self, Words},
    limits::{BEFORE_LOGIN, LINE, Limits, Login},
    word::{Wanted, Word},
};
use crate::resp::line::{Span, number};

/// Follows what one client says.
///
/// ```text
///                 ┌────────── nothing ◄───────────┐
///                 ▼                               │
///   bytes ──► Between ──'*'──► Count ── n > 0 ──► Length ◄──► Argument
///                 ▲  └─else──► Line ─┐              │ none left
///                 └───── a command ──┴──────────────┘
/// ```
#[derive(Debug)]
pub struct CommandScanner {
    limits: Limits,
    state: State,
    /// How much of the input's front has been judged.
    judged: usize,
    /// How much of the input's front has no end of a line behind what is judged.
    searched: usize,
    /// The command that is being read.
    reading: Reading,
    awaits_login: bool,
    failed: Option<ProtocolError>,
}

/// What comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandEvent {
    /// A command begins, and ends with its last [`Part`], which may be this.
    Command(Command),
    /// More of the command that has begun.
    Part(Part),
    /// Bytes that are no command and have no reply.
    Nothing(Bytes),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    /// Within a line that is a command.
    Line,
    /// Within the line that says how many arguments there are.
    Count,
    /// Within the line that says how long the next argument is, if there is one.
    Length,
    /// Within an argument whose first bytes matter: they and its end are to come.
    Begin(u64),
    /// Within an argument: so many bytes are to come, with the two behind it.
    Rest(u64),
}

#[derive(Debug)]
struct Reading {
    word: Word,
    count: u32,
    /// How many arguments have not begun.
    left: u32,
    /// What is known of the arguments in what is held.
    known: Vec<Known>,
    /// Whether its first byte has been handed on.
    begun: bool,
}

type Found = Result<Option<usize>, ProtocolError>;

// === impl CommandScanner ===

impl CommandScanner {
    /// For a connection on which nothing was said yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let reading = Reading::of(0);
        Self { limits, state: State::Between, judged: 0, searched: 0, reading, awaits_login: false, failed: None }
    }

    /// From now on: what changes with a login, and with the configuration.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Whether what comes next is taken only of who has logged in, and it is [not known](Login::Unknown) whether the client
    /// has: nothing comes out before that is [told](Self::set_limits).
    #[must_use]
    pub fn awaits_login(&self) -> bool {
        self.awaits_login
    }

    /// Whether all that came out until now are whole commands.
    #[must_use]
    pub fn is_between(&self) -> bool {
        !self.reading.begun
    }

    /// The next thing in `input`, whose front becomes it. `None` when more input is needed: it is to be appended to what
    /// is left, which is at most what is [held](Limits::hold) and one line or key.
    ///
    /// # Errors
    /// When Redis would say so and close the connection. Nothing comes out any more; what is left of the input is what
    /// Redis would not have read.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<CommandEvent>, ProtocolError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.awaits_login = false;
        let event = self.scan(input);
        self.failed = event.as_ref().err().copied();
        event
    }

    fn scan(&mut self, input: &mut BytesMut) -> Result<Option<CommandEvent>, ProtocolError> {
        loop {
            let came = input.get(self.judged..).unwrap_or_default();
            match self.state {
                State::Between => match came.first() {
                    Some(b'*') => self.state = State::Count,
                    Some(_) => self.state = State::Line,
                    None => return Ok(None),
                },
                State::Line => {
                    let Some(end) = self.line(came, b'\n', ProtocolError::InlineTooBig)? else { return Ok(None) };
                    let line = came.get(..end).unwrap_or_default();
                    let words = inline::split(line.strip_suffix(b"\r").unwrap_or(line));
                    let words = words.ok_or(ProtocolError::UnbalancedQuotes)?;
                    self.judged += end + 1;
                    self.state = State::Between;
                    let bytes = self.take(input);
                    return Ok(Some(of_line(bytes, words, &self.limits)));
                }
                State::Count => {
                    let Some(end) = self.array_line(came, ProtocolError::CountTooBig)? else { return Ok(None) };
                    let count = self.count(came.get(1..end).unwrap_or_default())?;
                    if count > BEFORE_LOGIN.0 && self.limits.login == Login::Unknown {
                        self.awaits_login = true;
                        return Ok(None);
                    }
                    self.judged += end + 2;
                    if count == 0 {
                        self.state = State::Between;
                        return Ok(Some(CommandEvent::Nothing(self.take(input))));
                    }
                    self.state = State::Length;
                    self.reading = Reading::of(count);
                }
                State::Length if self.reading.left == 0 => {
                    self.state = State::Between;
                    return Ok(Some(self.part(input, true)));
                }
                State::Length if self.judged >= self.limits.hold.max(1) && self.may_begin() => {
                    return Ok(Some(self.part(input, false)));
                }
                State::Length => {
                    let Some(end) = self.array_line(came, ProtocolError::LengthTooBig)? else {
                        return Ok(self.so_far(input));
                    };
                    let length = self.length(came.get(..end).unwrap_or_default())?;
                    if length > BEFORE_LOGIN.1 && self.limits.login == Login::Unknown && !self.reading.begun {
                        let event = self.so_far(input);
                        self.awaits_login = event.is_none();
                        return Ok(event);
                    }
                    self.judged += end + 2;
                    self.state =
                        if self.reading.matters() { State::Begin(length) } else { State::Rest(length + BEHIND) };
                    self.reading.left -= 1;
                }
                State::Begin(length) => {
                    let whole = usize::try_from(length).ok().filter(|length| *length <= self.limits.key);
                    let shown = whole.unwrap_or(self.limits.key);
                    let Some(text) = came.get(..shown) else { return Ok(self.so_far(input)) };
                    if self.reading.left + 1 == self.reading.count {
                        self.reading.word = Word::of(text);
                    }
                    self.reading.known.push(Known { span: Span::new(self.judged, shown), whole: whole.is_some() });
                    self.judged += shown;
                    self.state = State::Rest(length - shown as u64 + BEHIND);
                }
                State::Rest(0) => self.state = State::Length,
                State::Rest(_) if came.is_empty() => return Ok(self.so_far(input)),
                State::Rest(rest) => {
                    let some = usize::try_from(rest).unwrap_or(usize::MAX).min(came.len());
                    self.judged += some;
                    self.state = State::Rest(rest - some as u64);
                }
            }
        }
    }

    /// What is judged, if all that matters of it is known or it is too much to be held.
    fn so_far(&mut self, input: &mut BytesMut) -> Option<CommandEvent> {
        (self.judged > 0 && self.may_begin()).then(|| self.part(input, false))
    }

    fn may_begin(&self) -> bool {
        let Some(behind) = self.reading.known.len().checked_sub(1) else { return self.reading.begun };
        let enough = behind >= self.reading.wanted();
        self.reading.begun || enough || self.judged >= self.limits.hold
    }

    fn part(&mut self, input: &mut BytesMut, last: bool) -> CommandEvent {
        let bytes = self.take(input);
        let arguments = std::mem::take(&mut self.reading.known);
        let part = Part { text: bytes.clone(), bytes, arguments, last };
        if std::mem::replace(&mut self.reading.begun, !last) {
            return CommandEvent::Part(part);
        }
        CommandEvent::Command(Command { word: self.reading.word, count: self.reading.count, part })
    }

    /// What is judged leaves.
    fn take(&mut self, input: &mut BytesMut) -> Bytes {
        let judged = std::mem::take(&mut self.judged).min(input.len());
        self.searched = self.searched.saturating_sub(judged);
        input.split_to(judged).freeze()
    }

    /// Where the line that begins here ends. A NUL before that hides it, since Redis looks with `strchr`.
    fn line(&mut self, came: &[u8], end: u8, too_big: ProtocolError) -> Found {
        let already = self.searched.saturating_sub(self.judged);
        let mut news = came.get(already..).unwrap_or_default().iter();
        let at = news.position(|byte| *byte == end || *byte == 0).map_or(came.len(), |at| already + at);
        self.searched = self.judged + at;
        let found = came.get(at) == Some(&end);
        if if found { at } else { came.len() } > LINE {
            return Err(too_big);
        }
        Ok(found.then_some(at))
    }

    /// The same for the lines of arrays, which end with a carriage return and any one byte.
    fn array_line(&mut self, came: &[u8], too_big: ProtocolError) -> Found {
        Ok(self.line(came, b'\r', too_big)?.filter(|end| came.len() > end + 1))
    }

    fn count(&self, digits: &[u8]) -> Result<u32, ProtocolError> {
        let count = number(digits).ok_or(ProtocolError::Count)?.max(0);
        let count = u32::try_from(count).ok().filter(|count| *count <= self.limits.arguments);
        let count = count.ok_or(ProtocolError::Count)?;
        if self.limits.login == Login::Missing && count > BEFORE_LOGIN.0 {
            return Err(ProtocolError::CountBeforeLogin);
        }
        Ok(count)
    }

    fn length(&self, line: &[u8]) -> Result<u64, ProtocolError> {
        let digits = match line.split_first() {
            Some((b'$', digits)) => digits,
            Some((other, _)) => return Err(ProtocolError::NoBulk(*other)),
            None => return Err(ProtocolError::NoBulk(b'\r')),
        };
        let length = number(digits).and_then(|length| u64::try_from(length).ok());
        let length = length.filter(|length| *length <= self.limits.bulk).ok_or(ProtocolError::Length)?;
        if self.limits.login == Login::Missing && length > BEFORE_LOGIN.1 {
            return Err(ProtocolError::LengthBeforeLogin);
        }
        Ok(length)
    }
}

// === impl Reading ===

impl Reading {
    fn of(count: u32) -> Self {
        Self { word: Word::Other, count, left: count, known: Vec::new(), begun: false }
    }

    /// Whether the next argument is to be known.
    fn matters(&self) -> bool {
        match (self.count - self.left).checked_sub(1) {
            None => true,
            Some(number) => self.word.wanted().includes(number),
        }
    }

    /// How many arguments behind the word are to be known before anything is handed on.
    fn wanted(&self) -> usize {
        let there = self.count.saturating_sub(1);
        match self.word.wanted() {
            Wanted::First(count) => count.min(there) as usize,
            Wanted::All => there as usize,
        }
    }
}

/// What a line says, which is a command unless it is empty.
fn of_line(bytes: Bytes, words: Words, limits: &Limits) -> CommandEvent {
    let mut lengths = words.lengths.into_iter();
    let Some(first) = lengths.next() else { return CommandEvent::Nothing(bytes) };
    let text = Bytes::from(words.text);
    let word = Word::of(text.get(..first).unwrap_or_default());
    let mut reading =
        Reading { word, ..Reading::of(u32::try_from(lengths.len()).unwrap_or(u32::MAX).saturating_add(1)) };
    let mut start = 0;
    for length in std::iter::once(first).chain(lengths) {
        if reading.matters() {
            let span = Span::new(start, length.min(limits.key));
            reading.known.push(Known { span, whole: length <= limits.key });
        }
        reading.left = reading.left.saturating_sub(1);
        start += length;
    }
    let part = Part { bytes, text, arguments: reading.known, last: true };
    CommandEvent::Command(Command { word, count: reading.count, part })
}

/// A carriage return and a line feed, or any two bytes.
const BEHIND: u64 = 2;
