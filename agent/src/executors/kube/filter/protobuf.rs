//! Finds the metadata in the Kubernetes protobuf of one object while it passes.
//!
//! The object is field 2 of a `runtime.Unknown` behind four magic bytes (`apimachinery/pkg/runtime/generated.proto`,
//! `serializer/protobuf/protobuf.go`), and its `ObjectMeta` is field 1 of every kind that has one. Only the bytes of
//! the metadata are kept. Text that is not UTF-8 is read as the API server's JSON would show it: with U+FFFD in it.

use std::collections::BTreeMap;

use super::{
    meta::{ObjectMeta, OwnerReference, TypeMeta},
    scan::{Found, Progress, ScanError, keep},
    wire::{Field, MessageWalk, fields},
};

/// A scanner for one object.
#[derive(Debug)]
pub(crate) struct ProtobufMetadata {
    /// How many of the magic bytes have been seen.
    magic: usize,
    envelope: MessageWalk,
    /// What the envelope's current field is to us.
    part: Option<Part>,
    object: MessageWalk,
    /// Whether the object's current field is its metadata.
    in_metadata: bool,
    kept: Vec<u8>,
    limit: usize,
    type_meta: Option<TypeMeta>,
    answered: bool,
}

/// The fields of the envelope that are of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    TypeMeta,
    Object,
}

// === impl ProtobufMetadata ===

impl ProtobufMetadata {
    /// A scanner that keeps at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            magic: 0,
            envelope: MessageWalk::default(),
            part: None,
            object: MessageWalk::default(),
            in_metadata: false,
            kept: Vec::new(),
            limit,
            type_meta: None,
            answered: false,
        }
    }

    /// Reads on.
    ///
    /// # Errors
    /// When it is certain that no metadata will be found. The scanner is of no use after that.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<Progress, ScanError> {
        if self.answered {
            return Err(ScanError::Answered);
        }
        let progress = self.advance(chunk);
        self.answered = !matches!(progress, Ok(Progress::NeedMore));
        progress
    }

    /// What is wrong when the input ends here.
    pub(crate) fn finish(&self) -> ScanError {
        if self.magic == 0 { ScanError::NoMetadata } else { ScanError::Truncated }
    }

    fn advance(&mut self, mut chunk: &[u8]) -> Result<Progress, ScanError> {
        while let Some(expected) = MAGIC.get(self.magic) {
            let Some((byte, tail)) = chunk.split_first() else { return Ok(Progress::NeedMore) };
            if byte != expected {
                return Err(NOT_KUBERNETES);
            }
            self.magic += 1;
            chunk = tail;
        }
        while let Some(field) = self.envelope.next(&mut chunk)? {
            match (field, self.part) {
                (Field::Begin { number, .. }, _) => {
                    self.kept.clear();
                    self.part = match number {
                        1 => Some(Part::TypeMeta),
                        2 => Some(Part::Object),
                        _ => None,
                    };
                }
                (Field::Bytes { .. }, None) => {}
                (Field::Bytes { bytes, end }, Some(Part::TypeMeta)) => {
                    keep(&mut self.kept, bytes, self.limit)?;
                    if end {
                        self.type_meta = Some(type_meta(&self.kept)?);
                    }
                }
                (Field::Bytes { bytes, end }, Some(Part::Object)) => {
                    if let Some(meta) = self.object(bytes)? {
                        let type_meta = self.type_meta.take();
                        return Ok(Progress::Done(Box::new(Found { type_meta, meta })));
                    }
                    if end {
                        self.object.finish()?;
                        return Err(ScanError::NoMetadata);
                    }
                }
            }
        }
        Ok(Progress::NeedMore)
    }

    fn object(&mut self, mut chunk: &[u8]) -> Result<Option<ObjectMeta>, ScanError> {
        while let Some(field) = self.object.next(&mut chunk)? {
            match field {
                Field::Begin { number, length } => {
                    self.in_metadata = number == 1;
                    if self.in_metadata && length > self.limit as u64 {
                        return Err(ScanError::TooLarge { limit: self.limit });
                    }
                }
                Field::Bytes { bytes, end } if self.in_metadata => {
                    keep(&mut self.kept, bytes, self.limit)?;
                    if end {
                        return object_meta(&self.kept).map(Some);
                    }
                }
                Field::Bytes { .. } => {}
            }
        }
        Ok(None)
    }
}

