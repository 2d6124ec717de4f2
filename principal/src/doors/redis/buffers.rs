//! What came and is not looked at, and what is to be said and is not written: of one peer each.
//!
//! Always true: a connection on which nothing is under way holds no buffer, so that ten thousand of them cost little.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes from a peer.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    bytes: BytesMut,
    /// Whether the last read filled all that there was to fill: more of something large is to come.
    is_much: bool,
}

/// Bytes for a peer, in the order in which they were pushed.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    segments: VecDeque<Bytes>,
    /// Behind the segments. Small pieces are gathered, so that a thousand of them are not a thousand slices.
    tail: BytesMut,
    length: usize,
    is_flushed: bool,
}

// === impl Incoming ===

impl Incoming {
    /// Reads once; how many bytes came, 0 at the end.
    pub(super) fn poll_read(
        &mut self,
        io: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.is_much {
            self.bytes.reserve(MUCH);
            let count = ready!(tokio_util::io::poll_read_buf(Pin::new(io), cx, &mut self.bytes))?;
            self.is_much = self.bytes.len() == self.bytes.capacity();
            return Poll::Ready(Ok(count));
        }
        let mut scratch = [const { MaybeUninit::uninit() }; SOME];
        let mut scratch = ReadBuf::uninit(&mut scratch);
        ready!(Pin::new(io).poll_read(cx, &mut scratch))?;
        self.bytes.extend_from_slice(scratch.filled());
        self.is_much = scratch.remaining() == 0;
        Poll::Ready(Ok(scratch.filled().len()))
    }

    /// What came, for a scanner that takes its front.
    pub(super) fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// Gives the room back when nothing is in it.
    pub(super) fn rest(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

// === impl Outgoing ===

impl Outgoing {
    pub(super) fn push(&mut self, bytes: Bytes) {
        self.length += bytes.len();
        if bytes.len() <= SMALL && !self.is_empty_before(bytes.len()) {
            self.tail.extend_from_slice(&bytes);
            return;
        }
        if !self.tail.is_empty() {
            self.segments.push_back(self.tail.split().freeze());
        }
        self.segments.push_back(bytes);
    }

    pub(super) fn extend(&mut self, pieces: impl IntoIterator<Item = Bytes>) {
        pieces.into_iter().for_each(|piece| self.push(piece));
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Writes all that waits and flushes it.
    pub(super) fn poll_write(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.length > 0 {
            let written = ready!(self.poll_write_some(io, cx))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.is_flushed = false;
            self.advance(written);
        }
        if !self.is_flushed {
            ready!(Pin::new(io).poll_flush(cx))?;
            self.is_flushed = true;
        }
        self.tail = BytesMut::new();
        if self.segments.capacity() > SLICES {
            self.segments = VecDeque::new();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_some(&mut self, io: &mut (impl AsyncWrite + Unpin), cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // A request and its reply are one piece each, and a plain write is the cheaper one.
        if let (Some(only), 1, true) = (self.segments.front(), self.segments.len(), self.tail.is_empty()) {
            return Pin::new(io).poll_write(cx, only);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let pieces = self.segments.iter().map(Bytes::as_ref).chain(std::iter::once(self.tail.as_ref()));
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        Pin::new(io).poll_write_vectored(cx, slices.get(..count).unwrap_or_default())
    }

    fn advance(&mut self, mut written: usize) {
        self.length -= written;
        while let Some(first) = self.segments.front_mut() {
            if first.len() > written {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.segments.pop_front();
        }
        self.tail.advance(written);
    }

    /// Whether nothing waits before what was just counted.
    fn is_empty_before(&self, counted: usize) -> bool {
        self.length == counted
    }
}

/// What a command or a reply of Argo CD's usually fits into, and what a page or two of a stack can hold.
const SOME: usize = 8 << 10;

/// So much is read at a time of what is large.
const MUCH: usize = 64 << 10;

/// Copying so much costs less than a slice of its own.
const SMALL: usize = 1 << 10;

/// So many slices go into one write.
const SLICES: usize = 16;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_is_pushed_is_written_in_that_order() {
        let (mut ours, mut theirs) = tokio::io::duplex(100);
        let mut outgoing = Outgoing::default();
        let mut all = Vec::new();
        for number in 0..200_usize {
            let piece = vec![u8::try_from(number).unwrap(); [0, 1, 5, 700, SMALL, SMALL + 1, 5_000][number % 7]];
            all.extend_from_slice(&piece);
            outgoing.push(piece.into());
        }
        assert_eq!(outgoing.len(), all.len());
        let write = std::future::poll_fn(|cx| outgoing.poll_write(&mut ours, cx));
        let mut came = vec![0; all.len()];
        let (written, read) = tokio::join!(write, theirs.read_exact(&mut came));
        written.unwrap();
        read.unwrap();
        assert_eq!(came, all);
        assert!(outgoing.is_empty());
    }

    #[tokio::test]
    async fn what_came_is_there_and_its_room_is_given_back() {
        let (mut ours, mut theirs) = tokio::io::duplex(1 << 20);
        let all: Vec<u8> = (0..200_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        theirs.write_all(&all).await.unwrap();
        drop(theirs);
        let mut incoming = Incoming::default();
        while std::future::poll_fn(|cx| incoming.poll_read(&mut ours, cx)).await.unwrap() > 0 {}
        assert_eq!(incoming.bytes(), &all);
        incoming.bytes().clear();
        incoming.rest();
        assert_eq!(incoming.bytes().capacity(), 0);
    }
}
