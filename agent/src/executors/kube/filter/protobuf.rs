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
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{
            samples::{any_meta, pod_meta, pod_protobuf},
            wire::tests::{Written, any_fields, varint, write},
        },
        *,
    };

    fn scan<'c>(limit: usize, chunks: impl IntoIterator<Item = &'c [u8]>) -> Result<Found, ScanError> {
        let mut scanner = ProtobufMetadata::new(limit);
        for chunk in chunks {
            if let Progress::Done(found) = scanner.push(chunk)? {
                return Ok(*found);
            }
        }
        Err(scanner.finish())
    }

    fn text_field(number: u64, text: &str) -> Written {
        Written::Bytes(number, text.as_bytes().to_vec())
    }

    fn envelope(fields: &[Written]) -> Vec<u8> {
        [MAGIC.to_vec(), write(fields)].concat()
    }

    fn object(fields: &[Written]) -> Vec<u8> {
        envelope(&[Written::Bytes(2, write(fields))])
    }

    /// As gogo writes it: in the order of the numbers, text that is empty included.
    fn encode(meta: &ObjectMeta) -> Vec<Written> {
        let entry = |number, (key, value): (&String, &String)| {
            Written::Bytes(number, write(&[text_field(1, key), text_field(2, value)]))
        };
        let mut fields = vec![
            text_field(1, &meta.name),
            text_field(2, ""),
            text_field(3, meta.namespace.as_deref().unwrap_or("")),
            text_field(5, &meta.uid),
            text_field(6, &meta.resource_version),
            Written::Varint(7, 3),
            Written::Bytes(8, write(&[Written::Varint(1, 1_700_000_000)])),
        ];
        fields.extend(meta.labels.iter().map(|pair| entry(11, pair)));
        fields.extend(meta.annotations.iter().map(|pair| entry(12, pair)));
        fields.extend(meta.owners.iter().map(|owner| {
            let owner = [
                text_field(1, &owner.kind),
                text_field(3, &owner.name),
                text_field(4, &owner.uid),
                text_field(5, &owner.api_version),
                Written::Varint(6, 1),
            ];
            Written::Bytes(13, write(&owner))
        }));
        fields
    }

    #[test]
    fn a_pod_is_read_under_any_cut() {
        let type_meta = Some(TypeMeta { api_version: "v1".to_owned(), kind: "Pod".to_owned() });
        let expected = Found { type_meta, meta: pod_meta() };
        let bytes = pod_protobuf();
        for cut in 0..bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(scan(1_000, [head, tail]).unwrap(), expected, "cut at {cut}");
        }
        assert_eq!(scan(1_000, bytes.chunks(1)).unwrap(), expected);
        assert_eq!(of_request(&bytes).unwrap(), expected);
    }

    #[test]
    fn a_pod_cut_short_is_no_pod() {
        let bytes = pod_protobuf();
        let end = (1..=bytes.len()).find(|end| scan(1_000, [&bytes[..*end]]).is_ok()).unwrap();
        assert!(end < bytes.len(), "the spec is not waited for");
        for cut in 1..end {
            assert!(matches!(scan(1_000, [&bytes[..cut]]), Err(ScanError::Truncated)), "cut at {cut}");
        }
        assert!(matches!(scan(1_000, []), Err(ScanError::NoMetadata)));
        // The last four bytes are two empty fields of the envelope.
        for cut in 0..bytes.len() - 4 {
            assert!(of_request(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(matches!(scan(100, [&b"{\"kind\""[..]]), Err(ScanError::Malformed(_))));
        assert!(matches!(scan(100, [&b"k8s\x01"[..]]), Err(ScanError::Malformed(_))));
        assert!(matches!(scan(100, [object(&[text_field(2, "spec")]).as_slice()]), Err(ScanError::NoMetadata)));
        // The metadata say that they are longer than the object they are in.
        let lying = [vec![0x0a, 9], b"\x0a\x01x".to_vec()].concat();
        let lying = envelope(&[Written::Bytes(2, lying), text_field(4, "padding")]);
        assert!(matches!(scan(100, [lying.as_slice()]), Err(ScanError::Truncated)));
        // So does the name within the metadata.
        let lying = object(&[Written::Bytes(1, vec![0x0a, 200, 1, b'x'])]);
        assert!(matches!(scan(100, [lying.as_slice()]), Err(ScanError::Truncated)));
    }

    #[test]
    fn no_more_than_the_limit_is_kept_nor_waited_for() {
        let meta = write(&[text_field(1, &"n".repeat(98))]);
        assert_eq!(meta.len(), 100);
        let whole = object(&[Written::Bytes(1, meta)]);
        assert!(scan(100, whole.chunks(7)).is_ok());
        assert!(matches!(scan(99, [&whole[..10]]), Err(ScanError::TooLarge { limit: 99 })));
        let endless = [MAGIC.to_vec(), vec![0x12], varint(u64::MAX), vec![0x0a], varint(u64::MAX)].concat();
        assert!(matches!(scan(100, [endless.as_slice()]), Err(ScanError::TooLarge { .. })));
    }

    #[test]
    fn text_that_is_not_utf8_does_not_hide_the_rest() {
        let entry = write(&[text_field(1, "note"), Written::Bytes(2, vec![b'a', 0xff])]);
        let found = scan(
            100,
            [object(&[Written::Bytes(1, write(&[Written::Bytes(12, entry), text_field(5, "u")]))]).as_slice()],
        );
        let meta = found.unwrap().meta;
        assert_eq!((meta.uid.as_str(), meta.annotations["note"].as_str()), ("u", "a\u{fffd}"));
    }

    #[test]
    fn a_request_that_says_anything_twice_is_refused() {
        let meta = |name| Written::Bytes(1, write(&[text_field(1, name)]));
        let spec = |fields: &[Written]| Written::Bytes(2, write(fields));
        assert_eq!(of_request(&envelope(&[spec(&[meta("a")])])).unwrap().meta.name, "a");
        for twice in [envelope(&[spec(&[meta("a")]), spec(&[])]), envelope(&[spec(&[meta("a"), meta("b")])])] {
            assert!(matches!(of_request(&twice), Err(ScanError::Malformed(_))));
        }
        assert!(matches!(of_request(&envelope(&[spec(&[])])), Err(ScanError::NoMetadata)));
        assert!(matches!(of_request(&envelope(&[])), Err(ScanError::NoMetadata)));
    }

    proptest! {
        #[test]
        fn any_object_is_read_back(
            meta in any_meta(),
            strange in any_fields(),
            shuffle in any::<prop::sample::Index>(),
            size in 1_usize..64,
        ) {
            let strange = |known: &'static [u64]| {
                strange.iter().filter(move |field| match field {
                    Written::Bytes(number, _) => !known.contains(number),
                    _ => true,
                }).cloned()
            };
            // Fields of newer versions may stand anywhere.
            let mut inner = encode(&meta);
            let at = shuffle.index(inner.len() + 1);
            inner.splice(at..at, strange(&[1, 3, 5, 6, 11, 12, 13]));
            let object = strange(&[1]).chain([Written::Bytes(1, write(&inner)), text_field(2, "spec")]).collect::<Vec<_>>();
            let fields = strange(&[1, 2]).chain([Written::Bytes(2, write(&object))]).collect::<Vec<_>>();
            let bytes = envelope(&fields);
            let expected = Found { type_meta: None, meta };
            prop_assert_eq!(&scan(1 << 20, bytes.chunks(size)).unwrap(), &expected);
            prop_assert_eq!(&of_request(&bytes).unwrap(), &expected);
        }

        #[test]
        fn no_input_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), size in 1_usize..9) {
            let bytes = [MAGIC.as_slice(), &[0x12, 40, 0x0a, 30], &bytes].concat();
            let whole = scan(1_000, [bytes.as_slice()]);
            prop_assert_eq!(whole.ok(), scan(1_000, bytes.chunks(size)).ok());
            let _unread = of_request(&bytes);
        }
    }
}
