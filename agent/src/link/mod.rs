//! The link to the principal: dials out, attaches, serves what the principal asks for, and comes back when it breaks.

pub mod backoff;
pub mod connect;
pub mod creds;
mod handshake;
pub mod metrics;
mod pipe;
mod run;
mod session;

pub use creds::Creds;
pub use run::{Link, LinkOptions};
