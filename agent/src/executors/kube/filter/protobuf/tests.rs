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
    let found =
        scan(100, [object(&[Written::Bytes(1, write(&[Written::Bytes(12, entry), text_field(5, "u")]))]).as_slice()]);
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
