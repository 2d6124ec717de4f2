//! RESP, read the plain way: all bytes are there, and each frame is looked for from its beginning.

pub(crate) mod commands;
pub(crate) mod replies;
