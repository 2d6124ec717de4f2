//! The frames of a watch in protobuf: a length of four bytes, big-endian, then as many bytes
//! (`lengthDelimitedFramer` of `apimachinery/pkg/util/framer/framer.go`).

use std::{collections::VecDeque, mem};

use bytes::{Bytes, BytesMut};

use super::super::super::scan::ScanError;

/// Puts frames together. One that came in one piece is not copied.
#[derive(Debug)]
pub(super) struct Frames {
    limit: usize,
    unread: VecDeque<Bytes>,
    /// A frame that began in an earlier chunk, with its length before it.
    partial: BytesMut,
}

// === impl Frames ===

impl Frames {
    /// Frames of no more than `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, unread: VecDeque::new(), partial: BytesMut::new() }
    }

    /// Adds what came.
    pub(super) fn push(&mut self, chunk: Bytes) {
        self.unread.push_back(chunk);
    }

    /// The next frame, with its length before it. `None` when more input is needed.
    ///
    /// # Errors
    /// When it is empty or over the limit, as soon as that is known.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, ScanError> {
        while let Some(chunk) = self.unread.front_mut() {
            if self.partial.is_empty()
                && let Some(size) = size(chunk, self.limit)?
                && size <= chunk.len()
            {
                return Ok(Some(chunk.split_to(size)));
            }
            let wanted = match size(&self.partial, self.limit)? {
                Some(size) => {
                    self.partial.reserve(size - self.partial.len());
                    size
                }
                None => PREFIX,
            };
            let piece = chunk.split_to(chunk.len().min(wanted - self.partial.len()));
            self.partial.extend_from_slice(&piece);
            if chunk.is_empty() {
                self.unread.pop_front();
            }
            if size(&self.partial, self.limit)? == Some(self.partial.len()) {
                return Ok(Some(mem::take(&mut self.partial).freeze()));
            }
        }
        Ok(None)
    }

    /// Whether no frame has begun that has not been taken.
    pub(super) fn is_between(&self) -> bool {
        self.partial.is_empty() && self.unread.iter().all(Bytes::is_empty)
    }
}

/// How many bytes the frame has whose beginning this is, with its length before it.
fn size(beginning: &[u8], limit: usize) -> Result<Option<usize>, ScanError> {
    let Some(length) = beginning.first_chunk::<PREFIX>() else { return Ok(None) };
    match usize::try_from(u32::from_be_bytes(*length)) {
        Ok(0) => Err(ScanError::Malformed("a frame is empty")),
        Ok(length) if length <= limit => Ok(Some(PREFIX + length)),
        _ => Err(ScanError::ItemTooLarge { limit }),
    }
}

/// Appends a frame's length.
pub(super) fn prefix(length: usize) -> [u8; PREFIX] {
    // An event holds one object, which was no larger than a frame's limit when it came.
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

/// How many bytes a frame's length has.
pub(super) const PREFIX: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(bytes: &[u8]) -> Vec<u8> {
        [&prefix(bytes.len())[..], bytes].concat()
    }

    #[test]
    fn a_frame_is_refused_by_its_length_alone() {
        for (length, limit, fits) in [(100_u32, 100, true), (101, 100, false), (u32::MAX, 16 << 20, false)] {
            let mut frames = Frames::new(limit);
            for byte in length.to_be_bytes() {
                assert_eq!(frames.next().unwrap(), None);
                frames.push(Bytes::copy_from_slice(&[byte]));
            }
            match frames.next() {
                Ok(None) => assert!(fits, "{length}"),
                Err(ScanError::ItemTooLarge { .. }) => assert!(!fits, "{length}"),
                other => panic!("{other:?}"),
            }
        }
        let mut frames = Frames::new(10);
        frames.push(Bytes::from_static(&[0, 0, 0, 0]));
        assert!(matches!(frames.next(), Err(ScanError::Malformed(_))));
    }

    #[test]
    fn a_frame_in_one_piece_is_not_copied() {
        let chunk = Bytes::from(frame(b"one"));
        let mut frames = Frames::new(10);
        frames.push(chunk.clone());
        assert_eq!(frames.next().unwrap().unwrap().as_ptr(), chunk.as_ptr());
        assert!(frames.is_between());
    }

    proptest! {
        #[test]
        fn frames_are_found_under_any_cut(
            expected in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..6),
            rest in 0_usize..8,
            size in 1_usize..40,
            at_once: bool,
        ) {
            let stream: Vec<u8> = expected.iter().flat_map(|bytes| frame(bytes)).chain(frame(b"rest")).collect();
            let stream = &stream[..stream.len() - (8 - rest)];
            let mut frames = Frames::new(20);
            let mut found = Vec::new();
            for chunk in stream.chunks(size) {
                frames.push(Bytes::copy_from_slice(chunk));
                while !at_once && let Some(frame) = frames.next().unwrap() {
                    found.push(frame);
                }
            }
            while let Some(frame) = frames.next().unwrap() {
                found.push(frame);
            }
            prop_assert_eq!(found, expected.iter().map(|bytes| frame(bytes)).collect::<Vec<_>>());
            prop_assert_eq!(frames.is_between(), rest == 0);
        }
    }
}
