//! The one accept loop of every door and of gRPC.
//!
//! What must always be true: the loop itself does nothing but accept; TLS, where a door has it, and all that follows
//! happens in the connection's own task; a handshake ends by its deadline; some 500 run at a time, in the order in which
//! they speak, but one that does not get on keeps nobody waiting for more than a second; at the limit of connections the
//! next caller waits in the kernel's queue and is not turned away; a connection counts until its last byte stream is
//! dropped, upgrades included.

mod connection;
mod lean;
mod listener;
mod metrics;
#[cfg(test)]
mod tests;
mod turns;

pub use connection::{Connection, Io, Security};
pub use listener::{ListenError, ListenLimits, Listener};
pub use metrics::ListenMetrics;
