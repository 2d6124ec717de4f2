//! What runs at the agent's end of the tunnel: each executor serves a byte stream for one kind of target.
//!
//! An executor implements [`crate::dispatch::Executor`]. It sees a byte stream and never the session behind it; when its
//! future is dropped, whatever runs for that stream ends. To add one: a module here, a target in `common::tunnel`, a
//! line in the composition root.

pub mod kube;
pub mod redis;
mod serve_http;
