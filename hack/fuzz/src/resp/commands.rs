//! What a client says to Redis.

use bytes::BytesMut;
use common::resp::commands::{Argument, CommandEvent, CommandScanner, Limits, Login, Part, ProtocolError, Word};
use redis_protocol::resp2::{decode::decode, types::OwnedFrame};

use crate::case::chunks;

/// Has commands looked for.
pub fn resp_commands(input: &[u8]) {
    let Some((&[how, cuts], said)) = input.split_first_chunk::<2>() else { return };
    let limits = limits(how);
    let heard = hear(limits, &chunks(cuts, said));
    judge(limits, said, &heard);
}

/// Printable where nothing unusual is wanted: `@`.
fn limits(how: u8) -> Limits {
    let usual = Limits::default();
    let login = if how & 1 == 0 { Login::Done } else { Login::Missing };
    let (hold, key) = if how & 2 == 0 { (usual.hold, usual.key) } else { (20, 5) };
    let (bulk, arguments) = if how & 4 == 0 { (usual.bulk, usual.arguments) } else { (40, 4) };
    Limits { bulk, arguments, login, hold, key }
}

/// What came out, put together.
#[derive(Debug, Default)]
struct Heard {
    /// Commands, and nothings without a word.
    all: Vec<Came>,
    error: Option<ProtocolError>,
}

#[derive(Debug, Default)]
struct Came {
    bytes: Vec<u8>,
    word: Option<Word>,
    count: usize,
    arguments: Vec<Vec<u8>>,
    whole: bool,
}

fn hear(limits: Limits, chunks: &[&[u8]]) -> Heard {
    let mut scanner = CommandScanner::new(limits);
    let mut input = BytesMut::new();
    let mut heard = Heard::default();
    for chunk in chunks {
        input.extend_from_slice(chunk);
        loop {
            match scanner.next(&mut input) {
                Ok(Some(CommandEvent::Command(command))) => {
                    let (word, count) = (Some(command.word()), command.count() as usize);
                    heard.all.push(Came { word, count, ..Came::default() });
                    add(&mut heard, command.part());
                }
                Ok(Some(CommandEvent::Part(part))) => add(&mut heard, &part),
                Ok(Some(CommandEvent::Nothing(bytes))) => {
                    heard.all.push(Came { bytes: bytes.to_vec(), whole: true, ..Came::default() });
                }
                Ok(None) => break,
                Err(error) => {
                    heard.error = Some(error);
                    return heard;
                }
            }
        }
        assert!(input.len() <= limits.hold + limits.key + LINE + 100, "{} bytes are held", input.len());
    }
    heard
}

