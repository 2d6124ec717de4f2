//! What is shown of a list, in an envelope that says beforehand how long the list is.
//!
//! The length must be right, and must be said before it is known what will be shown. So the beginning is held, up to a
//! limit. Where the list ends within it, the length is that of what is shown, and there is no trace of the rest. Where it
//! does not, the length is set as if all that is to come were shown, and from then on as many bytes without meaning
//! ([`put_filler`]) stand for what is hidden: one field for all that is hidden between two items that are shown, so that
//! nothing is told but how many bytes were. What is announced is always what follows, or the answer breaks off.

use std::{collections::VecDeque, mem, ops::Range};

use bytes::Bytes;

use super::super::super::wire::{put_filler, put_head};

/// The answer to the client, as far as it can be written.
#[derive(Debug)]
pub(super) struct Shown {
    /// The envelope up to the list.
    opening: Vec<u8>,
    phase: Phase,
    hold_limit: usize,
    queue: VecDeque<Piece>,
    /// Bytes that were hidden since something was shown, for which filler is due.
    hidden: u64,
    /// The envelope behind the list.
    closing: Vec<u8>,
}

#[derive(Debug)]
enum Phase {
    /// Nothing has gone out. Held are copies: what is shown may be little of each buffer that came, and would keep all
    /// of it.
    Holding(Vec<u8>),
    /// The length has gone out.
    Committed,
}

/// Bytes that are ready to go.
#[derive(Debug)]
enum Piece {
    /// Part of a chunk, which grows while what is shown lies side by side.
    Part(Bytes, Range<usize>),
    /// That many zeros.
    Zeros(u64),
}

// === impl Shown ===

impl Shown {
    /// Holds up to `hold_limit` bytes of the list.
    pub(super) fn new(hold_limit: usize) -> Self {
        Self {
            opening: Vec::new(),
            phase: Phase::Holding(Vec::new()),
            hold_limit,
            queue: VecDeque::new(),
            hidden: 0,
            closing: Vec::new(),
        }
    }

    /// Sets what stands in the envelope before the list.
    pub(super) fn open(&mut self, opening: Vec<u8>) {
        self.opening = opening;
    }

    /// Adds the list's metadata, which stand before all items.
    pub(super) fn metadata(&mut self, field: &[u8]) {
        if let Phase::Holding(held) = &mut self.phase {
            held.extend_from_slice(field);
        }
    }

    /// Adds an item that is shown: its pieces, then this range of the chunk at hand. `left` is what the list has behind
    /// it.
    pub(super) fn show(&mut self, pieces: VecDeque<Bytes>, chunk: &Bytes, range: Range<usize>, left: u64) {
        let size = pieces.iter().map(Bytes::len).sum::<usize>() + range.len();
        if let Phase::Holding(held) = &mut self.phase {
            if size <= self.hold_limit.saturating_sub(held.len()) {
                for piece in &pieces {
                    held.extend_from_slice(piece);
                }
                held.extend_from_slice(chunk.get(range).unwrap_or_default());
                return;
            }
            let length = held.len() as u64 + size as u64 + left;
            self.commit(length);
        }
        self.fill();
        for piece in pieces {
            let range = 0..piece.len();
            self.enqueue(&piece, range);
        }
        self.enqueue(chunk, range);
    }

    /// Counts an item of `size` bytes that is not shown.
    pub(super) fn hide(&mut self, size: usize) {
        if matches!(self.phase, Phase::Committed) {
            self.hidden += size as u64;
        }
    }

    /// Says that the list ends here.
    pub(super) fn end_list(&mut self) {
        self.fill();
    }

    /// Adds an empty field of the envelope behind the list.
    pub(super) fn close(&mut self, number: u64) {
        put_head(&mut self.closing, number, 0);
    }

    /// Says that all has come and is as it should be. What was held until now goes out.
    pub(super) fn finish(&mut self) {
        if let Phase::Holding(held) = &self.phase {
            let length = held.len() as u64;
            self.commit(length);
        }
        let closing = mem::take(&mut self.closing);
        self.enqueue_whole(closing);
    }

    /// The next bytes for the client. `None` when there are none for now.
    pub(super) fn output(&mut self) -> Option<Bytes> {
        match self.queue.pop_front()? {
            Piece::Part(chunk, range) => Some(chunk.slice_ref(chunk.get(range).unwrap_or_default())),
            Piece::Zeros(zeros) => {
                let some = ZEROS.get(..usize::try_from(zeros).unwrap_or(usize::MAX)).unwrap_or(&ZEROS);
                let left = zeros - some.len() as u64;
                if left > 0 {
                    self.queue.push_front(Piece::Zeros(left));
                }
                Some(Bytes::from_static(some))
            }
        }
    }

    /// Sends the length, and what was held.
    fn commit(&mut self, length: u64) {
        let mut opening = mem::take(&mut self.opening);
        put_head(&mut opening, 2, length);
        self.enqueue_whole(opening);
        if let Phase::Holding(held) = mem::replace(&mut self.phase, Phase::Committed) {
            self.enqueue_whole(held);
        }
    }

    /// Sends filler for what has been hidden.
    fn fill(&mut self) {
        let hidden = mem::take(&mut self.hidden);
        if hidden == 0 {
            return;
        }
        let mut head = Vec::new();
        let zeros = put_filler(&mut head, hidden);
        self.enqueue_whole(head);
        if zeros > 0 {
            self.queue.push_back(Piece::Zeros(zeros));
        }
    }

    fn enqueue_whole(&mut self, bytes: Vec<u8>) {
        let range = 0..bytes.len();
        self.enqueue(&bytes.into(), range);
    }

    fn enqueue(&mut self, chunk: &Bytes, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        // The queue keeps its chunk alive, so what lies at the same place is the same.
        if let Some(Piece::Part(last, part)) = self.queue.back_mut()
            && (last.as_ptr(), last.len(), part.end) == (chunk.as_ptr(), chunk.len(), range.start)
        {
            part.end = range.end;
        } else {
            self.queue.push_back(Piece::Part(chunk.clone(), range));
        }
    }
}

/// What filler is made of. As large as the pieces that a connection takes at a time.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
