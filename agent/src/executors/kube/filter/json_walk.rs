//! JSON followed as it arrives: where a value ends, and what the members of one object are.
//!
//! Chunks may be cut anywhere. Nothing is kept but a depth, a state and the current key, whatever the input, and each
//! byte is looked at once. What is passed over is not validated: that is for the client to whom it is handed on.

use super::{json_nesting::Nesting, scan::ScanError};

/// Follows one JSON value to its end.
#[derive(Debug, Default)]
pub(crate) struct ValueEnd {
    state: ValueState,
    nesting: Nesting,
}

/// Follows one JSON object member by member.
#[derive(Debug, Default)]
pub(crate) struct ObjectWalk {
    state: ObjectState,
    /// The current key as it stands in the text, without its quotes.
    key: Vec<u8>,
    value: ValueEnd,
}

/// What [`ObjectWalk`] came upon.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Member<'c> {
    /// A member's value is next. The key is decoded; one that is too long to be one of Kubernetes' own is left out.
    Key(Option<String>),
    /// A piece of the member's value, without the white space before it.
    Value {
        /// The piece. The last one may be empty.
        bytes: &'c [u8],
        /// Whether the value ends here.
        end: bool,
    },
    /// The object is over. What follows is none of it.
    End,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ValueState {
    /// Before the value's first byte.
    #[default]
    Before,
    /// Within an object, an array or a string.
    Nested,
    /// Within a number, `true`, `false` or `null` that is the whole value.
    Scalar,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ObjectState {
    #[default]
    Before,
    /// Behind the opening brace: a key or the end.
    First,
    Key,
    /// Behind a backslash within a key.
    KeyEscape,
    Colon,
    Value,
    /// Behind a value: a comma or the end.
    Behind,
    /// Behind a comma: a key.
    Next,
    Over,
}

// === impl ValueEnd ===

impl ValueEnd {
    /// Looks through a chunk. `Some(n)` when the value ended with the chunk's first `n` bytes; a number ends only where
    /// something else begins, so `n` may be zero.
    ///
    /// # Errors
    /// When what begins here is no value, or where it ends could be read in two ways.
    pub(crate) fn feed(&mut self, chunk: &[u8]) -> Result<Option<usize>, ScanError> {
        let mut rest = chunk;
        if self.state == ValueState::Before {
            let spaces = rest.iter().take_while(|byte| is_space(**byte)).count();
            rest = rest.get(spaces..).unwrap_or_default();
            self.state = match rest.first() {
                None => ValueState::Before,
                Some(b'"' | b'{' | b'[') => ValueState::Nested,
                Some(byte) if is_scalar(*byte) => ValueState::Scalar,
                Some(_) => return Err(ScanError::Malformed("a value was expected")),
            };
        }
        let end = match self.state {
            ValueState::Before => None,
            ValueState::Nested => self.nesting.end(rest),
            ValueState::Scalar => rest.iter().position(|byte| !is_scalar(*byte)),
        };
        if !self.nesting.is_sound() {
            return Err(ScanError::Malformed("a backslash stands outside of any string"));
        }
        Ok(end.map(|end| chunk.len() - rest.len() + end))
    }
}

// === impl ObjectWalk ===

impl ObjectWalk {
    /// The next thing in `input`, which is shortened by what was read. `None` when more input is needed.
    ///
    /// # Errors
    /// When the input is no JSON object.
    pub(crate) fn next<'c>(&mut self, input: &mut &'c [u8]) -> Result<Option<Member<'c>>, ScanError> {
        loop {
            if self.state == ObjectState::Over {
                return Ok(Some(Member::End));
            }
            let Some((&byte, tail)) = input.split_first() else { return Ok(None) };
            if self.state == ObjectState::Value && !(self.value.state == ValueState::Before && is_space(byte)) {
                return self.value(input).map(Some);
            }
            *input = tail;
            match (self.state, byte) {
                (ObjectState::Key, b'"') => self.state = ObjectState::Colon,
                (ObjectState::Key | ObjectState::KeyEscape, _) => {
                    let escape = self.state == ObjectState::Key && byte == b'\\';
                    self.state = if escape { ObjectState::KeyEscape } else { ObjectState::Key };
                    if self.key.len() <= LONGEST_KEY {
                        self.key.push(byte);
                    }
                }
                (_, byte) if is_space(byte) => {}
                (ObjectState::Before, b'{') => self.state = ObjectState::First,
                (ObjectState::First | ObjectState::Next, b'"') => self.state = ObjectState::Key,
                (ObjectState::Colon, b':') => {
                    self.state = ObjectState::Value;
                    return self.take_key().map(|key| Some(Member::Key(key)));
                }
                (ObjectState::Behind, b',') => self.state = ObjectState::Next,
                (ObjectState::First | ObjectState::Behind, b'}') => self.state = ObjectState::Over,
                _ => return Err(ScanError::Malformed("not a JSON object")),
            }
        }
    }

    /// Says that the value which was next has been read by other means, to its end.
    pub(super) fn value_was_read(&mut self) {
        self.state = ObjectState::Behind;
    }

    /// Whether anything but white space has been read.
    pub(crate) fn has_begun(&self) -> bool {
        self.state != ObjectState::Before
    }

    fn value<'c>(&mut self, input: &mut &'c [u8]) -> Result<Member<'c>, ScanError> {
        let ended = self.value.feed(input)?;
        let (bytes, rest) = input.split_at_checked(ended.unwrap_or(input.len())).unwrap_or((input, &[]));
        *input = rest;
        if ended.is_some() {
            self.value = ValueEnd::default();
            self.state = ObjectState::Behind;
        }
        Ok(Member::Value { bytes, end: ended.is_some() })
    }

    fn take_key(&mut self) -> Result<Option<String>, ScanError> {
        let raw = std::mem::take(&mut self.key);
        if raw.len() > LONGEST_KEY {
            return Ok(None);
        }
        let key = if raw.contains(&b'\\') {
            serde_json::from_slice(&[b"\"", raw.as_slice(), b"\""].concat()).ok()
        } else {
            String::from_utf8(raw).ok()
        };
        key.map(Some).ok_or(ScanError::Malformed("a key is not text"))
    }
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// What numbers, `true`, `false` and `null` are made of.
fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// Bytes of a key that are kept. The longest key that anyone looks for, `remainingItemCount`, has 18 characters, and
/// each takes six bytes when it is escaped.
const LONGEST_KEY: usize = 108;

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    type Members = Vec<(Option<String>, Vec<u8>)>;

    /// All members, their values put together.
    fn members<'c>(chunks: impl IntoIterator<Item = &'c [u8]>) -> Result<Members, ScanError> {
        let mut walk = ObjectWalk::default();
        let mut members = Vec::new();
        for mut chunk in chunks {
            while let Some(member) = walk.next(&mut chunk)? {
                match member {
                    Member::Key(key) => members.push((key, Vec::new())),
                    Member::Value { bytes, .. } => members.last_mut().unwrap().1.extend_from_slice(bytes),
                    Member::End => return Ok(members),
                }
            }
        }
        Err(ScanError::Truncated)
    }

    fn of(text: &str) -> Result<Members, ScanError> {
        members([text.as_bytes()])
    }

    #[test]
    fn members_come_with_their_values_untouched() {
        let text = r#" { "a" : 1.5e-3 , "b":"x\"}" ,"c":{"d":[1,"]"]},"e":[ ] , "f" : null}rest"#;
        let expected = [("a", "1.5e-3"), ("b", r#""x\"}""#), ("c", r#"{"d":[1,"]"]}"#), ("e", "[ ]"), ("f", "null")];
        let expected: Vec<_> =
            expected.iter().map(|(key, value)| (Some((*key).to_owned()), value.as_bytes().to_vec())).collect();
        assert_eq!(of(text).unwrap(), expected);
        let bytes = text.as_bytes();
        assert_eq!(members(bytes.chunks(1)).unwrap(), expected);
        for cut in 0..bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(members([head, tail]).unwrap(), expected, "cut at {cut}");
        }
    }

    #[test]
    fn keys_are_decoded_and_long_ones_left_out() {
        let text = format!(r#"{{"met\u0061data":1,"{}":2,"\"\\":3,"":4}}"#, "k".repeat(1_000_000));
        let keys: Vec<_> = of(&text).unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [Some("metadata".to_owned()), None, Some("\"\\".to_owned()), Some(String::new())]);
    }

    #[test]
    fn what_is_no_object_is_malformed() {
        for bad in [
            "[]",
            "1",
            "{\"a\":[1\\]}",
            "{\"a\":{\\\"b\":1}}",
            "{,}",
            "{1:2}",
            "{\"a\" 1}",
            "{\"a\":}",
            "{\"a\":1 2}",
            "{\"a\":1,}",
            "{\"\\x\":1}",
        ] {
            assert!(matches!(of(bad), Err(ScanError::Malformed(_))), "{bad}: {:?}", of(bad));
        }
        for short in ["", " ", "{", "{\"a", "{\"a\":", "{\"a\":[1", "{\"a\":1", "{\"a\":\"\\"] {
            assert!(matches!(of(short), Err(ScanError::Truncated)), "{short}");
        }
    }

    #[test]
    fn depth_costs_nothing() {
        let deep = 1_000_000;
        let text = format!(r#"{{"a":{}{},"b":0}}"#, "[{\"x\":".repeat(deep), "}]".repeat(deep));
        let found = members(text.as_bytes().chunks(4_099)).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].1.len(), 8 * deep);
    }

    proptest! {
        #[test]
        fn values_end_where_serde_json_says(value in any_json(), cuts in proptest::collection::vec(0_usize..400, 0..6)) {
            let value = value.to_string();
            let text = format!("{{\"v\":{value},\"w\":0}}");
            let mut chunks = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts {
                let (head, tail) = rest.split_at(cut.min(rest.len()));
                chunks.push(head);
                rest = tail;
            }
            chunks.push(rest);
            let found = members(chunks).unwrap();
            prop_assert_eq!(&found[0].1, value.as_bytes());
            prop_assert_eq!(&found[1].1, b"0");
        }

        #[test]
        fn no_input_makes_it_panic(chunks in proptest::collection::vec("[\\[\\]{}:,\"\\\\a1 ]{0,20}", 0..8)) {
            let _unread = members(chunks.iter().map(String::as_bytes));
        }
    }

    pub(in super::super) fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            "\\PC*".prop_map(serde_json::Value::from),
            "[\"\\\\{}\\[\\],:]*".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
                proptest::collection::btree_map("\\PC{0,6}", inner, 0..5)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
