//! How much a client may send, and how much of it is held.

use crate::AgentKey;

/// Limits of one connection. The first two are Redis's own and decide what is a protocol error; the others say when a
/// command is handed on before it is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest argument, in bytes.
    pub bulk: u64,
    /// The most arguments of one command, its word included.
    pub arguments: u32,
    /// Whether Redis would still have the client log in first, for which it needs few words and short ones.
    pub login: Login,
    /// So many bytes are held of a command all of whose arguments matter. Then it is handed on part by part.
    pub hold: usize,
    /// So many bytes are kept of one argument. A longer one is no key of ours. No fewer than the longest word has, 16.
    pub key: usize,
}

/// Whether a client has logged in, as far as that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// It has, or need not.
    Done,
    /// Only Redis knows. What it takes of some and not of others [waits](super::CommandScanner::awaits_login), unless the
    /// command has begun and Redis judges it.
    Unknown,
    /// It has not (`authRequired`, networking.c).
    Missing,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self { bulk: BULK, arguments: ARGUMENTS, login: Login::Done, hold: HOLD, key: KEY }
    }
}

/// Redis's `proto-max-bulk-len`, as it is unless configured.
const BULK: u64 = 512 << 20;

/// What Redis allowed until 6.2. Redis 7 allows 2^31 - 1, which nobody needs.
const ARGUMENTS: u32 = 1 << 20;

/// As much as Redis itself holds of a line. Some hundred keys of ours fit in.
const HOLD: usize = 64 << 10;

/// What is longer is no agent's key, whatever else it is.
const KEY: usize = AgentKey::LONGEST;

/// Redis holds so much of a line that does not end (`PROTO_INLINE_MAX_SIZE`, server.h).
pub(super) const LINE: usize = 64 << 10;

/// What Redis takes before the login (`processMultibulkBuffer`, networking.c): arguments, and the bytes of one.
pub(super) const BEFORE_LOGIN: (u32, u64) = (10, 16 << 10);
