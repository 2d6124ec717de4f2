//! The fields of one message, followed as they arrive.
//!
//! Chunks may be cut anywhere. Nothing is kept but counters, whatever the input. Only length-delimited fields are
//! reported, since all that Kubernetes nests or spells out is one; the others, groups included, are passed over.

use super::{super::scan::ScanError, LARGEST_FIELD};

/// Follows one message field by field.
#[derive(Debug, Default)]
pub(crate) struct MessageWalk {
    state: State,
    /// Groups that are open. Their fields belong to the group, not to the message.
    groups: u64,
}

/// What [`MessageWalk`] came upon.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Field<'c> {
    /// A length-delimited field begins.
    Begin {
        /// Its number.
        number: u64,
        /// How many bytes it has.
        length: u64,
    },
    /// A piece of its bytes.
    Bytes {
        /// The piece, empty only for a field that is.
        bytes: &'c [u8],
        /// Whether the field ends here.
        end: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before or within a tag.
    Tag(Varint),
    /// Within the length of a field.
    Length { number: u64, varint: Varint },
    /// Within a length-delimited field that is reported.
    Bytes { left: u64 },
    /// Within a value that is passed over.
    Skip { left: u64 },
    /// Within a varint that is passed over.
    SkipVarint(Varint),
}

/// A varint that arrives byte by byte.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Varint {
    value: u64,
    shift: u32,
}

// === impl MessageWalk ===

impl MessageWalk {
    /// The next thing in `input`, which is shortened by what was read. `None` when more input is needed.
    ///
    /// # Errors
    /// When the input is no protobuf message.
    pub(crate) fn next<'c>(&mut self, input: &mut &'c [u8]) -> Result<Option<Field<'c>>, ScanError> {
        loop {
            match &mut self.state {
                State::Bytes { left } => {
                    let bytes = split(input, *left);
                    *left -= bytes.len() as u64;
                    let end = *left == 0;
                    if end {
                        self.state = State::default();
                    }
                    return Ok((end || !bytes.is_empty()).then_some(Field::Bytes { bytes, end }));
                }
                State::Skip { left } => {
                    *left -= split(input, *left).len() as u64;
                    if *left > 0 {
                        return Ok(None);
                    }
                    self.state = State::default();
                }
                State::SkipVarint(varint) => match varint.read(input)? {
                    Some(_) => self.state = State::default(),
                    None => return Ok(None),
                },
                State::Tag(varint) => match varint.read(input)? {
                    Some(tag) => self.tag(tag)?,
                    None => return Ok(None),
                },
                State::Length { number, varint } => {
                    let number = *number;
                    let Some(length) = varint.read(input)? else { return Ok(None) };
                    if self.groups == 0 {
                        self.state = State::Bytes { left: length };
                        return Ok(Some(Field::Begin { number, length }));
                    }
                    self.state = State::Skip { left: length };
                }
            }
        }
    }

    /// Says that the message ends here.
    ///
    /// # Errors
    /// When that is within a field.
    pub(crate) fn finish(&self) -> Result<(), ScanError> {
        if self.state == State::default() && self.groups == 0 { Ok(()) } else { Err(ScanError::Truncated) }
    }

    /// `skip…` of what gogo generates accepts the same and no more.
    fn tag(&mut self, tag: u64) -> Result<(), ScanError> {
        let number = tag >> 3;
        if number == 0 || number > LARGEST_FIELD {
            return Err(ScanError::Malformed("a field number is out of range"));
        }
        self.state = match tag & 7 {
            0 => State::SkipVarint(Varint::default()),
            1 => State::Skip { left: 8 },
            2 => State::Length { number, varint: Varint::default() },
            3 => {
                self.groups = self.groups.saturating_add(1);
                State::default()
            }
            4 => {
                self.groups =
                    self.groups.checked_sub(1).ok_or(ScanError::Malformed("a group ends that never began"))?;
                State::default()
            }
            5 => State::Skip { left: 4 },
            _ => return Err(ScanError::Malformed("a wire type is unknown")),
        };
        Ok(())
    }
}

impl Default for State {
    fn default() -> Self {
        Self::Tag(Varint::default())
    }
}

// === impl Varint ===

impl Varint {
    /// Reads on, and says the value once it is complete.
    pub(super) fn read(&mut self, input: &mut &[u8]) -> Result<Option<u64>, ScanError> {
        while let Some((&byte, tail)) = input.split_first() {
            *input = tail;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte holds the topmost bit and nothing else.
            if self.shift > 63 || (self.shift == 63 && bits > 1) {
                return Err(ScanError::Malformed("a varint is too long"));
            }
            self.value |= bits << self.shift;
            if byte & 0x80 == 0 {
                return Ok(Some(self.value));
            }
            self.shift += 7;
        }
        Ok(None)
    }
}

/// Calls `each` with number and bytes of every length-delimited field of a message that is complete.
pub(crate) fn fields<'m>(
    mut message: &'m [u8],
    mut each: impl FnMut(u64, &'m [u8]) -> Result<(), ScanError>,
) -> Result<(), ScanError> {
    let mut walk = MessageWalk::default();
    let mut current = 0;
    while let Some(field) = walk.next(&mut message)? {
        match field {
            Field::Begin { number, .. } => current = number,
            Field::Bytes { bytes, end: true } => each(current, bytes)?,
            Field::Bytes { end: false, .. } => return Err(ScanError::Truncated),
        }
    }
    walk.finish()
}