/// Reads a request body that is complete. What stands twice is refused, since gogo merges the two.
///
/// # Errors
/// When the body is malformed or has no metadata.
pub(super) fn of_request(body: &[u8]) -> Result<Found, ScanError> {
    let envelope = body.strip_prefix(&MAGIC).ok_or(NOT_KUBERNETES)?;
    let object = only(envelope, 2)?.ok_or(ScanError::NoMetadata)?;
    let meta = only(object, 1)?.map(object_meta).ok_or(ScanError::NoMetadata)??;
    let type_meta = only(envelope, 1)?.map(type_meta).transpose()?;
    Ok(Found { type_meta, meta })
}

/// The bytes of a field that must not stand twice.
fn only(message: &[u8], wanted: u64) -> Result<Option<&[u8]>, ScanError> {
    let mut found = None;
    fields(message, |number, bytes| {
        if number == wanted && found.replace(bytes).is_some() {
            return Err(ScanError::Malformed("a field stands twice"));
        }
        Ok(())
    })?;
    Ok(found)
}

/// Reads a whole `ObjectMeta` message.
pub(crate) fn object_meta(message: &[u8]) -> Result<ObjectMeta, ScanError> {
    let mut meta = ObjectMeta::default();
    fields(message, |number, bytes| {
        match number {
            1 => meta.name = text(bytes),
            // gogo writes text that is not set as empty text.
            3 => meta.namespace = Some(text(bytes)).filter(|namespace| !namespace.is_empty()),
            5 => meta.uid = text(bytes),
            6 => meta.resource_version = text(bytes),
            11 => insert(&mut meta.labels, bytes)?,
            12 => insert(&mut meta.annotations, bytes)?,
            13 => meta.owners.push(owner_reference(bytes)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(meta)
}

fn owner_reference(message: &[u8]) -> Result<OwnerReference, ScanError> {
    let mut owner = OwnerReference::default();
    fields(message, |number, bytes| {
        match number {
            1 => owner.kind = text(bytes),
            3 => owner.name = text(bytes),
            4 => owner.uid = text(bytes),
            5 => owner.api_version = text(bytes),
            _ => {}
        }
        Ok(())
    })?;
    Ok(owner)
}

pub(super) fn type_meta(message: &[u8]) -> Result<TypeMeta, ScanError> {
    let mut type_meta = TypeMeta::default();
    fields(message, |number, bytes| {
        match number {
            1 => type_meta.api_version = text(bytes),
            2 => type_meta.kind = text(bytes),
            _ => {}
        }
        Ok(())
    })?;
    Ok(type_meta)
}

/// A map is a repeated message of key and value; the last entry of a key counts.
fn insert(map: &mut BTreeMap<String, String>, entry: &[u8]) -> Result<(), ScanError> {
    let (mut key, mut value) = (String::new(), String::new());
    fields(entry, |number, bytes| {
        match number {
            1 => key = text(bytes),
            2 => value = text(bytes),
            _ => {}
        }
        Ok(())
    })?;
    map.insert(key, value);
    Ok(())
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `protoEncodingPrefix` of `apimachinery/pkg/runtime/serializer/protobuf/protobuf.go`.
pub(super) const MAGIC: [u8; 4] = *b"k8s\0";

pub(super) const NOT_KUBERNETES: ScanError = ScanError::Malformed("it does not begin as Kubernetes protobuf does");

#[cfg(test)]
mod tests;
