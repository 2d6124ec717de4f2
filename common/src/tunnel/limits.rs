//! The numbers of the tunnel, each with the reason for its value.

use std::{ops::RangeInclusive, time::Duration};

/// The protocol versions that this build speaks. The number goes up only when an older peer could not cope.
pub const VERSIONS: RangeInclusive<u32> = 1..=1;

/// The most bytes that travel with the request to open a pipe. Holds any head and most bodies that kubectl and Argo CD
/// send, so that a new pipe costs one round trip; more would let requests crowd the control stream.
pub const EARLY_DATA: usize = 32 * 1024;

/// The most bytes in one chunk: big enough that the cost per message vanishes, small enough that streams of one
/// connection take turns and that a stalled one holds little. With what is put around it, it fills two HTTP/2 frames; one
/// more for the last few bytes would make a reader pass these on by themselves.
pub const CHUNK: usize = 64 * 1024 - 9;

/// Chunks queued between a stream's writer and the connection.
pub const QUEUED_CHUNKS: usize = 2;

/// Open requests queued on a control stream: each may carry [`EARLY_DATA`], so this bounds a session to 2 MiB.
pub const QUEUED_OPENS: usize = 64;

/// The largest message that either end takes: a chunk or an open request with room for its framing.
pub const MESSAGE: usize = 128 * 1024;

/// What a pipe may have on its way to a reader that is not known to be fast, unless `--tunnel-stream-window` says
/// otherwise: so much a reader that stalls holds.
pub const STREAM_WINDOW: u32 = 1024 * 1024;

/// The smallest window that either end may have: HTTP/2's own.
pub const STREAM_WINDOW_LEAST: u32 = 65_535;

/// The largest window that a fast reader gets: 100 MB/s at 100 ms there and back, and then some.
pub const STREAM_WINDOW_MOST: u32 = 16 * 1024 * 1024;

/// What the pipes of a session have beyond their first windows, granted and lent, all together: four of the largest, and so
/// much more than its first window each the readers of a session can hold when they stall.
pub const WINDOW_BUDGET: u64 = 64 * 1024 * 1024;

/// Bytes a second beyond which a pipe's window does not follow: more than an API server writes. With it the first window is
/// enough where the line is shorter than a millisecond there and back.
pub const FASTEST: u64 = 500_000_000;

/// What a chunk costs beside its data: more than gRPC and protobuf put around it, so that what HTTP/2 counts is never
/// more than what was granted.
pub const CHUNK_COST: u64 = 16;

/// The most credit that a writer can have: HTTP/2's own bound of a window.
pub const MOST_CREDIT: u64 = HTTP2_MOST as u64;

/// HTTP/2 window of the whole connection at the agent: the protocol's maximum, so that only those of the streams bind and
/// a reader that stalls stalls itself alone. The principal's has a bound: [`connection_window`].
pub const CONNECTION_WINDOW: u32 = HTTP2_MOST;

/// HTTP/2 window of a stream: never what binds, whatever credit it has; a loan beside the largest window may have to wait,
/// but whoever has that much on its way needs none. A peer of a build that knows no grants is bound by nothing else.
#[must_use]
pub fn http2_window(stream_window: u32) -> u32 {
    with_updates(stream_window.max(STREAM_WINDOW_MOST).into())
}

/// HTTP/2 window of a connection that carries up to `pipes` pipes: what they hold when all their readers stall, so that
/// an honest agent never meets it, and one that ignores its credit sends no more than that.
#[must_use]
pub fn connection_window(stream_window: u32, pipes: usize) -> u32 {
    let pipes = u64::try_from(pipes).unwrap_or(u64::MAX).saturating_add(SPARE_PIPES);
    with_updates(pipes.saturating_mul(stream_window.into()).saturating_add(WINDOW_BUDGET))
}

/// An HTTP/2 window in which so much is always free: it is renewed when a third of it was taken, not at once.
const fn with_updates(free: u64) -> u32 {
    let window = free.saturating_add(free / 2).saturating_add(UPDATES);
    if window > MOST_CREDIT { HTTP2_MOST } else { window as u32 }
}

/// HTTP/2's largest window (RFC 9113, 6.9.1).
const HTTP2_MOST: u32 = (1 << 31) - 1;

/// What travels beside pipes' chunks: control streams, chunks that are nothing but an end.
const UPDATES: u64 = 1024 * 1024;

/// Pipes that run beside requests: those of the Redis door.
const SPARE_PIPES: u64 = 64;

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