/// Takes up to `left` bytes off the front.
fn split<'c>(input: &mut &'c [u8], left: u64) -> &'c [u8] {
    let length = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    let (taken, rest) = input.split_at_checked(length).unwrap_or((input, &[]));
    *input = rest;
    taken
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A field as a test writes it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(in super::super::super) enum Written {
        Varint(u64, u64),
        Fixed64(u64, [u8; 8]),
        Bytes(u64, Vec<u8>),
        Group(u64, Vec<Written>),
        Fixed32(u64, [u8; 4]),
    }

    pub(in super::super::super) fn varint(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value > 0x7f {
            bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    pub(in super::super::super) fn write(fields: &[Written]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for field in fields {
            match field {
                Written::Varint(number, value) => bytes.extend([varint(number << 3), varint(*value)].concat()),
                Written::Fixed64(number, value) => {
                    bytes.extend(varint(number << 3 | 1));
                    bytes.extend(value);
                }
                Written::Bytes(number, value) => {
                    bytes.extend([varint(number << 3 | 2), varint(value.len() as u64), value.clone()].concat());
                }
                Written::Group(number, fields) => {
                    bytes.extend([varint(number << 3 | 3), write(fields), varint(number << 3 | 4)].concat());
                }
                Written::Fixed32(number, value) => {
                    bytes.extend(varint(number << 3 | 5));
                    bytes.extend(value);
                }
            }
        }
        bytes
    }

    pub(in super::super::super) fn any_fields() -> impl Strategy<Value = Vec<Written>> {
        let number = || 1_u64..=LARGEST_FIELD;
        let leaf = prop_oneof![
            (number(), any::<u64>()).prop_map(|(number, value)| Written::Varint(number, value)),
            (number(), any::<[u8; 8]>()).prop_map(|(number, value)| Written::Fixed64(number, value)),
            (number(), proptest::collection::vec(any::<u8>(), 0..20)).prop_map(|(n, value)| Written::Bytes(n, value)),
            (number(), any::<[u8; 4]>()).prop_map(|(number, value)| Written::Fixed32(number, value)),
        ];
        let field = leaf.prop_recursive(3, 12, 4, move |inner| {
            (number(), proptest::collection::vec(inner, 0..4))
                .prop_map(|(number, fields)| Written::Group(number, fields))
        });
        proptest::collection::vec(field, 0..6)
    }

    /// All length-delimited fields, their bytes put together.
    fn read<'c>(chunks: impl IntoIterator<Item = &'c [u8]>) -> Result<Vec<(u64, Vec<u8>)>, ScanError> {
        let mut walk = MessageWalk::default();
        let mut fields: Vec<(u64, Vec<u8>)> = Vec::new();
        for mut chunk in chunks {
            while let Some(field) = walk.next(&mut chunk)? {
                match field {
                    Field::Begin { number, .. } => fields.push((number, Vec::new())),
                    Field::Bytes { bytes, .. } => fields.last_mut().unwrap().1.extend_from_slice(bytes),
                }
            }
        }
        walk.finish().map(|()| fields)
    }

    #[test]
    fn what_is_no_message_is_malformed() {
        let too_long = [[0xff; 10].as_slice(), &[0]].concat();
        for bad in [
            &[0x00][..],
            &[0x07],
            &[0x0e],
            &[0x0c],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
            &too_long,
        ] {
            assert!(matches!(read([bad]), Err(ScanError::Malformed(_))), "{bad:x?}");
        }
        for short in [&[0x08][..], &[0x80], &[0x12, 2, 0], &[0x09, 0], &[0x0d], &[0x0b], &[0x0b, 0x12, 1]] {
            assert!(matches!(read([short]), Err(ScanError::Truncated)), "{short:x?}");
        }
    }

    #[test]
    fn a_length_that_nobody_can_send_holds_nothing() {
        let endless = [&[0x12][..], &varint(u64::MAX), &[1, 2, 3]].concat();
        assert!(matches!(read([endless.as_slice()]), Err(ScanError::Truncated)));
        let mut walk = MessageWalk::default();
        let mut input = endless.as_slice();
        assert_eq!(walk.next(&mut input).unwrap(), Some(Field::Begin { number: 2, length: u64::MAX }));
    }

    #[test]
    fn groups_may_nest_without_end() {
        let deep = 1_000_000;
        let message = [vec![0x0b; deep], vec![0x0c; deep], vec![0x12, 1, 7]].concat();
        assert_eq!(read(message.chunks(4_099)).unwrap(), [(2, vec![7])]);
    }

    proptest! {
        #[test]
        fn fields_are_found_under_any_cut(written in any_fields(), size in 1_usize..40) {
            let message = write(&written);
            let expected: Vec<_> = written
                .into_iter()
                .filter_map(|field| match field {
                    Written::Bytes(number, value) => Some((number, value)),
                    _ => None,
                })
                .collect();
            prop_assert_eq!(&read([message.as_slice()]).unwrap(), &expected);
            prop_assert_eq!(&read(message.chunks(size)).unwrap(), &expected);
        }

        #[test]
        fn no_input_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100), size in 1_usize..20) {
            let whole = read([bytes.as_slice()]);
            prop_assert_eq!(whole.ok(), read(bytes.chunks(size)).ok());
        }
    }
}
