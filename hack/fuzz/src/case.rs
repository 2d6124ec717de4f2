//! What the bytes of an input mean: two for how, the others for what.
//!
//! Both are printable where nothing unusual is wanted, so that a corpus of JSON can be read and written by hand: `@ ` is
//! an answer as it stands, of objects, in one piece.

use agent::executors::kube::fuzz::{Items, Limits, Rows};

use crate::source::Source;

/// An input, taken apart.
#[derive(Debug)]
pub(crate) struct Case<'i> {
    pub(crate) items: Items,
    pub(crate) rows: Rows,
    pub(crate) limits: Limits,
    /// Whether an answer that is right is within the limits, however it is cut.
    pub(crate) roomy: bool,
    pub(crate) content: Content<'i>,
    cuts: u8,
}

/// Where the answer comes from.
#[derive(Debug)]
pub(crate) enum Content<'i> {
    /// It is what the input says, whatever that is.
    Raw(&'i [u8]),
    /// It is to be made, and right.
    Choices(Source<'i>),
}

// === impl Case ===

impl<'i> Case<'i> {
    /// Nothing where there is not even a beginning.
    pub(crate) fn of(input: &'i [u8]) -> Option<Self> {
        let (&[how, cuts], rest) = input.split_first_chunk::<2>()?;
        let small = how & 0x20 != 0;
        Some(Self {
            items: match how & 3 {
                0 | 1 => Items::Objects,
                2 => Items::CoreEvents,
                _ => Items::Events,
            },
            rows: match how >> 2 & 3 {
                0 | 1 => Rows::AsTheyCame,
                2 => Rows::Metadata,
                _ => Rows::Nothing,
            },
            limits: Limits { item: if small { 200 } else { 1 << 20 }, hold: if small { 100 } else { 1 << 20 } },
            roomy: !small,
            content: if how & 0x10 == 0 { Content::Raw(rest) } else { Content::Choices(Source::new(rest)) },
            cuts,
        })
    }

    /// The answer as it arrives.
    pub(crate) fn chunks<'a>(&self, answer: &'a [u8]) -> Vec<&'a [u8]> {
        chunks(self.cuts, answer)
    }
}

/// Bytes as they arrive. Where they are cut depends on nothing but the input.
pub(crate) fn chunks(cuts: u8, answer: &[u8]) -> Vec<&[u8]> {
    match cuts {
        b' ' => vec![answer],
        b'!' => answer.chunks(1).collect(),
        seed => {
            let mut state = u32::from(seed);
            let mut rest = answer;
            let mut chunks = Vec::new();
            while !rest.is_empty() {
                // Numerical Recipes' generator: its upper bits are good enough for places to cut.
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let most = if state & 0x1000_0000 == 0 { 64 } else { 6 };
                let length = (state >> 16) as usize % most;
                let (chunk, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                // An empty chunk is one, too.
                chunks.push(chunk);
                rest = behind;
            }
            chunks
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_the_answer_in_pieces() {
        let answer: Vec<u8> = (0..=255).collect();
        for cuts in 0..=255 {
            let input = [b'@', cuts];
            let case = Case::of(&input).unwrap();
            assert_eq!(case.chunks(&answer).concat(), answer);
        }
        assert!(Case::of(b"@").is_none());
    }

    #[test]
    fn the_usual_is_printable() {
        let case = Case::of(b"@ {}").unwrap();
        assert!(matches!((case.items, case.rows), (Items::Objects, Rows::AsTheyCame)));
        assert!(matches!(case.content, Content::Raw(b"{}")));
        assert!(matches!(Case::of(b"P ").unwrap().content, Content::Choices(_)));
    }
}
