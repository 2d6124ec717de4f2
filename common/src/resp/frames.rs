//! The few frames that we say ourselves, to Redis and to a client.

use std::fmt::Write;

use bytes::{Bytes, BytesMut};
use redis_protocol::{
    resp2::{encode::extend_encode_borrowed, types::BorrowedFrame},
    resp3::{encode::complete::extend_encode, types::BytesFrame},
};

/// What a connection speaks. It begins with RESP2, and HELLO or RESET may change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Protocol {
    /// RESP2.
    #[default]
    Resp2,
    /// RESP3.
    Resp3,
}

/// The first word of an error. None that makes clients say a command once more (`LOADING`, `READONLY`, `TRYAGAIN` and
/// others): whether it ran, they could not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Any error.
    Err,
    /// EXEC of a transaction of which a command was refused.
    ExecAbort,
}

/// `GET key`
#[must_use]
pub fn get(key: &[u8]) -> Bytes {
    command(&[b"GET", key])
}

/// `SUBSCRIBE channel`
#[must_use]
pub fn subscribe(channel: &[u8]) -> Bytes {
    command(&[b"SUBSCRIBE", channel])
}

/// `UNSUBSCRIBE channel`
#[must_use]
pub fn unsubscribe(channel: &[u8]) -> Bytes {
    command(&[b"UNSUBSCRIBE", channel])
}

/// `PUBLISH channel message`
#[must_use]
pub fn publish(channel: &[u8], message: &[u8]) -> Bytes {
    command(&[b"PUBLISH", channel, message])
}

/// `PING`
#[must_use]
pub fn ping() -> Bytes {
    command(&[b"PING"])
}

/// `AUTH [user] password`
#[must_use]
pub fn auth(user: Option<&str>, password: &str) -> Bytes {
    match user {
        Some(user) => command(&[b"AUTH", user.as_bytes(), password.as_bytes()]),
        None => command(&[b"AUTH", password.as_bytes()]),
    }
}

/// `HELLO protocol [AUTH user password]`. The user without a name is called `default`.
#[must_use]
pub fn hello(protocol: Protocol, login: Option<(Option<&str>, &str)>) -> Bytes {
    let version: &[u8] = match protocol {
        Protocol::Resp2 => b"2",
        Protocol::Resp3 => b"3",
    };
    match login {
        Some((user, password)) => {
            let user = user.unwrap_or("default").as_bytes();
            command(&[b"HELLO", version, b"AUTH", user, password.as_bytes()])
        }
        None => command(&[b"HELLO", version]),
    }
}

/// A command of any words.
#[must_use]
pub fn command(words: &[&[u8]]) -> Bytes {
    let words = words.iter().map(|word| BorrowedFrame::BulkString(word)).collect::<Vec<_>>();
    resp2(&BorrowedFrame::Array(&words))
}

/// An error, in either protocol. The text may hold anything: it is escaped, and cut to what fits a log line.
#[must_use]
pub fn error(code: ErrorCode, text: &str) -> Bytes {
    let mut line = String::from(match code {
        ErrorCode::Err => "ERR ",
        ErrorCode::ExecAbort => "EXECABORT ",
    });
    for character in text.chars() {
        if line.len() >= ERROR {
            line.push_str("...");
            break;
        }
        // Printable text as it is. Never a line's end: what follows would be taken for another reply.
        if character.is_ascii_graphic() || character == ' ' {
            line.push(character);
        } else {
            write!(line, "{}", character.escape_default()).expect("a string takes all text");
        }
    }
    resp2(&BorrowedFrame::Error(&line))
}

/// Nothing, as the reply to GET.
#[must_use]
pub fn nil(protocol: Protocol) -> Bytes {
    match protocol {
        Protocol::Resp2 => resp2(&BorrowedFrame::Null),
        Protocol::Resp3 => {
            let mut frame = BytesMut::new();
            extend_encode(&mut frame, &BytesFrame::Null, false).expect(FITS);
            frame.freeze()
        }
    }
}

/// A number, in either protocol.
#[must_use]
pub fn integer(number: i64) -> Bytes {
    resp2(&BorrowedFrame::Integer(number))
}

/// A short string, in either protocol.
#[must_use]
pub fn bulk(text: &[u8]) -> Bytes {
    resp2(&BorrowedFrame::BulkString(text))
}

/// What is said before a string of this length, in either protocol. [`BULK_END`] is said behind it.
#[must_use]
pub fn bulk_start(length: u64) -> Bytes {
    Bytes::from(format!("${length}\r\n"))
}

/// What is said before an array's elements, in either protocol.
#[must_use]
pub fn array_start(elements: u64) -> Bytes {
    Bytes::from(format!("*{elements}\r\n"))
}

fn resp2(frame: &BorrowedFrame<'_>) -> Bytes {
    let mut bytes = BytesMut::new();
    extend_encode_borrowed(&mut bytes, frame, false).expect(FITS);
    bytes.freeze()
}

/// What is said behind a string.
pub const BULK_END: &[u8] = b"\r\n";

/// So many characters are read in a terminal or a status of Argo CD; Redis's own errors are shorter.
const ERROR: usize = 512;

/// The encoder's only error is a buffer that is too short, and it makes the buffer itself.
const FITS: &str = "the frame fits into what was made for it";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_arrays_of_strings() {
        assert_eq!(get(b"a\r\nb"), "*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n");
        assert_eq!(subscribe(b"c"), "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n");
        assert_eq!(unsubscribe(b"c"), "*2\r\n$11\r\nUNSUBSCRIBE\r\n$1\r\nc\r\n");
        assert_eq!(publish(b"c", b""), "*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$0\r\n\r\n");
        assert_eq!(ping(), "*1\r\n$4\r\nPING\r\n");
        assert_eq!(auth(None, "pw"), "*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n");
        assert_eq!(auth(Some("u"), "pw"), "*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$2\r\npw\r\n");
        assert_eq!(hello(Protocol::Resp2, None), "*2\r\n$5\r\nHELLO\r\n$1\r\n2\r\n");
        let login = hello(Protocol::Resp3, Some((None, "pw")));
        assert_eq!(login, "*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$7\r\ndefault\r\n$2\r\npw\r\n");
    }

    #[test]
    fn nil_is_what_the_protocol_has() {
        assert_eq!(nil(Protocol::Resp2), "$-1\r\n");
        assert_eq!(nil(Protocol::Resp3), "_\r\n");
    }

    #[test]
    fn an_error_is_one_line_whatever_its_text() {
        assert_eq!(error(ErrorCode::Err, "agent offline: `a`"), "-ERR agent offline: `a`\r\n");
        assert_eq!(error(ErrorCode::ExecAbort, "x\r\n+OK\0ä"), "-EXECABORT x\\r\\n+OK\\u{0}\\u{e4}\r\n");
        let long = error(ErrorCode::Err, &"\n".repeat(1_000_000));
        assert!(long.len() < ERROR + 20, "{}", long.len());
        assert!(long.ends_with(b"\\n...\r\n"));
        assert_eq!(long.iter().filter(|byte| **byte == b'\n').count(), 1);
    }

    #[test]
    fn strings_in_pieces_are_the_same_strings() {
        let pieces = [&bulk_start(3), b"a\nb".as_slice(), BULK_END].concat();
        assert_eq!(bulk(b"a\nb"), pieces);
        assert_eq!(array_start(2), "*2\r\n");
        assert_eq!(integer(-2), ":-2\r\n");
    }
}
