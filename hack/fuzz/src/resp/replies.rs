//! What Redis says to a client.

use bytes::BytesMut;
use common::resp::replies::{Limits, Part, ReplyError, ReplyEvent, ReplyScanner, Role};
use redis_protocol::resp3::decode::complete::decode_range;

use crate::case::chunks;

/// Has replies looked for.
pub fn resp_replies(input: &[u8]) {
    let Some((&[how, cuts], said)) = input.split_first_chunk::<2>() else { return };
    // Printable where nothing unusual is wanted: `@`.
    let usual = Limits::default();
    let hold = if how & 1 == 0 { usual.hold } else { SHORT };
    let depth = if how & 2 == 0 { usual.depth } else { 3 };
    let limits = Limits { depth, hold };
    let heard = hear(limits, &chunks(cuts, said));
    judge(limits, said, &heard);
}

/// What came out, put together.
#[derive(Debug, Default)]
struct Heard {
    frames: Vec<Came>,
    error: Option<ReplyError>,
}

#[derive(Debug)]
struct Came {
    bytes: Vec<u8>,
    role: Role,
    nil: bool,
    strings: [Option<Vec<u8>>; 2],
    whole: bool,
}

fn hear(limits: Limits, chunks: &[&[u8]]) -> Heard {
    let mut scanner = ReplyScanner::new(limits);
    let mut input = BytesMut::new();
    let mut heard = Heard::default();
    for chunk in chunks {
        input.extend_from_slice(chunk);
        loop {
            match scanner.next(&mut input) {
                Ok(Some(ReplyEvent::Reply(reply))) => {
                    let strings = [reply.kind(), reply.channel()].map(|text| text.map(<[u8]>::to_vec));
                    let (role, nil) = (reply.role(), reply.is_nil());
                    heard.frames.push(Came { bytes: Vec::new(), role, nil, strings, whole: false });
                    add(&mut heard, reply.part());
                }
                Ok(Some(ReplyEvent::Part(part))) => add(&mut heard, &part),
                Ok(None) => break,
                Err(error) => {
                    heard.error = Some(error);
                    return heard;
                }
            }
        }
        assert!(input.len() <= 3 * limits.hold + 50, "{} bytes are held", input.len());
    }
    heard
}

fn add(heard: &mut Heard, part: &Part) {
    assert!(!part.bytes().is_empty(), "an empty part");
    let Some(came) = heard.frames.last_mut() else { return };
    assert!(!came.whole, "a part of nothing");
    came.bytes.extend_from_slice(part.bytes());
    came.whole = part.is_last();
}

/// Panics unless that is what had to come out.
fn judge(limits: Limits, said: &[u8], heard: &Heard) {
    let deep = matches!(heard.error, Some(ReplyError::TooDeep { .. }));
    let mut rest = said;
    for came in &heard.frames {
        assert!(rest.starts_with(&came.bytes), "{} is no beginning of {}", show(&came.bytes), show(rest));
        let read = Reader { rest, limits }.frame(true);
        if !came.whole {
            assert!(read.is_err() || deep, "not to its end: {}", show(rest));
            assert!(deep || (read == Err(Stop::Malformed)) == heard.error.is_some(), "{read:?}: {heard:?}");
            return;
        }
        let Ok(behind) = read else { panic!("{read:?} came out as {}", show(&came.bytes)) };
        assert_eq!(rest.len() - behind.len(), came.bytes.len(), "{}", show(rest));
        assert_eq!(came.strings, strings(limits, rest), "{}", show(rest));
        let nil = [&b"$-1\r"[..], b"*-1\r", b"_"].iter().any(|nil| came.bytes.starts_with(nil));
        assert_eq!(came.nil, nil, "{}", show(rest));
        assert_eq!(came.role == Role::Push, rest.starts_with(b">"));
        assert_eq!(came.role == Role::Attribute, rest.starts_with(b"|"));
        same_as_crate(rest, came);
        rest = behind;
    }
    let read = Reader { rest, limits }.frame(true);
    assert!(read.is_err() || deep, "did not come out: {}", show(rest));
    assert!(deep || (read == Err(Stop::Malformed)) == heard.error.is_some(), "{read:?}: {heard:?}");
}

/// Where `redis-protocol` accepts a frame, too, it must be the same. It recurses, so not all are shown to it; and it
/// takes an attribute for a part of what is behind it.
fn same_as_crate(rest: &[u8], came: &Came) {
    let nested = rest.iter().filter(|byte| b"*%~>".contains(byte)).count();
    if nested < 50
        && !came.bytes.contains(&b'|')
        && let Ok(Some((_, length))) = decode_range(rest)
    {
        assert_eq!(length, came.bytes.len(), "{}", show(rest));
    }
}

