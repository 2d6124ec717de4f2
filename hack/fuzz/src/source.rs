//! Choices, made of the bytes of an input: the same bytes, the same choices.
//!
//! When the bytes are used up every choice is the first, so that whatever is made of them comes to an end.

/// Bytes that have not been used.
#[derive(Debug, Clone)]
pub(crate) struct Source<'i> {
    rest: &'i [u8],
}

// === impl Source ===

impl<'i> Source<'i> {
    pub(crate) fn new(bytes: &'i [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        byte
    }

    /// A number below another.
    pub(crate) fn below(&mut self, end: u8) -> u8 {
        self.byte().checked_rem(end).unwrap_or(0)
    }

    /// True in one case of so many.
    pub(crate) fn one_in(&mut self, cases: u8) -> bool {
        self.below(cases) == cases - 1
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T], otherwise: T) -> T {
        let number = usize::from(self.byte()).checked_rem(choices.len()).unwrap_or(0);
        choices.get(number).copied().unwrap_or(otherwise)
    }

    /// Puts things into another order.
    pub(crate) fn shuffle<T>(&mut self, things: &mut [T]) {
        for end in (1..things.len()).rev() {
            let other = usize::from(self.byte()) % (end + 1);
            things.swap(end - other, end);
        }
    }

    /// Some bytes, as they are.
    pub(crate) fn bytes(&mut self, most: u8) -> &'i [u8] {
        let length = usize::from(self.below(most));
        let (bytes, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, &[]));
        self.rest = rest;
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_is_used_up_chooses_the_first() {
        let mut source = Source::new(&[7, 5, 1, 2]);
        assert_eq!(source.below(4), 3);
        assert_eq!(source.bytes(8), [1, 2]);
        assert!(!source.one_in(3));
        assert_eq!(source.one_of(&['a', 'b'], 'c'), 'a');
        let mut order = [1, 2, 3];
        source.shuffle(&mut order);
        assert_eq!(order, [1, 2, 3]);
        assert_eq!(source.bytes(9), [0; 0]);
    }
}
