//! What an object in protobuf says of itself.

use agent::executors::kube::fuzz::Items;

use super::message::{all, fields, only};
use crate::fate::{Fate, LABEL};

/// The fate of an object. Nothing where it cannot be known.
pub(super) fn fate(object: &[u8], items: Items) -> Option<Fate> {
    let object = fields(object)?;
    let metadata = fields(only(&object, 1)??)?;
    let mut label = None;
    for entry in all(&metadata, 11) {
        let entry = fields(entry)?;
        // The last of a key counts, and so does the last value in an entry.
        if all(&entry, 1).last().unwrap_or_default() == LABEL.as_bytes() {
            label = Some(text(all(&entry, 2).last()));
        }
    }
    let about = match items {
        Items::Objects => None,
        Items::CoreEvents => only(&object, 2)?,
        Items::Events => only(&object, 8)?,
    };
    let about = match about {
        Some(about) => Some(text(all(&fields(about)?, 4).last())),
        None => None,
    };
    Some(Fate::of(label.as_deref(), about.as_deref()))
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}
