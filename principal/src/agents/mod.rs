//! The agents behind the doors: who is attached, and how to reach them.

pub mod auth;
pub mod dialer;
pub mod handshake;
pub mod metrics;
pub mod registry;
pub mod serve;
pub mod service;
pub mod session;

pub use dialer::{DialError, Dialer, Lease};
pub use registry::Registry;
