//! One event of a watch, whatever its encoding.

use bytes::Bytes;

use super::super::item::Subject;

/// What an event says has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventType {
    /// The object is new, to the cluster or to this watch.
    Added,
    /// The object has changed.
    Modified,
    /// The object is gone, from the cluster or from this watch.
    Deleted,
    /// Nothing but how far the watch has come.
    Bookmark,
    /// The watch has failed, and the object is a `Status`.
    Error,
}

/// An event, and what can be decided on in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WatchEvent {
    /// What has happened.
    pub(crate) kind: EventType,
    /// None for bookmarks and errors.
    pub(crate) subject: Option<Subject>,
    /// The object's bytes as they came (JSON value, or k8s\0 envelope).
    pub(crate) object: Bytes,
}
