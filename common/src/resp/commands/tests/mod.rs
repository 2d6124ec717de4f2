//! What the scanner finds in what clients say, and when it lets go of it.

mod random;

use bytes::BytesMut;

use super::{limits::LINE, *};
use crate::resp::frames;

/// What a command was, put together.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    bytes: Vec<u8>,
    word: Word,
    count: u32,
    /// Those that are known, the word among them; a long one only as far as it is kept.
    arguments: Vec<(Vec<u8>, bool)>,
    whole: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    commands: Vec<Said>,
    nothing: Vec<Vec<u8>>,
    error: Option<ProtocolError>,
    /// What is left, unless it is of no use any more.
    left: Vec<u8>,
}

fn hear<'c>(limits: Limits, chunks: impl IntoIterator<Item = &'c [u8]>) -> Heard {
    let mut scanner = CommandScanner::new(limits);
    let mut input = BytesMut::new();
    let mut heard = Heard::default();
    for chunk in chunks {
        input.extend_from_slice(chunk);
        loop {
            let part = match scanner.next(&mut input) {
                Ok(Some(CommandEvent::Command(command))) => {
                    assert!(!command.part().bytes().is_empty());
                    heard.commands.push(Said {
                        bytes: Vec::new(),
                        word: command.word(),
                        count: command.count(),
                        arguments: Vec::new(),
                        whole: false,
                    });
                    command.into_part()
                }
                Ok(Some(CommandEvent::Part(part))) => part,
                Ok(Some(CommandEvent::Nothing(bytes))) => {
                    heard.nothing.push(bytes.to_vec());
                    continue;
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(scanner.next(&mut input), Err(error));
                    return Heard { error: Some(error), ..heard };
                }
            };
            let said = heard.commands.last_mut().unwrap();
            assert!(!said.whole);
            assert!(!part.bytes().is_empty());
            said.bytes.extend_from_slice(part.bytes());
            said.arguments
                .extend(part.arguments().map(|argument| (argument.beginning().to_vec(), argument.whole().is_some())));
            said.whole = part.is_last();
            assert_eq!(scanner.is_between(), part.is_last());
        }
        assert!(input.len() <= limits.hold + limits.key + LINE + 100, "{} bytes are left", input.len());
    }
    heard.left = input.to_vec();
    heard
}

fn of(bytes: &[u8]) -> Heard {
    hear(Limits::default(), [bytes])
}

/// The whole arguments of each command.
fn words(heard: &Heard) -> Vec<Vec<String>> {
    let text = |(bytes, _): &(Vec<u8>, bool)| String::from_utf8_lossy(bytes).into_owned();
    heard.commands.iter().map(|said| said.arguments.iter().map(text).collect()).collect()
}

fn only(bytes: &[u8]) -> Command {
    let mut input = BytesMut::from(bytes);
    match CommandScanner::new(Limits::default()).next(&mut input) {
        Ok(Some(CommandEvent::Command(command))) => command,
        other => panic!("{other:?}"),
    }
}

fn error(bytes: &[u8]) -> ProtocolError {
    of(bytes).error.unwrap()
}

