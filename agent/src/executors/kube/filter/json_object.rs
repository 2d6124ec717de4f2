//! One JSON object that is there as a whole: where in its text a member stands.
//!
//! Where [`super::json_walk`] follows what is still on its way, this finds what is to be read, cut out or replaced, and
//! leaves all else byte for byte as it came.

use super::{
    json_walk::{Member, ObjectWalk, ValueEnd, is_space},
    scan::ScanError,
};

/// A value within a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part<'t> {
    /// Where in the text it begins.
    at: usize,
    /// Its bytes, without the white space around it.
    pub(crate) bytes: &'t [u8],
}

/// The members of an object, in their order: the key as [`Member::Key`] has it, and the value.
#[derive(Debug)]
pub(crate) struct Members<'t> {
    text: &'t [u8],
    rest: &'t [u8],
    walk: ObjectWalk,
    broken: bool,
}

// === impl Part ===

impl Part<'_> {
    /// Whether it is `null`, which Go writes for what there is none of.
    pub(crate) fn is_null(&self) -> bool {
        self.bytes == b"null"
    }

    /// The text that it was found in, with something else in its place.
    pub(crate) fn replaced(&self, text: &[u8], with: &[u8]) -> Vec<u8> {
        let before = text.get(..self.at).unwrap_or_default();
        let behind = text.get(self.at + self.bytes.len()..).unwrap_or_default();
        [before, with, behind].concat()
    }
}

// === impl Members ===

impl<'t> Members<'t> {
    /// The members of the object whose text this is.
    pub(crate) fn of(text: &'t [u8]) -> Self {
        Self { text, rest: text, walk: ObjectWalk::default(), broken: false }
    }

    fn advance(&mut self) -> Result<Option<(Option<String>, Part<'t>)>, ScanError> {
        let mut key = None;
        loop {
            match self.walk.next(&mut self.rest)? {
                Some(Member::Key(found)) => key = found,
                Some(Member::Value { bytes, end: true }) => {
                    let at = self.text.len() - self.rest.len() - bytes.len();
                    return Ok(Some((key, Part { at, bytes })));
                }
                Some(Member::End) if self.rest.iter().all(|byte| is_space(*byte)) => return Ok(None),
                Some(Member::End) => return Err(ScanError::Malformed("there is something behind the object")),
                Some(Member::Value { end: false, .. }) | None => return Err(ScanError::Truncated),
            }
        }
    }
}

impl<'t> Iterator for Members<'t> {
    type Item = Result<(Option<String>, Part<'t>), ScanError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken {
            return None;
        }
        let member = self.advance().transpose();
        self.broken = matches!(member, Some(Err(_)));
        member
    }
}

/// The members of these names, where there are any.
///
/// # Errors
/// When the text is no JSON object, or has one of them twice: decoders differ in which of the two counts.
pub(crate) fn find<'t, const N: usize>(text: &'t [u8], keys: [&str; N]) -> Result<[Option<Part<'t>>; N], ScanError> {
    let mut found = [None; N];
    for member in Members::of(text) {
        let (Some(key), part) = member? else { continue };
        let Some((_, slot)) = keys.iter().zip(&mut found).find(|(wanted, _)| **wanted == key) else { continue };
        if slot.replace(part).is_some() {
            return Err(ScanError::Malformed("a member stands twice"));
        }
    }
    Ok(found)
}

/// The elements of an array. `null` has none.
///
/// # Errors
/// When the text is no JSON array.
pub(crate) fn elements(text: &[u8]) -> Result<Vec<Part<'_>>, ScanError> {
    let mut elements = Vec::new();
    if text == b"null" {
        return Ok(elements);
    }
    let Some((b'[', mut rest)) = text.split_first() else { return Err(NO_ARRAY) };
    if let Some((b']', behind)) = rest.trim_ascii_start().split_first() {
        return if behind.is_empty() { Ok(elements) } else { Err(NO_ARRAY) };
    }
    loop {
        rest = rest.trim_ascii_start();
        let ended = ValueEnd::default().feed(rest)?.ok_or(ScanError::Truncated)?;
        let (bytes, behind) = rest.split_at_checked(ended).ok_or(ScanError::Truncated)?;
        elements.push(Part { at: text.len() - rest.len(), bytes });
        rest = match behind.trim_ascii_start().split_first() {
            Some((b',', behind)) => behind,
            Some((b']', [])) => return Ok(elements),
            Some(_) => return Err(NO_ARRAY),
            None => return Err(ScanError::Truncated),
        };
    }
}

