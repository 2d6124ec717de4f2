//! The numbers of the tunnel, each with the reason for its value.

use std::{ops::RangeInclusive, time::Duration};

/// The protocol versions that this build speaks. The number goes up only when an older peer could not cope.
pub const VERSIONS: RangeInclusive<u32> = 1..=1;

/// The most bytes that travel with the request to open a pipe. Holds any head and most bodies that kubectl and Argo CD
/// send, so that a new pipe costs one round trip; more would let requests crowd the control stream.
pub const EARLY_DATA: usize = 32 * 1024;

/// The most bytes in one chunk: big enough that the cost per message vanishes, small enough that streams of one
/// connection take turns and that a stalled one holds little.
pub const CHUNK: usize = 64 * 1024;

/// Chunks queued between a stream's writer and the connection.
pub const QUEUED_CHUNKS: usize = 2;

/// Open requests queued on a control stream: each may carry [`EARLY_DATA`], so this bounds a session to 2 MiB.
pub const QUEUED_OPENS: usize = 64;

/// The largest message that either end takes: a chunk or an open request with room for its framing.
pub const MESSAGE: usize = 128 * 1024;

/// HTTP/2 window of one pipe unless `--tunnel-stream-window` says otherwise.
pub const STREAM_WINDOW: u32 = 1024 * 1024;

/// HTTP/2 window of the whole connection: the protocol's maximum, so that only stream windows bind and a reader that
/// stalls stalls itself alone.
pub const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// HTTP/2 streams of one connection: no limit, because a stream above it would wait without an error. What bounds the
/// number of pipes is counted where they are opened.
pub const CONCURRENT_STREAMS: u32 = u32::MAX;

/// HTTP/2 frame payload: what a stream sends before others get their turn.
pub const FRAME: u32 = 32 * 1024;

/// Streams cancelled before the application took them. HTTP/2's default of 20 is a guard against strangers ("rapid
/// reset", CVE-2023-44487); the peers here are authenticated, and a door may well cancel a thousand watches at once.
pub const PENDING_RESETS: usize = 16 * 1024;

/// How often each end pings.
pub const PING_INTERVAL: Duration = Duration::from_secs(10);

/// After how long a silent peer is dead.
pub const SILENCE: Duration = Duration::from_secs(20);

/// The time for a TCP connection, for a TLS handshake and for Hello and Welcome, each.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
