//! Watches that show only what is managed.

pub(crate) mod event;
pub(crate) mod json;
pub(crate) mod protobuf;
