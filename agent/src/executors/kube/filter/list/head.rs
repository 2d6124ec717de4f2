//! What a list says of itself.

use serde::Deserialize;

/// The parts of `metav1.ListMeta` that tell which state of the collection it is, and whether it is all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListHead {
    /// The version of the collection.
    pub(crate) resource_version: String,
    /// By what the next page is asked for; empty where this is the last one.
    #[serde(rename = "continue")]
    pub(crate) more: String,
}
