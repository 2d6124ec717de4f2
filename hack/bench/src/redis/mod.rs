//! Real Redis servers, and a principal and an agent between them.

mod open_files;
mod server;
mod site;
mod value;

pub(crate) use open_files::raise_limit;
pub(crate) use server::{PASSWORD, RedisServer};
pub(crate) use site::{Place, Site, Way};
pub(crate) use value::value;
