//! The agent: the link to the principal, and the executors that run what comes through it.
//!
//! A request's way: [`link`] → [`dispatch`] → [`executors`] → the API server.

mod agent;
pub mod args;
pub mod config;
pub mod dispatch;
pub mod enrollment;
pub mod executors;
pub mod link;

pub use agent::{Agent, Error, run};
