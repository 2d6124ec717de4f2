//! Messages that are there as a whole, and their fields.
//!
//! A group is a field of its own kind, whatever is in it. What a field that no reader knows holds is of no interest.

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'m> {
    Bytes(&'m [u8]),
    /// Anything else, as it stands.
    Other(&'m [u8]),
}

/// A field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field<'m> {
    pub(super) number: u64,
    pub(super) value: Value<'m>,
}

/// What has not been read of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'m> {
    pub(super) rest: &'m [u8],
}

// === impl Field ===

impl<'m> From<Field<'m>> for (u64, Value<'m>) {
    fn from(field: Field<'m>) -> Self {
        (field.number, field.value)
    }
}

// === impl Message ===

impl<'m> Message<'m> {
    pub(super) fn new(message: &'m [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field, if it is complete.
    pub(super) fn field(&mut self) -> Option<Field<'m>> {
        let mut input = *self;
        let (number, wire) = input.tag()?;
        let value = match wire {
            2 => Value::Bytes(input.bytes()?),
            wire => {
                let before = input.rest;
                input.other(wire)?;
                Value::Other(before.get(..before.len() - input.rest.len())?)
            }
        };
        *self = input;
        Some(Field { number, value })
    }

    /// Number and wire type of a field.
    pub(super) fn tag(&mut self) -> Option<(u64, u64)> {
        let tag = self.varint()?;
        let number = tag >> 3;
        (number != 0 && number < 1 << 29).then_some((number, tag & 7))
    }

    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u128;
        for shift in (0..).step_by(7).take(10) {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u128::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u64::try_from(value).ok();
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'m [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        self.take(length)
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'m [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    /// Passes over what is not length-delimited. Depth is counted, so that no input overflows the stack.
    fn other(&mut self, wire: u64) -> Option<()> {
        let (mut wire, mut groups) = (wire, 0_usize);
        loop {
            match wire {
                0 => drop(self.varint()?),
                1 => drop(self.take(8)?),
                2 => drop(self.bytes()?),
                3 => groups += 1,
                4 => groups = groups.checked_sub(1)?,
                5 => drop(self.take(4)?),
                _ => return None,
            }
            if groups == 0 {
                return Some(());
            }
            wire = self.tag()?.1;
        }
    }
}

/// All fields of a message, if it is one.
pub(super) fn fields(message: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut message = Message::new(message);
    let mut fields = Vec::new();
    while !message.rest.is_empty() {
        fields.push(message.field()?);
    }
    Some(fields)
}

/// The bytes of all fields of a number.
pub(super) fn all<'f, 'm>(fields: &'f [Field<'m>], number: u64) -> impl Iterator<Item = &'m [u8]> + use<'f, 'm> {
    fields.iter().filter(move |field| field.number == number).filter_map(|field| match field.value {
        Value::Bytes(bytes) => Some(bytes),
        Value::Other(_) => None,
    })
}

/// The bytes of the only field of a number; nothing within where there is none, nothing at all where there are two.
pub(super) fn only<'m>(fields: &[Field<'m>], number: u64) -> Option<Option<&'m [u8]>> {
    let mut found = all(fields, number);
    let first = found.next();
    found.next().is_none().then_some(first)
}

/// A length-delimited field, as it is written.
pub(super) fn bytes_field(number: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// A varint, as it is written.
pub(super) fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push((value & 0x7f) as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let group = [0x1b, 0x12, 1, 9, 0x23, 0x24, 0x1c];
        let message = [&bytes_field(2, b"abc")[..], &[0x08, 0xac, 2], &group, &bytes_field(2, b"")].concat();
        let found = fields(&message).unwrap();
        assert_eq!(all(&found, 2).collect::<Vec<_>>(), [&b"abc"[..], b""]);
        assert_eq!(found[1], Field { number: 1, value: Value::Other(&[0xac, 2]) });
        assert_eq!(found[2].number, 3);
        assert_eq!(only(&found, 2), None);
        assert_eq!(only(&found, 1), Some(None));
        for bad in [&[0x00][..], &[0x0a, 2, 0], &[0x0c], &[0x0b], &[0x0e], &[0x08, 0xff]] {
            assert_eq!(fields(bad), None, "{bad:x?}");
        }
    }

    #[test]
    fn a_varint_has_64_bits() {
        assert_eq!(Message::new(&varint(u64::MAX)).varint(), Some(u64::MAX));
        assert_eq!(Message::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).varint(), None);
        assert_eq!(Message::new(&[0x81, 0x80, 0]).varint(), Some(1));
    }
}
