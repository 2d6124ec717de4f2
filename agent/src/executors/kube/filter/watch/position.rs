//! How far a watch has come, and what its client was told of that.

use bytes::Bytes;

use super::super::{
    metadata::MetadataScanner,
    scan::{Progress, ScanError},
};

/// What the client has been told.
#[derive(Debug, Default)]
pub(super) struct Position {
    /// The version of the last event that went out, by which the client may ask to go on.
    pub(super) told: String,
    /// Whether nothing has gone out since that such a client may lack.
    pub(super) exact: bool,
    /// The version up to which the API server's events have all come.
    pub(super) come: Option<String>,
}

/// What is in an event that is of no object.
pub(super) enum Told {
    Status,
    /// How far the watch has come.
    Version(String),
    /// The row of a table that says nothing of its object.
    Nothing,
    /// An object, which nobody has decided on.
    Object,
}

// === impl Position ===

impl Position {
    /// An event of this version goes out.
    pub(super) fn tell(&mut self, version: String) {
        // A version that was told before does not tell whether what was made since has arrived.
        self.exact |= version != self.told;
        self.told = version;
    }
}

// === impl Told ===

impl Told {
    /// Reads the object of a bookmark or an error.
    pub(super) fn by(object: &Bytes) -> Self {
        let mut scanner = MetadataScanner::for_object(object);
        match scanner.push(object) {
            Ok(Progress::Done(found)) => {
                let status = found.type_meta.as_ref().is_some_and(|of| of.kind == "Status" && of.api_version == "v1");
                match found.meta {
                    _ if status => Self::Status,
                    meta if meta.name.is_empty() && meta.uid.is_empty() => Self::Version(meta.resource_version),
                    _ => Self::Object,
                }
            }
            Err(ScanError::NoMetadata) => Self::Nothing,
            _ => Self::Object,
        }
    }
}
