//! The tunnel between an agent and its principal: what both ends must agree on.
//!
//! One *session* per attached agent is one `Attach` call, the control stream; one *pipe* is one `Pipe` call, a stream of
//! bytes both ways. HTTP/2 does the multiplexing, the flow control and the resets; there is no window arithmetic here.
//!
//! Always true:
//! - The agent dials; the principal asks for pipes with [`event::PrincipalEvent::Open`], the agent opens them.
//! - A pipe's direction ends cleanly with a chunk that says so, and only then; any other end is a cut, which readers see
//!   as an error and never as the end of the data.
//! - A pipe may carry many exchanges, one at a time. Whoever drops a [`TunnelStream`] in the middle of one cancels what
//!   runs at the far end.
//! - Nothing is sent twice.

pub mod codec;
pub mod error;
pub mod event;
pub mod ids;
#[cfg(feature = "test-util")]
pub mod in_memory;
pub mod limits;
pub mod liveness;
mod reader;
pub mod stream;
pub mod target;
mod writer;

pub use error::PipeError;
pub use ids::{PipeId, SessionId};
pub use stream::TunnelStream;
pub use target::Target;
pub use writer::Opening;

/// Metadata of a `Pipe` call: the session's id.
pub const SESSION_HEADER: &str = "argocd-agent-session";
/// Metadata of a `Pipe` call: the pipe's id.
pub const PIPE_HEADER: &str = "argocd-agent-pipe";
