//! A JSON array followed as it arrives, up to each of its elements.

use crate::executors::kube::filter::{json_walk::is_space, scan::ScanError};

/// Follows one JSON array whose elements someone else reads. `null` is an empty one, as Go writes it.
#[derive(Debug, Default)]
pub(super) struct ArrayWalk {
    state: ArrayState,
}

/// What [`ArrayWalk`] came upon.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Element {
    /// An element is next, perhaps behind white space. It is to be read to its end.
    Next,
    /// The array is over. What follows is none of it.
    End,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ArrayState {
    #[default]
    Before,
    /// Within `null`, of which this is still to come.
    Null(&'static [u8]),
    /// Behind the opening bracket: an element or the end.
    First,
    /// Behind an element: a comma or the end.
    Behind,
    Over,
}

// === impl ArrayWalk ===

impl ArrayWalk {
    /// The next thing in `input`, which is shortened by what was read: brackets, white space, and as the last thing
    /// before any element but the first a comma. `None` when more input is needed.
    ///
    /// # Errors
    /// When the input is no JSON array.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Element>, ScanError> {
        while let Some((&byte, tail)) = input.split_first() {
            self.state = match (self.state, byte) {
                (ArrayState::Before | ArrayState::First | ArrayState::Behind, byte) if is_space(byte) => self.state,
                (ArrayState::Before, b'[') => ArrayState::First,
                (ArrayState::Before, b'n') => ArrayState::Null(b"ull"),
                (ArrayState::Null([expected, left @ ..]), byte) if *expected == byte => match left {
                    [] => ArrayState::Over,
                    _ => ArrayState::Null(left),
                },
                (ArrayState::First | ArrayState::Behind, b']') => ArrayState::Over,
                (ArrayState::Behind, b',') => {
                    *input = tail;
                    return Ok(Some(Element::Next));
                }
                (ArrayState::First, _) => {
                    self.state = ArrayState::Behind;
                    return Ok(Some(Element::Next));
                }
                _ => return Err(ScanError::Malformed("not a JSON array")),
            };
            *input = tail;
            if self.state == ArrayState::Over {
                return Ok(Some(Element::End));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many elements there are, if each is the letter `e`.
    fn elements<'c>(chunks: impl IntoIterator<Item = &'c [u8]>) -> Result<usize, ScanError> {
        let mut walk = ArrayWalk::default();
        let mut elements = 0;
        let mut within = false;
        for mut chunk in chunks {
            while !chunk.is_empty() {
                if within {
                    chunk = chunk.trim_ascii_start();
                    within = chunk.is_empty();
                    chunk = chunk.strip_prefix(b"e").unwrap_or_default();
                    continue;
                }
                match walk.next(&mut chunk)? {
                    Some(Element::Next) => (elements, within) = (elements + 1, true),
                    Some(Element::End) => return Ok(elements),
                    None => {}
                }
            }
        }
        Err(ScanError::Truncated)
    }

    #[test]
    fn elements_are_found_under_any_cut() {
        let arrays = [("[]", 0), (" [ ]", 0), ("null", 0), ("[e]", 1), (" [ e , e,e ,\n e ]x", 4)];
        for (text, expected) in arrays {
            assert_eq!(elements([text.as_bytes()]).unwrap(), expected, "{text}");
            assert_eq!(elements(text.as_bytes().chunks(1)).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_array_is_malformed() {
        for bad in ["{", "1", "nil", "[e e]", "[e[", "]"] {
            assert!(matches!(elements([bad.as_bytes()]), Err(ScanError::Malformed(_))), "{bad}");
        }
    }
}
