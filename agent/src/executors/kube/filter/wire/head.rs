//! Messages in which nothing but length-delimited fields may stand.
//!
//! What is passed on field by field must be known field by field: a message in which anything else stands is refused,
//! where [`MessageWalk`](super::MessageWalk) passes over it.

use super::{super::scan::ScanError, LARGEST_FIELD, walk::Varint};

/// Reads the beginnings of fields. What follows one is the caller's to take.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldHeads {
    /// The number, once the tag is read.
    number: Option<u64>,
    varint: Varint,
}

/// The beginning of a length-delimited field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// The field's number.
    pub(crate) number: u64,
    /// How many bytes it has. As many as an `int64` can say at most, so that two of them can be added.
    pub(crate) length: u64,
}

// === impl FieldHeads ===

impl FieldHeads {
    /// The next beginning in `input`, which is shortened by what was read. `None` when more input is needed.
    ///
    /// # Errors
    /// When what begins is no length-delimited field.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Head>, ScanError> {
        loop {
            let Some(value) = self.varint.read(input)? else { return Ok(None) };
            self.varint = Varint::default();
            match self.number.take() {
                None => self.number = Some(field_number(value)?),
                // What gogo generates refuses the same: `length < 0`.
                Some(_) if value > LONGEST => return Err(ScanError::Malformed("a length is out of range")),
                Some(number) => return Ok(Some(Head { number, length: value })),
            }
        }
    }

    /// Whether nothing has been read of what comes next.
    pub(crate) fn is_between(&self) -> bool {
        *self == Self::default()
    }
}

fn field_number(tag: u64) -> Result<u64, ScanError> {
    let number = tag >> 3;
    // Go cuts a field number to 32 bits, and would take a larger one for another.
    if number == 0 || number > LARGEST_FIELD {
        return Err(ScanError::Malformed("a field number is out of range"));
    }
    if tag & 7 != 2 {
        return Err(ScanError::Malformed("a field is neither text nor message"));
    }
    Ok(number)
}

/// Calls `each` with the fields of a message that is complete.
///
/// # Errors
/// Those of `each`, and when anything but length-delimited fields stands in it.
pub(crate) fn bytes_fields<'m>(
    mut message: &'m [u8],
    mut each: impl FnMut(Head, &'m [u8]) -> Result<(), ScanError>,
) -> Result<(), ScanError> {
    let mut heads = FieldHeads::default();
    while let Some(head) = heads.next(&mut message)? {
        let length = usize::try_from(head.length).unwrap_or(usize::MAX);
        let (bytes, rest) = message.split_at_checked(length).ok_or(ScanError::Truncated)?;
        message = rest;
        each(head, bytes)?;
    }
    if heads.is_between() { Ok(()) } else { Err(ScanError::Truncated) }
}

/// The fields 1 to `N` of a message that is complete, in which nothing else stands and nothing twice.
///
/// # Errors
/// When anything else does.
pub(crate) fn parts<const N: usize>(message: &[u8]) -> Result<[Option<&[u8]>; N], ScanError> {
    let mut parts = [None; N];
    bytes_fields(message, |head, bytes| {
        let place = usize::try_from(head.number).ok().and_then(|number| parts.get_mut(number.checked_sub(1)?));
        match place.ok_or(ScanError::Malformed("a field is unknown"))?.replace(bytes) {
            None => Ok(()),
            Some(_) => Err(ScanError::Malformed("a field stands twice")),
        }
    })?;
    Ok(parts)
}

const LONGEST: u64 = i64::MAX as u64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::tests::{Written, any_fields, varint, write},
        *,
    };

    #[test]
    fn parts_are_told_apart_and_nothing_else_is_one() {
        let bytes = |number, text: &str| Written::Bytes(number, text.as_bytes().to_vec());
        let of =
            |fields: &[Written]| parts::<2>(&write(fields)).map(|parts| parts.map(|part| part.map(<[u8]>::to_vec)));
        assert_eq!(of(&[]).unwrap(), [None, None]);
        assert_eq!(of(&[bytes(2, "b"), bytes(1, "")]).unwrap(), [Some(vec![]), Some(b"b".to_vec())]);
        for bad in [
            vec![bytes(3, "x")],
            vec![bytes(1, "x"), bytes(1, "x")],
            vec![Written::Varint(1, 1)],
            vec![Written::Fixed32(2, [0; 4])],
            vec![Written::Fixed64(9, [0; 8])],
            vec![Written::Group(1, vec![])],
        ] {
            assert!(matches!(of(&bad), Err(ScanError::Malformed(_))), "{bad:?}");
        }
    }

    #[test]
    fn numbers_and_lengths_out_of_range_are_malformed() {
        // Cut to 32 bits, this number is 2.
        let wide = [varint(((1 << 35) | 2) << 3 | 2), vec![0]].concat();
        let long = [vec![0x0a], varint(1 << 63)].concat();
        for bad in [&wide[..], &long, &[0x02, 0]] {
            assert!(matches!(parts::<2>(bad), Err(ScanError::Malformed(_))), "{bad:x?}");
        }
        let longest = [vec![0x0a], varint((1 << 63) - 1)].concat();
        for short in [&longest[..], &[0x0a], &[0x8a], &[0x0a, 0x80], &[0x0a, 2, 0]] {
            assert!(matches!(parts::<2>(short), Err(ScanError::Truncated)), "{short:x?}");
        }
    }

    proptest! {
        #[test]
        fn only_length_delimited_fields_are_read(written in any_fields()) {
            let message = write(&written);
            let mut read = Vec::new();
            let answer = bytes_fields(&message, |head, bytes| {
                read.push(Written::Bytes(head.number, bytes.to_vec()));
                Ok(())
            });
            let plain = written.iter().all(|field| matches!(field, Written::Bytes(..)));
            prop_assert_eq!(answer.is_ok(), plain);
            prop_assert!(!plain || read == written);
        }
    }
}