fn add(heard: &mut Heard, part: &Part) {
    assert!(!part.bytes().is_empty(), "an empty part");
    let Some(came) = heard.all.last_mut() else { return };
    assert!(!came.whole, "a part of nothing");
    came.bytes.extend_from_slice(part.bytes());
    came.arguments.extend(part.arguments().map(|argument: Argument<'_>| argument.beginning().to_vec()));
    came.whole = part.is_last();
}

/// Panics unless that is what had to come out.
fn judge(limits: Limits, said: &[u8], heard: &Heard) {
    let mut rest = said;
    for came in &heard.all {
        assert!(rest.starts_with(&came.bytes), "{} is no beginning of {}", show(&came.bytes), show(rest));
        let read = read(limits, rest);
        if !came.whole {
            assert!(!matches!(read, Read::All(..)), "not to its end: {}", show(rest));
            let error = if let Read::Error(error) = read { Some(error) } else { None };
            assert_eq!(error, heard.error.map(|error| error.reply().to_vec()), "{}", show(rest));
            return;
        }
        let Read::All(length, words) = read else { panic!("{read:?} came out as {}", show(&came.bytes)) };
        assert_eq!(length, came.bytes.len(), "{}", show(rest));
        assert_eq!(words.len(), came.count, "{}", show(rest));
        assert_eq!(came.word.is_none(), words.is_empty());
        // What matters of a command is for it to say; what it says must be so.
        let cut = words.iter().map(|word| word.get(..limits.key).unwrap_or(word).to_vec());
        let expected = cut.take(came.arguments.len()).collect::<Vec<_>>();
        assert_eq!(came.arguments, expected, "{}", show(rest));
        assert!(came.arguments.len() >= known(came), "{came:?}");
        same_as_crate(rest, came, &words);
        rest = rest.get(length..).unwrap_or_default();
    }
    let error = match read(limits, rest) {
        Read::All(..) => panic!("did not come out: {}", show(rest)),
        Read::Error(error) => Some(error),
        Read::More => None,
    };
    assert_eq!(error, heard.error.map(|error| error.reply().to_vec()), "{}", show(rest));
}

/// So much must be known of a command.
fn known(came: &Came) -> usize {
    match came.word {
        Some(Word::Mget | Word::Exists | Word::Subscribe | Word::Unsubscribe | Word::Psubscribe) => came.count,
        Some(Word::Get | Word::Strlen | Word::Write) => came.count.min(2),
        Some(_) => 1,
        None => 0,
    }
}

/// Where `redis-protocol` accepts a command, too, it must be the same. It recurses, so not all are shown to it.
fn same_as_crate(rest: &[u8], came: &Came, words: &[Vec<u8>]) {
    if words.is_empty() || !came.bytes.ends_with(b"\r\n") || rest.iter().filter(|byte| **byte == b'*').count() > 50 {
        return;
    }
    if let Ok(Some((OwnedFrame::Array(elements), length))) = decode(rest) {
        let Some(texts) = elements.iter().map(bulk).collect::<Option<Vec<_>>>() else { return };
        assert_eq!((length, texts.as_slice()), (came.bytes.len(), words), "{}", show(rest));
    }
}

fn bulk(frame: &OwnedFrame) -> Option<Vec<u8>> {
    if let OwnedFrame::BulkString(text) = frame { Some(text.clone()) } else { None }
}

/// What a plain reader finds at the beginning of all that is to come.
#[derive(Debug)]
enum Read {
    /// A command, or nothing, of so many bytes.
    All(usize, Vec<Vec<u8>>),
    Error(Vec<u8>),
    More,
}

fn read(limits: Limits, rest: &[u8]) -> Read {
    match rest.first() {
        None => Read::More,
        Some(b'*') => read_array(limits, rest).unwrap_or_else(|stop| stop),
        Some(_) => read_line(rest).unwrap_or_else(|stop| stop),
    }
}

fn read_line(rest: &[u8]) -> Result<Read, Read> {
    let end = find(rest, b'\n').ok_or_else(|| too_long(rest, "too big inline request"))?;
    let line = rest.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Ok(Read::All(end + 1, split(line).ok_or_else(|| error("unbalanced quotes in request"))?))
}

fn read_array(limits: Limits, rest: &[u8]) -> Result<Read, Read> {
    let missing = limits.login == Login::Missing;
    let (line, mut at) = line_of(rest, 0, "too big mbulk count string")?;
    let count = integer(line.get(1..).unwrap_or_default()).filter(|count| *count <= i128::from(limits.arguments));
    let count = count.ok_or_else(|| error("invalid multibulk length"))?;
    if missing && count > 10 {
        return Err(error("unauthenticated multibulk length"));
    }
    let mut words = Vec::new();
    for _ in 0..count.max(0) {
        let (line, behind) = line_of(rest, at, "too big bulk count string")?;
        let Some(digits) = line.strip_prefix(b"$") else {
            let got = line.first().copied().unwrap_or(b' ');
            let got = if got == b'\n' { b' ' } else { got };
            return Err(Read::Error([b"-ERR Protocol error: expected '$', got '", &[got][..], b"'\r\n"].concat()));
        };
        let length = integer(digits).filter(|length| (0..=i128::from(limits.bulk)).contains(length));
        let length = length.ok_or_else(|| error("invalid bulk length"))?;
        if missing && length > 16_384 {
            return Err(error("unauthenticated bulk length"));
        }
        let end = behind + usize::try_from(length).unwrap_or(usize::MAX / 2);
        words.push(rest.get(behind..end).ok_or(Read::More)?.to_vec());
        at = end + 2;
        if rest.len() < at {
            return Err(Read::More);
        }
    }
    Ok(Read::All(at, words))
}

/// A line of an array, and where what is behind it begins.
fn line_of<'r>(rest: &'r [u8], at: usize, what: &str) -> Result<(&'r [u8], usize), Read> {
    let from = rest.get(at..).unwrap_or_default();
    let end = find(from, b'\r').ok_or_else(|| too_long(from, what))?;
    if from.len() < end + 2 {
        return Err(Read::More);
    }
    Ok((from.get(..end).unwrap_or_default(), at + end + 2))
}

/// Where a line ends, if Redis finds it.
fn find(from: &[u8], end: u8) -> Option<usize> {
    let text = from.split(|byte| *byte == 0).next().unwrap_or_default();
    let (line, _) = text.split_at_checked(text.iter().position(|byte| *byte == end)?)?;
    (line.len() <= LINE).then_some(line.len())
}

fn too_long(from: &[u8], what: &str) -> Read {
    if from.len() > LINE { error(what) } else { Read::More }
}

fn error(what: &str) -> Read {
    Read::Error(format!("-ERR Protocol error: {what}\r\n").into_bytes())
}

fn integer(digits: &[u8]) -> Option<i128> {
    let number: i128 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    // As it would be written, and no larger than Redis's own.
    (number.to_string().as_bytes() == digits && i64::try_from(number).is_ok()).then_some(number)
}

/// The words of a line, by one state for each byte.
fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    #[derive(Clone, Copy, PartialEq)]
    enum At {
        Between,
        Word,
        Double,
        Single,
        Closed,
    }
    let blank = |byte: u8| byte.is_ascii_whitespace() || byte == 0x0b;
    let mut words: Vec<Vec<u8>> = Vec::new();
    let mut at = At::Between;
    let mut bytes = line.iter().copied().enumerate();
    while let Some((number, byte)) = bytes.next() {
        let behind = |more: usize| line.get(number + more).copied();
        if at == At::Between && !blank(byte) {
            words.push(Vec::new());
            at = At::Word;
        }
        let mut push = |byte: u8| words.last_mut().map(|word| word.push(byte)).unwrap_or_default();
        at = match (at, byte) {
            (At::Between, _) => At::Between,
            (At::Closed, byte) => {
                if !blank(byte) {
                    return None;
                }
                At::Between
            }
            (At::Word, b' ' | b'\t' | b'\r' | b'\n') => At::Between,
            (At::Word, b'"') => At::Double,
            (At::Word, b'\'') => At::Single,
            (At::Double, b'"') | (At::Single, b'\'') => At::Closed,
            (At::Single, b'\\') if behind(1) == Some(b'\'') => {
                bytes.next();
                push(b'\'');
                at
            }
            (At::Double, b'\\') if behind(1).is_some() => {
                let hex = line.get(number + 2..number + 4).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
                let hex = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
                let escaped = behind(1).unwrap_or_default();
                bytes.next();
                match (escaped, hex) {
                    (b'x', Some(hex)) => {
                        bytes.nth(1);
                        push(hex);
                    }
                    (b'n', _) => push(b'\n'),
                    (b'r', _) => push(b'\r'),
                    (b't', _) => push(b'\t'),
                    (b'b', _) => push(8),
                    (b'a', _) => push(7),
                    (other, _) => push(other),
                }
                at
            }
            (_, byte) => {
                push(byte);
                at
            }
        };
    }
    (at != At::Double && at != At::Single).then_some(words)
}

