//! The API servers of both sides: which ones, and reading and writing objects there.
//!
//! Every write is one call, so nothing is half-written, and one that met another writer is done again on what that one
//! left.

mod connect;
mod listed;
mod places;
mod roster;
mod settings;
mod store;
mod told;

pub(crate) use connect::{Side, context_names};
pub(crate) use listed::Listed;
pub(crate) use places::{Place, Places, Role};
pub(crate) use roster::Attached;
pub(crate) use settings::{Entry, Settings};
pub(crate) use store::{Change, Store, Written};