const NO_ARRAY: ScanError = ScanError::Malformed("not a JSON array");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn members_are_found_wherever_they_stand() {
        let text = br#" { "a" : {"b":1} , "b" : [ 2 ] ,"c":null, "d":3 } "#;
        let [b, missing, c, d] = find(text, ["b", "x", "c", "d"]).unwrap();
        assert_eq!(b.unwrap().bytes, b"[ 2 ]");
        assert_eq!(missing, None);
        assert!(c.unwrap().is_null());
        assert!(!d.unwrap().is_null());
        assert_eq!(b.unwrap().replaced(text, b"0"), br#" { "a" : {"b":1} , "b" : 0 ,"c":null, "d":3 } "#);
    }

    #[test]
    fn a_member_that_stands_twice_is_refused_only_where_it_counts() {
        assert!(matches!(find(br#"{"a":1,"\u0061":1}"#, ["a"]), Err(ScanError::Malformed(_))));
        assert!(find(br#"{"a":1,"a":1}"#, ["b"]).is_ok());
    }

    #[test]
    fn what_is_no_object_has_no_members() {
        for text in ["", " ", "{", r#"{"a""#, r#"{"a":"#, r#"{"a":1"#, r#"{"a":[1}"#] {
            assert!(matches!(find(text.as_bytes(), ["a"]), Err(ScanError::Truncated)), "{text}");
        }
        for text in ["null", "[]", "1", "{}x", "{}{}", r#"{"a":}"#, "{1:1}"] {
            assert!(matches!(find(text.as_bytes(), ["a"]), Err(ScanError::Malformed(_))), "{text}");
        }
        let mut broken = Members::of(b"[]");
        assert!(broken.next().is_some_and(|member| member.is_err()));
        assert!(broken.next().is_none());
    }

    #[test]
    fn elements_are_cut_at_their_commas() {
        let all = |text: &'static str| {
            let elements = elements(text.as_bytes())?;
            Ok::<_, ScanError>(elements.iter().map(|part| std::str::from_utf8(part.bytes).unwrap()).collect::<Vec<_>>())
        };
        assert_eq!(all(r#"[{"a":[1,2]} , "x,]" ,3,null]"#).unwrap(), [r#"{"a":[1,2]}"#, r#""x,]""#, "3", "null"]);
        for none in ["[]", "[ ]", "null"] {
            assert!(all(none).unwrap().is_empty(), "{none}");
        }
        for bad in ["", "{}", "[,]", "[1,]", "[1]x", "[]x", "[1 2]", "nul", "[1", "[", "[1,"] {
            assert!(all(bad).is_err(), "{bad}");
        }
        let text = br#"[1, {"a":2} ]"#;
        assert_eq!(elements(text).unwrap()[1].replaced(text, b"x"), b"[1, x ]");
    }

    proptest! {
        #[test]
        fn arrays_are_taken_apart_as_serde_json_does(values in proptest::collection::vec(".{0,9}", 0..6)) {
            let array = Value::from(vec![Value::from(values); 2]).to_string();
            let expected: Vec<Value> = serde_json::from_str(&array).unwrap();
            let found: Vec<Value> =
                elements(array.as_bytes()).unwrap().iter().map(|part| serde_json::from_slice(part.bytes).unwrap()).collect();
            prop_assert_eq!(&found, &expected);
            let inner = expected[0].to_string();
            prop_assert_eq!(elements(inner.as_bytes()).unwrap().len(), expected[0].as_array().unwrap().len());
        }

        #[test]
        fn no_input_makes_it_panic(text in "[\\[\\]{}:,\"\\\\a1 ]{0,24}") {
            let _unread = elements(text.as_bytes());
            let _unread = find(text.as_bytes(), ["a", ""]);
        }
    }
}
