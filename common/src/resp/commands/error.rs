//! What Redis says of bytes that are no command, before it closes the connection.

use bytes::{BufMut, Bytes, BytesMut};

/// Why the bytes of a client can be no command. The texts are those of Redis 7 (`processMultibulkBuffer` and
/// `processInlineBuffer`, networking.c).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ProtocolError {
    /// A line that is no array has not ended within 64 KiB.
    #[error("too big inline request")]
    InlineTooBig,
    /// A quote has not ended with its line, or something follows it immediately.
    #[error("unbalanced quotes in request")]
    UnbalancedQuotes,
    /// The line with an array's length has not ended within 64 KiB.
    #[error("too big mbulk count string")]
    CountTooBig,
    /// The length of an array is no number, or too large.
    #[error("invalid multibulk length")]
    Count,
    /// Somebody who has not logged in sends more arguments than it takes to do so.
    #[error("unauthenticated multibulk length")]
    CountBeforeLogin,
    /// The line with an argument's length has not ended within 64 KiB.
    #[error("too big bulk count string")]
    LengthTooBig,
    /// An argument is no bulk string, but begins with this.
    #[error("expected '$', got '{}'", char::from(*.0).escape_default())]
    NoBulk(u8),
    /// The length of an argument is no number, negative, or too large.
    #[error("invalid bulk length")]
    Length,
    /// Somebody who has not logged in sends a longer argument than it takes to do so.
    #[error("unauthenticated bulk length")]
    LengthBeforeLogin,
}

// === impl ProtocolError ===

impl ProtocolError {
    /// The error as Redis sends it, byte for byte.
    #[must_use]
    pub fn reply(&self) -> Bytes {
        let mut reply = BytesMut::with_capacity(64);
        reply.put_slice(b"-ERR Protocol error: ");
        match self {
            // Redis puts the byte there as it came, which need not be text, but never ends the line with it.
            Self::NoBulk(byte) => {
                reply.put_slice(b"expected '$', got '");
                reply.put_u8(if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte });
                reply.put_u8(b'\'');
            }
            other => reply.put_slice(other.to_string().as_bytes()),
        }
        reply.put_slice(b"\r\n");
        reply.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reply_is_what_redis_sends() {
        assert_eq!(ProtocolError::Length.reply(), "-ERR Protocol error: invalid bulk length\r\n");
        assert_eq!(ProtocolError::NoBulk(b'*').reply(), "-ERR Protocol error: expected '$', got '*'\r\n");
        assert_eq!(ProtocolError::NoBulk(b'\r').reply(), "-ERR Protocol error: expected '$', got ' '\r\n");
        assert_eq!(ProtocolError::NoBulk(0xff).reply().get(40..), Some(b"\xff'\r\n".as_slice()));
    }

    #[test]
    fn the_text_for_the_log_is_one_line_of_text() {
        assert_eq!(ProtocolError::NoBulk(b'\n').to_string(), r"expected '$', got '\n'");
        assert_eq!(ProtocolError::NoBulk(0xff).to_string(), r"expected '$', got '\u{ff}'");
    }
}
