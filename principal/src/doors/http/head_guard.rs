//! Sees what the HTTP/1.1 parser hides: request heads whose length is said twice.
//!
//! hyper merges `Content-Length` lines that agree, and drops `Content-Length` beside `Transfer-Encoding`. What it passes
//! on is framed anew, so nothing can be smuggled through us; but such a head was made to deceive some other hop
//! (RFC 9112 section 6.1), and whoever sends it is told so and put out.
//!
//! The guard keeps a copy of what is read while it is armed, that is, between the end of one exchange and the head of the
//! next. A head that came before that, pipelined behind the request before, is not seen and not judged, and neither is one
//! behind a body that nobody read: hyper frames them safely all the same.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use http::Method;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection whose request heads are seen.
#[derive(Debug)]
pub(crate) struct HeadGuard<T> {
    io: T,
    heads: Heads,
}

/// The heads of one connection, as its requests see them. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Heads(Arc<Record>);

#[derive(Debug)]
struct Record {
    armed: AtomicBool,
    /// A std mutex: only the connection's own task takes it, but for HTTP bodies that outlive it.
    bytes: Mutex<Vec<u8>>,
}

// === impl HeadGuard ===

impl<T> HeadGuard<T> {
    /// Guards a new connection; the first bytes are a head.
    pub(crate) fn new(io: T) -> (Self, Heads) {
        let heads = Heads(Arc::new(Record { armed: AtomicBool::new(true), bytes: Mutex::default() }));
        (Self { io, heads: heads.clone() }, heads)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for HeadGuard<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if self.heads.0.armed.load(Ordering::Relaxed)
            && let Some(new) = buf.filled().get(before..)
            && !new.is_empty()
        {
            let mut bytes = self.heads.bytes();
            let room = MAX_RECORD.saturating_sub(bytes.len());
            bytes.extend_from_slice(new.get(..room).unwrap_or(new));
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for HeadGuard<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

// === impl Heads ===

impl Heads {
    /// A head has been parsed: what is read from now on is no head.
    pub(crate) fn disarm(&self) {
        self.0.armed.store(false, Ordering::Relaxed);
    }

    /// The exchange is over: what is read next is a head.
    pub(crate) fn arm(&self) {
        let mut bytes = self.bytes();
        bytes.clear();
        // A connection may be idle for long, and there may be many.
        bytes.shrink_to(SMALL_RECORD);
        self.0.armed.store(true, Ordering::Relaxed);
    }

    /// Whether no exchange runs: what is read is a head.
    pub(crate) fn is_armed(&self) -> bool {
        self.0.armed.load(Ordering::Relaxed)
    }

    /// Whether the last head, that of a request with `method`, says its body's length twice.
    pub(crate) fn says_length_twice(&self, method: &Method) -> bool {
        says_length_twice(&self.bytes(), method)
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn says_length_twice(record: &[u8], method: &Method) -> bool {
    let mut lines = record.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).skip_while(|line| line.is_empty());
    let is_its_head = lines.next().and_then(|line| line.strip_prefix(method.as_str().as_bytes()));
    // What was recorded may be the rest of a head that was partly read ahead: not this one's beginning, not judged.
    if is_its_head.and_then(<[u8]>::first) != Some(&b' ') {
        return false;
    }
    let names = lines.take_while(|line| !line.is_empty()).filter_map(|line| line.split(|byte| *byte == b':').next());
    let (mut lengths, mut encodings) = (0, 0);
    for name in names {
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths += 1;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            encodings += 1;
        }
    }
    lengths + encodings > 1
}

/// As much as the server takes for a head at all: hyper looks at its limit between two reads, of which the last may bring
/// as much again.
const MAX_RECORD: usize = 2 * super::serve::MAX_HEAD;
/// What an idle connection keeps.
const SMALL_RECORD: usize = 2 * 1024;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[test]
    fn judges_the_lines_of_the_head_alone() {
        for (head, twice) in [
            (&b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"[..], false),
            (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nHost: h\r\ncontent-length: 5\r\n\r\nhello", true),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", true),
            (b"POST / HTTP/1.1\ncontent-LENGTH: 5\nTRANSFER-encoding: chunked\n\n", true),
            (b"\r\n\r\nPOST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n", true),
            (b"POST / HTTP/1.1\r\nContent-Length: 40\r\n\r\nContent-Length: 1\r\nContent-Length: 2\r\n", false),
            (b"POST / HTTP/1.1\r\nX-Content-Length: 4\r\nContent-Length: 5\r\n\r\n", false),
            (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Len", false),
            (b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n", false),
            (b"POSTAL / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", false),
            (b"", false),
        ] {
            assert_eq!(says_length_twice(head, &Method::POST), twice, "{}", head.escape_ascii());
        }
    }

    #[tokio::test]
    async fn records_while_armed_and_never_more_than_a_head() {
        let (mut far, near) = duplex(4 * MAX_RECORD);
        let (mut guard, heads) = HeadGuard::new(near);
        let mut read = vec![0; 2 * MAX_RECORD];
        far.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        assert_eq!(guard.read(&mut read).await.unwrap(), 16);
        far.write_all(b"\r\n").await.unwrap();
        assert_eq!(guard.read(&mut read).await.unwrap(), 2);
        assert_eq!(*heads.bytes(), b"GET / HTTP/1.1\r\n\r\n");

        heads.disarm();
        far.write_all(b"body").await.unwrap();
        assert_eq!(guard.read(&mut read).await.unwrap(), 4);
        assert_eq!(heads.bytes().len(), 18);

        heads.arm();
        assert_eq!(heads.bytes().len(), 0);
        far.write_all(&vec![b'x'; 2 * MAX_RECORD]).await.unwrap();
        guard.read_exact(&mut read).await.unwrap();
        assert_eq!(heads.bytes().len(), MAX_RECORD);
        heads.arm();
        assert!(heads.bytes().capacity() <= SMALL_RECORD);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..256)) {
            says_length_twice(&bytes, &Method::GET);
        }
    }
}
