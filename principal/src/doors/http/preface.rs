//! The first words of an HTTP/2 client, awaited under a deadline.
//!
//! hyper waits for them for as long as it takes and does not heed a drain meanwhile: a caller who never says them would
//! hold its place among the connections for ever.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// A connection whose first bytes were read already, and are read once more.
#[derive(Debug)]
pub(super) struct Greeted<T> {
    said: Bytes,
    io: T,
}

// === impl Greeted ===

impl<T: AsyncRead + Unpin> Greeted<T> {
    /// Waits until a client has said the preface, or something else. `None` when it left without a word.
    ///
    /// # Errors
    /// When the connection breaks, or ends within the preface.
    pub(super) async fn wait(mut io: T) -> io::Result<Option<Self>> {
        let mut said = BytesMut::with_capacity(PREFACE.len());
        // What is no preface is for hyper to refuse.
        while said.len() < PREFACE.len() && PREFACE.starts_with(&said) {
            if io.read_buf(&mut said).await? == 0 {
                return if said.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
        Ok(Some(Self { said: said.freeze(), io }))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Greeted<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.said.has_remaining() {
            let count = self.said.len().min(buf.remaining());
            buf.put_slice(&self.said.split_to(count));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Greeted<T> {
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

/// RFC 9113 section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_was_said_is_read_once_more_however_it_came() {
        for said in [[PREFACE, b"more"].concat(), b"PRI /".to_vec(), b"GET / HTTP/1.1\r\n".to_vec(), PREFACE.to_vec()] {
            for pieces in [1, 3, 100] {
                let (mut far, near) = duplex(64);
                let say = async {
                    for piece in said.chunks(pieces) {
                        far.write_all(piece).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                    drop(far);
                };
                let hear = async {
                    let mut greeted = Greeted::wait(near).await.unwrap().unwrap();
                    let mut heard = Vec::new();
                    greeted.read_to_end(&mut heard).await.unwrap();
                    heard
                };
                let (heard, ()) = tokio::join!(hear, say);
                assert_eq!(heard, said);
            }
        }
    }

    #[tokio::test]
    async fn who_leaves_without_a_word_is_no_error_and_who_leaves_within_it_is() {
        let (far, near) = duplex(64);
        drop(far);
        assert!(Greeted::wait(near).await.unwrap().is_none());
        let (mut far, near) = duplex(64);
        far.write_all(b"PRI").await.unwrap();
        drop(far);
        assert_eq!(Greeted::wait(near).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
