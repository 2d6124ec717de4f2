//! The client of a Redis, or of the door in front of one: RESP3, with the login that Argo CD's client begins with.
//!
//! As its sibling it is one of its kind for every contestant, has one command at a time on each connection, and looks at
//! every byte of every reply.

mod connection;
mod crew;
mod reply;
mod stalled;
mod subscribers;

pub(crate) use connection::{Connection, Endpoint, Exchange};
pub(crate) use crew::Crew;
pub(crate) use reply::Reply;
pub(crate) use stalled::Stalled;
pub(crate) use subscribers::{Publisher, Subscribers};
