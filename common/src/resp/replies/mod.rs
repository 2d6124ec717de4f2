//! What Redis says to a client, found frame by frame.
//!
//! A frame streams: its first bytes come out once its type and length are known, and of an array or push the first two
//! strings, which say what message it is. Redis is no stranger, but what a client makes it say may be anything that it
//! can store; so frames may be of any size and depth within the [`Limits`], and cost no more memory than these say.
//!
//! RESP2 and RESP3 need not be told apart. Streamed strings and aggregates (`$?`, `*?`), which no Redis sends, are
//! malformed, and so is a push within another frame.

mod nesting;
mod reply;
mod scanner;

pub use reply::{Marker, Part, Reply, Role};
pub use scanner::{ReplyEvent, ReplyScanner};

/// Limits of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// So many levels that are open at once.
    pub depth: usize,
    /// So many bytes are held of a line, or of a string that says what a message is. No fewer than a line with a length
    /// has, 24.
    pub hold: usize,
}

/// Why the bytes are nothing that Redis says. Nobody knows then where the next reply begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// The bytes are no RESP.
    #[error("the reply is malformed: {0}")]
    Malformed(&'static str),
    /// More levels than we count.
    #[error("the reply nests deeper than {limit} levels")]
    TooDeep {
        /// What we count at most.
        limit: usize,
    },
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self { depth: DEPTH, hold: HOLD }
    }
}

/// Redis's scripts nest replies some 8,000 levels deep, then Lua's own limit ends it (`LUAI_MAXCSTACK`, luaconf.h).
const DEPTH: usize = 8_192;

/// More than any error has, and as much as a key of ours may have.
const HOLD: usize = 4 << 10;

#[cfg(test)]
mod tests;
