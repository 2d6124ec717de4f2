//! HTTP as doors and executors share it: what is between two hops and what is end to end.
//!
//! Always true: a message that has passed [`headers::strip_hop_by_hop`] says nothing about the connection it came on;
//! a refusal looks the same whichever end says it.

pub mod body;
pub mod headers;
pub mod pool;
pub mod refusal;
pub mod sender;
pub mod upgrade;
