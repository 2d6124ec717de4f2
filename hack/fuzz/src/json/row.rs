//! A row of a `Table`, as much of it as the client wants.

use agent::executors::kube::fuzz::{Items, Rows};

use super::{
    object,
    text::{members, only},
};
use crate::fate::Fate;

/// The fate of the object in a row. Nothing where the row has none.
pub(super) fn fate(row: &[u8], items: Items) -> Option<Fate> {
    object::fate(only(&members(row)?, "object")?, items)
}

/// A row as it is shown.
pub(super) fn shown(row: &[u8], rows: Rows, api_version: &str) -> Option<Vec<u8>> {
    let object = match rows {
        Rows::AsTheyCame => return Some(row.to_vec()),
        Rows::Nothing => b"null".to_vec(),
        Rows::Metadata => {
            let object = only(&members(row)?, "object")?;
            let metadata = only(&members(object)?, "metadata")?;
            let head = format!(r#"{{"kind":"PartialObjectMetadata","apiVersion":"{api_version}","metadata":"#);
            [head.as_bytes(), metadata, b"}"].concat()
        }
    };
    replaced(row, "object", &object)
}

/// An object with another value of one member.
pub(super) fn replaced(object: &[u8], key: &str, value: &[u8]) -> Option<Vec<u8>> {
    let members = members(object)?;
    let members = members.iter().map(|member| {
        let value = if member.is(key) { value } else { member.value };
        [member.key, b":", value].concat()
    });
    let members = members.collect::<Vec<_>>().join(&b","[..]);
    Some([b"{", members.as_slice(), b"}"].concat())
}

/// An object without one member.
pub(super) fn without(object: &[u8], key: &str) -> Option<Vec<u8>> {
    let members = members(object)?;
    let kept = members.iter().filter(|member| !member.is(key));
    let kept = kept.map(|member| [member.key, b":", member.value].concat()).collect::<Vec<_>>();
    Some([b"{", kept.join(&b","[..]).as_slice(), b"}"].concat())
}
