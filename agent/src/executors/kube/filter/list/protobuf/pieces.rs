//! The beginning of an item whose end has not come.

use std::{collections::VecDeque, mem};

use bytes::{Bytes, BytesMut};

/// Bytes in order, held as they came. What comes in crumbs is put together, so that no more is held than a little over
/// the bytes themselves, however they are cut.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    whole: VecDeque<Bytes>,
    crumbs: BytesMut,
    length: usize,
}

// === impl Pieces ===

impl Pieces {
    /// Appends a piece.
    pub(super) fn push(&mut self, piece: Bytes) {
        self.length += piece.len();
        if piece.len() < CRUMB {
            self.crumbs.extend_from_slice(&piece);
        }
        if self.crumbs.len() >= CRUMB || piece.len() >= CRUMB {
            self.gather();
        }
        if piece.len() >= CRUMB {
            self.whole.push_back(piece);
        }
    }

    /// How many bytes there are.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Takes all of them.
    pub(super) fn take(&mut self) -> VecDeque<Bytes> {
        self.gather();
        mem::take(self).whole
    }

    fn gather(&mut self) {
        if !self.crumbs.is_empty() {
            self.whole.push_back(mem::take(&mut self.crumbs).freeze());
        }
    }
}

/// A piece under this size is copied. Each that is not copied costs some bytes of its own, and keeps all of the buffer
/// that it came in.
const CRUMB: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crumbs_are_put_together_and_the_rest_is_not_copied() {
        let mut pieces = Pieces::default();
        let large = Bytes::from(vec![b'x'; CRUMB]);
        let mut expected = Vec::new();
        for piece in [&b"ab"[..], b"", b"c", &large, b"d", &large, &large]
            .map(|piece| if piece.len() == CRUMB { large.clone() } else { Bytes::copy_from_slice(piece) })
        {
            expected.extend_from_slice(&piece);
            pieces.push(piece);
        }
        assert_eq!(pieces.len(), expected.len());
        let taken = pieces.take();
        assert_eq!(taken.iter().map(Bytes::len).collect::<Vec<_>>(), [3, CRUMB, 1, CRUMB, CRUMB]);
        assert_eq!(taken[1].as_ptr(), large.as_ptr());
        assert_eq!(taken.iter().flatten().copied().collect::<Vec<_>>(), expected);
        assert_eq!((pieces.len(), pieces.take().len()), (0, 0));
    }

    #[test]
    fn a_million_crumbs_are_a_few_pieces() {
        let mut pieces = Pieces::default();
        for _ in 0..1_000_000 {
            pieces.push(Bytes::from_static(b"x"));
        }
        assert_eq!(pieces.len(), 1_000_000);
        assert_eq!(pieces.take().len(), 1_000_000_usize.div_ceil(CRUMB));
    }
}
