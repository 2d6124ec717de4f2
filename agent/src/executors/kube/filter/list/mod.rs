//! Lists that show only what is managed: bytes in, bytes out, a decision asked for each item.

pub(crate) mod head;
pub(crate) mod json;
pub(crate) mod protobuf;
