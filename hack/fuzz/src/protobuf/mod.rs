//! Kubernetes protobuf, read the plain way: the whole message is there, and each is taken apart into its fields.

mod envelope;
pub(crate) mod list;
mod message;
mod object;
pub(crate) mod watch;
mod write;
