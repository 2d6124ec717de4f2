//! The envelope around every object and list (`runtime.Unknown`).

use super::message::{Message, bytes_field, only};

/// What an envelope of one object holds.
pub(super) fn object(envelope: &[u8]) -> Option<&[u8]> {
    let envelope = super::message::fields(envelope.strip_prefix(MAGIC)?)?;
    // What is encoded once more cannot be looked into.
    only(&envelope, 3)?.unwrap_or_default().is_empty().then_some(())?;
    only(&envelope, 2)?
}

/// Puts something into an envelope, as the API server does: with empty fields behind it.
pub(super) fn wrap(kind: &str, raw: &[u8]) -> Vec<u8> {
    let type_meta = [bytes_field(1, b"v1"), bytes_field(2, kind.as_bytes())].concat();
    let fields = [bytes_field(1, &type_meta), bytes_field(2, raw), bytes_field(3, b""), bytes_field(4, b"")];
    [MAGIC.to_vec(), fields.concat()].concat()
}

/// The beginning of an envelope, whatever follows.
pub(super) fn open(envelope: &[u8]) -> Option<Message<'_>> {
    envelope.strip_prefix(MAGIC).map(Message::new)
}

/// `protoEncodingPrefix` of `apimachinery/pkg/runtime/serializer/protobuf/protobuf.go`.
const MAGIC: &[u8] = b"k8s\0";
