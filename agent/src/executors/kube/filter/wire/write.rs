//! Messages written, and written again without a field.

use super::{super::scan::ScanError, LARGEST_FIELD, walk::Varint};

/// Appends the beginning of a length-delimited field.
pub(crate) fn put_head(out: &mut Vec<u8>, number: u64, length: u64) {
    put_varint(out, number << 3 | 2);
    put_varint(out, length);
}

/// Appends a length-delimited field.
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_head(out, number, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a number.
pub(crate) fn put_number(out: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(out, number << 3);
    put_varint(out, value);
}

/// Appends the beginning of a field without meaning that has `size` bytes in all, and says how many zeros must follow.
/// Two bytes are the least that a field can have.
///
/// Decoders pass over it: [`FILLER`] is no field of any list, and what is unknown is skipped by its length
/// (`skipGenerated` of `k8s.io/api/core/v1/generated.pb.go`, called from the `default` of every `Unmarshal`). Where no
/// length in its shortest form fits, it is written with one byte more than needed (a varint's last bytes may be zero).
pub(crate) fn put_filler(out: &mut Vec<u8>, size: u64) -> u64 {
    out.push(FILLER << 3 | 2);
    let mut zeros = size.saturating_sub(2);
    // Of the length's own bytes, all but the last.
    let mut more = 0;
    while zeros >= 1 << (7 * (more + 1)) {
        zeros -= 1;
        more += 1;
    }
    for place in 0..more {
        out.push((zeros >> (7 * place) & 0x7f) as u8 | 0x80);
    }
    out.push((zeros >> (7 * more)) as u8);
    zeros
}

/// A message that is complete, less one field. Groups, which Kubernetes has none of, are refused.
///
/// # Errors
/// When the message is malformed.
pub(crate) fn without(message: &[u8], dropped: u64) -> Result<Vec<u8>, ScanError> {
    let mut kept = Vec::with_capacity(message.len());
    let mut rest = message;
    while !rest.is_empty() {
        let field = rest;
        if pass(&mut rest)? != dropped {
            kept.extend_from_slice(field.get(..field.len() - rest.len()).unwrap_or_default());
        }
    }
    Ok(kept)
}

/// Passes over one field, and says its number.
fn pass(rest: &mut &[u8]) -> Result<u64, ScanError> {
    let whole_varint = |rest: &mut &[u8]| Varint::default().read(rest)?.ok_or(ScanError::Truncated);
    let tag = whole_varint(rest)?;
    let length = match tag & 7 {
        0 => whole_varint(rest).map(|_| 0)?,
        1 => 8,
        2 => whole_varint(rest)?,
        5 => 4,
        _ => return Err(ScanError::Malformed("a wire type is unknown")),
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    *rest = rest.split_at_checked(length).ok_or(ScanError::Truncated)?.1;
    let number = tag >> 3;
    if number == 0 || number > LARGEST_FIELD {
        return Err(ScanError::Malformed("a field number is out of range"));
    }
    Ok(number)
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The number of the field without meaning: the largest whose tag has one byte. Lists have the fields 1 and 2.
const FILLER: u8 = 15;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{
            fields,
            tests::{Written, any_fields, varint, write},
        },
        *,
    };

    fn filler(size: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let zeros = put_filler(&mut out, size);
        out.resize(out.len() + usize::try_from(zeros).unwrap(), 0);
        out
    }

    #[test]
    fn filler_has_any_size_that_a_field_can_have() {
        for size in (2..20_000).chain([(1 << 21) + 3, (1 << 21) + 4, (1 << 21) + 5, (1 << 21) + 6]) {
            let bytes = filler(size);
            assert_eq!(bytes.len() as u64, size);
            let mut seen = Vec::new();
            fields(&bytes, |number, zeros| {
                assert!(zeros.iter().all(|byte| *byte == 0));
                seen.push(number);
                Ok(())
            })
            .unwrap();
            assert_eq!(seen, [15], "{size}");
        }
        assert_eq!(filler(2), [0x7a, 0]);
        assert_eq!(filler(129)[..3], [0x7a, 127, 0]);
        assert_eq!(filler(130)[..4], [0x7a, 0xff, 0, 0]);
        assert_eq!(put_filler(&mut Vec::new(), 1 << 50), (1 << 50) - 9);
    }

    #[test]
    fn what_cannot_be_taken_apart_is_refused() {
        for bad in [&[0x00, 0][..], &[0x0b, 0x0c], &[0x0c], &[0x0e]] {
            assert!(matches!(without(bad, 4), Err(ScanError::Malformed(_))), "{bad:x?}");
        }
        for short in [&[0x80][..], &[0x20], &[0x0a, 1], &[0x0d, 0], &[0x09, 0]] {
            assert!(matches!(without(short, 4), Err(ScanError::Truncated)), "{short:x?}");
        }
    }

    proptest! {
        #[test]
        fn all_fields_but_one_are_kept(written in any_fields(), which in 0_usize..6) {
            let number = |field: &Written| match field {
                Written::Varint(number, _) | Written::Fixed64(number, _) | Written::Bytes(number, _)
                | Written::Fixed32(number, _) | Written::Group(number, _) => *number,
            };
            let flat: Vec<_> = written.into_iter().filter(|field| !matches!(field, Written::Group(..))).collect();
            let dropped = flat.get(which).map_or(4, number);
            let expected: Vec<_> = flat.iter().filter(|field| number(field) != dropped).cloned().collect();
            prop_assert_eq!(without(&write(&flat), dropped).unwrap(), write(&expected));
        }

        #[test]
        fn what_is_put_is_what_the_tests_write(number in 1_u64..LARGEST_FIELD, value: u64, bytes: Vec<u8>) {
            let mut out = Vec::new();
            put_number(&mut out, number, value);
            put_bytes(&mut out, number, &bytes);
            put_varint(&mut out, value);
            let expected = write(&[Written::Varint(number, value), Written::Bytes(number, bytes)]);
            prop_assert_eq!(out, [expected, varint(value)].concat());
        }
    }
}
