//! A conversation with a Redis over any stream of bytes: what is to be said waits in a buffer, what is heard comes frame
//! by frame.
//!
//! Always true: what is said and what is heard do not wait for each other; and however much is said to us, no more is
//! held than the longest frame that is taken.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use common::resp::{
    Reply, ReplyEvent, ReplyScanner,
    replies::{Limits, Part, ReplyError},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

/// One end of the conversation.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    stream: S,
    out: BytesMut,
    unflushed: bool,
    came: BytesMut,
    scanner: ReplyScanner,
    begun: Option<Begun>,
    longest: usize,
}

/// What was heard.
#[derive(Debug)]
pub(crate) struct Frame {
    /// What it is, as far as its beginning tells.
    pub(crate) head: Reply,
    /// All of it; none where it is longer than what is taken.
    pub(crate) text: Option<Bytes>,
}

/// Why the conversation is over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the connection was lost")]
    Lost(#[source] io::Error),
    #[error("the connection was closed")]
    Closed,
    #[error("what answers is no Redis")]
    NoRedis(#[source] ReplyError),
}

#[derive(Debug)]
struct Begun {
    head: Reply,
    text: Option<BytesMut>,
}

// === impl Wire ===

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// On a stream on which nothing is under way. Frames are taken up to so many bytes.
    pub(crate) fn new(stream: S, longest: usize) -> Self {
        let scanner = ReplyScanner::new(Limits { depth: DEPTH, hold: HOLD });
        let (out, came) = (BytesMut::new(), BytesMut::new());
        Self { stream, out, unflushed: false, came, scanner, begun: None, longest }
    }

    /// Whether more is to be said before what waits has left.
    pub(crate) fn has_room(&self) -> bool {
        self.out.len() < OUT
    }

    /// Says it as soon as it can be said. It is [`next`](Self::next) that does.
    pub(crate) fn say(&mut self, frame: &[u8]) {
        self.out.extend_from_slice(frame);
    }

    /// Says what is to be said, and waits for the next frame.
    ///
    /// # Errors
    /// When there is nobody to talk to any more.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Frame, WireError> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, WireError>> {
        self.poll_say(cx).map_err(WireError::Lost)?;
        loop {
            while let Some(event) = self.scanner.next(&mut self.came).map_err(WireError::NoRedis)? {
                if let Some(frame) = self.gather(event) {
                    return Poll::Ready(Ok(frame));
                }
            }
            self.came.reserve(READ);
            let read = ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.came));
            if read.map_err(WireError::Lost)? == 0 {
                return Poll::Ready(Err(WireError::Closed));
            }
        }
    }

    /// Says as much as can be said now.
    fn poll_say(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while !self.out.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.out)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => self.out.advance(written),
                Poll::Pending => return Ok(()),
            }
            self.unflushed = true;
        }
        if self.unflushed {
            self.unflushed = Pin::new(&mut self.stream).poll_flush(cx)?.is_pending();
        }
        Ok(())
    }

    /// Puts the pieces of a frame together.
    fn gather(&mut self, event: ReplyEvent) -> Option<Frame> {
        let (mut begun, part) = match event {
            ReplyEvent::Reply(head) if head.is_whole() => {
                let text = Some(head.part().bytes().clone()).filter(|text| text.len() <= self.longest);
                return Some(Frame { head, text });
            }
            ReplyEvent::Reply(head) => {
                let part = head.part().clone();
                (Begun { head, text: Some(BytesMut::new()) }, part)
            }
            ReplyEvent::Part(part) => (self.begun.take()?, part),
        };
        begun.take(&part, self.longest);
        if part.is_last() {
            return Some(Frame { head: begun.head, text: begun.text.map(BytesMut::freeze) });
        }
        self.begun = Some(begun);
        None
    }
}

// === impl Begun ===

impl Begun {
    fn take(&mut self, part: &Part, longest: usize) {
        self.text = self.text.take().filter(|text| text.len() + part.bytes().len() <= longest);
        if let Some(text) = &mut self.text {
            text.extend_from_slice(part.bytes());
        }
    }
}

// === impl Frame ===

impl Frame {
    /// An error's text, fit for a log.
    pub(crate) fn words(&self) -> String {
        let line = self.head.part().bytes();
        let line = String::from_utf8_lossy(line.get(1..).unwrap_or_default());
        let words = line.trim_end().chars().take(WORDS);
        words.flat_map(char::escape_debug).filter(char::is_ascii).collect()
    }
}

/// So much is said ahead of what has left; any one frame may go beyond.
const OUT: usize = 16 << 10;

/// So much is read at a time. Most pipes are idle, and each has a buffer of this size.
const READ: usize = 4 << 10;

/// A message is an array of strings. Redis nests nothing here.
const DEPTH: usize = 4;

/// More than any channel of ours has.
const HOLD: usize = 1 << 10;

/// More than any of Redis's own errors has.
const WORDS: usize = 256;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_is_said_does_not_wait_for_what_is_heard() {
        let (near, mut far) = duplex(16);
        let mut wire = Wire::new(near, 1_000);
        let (said, answer) = ("x".repeat(OUT), "y".repeat(500));
        assert!(wire.has_room());
        wire.say(said.as_bytes());
        assert!(!wire.has_room());
        let peer = async {
            // More than fits between the two, before a word of ours is read.
            far.write_all(format!("+{answer}\r\n").as_bytes()).await.unwrap();
            let mut heard = vec![0; OUT];
            far.read_exact(&mut heard).await.unwrap();
            far.write_all(b"-ERR \x1b[31mno\r\n").await.unwrap();
            drop(far);
        };
        let ours = async {
            let frame = wire.next().await.unwrap();
            assert_eq!(frame.text.unwrap(), format!("+{answer}\r\n"));
            let frame = wire.next().await.unwrap();
            assert_eq!((frame.head.is_error(), frame.words().as_str()), (true, "ERR \\u{1b}[31mno"));
            assert!(matches!(wire.next().await, Err(WireError::Closed)));
        };
        tokio::join!(peer, ours);
    }

    #[tokio::test]
    async fn a_frame_that_is_too_long_costs_no_memory() {
        let (near, mut far) = duplex(1 << 16);
        let mut wire = Wire::new(near, 100);
        let peer = async {
            far.write_all(b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$10000000\r\n").await.unwrap();
            for _ in 0..1_000 {
                far.write_all(&[b'x'; 10_000]).await.unwrap();
            }
            far.write_all(b"\r\n+PONG\r\n").await.unwrap();
            far
        };
        let ours = async {
            let frame = wire.next().await.unwrap();
            assert_eq!((frame.head.channel(), frame.text), (Some(&b"c"[..]), None));
            assert!(wire.came.capacity() < 1 << 16, "{}", wire.came.capacity());
            assert_eq!(wire.next().await.unwrap().text.unwrap(), "+PONG\r\n");
        };
        tokio::join!(peer, ours);
    }

    #[tokio::test]
    async fn who_talks_garbage_is_no_redis() {
        let (near, mut far) = duplex(100);
        let mut wire = Wire::new(near, 100);
        far.write_all(b"HTTP/1.1 400 Bad Request\r\n").await.unwrap();
        assert!(matches!(wire.next().await, Err(WireError::NoRedis(_))));
    }
}
