//! What every metadata scanner answers, whatever the encoding.
//!
//! A scanner is fed the bytes of one object as they come and says, once, what the object's metadata are. It keeps no
//! more than the metadata's own bytes, up to a limit, and never recurses: depth costs it nothing.

use super::meta::{ObjectMeta, TypeMeta};

/// Where a scanner stands after a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The metadata are not complete.
    NeedMore,
    /// The metadata are known. Nothing more need be pushed.
    Done(Box<Found>),
}

/// The metadata of one object.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The kind of what was scanned, where it stood before the metadata, as Kubernetes writes it. For an object shown
    /// as a row this is the `Table`'s.
    pub(crate) type_meta: Option<TypeMeta>,
    /// The metadata.
    pub(crate) meta: ObjectMeta,
}

/// Why no metadata could be read. Nothing can be decided on what could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    /// The bytes are not what the encoding allows.
    #[error("the object is malformed: {0}")]
    Malformed(&'static str),
    /// The metadata are not JSON, or not metadata.
    #[error("the metadata are malformed")]
    Metadata(#[source] serde_json::Error),
    /// The input ended within the object.
    #[error("the object is cut short")]
    Truncated,
    /// The object has no metadata, or is no single object.
    #[error("the object has no metadata")]
    NoMetadata,
    /// The metadata are larger than what we keep of an object.
    #[error("the metadata are larger than {limit} bytes")]
    TooLarge {
        /// What we keep at most.
        limit: usize,
    },
    /// One item of a list or a watch is larger than what we hold of it.
    #[error("an item is larger than {limit} bytes")]
    ItemTooLarge {
        /// What we hold at most.
        limit: usize,
    },
    /// The compressed bytes cannot be decompressed.
    #[error("the object cannot be decompressed")]
    Compressed(#[source] std::io::Error),
    /// The scanner has answered already.
    #[error("the scanner has answered already")]
    Answered,
}

/// Appends to what a scanner keeps, up to its limit.
pub(super) fn keep(kept: &mut Vec<u8>, bytes: &[u8], limit: usize) -> Result<(), ScanError> {
    if bytes.len() > limit.saturating_sub(kept.len()) {
        return Err(ScanError::TooLarge { limit });
    }
    kept.extend_from_slice(bytes);
    Ok(())
}

/// The value whose next piece this is, once it is complete. Only one that comes in more pieces than one is kept.
pub(super) fn whole<'v>(
    kept: &'v mut Vec<u8>,
    piece: &'v [u8],
    end: bool,
    limit: usize,
) -> Result<Option<&'v [u8]>, ScanError> {
    if end && kept.is_empty() && piece.len() <= limit {
        return Ok(Some(piece));
    }
    keep(kept, piece, limit)?;
    Ok(end.then_some(kept))
}
