//! The name of an object that is never given twice.

use std::fmt;

/// An object's UID, as small as can be: a filter keeps one for every object that a watch shows.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Uid(Repr);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    /// A UUID in the spelling of the API server, which is what it gives to what it stores.
    Uuid([u8; 16]),
    /// Whatever else an aggregated API server may call its objects.
    Other(Box<str>),
}

// === impl Uid ===

impl Uid {
    /// Reads a UID. `None` where there is none: an empty one names nothing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        Some(Self(uuid(text).map_or_else(|| Repr::Other(text.into()), Repr::Uuid)))
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Uuid(bytes) => {
                for (at, byte) in bytes.iter().enumerate() {
                    let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
                    write!(f, "{dash}{byte:02x}")?;
                }
                Ok(())
            }
            Repr::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The bytes of a UUID in lower case with its dashes where they belong. Any other spelling is another name.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let dashed = |at| matches!(at, 8 | 13 | 18 | 23);
    if text.len() != 36 || text.bytes().enumerate().any(|(at, byte)| (byte == b'-') != dashed(at)) {
        return None;
    }
    let mut digits = text.bytes().filter(|byte| *byte != b'-');
    let mut bytes = [0; 16];
    for byte in &mut bytes {
        *byte = digit(digits.next()?)? << 4 | digit(digits.next()?)?;
    }
    Some(bytes)
}

fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_a_name_of_its_own_and_is_told_as_it_came() {
        let uuid = "0d3c5a1e-9f00-4b7c-8a11-00ff7e65d4c3";
        for text in [uuid, &uuid.to_uppercase(), &uuid.replace('-', ""), &format!("{uuid}0"), "x", "--", "ä"] {
            assert_eq!(Uid::parse(text).unwrap().to_string(), text);
        }
        assert_ne!(Uid::parse(uuid), Uid::parse(&uuid.to_uppercase()));
        assert_eq!(Uid::parse(""), None);
        assert!(matches!(Uid::parse(uuid), Some(Uid(Repr::Uuid(_)))));
        assert!(size_of::<Uid>() <= 24);
    }
}
