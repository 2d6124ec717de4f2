//! What is decided on in a list or a watch: one object of many.

use serde::Deserialize;

use super::meta::ObjectMeta;

/// What one object says of itself, as far as it counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    /// Its metadata.
    pub(crate) meta: ObjectMeta,
    /// For an event: what it is about.
    pub(crate) about: Option<Reference>,
}

/// What an event is about (`core/v1.ObjectReference`).
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Reference {
    /// Group and version of its kind. Empty means `v1`.
    pub(crate) api_version: String,
    /// Its kind.
    pub(crate) kind: String,
    /// Its namespace, empty for an object of the cluster.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// Its UID.
    pub(crate) uid: String,
}

/// What the objects of a list or a watch are, which says where to look in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemKind {
    /// Anything but events: the metadata decide.
    Object,
    /// Events of the core group: `involvedObject` decides (field 2 in protobuf).
    CoreEvent,
    /// Events of `events.k8s.io`: `regarding` decides (field 8 in protobuf).
    Event,
}

/// How much of an object a client wants in the row of a `Table`. The filter may have asked for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowObject {
    /// What the API server put there passes as it is.
    AsItCame,
    /// Of a whole object, only what a `PartialObjectMetadata` has.
    Metadata,
    /// Nothing: `null`, as the API server writes it.
    Nothing,
}

/// The most that is held of one item.
pub(crate) const ITEM_LIMIT: usize = 16 << 20;