fn show(bytes: &[u8]) -> String {
    bytes.get(..bytes.len().min(500)).unwrap_or_default().escape_ascii().to_string()
}

/// What Redis holds of a line.
const LINE: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(said: &[u8], came: &[(&[u8], &[&str])], error: Option<ProtocolError>) {
        let came = came.iter().map(|(bytes, words)| Came {
            bytes: bytes.to_vec(),
            word: words.first().map(|word| if *word == "GET" { Word::Get } else { Word::Other }),
            count: words.len(),
            arguments: words.iter().map(|word| word.as_bytes().to_vec()).collect(),
            whole: true,
        });
        judge(Limits::default(), said, &Heard { all: came.collect(), error });
    }

    const GET: &[u8] = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n";

    #[test]
    fn commands_must_come_out_one_by_one() {
        judged(&[GET, b"x\n"].concat(), &[(GET, &["GET", "a"]), (b"x\n", &["x"])], None);
    }

    #[test]
    #[should_panic(expected = "did not come out")]
    fn none_may_be_missing() {
        judged(&[GET, b"x\n"].concat(), &[(GET, &["GET", "a"])], None);
    }

    #[test]
    #[should_panic(expected = "is no beginning of")]
    fn none_may_be_changed() {
        judged(GET, &[(b"GET a\r\n", &["GET", "a"])], None);
    }

    #[test]
    #[should_panic(expected = "left == right")]
    fn none_may_have_another_key() {
        judged(GET, &[(GET, &["GET", "b"])], None);
    }

    #[test]
    #[should_panic(expected = "left == right")]
    fn an_error_must_be_found() {
        judged(b"*1\r\n$-1\r\n", &[], None);
    }

    #[test]
    fn lines_are_split_as_the_scanner_splits_them() {
        for line in ["a 'b c' \"d\\x41\"\n", "\"a\"b\n", "'a\\'b'\r\n", "\x0ba\x0b b\n", "a'b' c\n", "\"\\", "''\n"] {
            resp_commands(&[b"@ ", line.as_bytes()].concat());
        }
    }
}
