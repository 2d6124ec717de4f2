//! The bytes within TLS, read and written.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{End, LeanTls};

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for LeanTls<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let (now, _later) = this.plain.split_at(this.plain.len().min(buffer.remaining()));
        buffer.put_slice(now);
        this.plain.advance(buffer.filled().len() - before);
        if !this.plain.is_empty() {
            return Poll::Ready(Ok(()));
        }
        this.plain = BytesMut::new();
        let mut processed = this.process(Some(buffer));
        while processed.is_ok() && buffer.filled().len() == before && buffer.remaining() > 0 && this.end != End::Closed
        {
            processed = match ready!(this.poll_receive(cx, Some(buffer))) {
                Ok(true) => Ok(()),
                Ok(false) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "end without a close_notify")),
                Err(error) => Err(error),
            };
        }
        if processed.is_err() {
            // The alert, if the socket takes it. Other than that a reader sends nothing: a writer waits for the socket.
            let _alert = this.poll_send(cx);
        }
        // What was decrypted before an error is given before it.
        Poll::Ready(if buffer.filled().len() > before { Ok(()) } else { processed })
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LeanTls<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.process(None)?;
        ready!(this.poll_send(cx))?;
        let taken = bytes.get(..MOST_WRITTEN).unwrap_or(bytes);
        if !taken.is_empty() {
            // What the socket does not take now goes with the next write or flush.
            this.encrypt(cx, taken)?;
        }
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = slices.iter().map(|slice| slice.len()).sum::<usize>();
        if let Some(only) = slices.iter().find(|slice| slice.len() == all) {
            return self.poll_write(cx, only);
        }
        // A record for all: a frame's head alone would have one of its own.
        let mut together = Vec::with_capacity(all.min(MOST_WRITTEN));
        for slice in slices {
            together.extend_from_slice(slice.get(..MOST_WRITTEN - together.len()).unwrap_or(slice));
        }
        self.poll_write(cx, &together)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.end != End::Broken && this.process(None).is_ok() {
            this.say_goodbye()?;
        }
        ready!(this.poll_send(cx))?;
        match ready!(Pin::new(&mut this.io).poll_shutdown(cx)) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Poll::Ready(Err(error)),
            // One that is gone has no need to be told.
            Ok(()) | Err(_) => Poll::Ready(Ok(())),
        }
    }
}

/// Of a single write: a frame of HTTP/2 of 16 KiB with its head, and what stands before it.
pub(super) const MOST_WRITTEN: usize = 32 << 10;
