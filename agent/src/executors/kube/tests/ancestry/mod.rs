//! Owners, before an API server that lists, watches and counts.

mod cached;
mod cluster;
mod live;
mod outages;