// All of this was said to Redis 7.0.15, which read it so. `tests/integration/redis_scanner.rs` says it again.
#[test]
fn commands_are_read_as_redis_reads_them() {
    for (bytes, expected) in [
        (&b"*1\r\n$4\r\nPING\r\n"[..], &[&["PING"][..]][..]),
        (b"*2\r\n$3\r\nget\r\n$1\r\nk\r\nPING\r\n", &[&["get", "k"], &["PING"]]),
        // Nobody looks at the second byte that ends a line, nor at the two behind an argument.
        (b"*1\rX$4\rYPINGzz*1\r\n$4\r\nPING\r\n", &[&["PING"], &["PING"]]),
        // Nothing at all.
        (b"*0\r\nPING\r\n*-5\r\n\r\n\n  \nPING\n", &[&["PING"], &["PING"]]),
        (b"PING\r\r\n\"\" a\n", &[&["PING"], &[""]]),
        (b"mget 'a b' \"c\\x41\"\n", &[&["mget", "a b", "cA"]]),
        // A NUL hides the end of its line.
        (b"PI\0NG\r\nPING\r\n", &[]),
        (b"*1\0\r\n$4\r\nPING\r\n", &[]),
        (b"*1\r\n$6\r\nget\0xx\r\n", &[&["get\0xx"]]),
        (b"*2\r\n$3\r\nget\r\n$2\r\n\r\n\r\n", &[&["get", "\r\n"]]),
    ] {
        let heard = of(bytes);
        assert_eq!(words(&heard), expected, "{}", bytes.escape_ascii());
        assert_eq!(heard.error, None, "{}", bytes.escape_ascii());
    }
}

