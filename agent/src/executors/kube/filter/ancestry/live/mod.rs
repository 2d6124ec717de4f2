//! Owners as they are at this moment, for watches that clients have open.
//!
//! For each kind of owner that is asked for there is one watch of our own ([`watch`]), of the same namespace or of the
//! whole cluster. All clients' watches share it, and it ends with the last of them. What it knows is a [`graph`], which its
//! [`connection`] keeps up to date by [`events`].

mod connection;
mod events;
mod following;
mod graph;
mod watch;

pub(crate) use self::following::Following;
pub(super) use self::following::Watches;
