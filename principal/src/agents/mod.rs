//! The agents behind the doors: who there is, who is attached, how to reach them, and whose a key or a token is.

pub mod auth;
mod cancels;
pub mod dialer;
pub mod directory;
pub mod handshake;
pub mod metrics;
pub mod newcomers;
pub mod registry;
pub mod roster;
pub mod routes;
pub mod serve;
pub mod service;
pub mod session;
pub mod tokens;

pub use dialer::{DialError, Dialer, Lease};
pub use directory::Directory;
pub use newcomers::Newcomers;
pub use registry::Registry;
pub use routes::{Route, Router, Routes};
pub use tokens::Tokens;
