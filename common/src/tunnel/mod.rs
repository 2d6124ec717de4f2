//! The tunnel between an agent and its principal: what both ends must agree on.
//!
//! One *session* per attached agent is one `Attach` call, the control stream; one *pipe* is one `Pipe` call, a stream of
//! bytes both ways. HTTP/2 does the multiplexing and the resets, and what it knows of flow control is the outer bound:
//! within it each direction of a pipe has the credit that its reader grants ([`flow`]), so that a long line is filled
//! where somebody reads and little is held where nobody does. `Attach` is tonic's. `Pipe` is the same gRPC, but we lay out
//! its messages ourselves ([`call`], [`frame`], [`cutter`]): tonic would copy every byte once more at each end.
//!
//! Always true:
//! - The agent dials; the principal asks for pipes with [`event::PrincipalEvent::Open`], the agent opens them.
//! - A pipe's direction ends cleanly with a chunk that says so, and only then; any other end is a cut, which readers see
//!   as an error and never as the end of the data.
//! - A pipe may carry many exchanges, one at a time. Whoever drops a [`TunnelStream`] in the middle of one cancels what
//!   runs at the far end.
//! - A writer sends no more than was granted or lent. A reader that takes what comes grants more, whatever else stalls: grants
//!   travel on the control stream, and are never lost.
//! - Nothing is sent twice.

pub mod budget;
pub mod call;
pub mod codec;
mod credit;
pub mod cutter;
pub mod error;
pub mod event;
pub mod flow;
pub mod frame;
pub mod grants;
pub mod ids;
#[cfg(feature = "test-util")]
pub mod in_memory;
mod incoming;
pub mod limits;
pub mod liveness;
mod loans;
mod reader;
pub mod stream;
pub mod target;
mod window;
mod writer;

pub use error::PipeError;
pub use ids::{PipeId, SessionId};
pub use incoming::Incoming;
pub use stream::TunnelStream;
pub use target::Target;
pub use writer::Opening;

/// Metadata of a `Pipe` call: the session's id.
pub const SESSION_HEADER: &str = "argocd-agent-session";
/// Metadata of a `Pipe` call: the pipe's id.
pub const PIPE_HEADER: &str = "argocd-agent-pipe";
