//! What is about to be written to a pipe: pieces that are not copied together.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Pieces in order.
#[derive(Debug, Default)]
pub(super) struct Output {
    pieces: VecDeque<Bytes>,
    length: usize,
}

// === impl Output ===

impl Output {
    /// Appends a piece.
    pub(super) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.length += piece.len();
            self.pieces.push_back(piece);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether it is time to write: more would be held without need.
    pub(super) fn is_full(&self) -> bool {
        self.length >= FULL || self.pieces.len() >= SLICES
    }

    /// Writes all, and empties this.
    ///
    /// # Cancel safety
    /// Not cancel safe: it is not known how much was written.
    pub(super) async fn write_to<W: AsyncWrite + Unpin>(&mut self, to: &mut W) -> io::Result<()> {
        while !self.pieces.is_empty() {
            let written = poll_fn(|cx| {
                let mut slices = [IoSlice::new(&[]); SLICES];
                for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                    *slice = IoSlice::new(piece);
                }
                let some = slices.get(..self.pieces.len().min(SLICES)).unwrap_or_default();
                Pin::new(&mut *to).poll_write_vectored(cx, some)
            })
            .await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.advance(written);
        }
        to.flush().await
    }

    fn advance(&mut self, mut written: usize) {
        self.length = self.length.saturating_sub(written);
        while let Some(piece) = self.pieces.front_mut() {
            if piece.len() > written {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
    }
}

/// What fits one chunk of a pipe.
const FULL: usize = common::tunnel::limits::CHUNK;

/// So many pieces are written at a time.
const SLICES: usize = 64;

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn pieces_come_out_whole_and_in_order_however_little_is_taken_at_a_time() {
        let (mut near, mut far) = tokio::io::duplex(7);
        let mut output = Output::default();
        let mut expected = Vec::new();
        for number in 0..200_u8 {
            let piece = vec![number; usize::from(number % 5)];
            expected.extend_from_slice(&piece);
            output.push(piece.into());
        }
        assert!(output.is_full());
        let mut read = Vec::new();
        let (written, _) = tokio::join!(
            async {
                let written = output.write_to(&mut near).await;
                drop(near);
                written
            },
            far.read_to_end(&mut read)
        );
        written.unwrap();
        assert!(output.is_empty());
        assert_eq!(output.length, 0);
        assert_eq!(read, expected);
    }
}