#[test]
fn what_is_no_command_is_told_in_words_of_redis() {
    for (bytes, text) in [
        (&b"*\r\n"[..], "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*+1\r\n", "invalid multibulk length"),
        (b"*-0\r\n", "invalid multibulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (b"*9223372036854775808\r\n", "invalid multibulk length"),
        (b"*1\r\n\r\n", "expected '$', got ' '"),
        (b"*1\r\n\nx\r\n", "expected '$', got ' '"),
        (b"*1\r\n*1\r\n", "expected '$', got '*'"),
        (b"*1\r\n:1\r\n", "expected '$', got ':'"),
        (b"*1\r\n$\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*1\r\n$9223372036854775807\r\n", "invalid bulk length"),
        (b"ECHO \"a\"b\r\n", "unbalanced quotes in request"),
    ] {
        let reply = format!("-ERR Protocol error: {text}\r\n");
        assert_eq!(error(bytes).reply(), reply, "{}", bytes.escape_ascii());
    }
    assert_eq!(error(b"*1\r\n\xff\r\n"), ProtocolError::NoBulk(0xff));
    // Redis's own limits are no errors.
    assert_eq!(of(b"*1048576\r\n").error, None);
    assert_eq!(of(b"*1\r\n$536870912\r\n").error, None);
}

#[test]
fn a_line_ends_within_64_kib_or_it_is_an_error() {
    let line = |start: &str, length: usize| [start.as_bytes(), &vec![b'1'; length - start.len()]].concat();
    assert_eq!(of(&[line("x", LINE), vec![b'\n']].concat()).commands.len(), 1);
    assert_eq!(of(&line("x", LINE)).error, None);
    for (start, too_big) in [
        ("x", ProtocolError::InlineTooBig),
        ("*", ProtocolError::CountTooBig),
        ("*1\r\n$", ProtocolError::LengthTooBig),
        ("x\0\n", ProtocolError::InlineTooBig),
        ("*\0\r\n", ProtocolError::CountTooBig),
    ] {
        let before = if start.len() > 4 { 4 } else { 0 };
        assert_eq!(of(&line(start, before + LINE)).error, None, "{start:?}");
        assert_eq!(error(&line(start, before + LINE + 1)), too_big, "{start:?}");
        let byte_by_byte = hear(Limits::default(), line(start, before + LINE + 1).chunks(1));
        assert_eq!(byte_by_byte.error, Some(too_big), "{start:?}");
    }
    assert_eq!(error(&[line("*", LINE), b"\r\n".to_vec()].concat()), ProtocolError::Count);
}

#[test]
fn who_has_not_logged_in_may_say_little() {
    let limits = Limits { login: Login::Missing, ..Limits::default() };
    assert_eq!(hear(limits, [&b"*11\r\n"[..]]).error, Some(ProtocolError::CountBeforeLogin));
    assert_eq!(hear(limits, [&b"*1\r\n$16385\r\n"[..]]).error, Some(ProtocolError::LengthBeforeLogin));
    assert_eq!(hear(limits, [&b"*2\r\n$3\r\nGET\r\n$16385\r\n"[..]]).error, Some(ProtocolError::LengthBeforeLogin));
    assert_eq!(hear(limits, [&b"*10\r\n$16384\r\n"[..]]).error, None);

    let mut scanner = CommandScanner::new(limits);
    let mut input = BytesMut::from("*1\r\n$4\r\nPING\r\n*11\r\n");
    assert!(matches!(scanner.next(&mut input), Ok(Some(CommandEvent::Command(_)))));
    scanner.set_limits(Limits::default());
    assert_eq!(scanner.next(&mut input), Ok(None));
}

#[test]
fn what_is_taken_only_behind_a_login_waits_until_it_is_known_whether_there_was_one() {
    let unknown = Limits { login: Login::Unknown, ..Limits::default() };
    for (bytes, error) in [
        ("*11\r\n", ProtocolError::CountBeforeLogin),
        ("*11\r\n$3\r\nDEL\r\n", ProtocolError::CountBeforeLogin),
        ("*1\r\n$16385\r\n", ProtocolError::LengthBeforeLogin),
        ("*2\r\n$3\r\nGET\r\n$16385\r\nkey", ProtocolError::LengthBeforeLogin),
    ] {
        for login in [Login::Missing, Login::Done] {
            let (mut scanner, mut input) = (CommandScanner::new(unknown), BytesMut::from(bytes));
            assert_eq!(scanner.next(&mut input), Ok(None), "{bytes:?}");
            assert!(scanner.awaits_login(), "{bytes:?}");
            scanner.set_limits(Limits { login, ..unknown });
            let next = scanner.next(&mut input);
            assert!(!scanner.awaits_login());
            match login {
                Login::Missing => assert_eq!(next, Err(error), "{bytes:?}"),
                _ => assert_eq!(next, CommandScanner::new(Limits::default()).next(&mut bytes.into()), "{bytes:?}"),
            }
        }
    }
    // Little is taken of anybody; and what has begun is Redis's to judge.
    for bytes in ["*10\r\n", "*1\r\n$16384\r\n", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$16385\r\n"] {
        let (mut scanner, mut input) = (CommandScanner::new(unknown), BytesMut::from(bytes));
        while scanner.next(&mut input).unwrap().is_some() {}
        assert!(!scanner.awaits_login(), "{bytes:?}");
    }
}

#[test]
fn nothing_leaves_before_the_keys_are_known() {
    let mget = b"*3\r\n$4\r\nMGET\r\n$2\r\nab\r\n$3\r\ncde\r\n";
    let mut scanner = CommandScanner::new(Limits::default());
    let mut input = BytesMut::new();
    // The last key is whole two bytes before the end.
    for byte in mget.get(..mget.len() - 3).unwrap() {
        input.extend_from_slice(&[*byte]);
        assert_eq!(scanner.next(&mut input), Ok(None));
    }
    input.extend_from_slice(b"e");
    let Ok(Some(CommandEvent::Command(command))) = scanner.next(&mut input) else { panic!("no command") };
    assert_eq!(command.arguments().map(|key| key.whole().unwrap()).collect::<Vec<_>>(), [&b"ab"[..], b"cde"]);
    assert!(!command.is_whole());
    input.extend_from_slice(b"\r\n");
    let Ok(Some(CommandEvent::Part(part))) = scanner.next(&mut input) else { panic!("no part") };
    assert_eq!((part.bytes().as_ref(), part.is_last()), (&b"\r\n"[..], true));
}

#[test]
fn a_huge_value_streams_behind_its_key() {
    let mut scanner = CommandScanner::new(Limits::default());
    let mut input = BytesMut::from("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$209715200\r\n");
    let Ok(Some(CommandEvent::Command(command))) = scanner.next(&mut input) else { panic!("no command") };
    assert_eq!((command.word(), command.count(), command.key()), (Word::Write, 3, Some(&b"key"[..])));
    assert!(input.is_empty());
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..200 {
        input.extend_from_slice(&chunk);
        let Ok(Some(CommandEvent::Part(part))) = scanner.next(&mut input) else { panic!("no part") };
        assert_eq!((part.bytes().len(), part.is_last()), (chunk.len(), false));
        assert!(input.is_empty());
    }
    input.extend_from_slice(b"\r\nPING\n");
    let Ok(Some(CommandEvent::Part(part))) = scanner.next(&mut input) else { panic!("no part") };
    assert!(part.is_last());
    assert!(matches!(scanner.next(&mut input), Ok(Some(CommandEvent::Command(_)))));
}

#[test]
fn thousands_of_keys_come_part_by_part() {
    let keys = (0..20_000).map(|number| format!("key-{number}")).collect::<Vec<_>>();
    let words = std::iter::once("mget").chain(keys.iter().map(String::as_str)).map(str::as_bytes).collect::<Vec<_>>();
    let mget = frames::command(&words);
    for heard in [of(&mget), hear(Limits::default(), mget.chunks(7))] {
        let [said] = &heard.commands[..] else { panic!("{} commands", heard.commands.len()) };
        assert_eq!((said.word, said.count, said.whole), (Word::Mget, 20_001, true));
        assert_eq!(said.bytes, mget);
        assert!(
            said.arguments
                .iter()
                .map(|(bytes, whole)| (bytes.as_slice(), *whole))
                .eq(words.iter().map(|word| (*word, true)))
        );
    }
}

#[test]
fn a_long_key_is_held_no_longer_than_a_key_of_ours() {
    let long = vec![b'k'; 1 << 20];
    for word in ["get", "mget", "getrange", "client", "subscribe"] {
        let bytes = frames::command(&[word.as_bytes(), &long, b"x", &long]);
        let heard = hear(Limits::default(), bytes.chunks(1_000));
        let said = &heard.commands[0];
        assert_eq!((&said.bytes[..], said.whole, said.count), (&bytes[..], true, 4));
        assert_eq!(said.arguments[1], (vec![b'k'; Limits::default().key], false), "{word}");
    }
    assert_eq!(only(&frames::get(&long)).key(), None);
}

#[test]
fn what_silences_redis_is_recognised() {
    for (words, silences) in [
        (&[&b"CLIENT"[..], b"REPLY", b"OFF"][..], true),
        (&[b"client", b"reply", b"skip"], true),
        (&[b"client", b"reply", b"off\0and more"], true),
        (&[b"client\0 17", b"reply\0 24", b"off"], true),
        (&[b"client", b"reply", b"on"], false),
        (&[b"client", b"reply", b"off", b"now"], false),
        (&[b"client", b"reply"], false),
        (&[b"client", b"setname", b"off"], false),
        (&[b"reply", b"reply", b"off"], false),
    ] {
        assert_eq!(only(&frames::command(words)).silences(), silences, "{words:?}");
    }
    assert!(only(b"client reply 'off'\r\n").silences());
    let long = [b"reply\0".as_slice(), &[b'x'; 100_000]].concat();
    let heard = only(frames::command(&[b"client", &long, b"off"]).get(..80_000).unwrap());
    assert!(heard.silences() && !heard.is_whole());
}

#[test]
fn hello_says_which_protocol_it_wants() {
    assert_eq!(only(b"hello 3 setname x\n").protocol(), Some(frames::Protocol::Resp3));
    assert_eq!(only(b"HELLO 2\n").protocol(), Some(frames::Protocol::Resp2));
    for other in [&b"hello\n"[..], b"hello 03\n", b"hello 4\n", b"get 3\n"] {
        assert_eq!(only(other).protocol(), None);
    }
}

#[test]
fn neither_passwords_nor_values_get_into_a_log() {
    let command = only(b"auth hunter2\n");
    assert!(!format!("{command:?}").contains("hunter2"));
    assert_eq!(command.word_as_it_came(), b"auth");
}