/// The first two elements of an array or push, as far as they are strings that are not too long.
fn strings(limits: Limits, frame: &[u8]) -> [Option<Vec<u8>>; 2] {
    let mut strings = [None, None];
    let Some((b'*' | b'>', _)) = frame.split_first() else { return strings };
    let Some((line, mut rest)) = line_of(frame) else { return strings };
    let count = integer(line.get(1..).unwrap_or_default()).unwrap_or(0);
    for (number, string) in strings.iter_mut().enumerate() {
        let Some((first, behind)) = line_of(rest).filter(|_| (number as i128) < count) else { break };
        let text = match first.split_first() {
            Some((b'+', text)) => text,
            Some((b'$', digits)) => {
                let length = integer(digits).and_then(|length| usize::try_from(length).ok());
                let Some(text) = length.and_then(|length| behind.get(..length)) else { break };
                text
            }
            _ => break,
        };
        let Ok(behind) = (Reader { rest, limits }).frame(false) else { break };
        rest = behind;
        // What would not be held if it came in pieces ends what is known.
        if if first.starts_with(b"+") { first.len() >= limits.hold } else { text.len() > limits.hold } {
            break;
        }
        *string = Some(text.to_vec());
    }
    strings
}

/// A plain reader of all that is to come.
#[derive(Clone, Copy)]
struct Reader<'r> {
    rest: &'r [u8],
    limits: Limits,
}

#[derive(Debug, PartialEq)]
enum Stop {
    More,
    Malformed,
}

// === impl Reader ===

impl<'r> Reader<'r> {
    /// What is behind the next frame.
    fn frame(self, top: bool) -> Result<&'r [u8], Stop> {
        let first = *self.rest.first().ok_or(Stop::More)?;
        let lines = b"+-:_#,(".contains(&first);
        if !lines && !b"$!=*%~>|".contains(&first) {
            return Err(Stop::Malformed);
        }
        let Some((line, behind)) = line_of(self.rest) else {
            let too_long = !lines && self.rest.len() > self.limits.hold;
            return Err(if too_long { Stop::Malformed } else { Stop::More });
        };
        if lines {
            return Ok(behind);
        }
        let length = integer(line.get(1..).unwrap_or_default()).ok_or(Stop::Malformed)?;
        if length == -1 && b"$*".contains(&first) {
            return Ok(behind);
        }
        let length = u64::try_from(length).map_err(|_negative| Stop::Malformed)?;
        if first == b'>' && !top {
            return Err(Stop::Malformed);
        }
        if b"$!=".contains(&first) {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let end = behind.get(length..).and_then(|end| end.get(..2)).ok_or(Stop::More)?;
            return if end == b"\r\n" { behind.get(length + 2..).ok_or(Stop::More) } else { Err(Stop::Malformed) };
        }
        let each: u64 = if b"%|".contains(&first) { 2 } else { 1 };
        let count = length.checked_mul(each).ok_or(Stop::Malformed)?;
        let mut reader = Self { rest: behind, ..self };
        for _ in 0..count {
            while reader.rest.starts_with(b"|") {
                reader.rest = reader.frame(false)?;
            }
            reader.rest = reader.frame(false)?;
        }
        Ok(reader.rest)
    }
}

/// A line without its end, and what is behind that.
fn line_of(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = rest.windows(2).position(|two| two == b"\r\n")?;
    Some((rest.get(..end)?, rest.get(end + 2..)?))
}

fn integer(digits: &[u8]) -> Option<i128> {
    let number: i128 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == digits && i64::try_from(number).is_ok()).then_some(number)
}

fn show(bytes: &[u8]) -> String {
    bytes.get(..bytes.len().min(500)).unwrap_or_default().escape_ascii().to_string()
}

/// A line with a length is no longer.
const SHORT: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(said: &[u8], came: &[&[u8]], error: Option<ReplyError>) {
        let frames = came.iter().map(|bytes| Came {
            bytes: bytes.to_vec(),
            role: Role::Answer,
            nil: false,
            strings: [None, None],
            whole: true,
        });
        judge(Limits::default(), said, &Heard { frames: frames.collect(), error });
    }

    #[test]
    fn frames_must_come_out_one_by_one() {
        judged(b"+OK\r\n*1\r\n:1\r\n:2\r\n", &[b"+OK\r\n", b"*1\r\n:1\r\n", b":2\r\n"], None);
    }

    #[test]
    #[should_panic(expected = "did not come out")]
    fn none_may_be_missing() {
        judged(b"+OK\r\n:1\r\n", &[b"+OK\r\n"], None);
    }

    #[test]
    #[should_panic(expected = "left == right")]
    fn none_may_end_elsewhere() {
        judged(b"*1\r\n:1\r\n", &[b"*1\r\n", b":1\r\n"], None);
    }

    #[test]
    #[should_panic(expected = "Malformed")]
    fn what_is_malformed_must_be_found() {
        judged(b"$1\r\nabc", &[], None);
    }
}
