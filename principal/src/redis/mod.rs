//! What the principal itself says to a Redis, its own or an agent's.
//!
//! Clients of the Redis door have connections of their own, see [`crate::doors::redis`].

mod backoff;
mod own;
mod wire;

pub(crate) use backoff::Backoff;
pub(crate) use own::{OwnRedis, Trouble};
pub(crate) use wire::{Frame, Wire, WireError};
