//! What an object in JSON says of itself, read by serde from its whole text.

use std::collections::BTreeMap;

use agent::executors::kube::fuzz::Items;
use serde::Deserialize;

use super::text::{Member, members, only};
use crate::fate::{Fate, LABEL};

#[derive(Deserialize)]
struct Metadata {
    labels: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(default)]
    uid: String,
}

/// The fate of an object. Nothing where it cannot be known.
pub(super) fn fate(object: &[u8], items: Items) -> Option<Fate> {
    let members = members(object)?;
    let labels = metadata(&members)?.labels.unwrap_or_default();
    let about = match items {
        Items::Objects => None,
        Items::CoreEvents => reference(&members, "involvedObject")?,
        Items::Events => reference(&members, "regarding")?,
    };
    let label = labels.get(LABEL).and_then(Option::as_deref);
    Some(Fate::of(label, about.as_deref()))
}

fn metadata(members: &[Member<'_>]) -> Option<Metadata> {
    struct_in(only(members, "metadata")?)
}

/// The UID of what an event is about. Null is as good as nothing.
fn reference(members: &[Member<'_>], key: &str) -> Option<Option<String>> {
    let value = only(members, key)?;
    if value == b"null" {
        return Some(None);
    }
    struct_in::<Reference>(value).map(|reference| Some(reference.uid))
}

/// Serde would take an array for a struct's fields in order.
fn struct_in<'t, T: Deserialize<'t>>(value: &'t [u8]) -> Option<T> {
    value.starts_with(b"{").then(|| serde_json::from_slice(value).ok())?
}

/// What a value says that may be text or null.
pub(super) fn text(value: &[u8]) -> Option<String> {
    serde_json::from_slice::<Option<String>>(value).ok().map(Option::unwrap_or_default)
}

/// Whether these are the members of the API server's `Table`, its version with it.
pub(super) fn is_table(kind: &str, api_version: &str) -> bool {
    kind == "Table" && api_version.starts_with("meta.k8s.io/")
}
