//! Protobuf as tests read it: the fields of a message that is whole, in order.

use bytes::{Buf, Bytes};

/// A field's value. Kubernetes has no others in what tests look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u64),
    /// A text, bytes or a message.
    Bytes(Bytes),
}

/// The fields of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message(Vec<(u64, Value)>);

/// What is in Kubernetes' envelope: `k8s\0` and a `runtime.Unknown`.
///
/// # Panics
/// When it is not in one.
#[must_use]
pub fn open(mut envelope: Bytes) -> (String, Message) {
    assert!(envelope.starts_with(b"k8s\0"), "no envelope: {:?}", envelope.slice(..envelope.len().min(64)));
    envelope.advance(4);
    let unknown = Message::read(envelope);
    let kind = unknown.message(1).text(2);
    (kind, unknown.message(2))
}

// === impl Message ===

impl Message {
    /// Reads a whole message.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn read(mut bytes: Bytes) -> Self {
        let mut fields = Vec::new();
        while bytes.has_remaining() {
            let key = varint(&mut bytes);
            let value = match key & 7 {
                0 => Value::Number(varint(&mut bytes)),
                1 => Value::Number(take(&mut bytes, 8).get_u64_le()),
                2 => {
                    let length = usize::try_from(varint(&mut bytes)).expect("a length");
                    Value::Bytes(take(&mut bytes, length))
                }
                5 => Value::Number(take(&mut bytes, 4).get_u32_le().into()),
                wire_type => panic!("wire type {wire_type} of field {}", key >> 3),
            };
            fields.push((key >> 3, value));
        }
        Self(fields)
    }

    /// Every value of a repeated field.
    pub fn all(&self, number: u64) -> impl Iterator<Item = Bytes> {
        self.0.iter().filter(move |(found, _)| *found == number).filter_map(|(_, value)| match value {
            Value::Bytes(bytes) => Some(bytes.clone()),
            Value::Number(_) => None,
        })
    }

    /// The message in a field, empty if it is not there.
    #[must_use]
    pub fn message(&self, number: u64) -> Self {
        Self::read(self.all(number).last().unwrap_or_default())
    }

    /// The text in a field, empty if it is not there.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn text(&self, number: u64) -> String {
        let bytes = self.all(number).last().unwrap_or_default();
        String::from_utf8(bytes.into()).expect("text")
    }

    /// The number in a field.
    #[must_use]
    pub fn number(&self, number: u64) -> Option<u64> {
        self.0.iter().rev().filter(|(found, _)| *found == number).find_map(|(_, value)| match value {
            Value::Number(number) => Some(*number),
            Value::Bytes(_) => None,
        })
    }
}

/// The next so many bytes.
///
/// # Panics
/// When there are fewer.
pub fn take(bytes: &mut Bytes, count: usize) -> Bytes {
    // Said here, in the tests' own code: a panic in any other ends the run.
    assert!(count <= bytes.len(), "{count} bytes of {}", bytes.len());
    bytes.split_to(count)
}

fn varint(bytes: &mut Bytes) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
    }
    panic!("a number that does not end")
}
