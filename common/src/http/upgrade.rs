//! Joins the two connections of an exchange that has switched protocols, and copies bytes until both have ended.
//!
//! Half-close is carried: when one side ends its direction, the other side's writing half is shut down and the opposite
//! direction goes on. An error on either side ends both at once.

use std::{
    io,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
};

use futures_util::future;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What was copied, readable while the copying goes on and after it was cancelled.
#[derive(Debug, Default)]
pub struct Meter {
    a_to_b: AtomicU64,
    b_to_a: AtomicU64,
}

/// What was copied, and how it ended.
#[derive(Debug)]
pub struct Joined {
    /// Bytes from the first connection to the second.
    pub a_to_b: u64,
    /// Bytes from the second connection to the first.
    pub b_to_a: u64,
    /// Whether both directions ended cleanly.
    pub result: Result<(), JoinError>,
}

/// Why two upgraded connections were torn apart.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// One side never switched.
    #[error("a connection did not switch protocols")]
    Switch(#[source] hyper::Error),
    /// The first connection broke. Whoever just goes, without an end to its TLS session, is one of these.
    #[error("the first of two upgraded connections broke")]
    First(#[source] io::Error),
    /// The second connection broke.
    #[error("the second of two upgraded connections broke")]
    Second(#[source] io::Error),
}

/// Waits until both connections have switched, then copies both ways until both directions have ended.
///
/// # Cancel safety
/// Dropping the future drops both connections.
pub async fn join(a: OnUpgrade, b: OnUpgrade) -> Joined {
    let meter = Meter::default();
    let result = join_metered(a, b, &meter).await;
    Joined { a_to_b: meter.a_to_b(), b_to_a: meter.b_to_a(), result }
}

/// [`join`], with a meter that outlives the future.
///
/// # Errors
/// When one side never switched, or broke.
///
/// # Cancel safety
/// Dropping the future drops both connections.
pub async fn join_metered(a: OnUpgrade, b: OnUpgrade, meter: &Meter) -> Result<(), JoinError> {
    let (a, b) = future::try_join(a, b).await.map_err(JoinError::Switch)?;
    copy(TokioIo::new(a), TokioIo::new(b), meter).await
}

async fn copy(a: impl Io, b: impl Io, meter: &Meter) -> Result<(), JoinError> {
    let mut a = Metered { io: a, read: &meter.a_to_b, broke: false };
    let mut b = Metered { io: b, read: &meter.b_to_a, broke: false };
    let copied = tokio::io::copy_bidirectional_with_sizes(&mut a, &mut b, BUFFER, BUFFER).await;
    copied.map(|_| ()).map_err(if a.broke { JoinError::First } else { JoinError::Second })
}

// === impl Meter ===

impl Meter {
    /// Bytes from the first connection to the second.
    #[must_use]
    pub fn a_to_b(&self) -> u64 {
        self.a_to_b.load(Ordering::Relaxed)
    }

    /// Bytes from the second connection to the first.
    #[must_use]
    pub fn b_to_a(&self) -> u64 {
        self.b_to_a.load(Ordering::Relaxed)
    }
}

trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// Counts what is read, because copying that ends in an error does not tell.
struct Metered<'m, T> {
    io: T,
    read: &'m AtomicU64,
    /// Whether it was this one that broke.
    broke: bool,
}

impl<T> Metered<'_, T> {
    fn note<R>(&mut self, polled: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        self.broke |= matches!(polled, Poll::Ready(Err(_)));
        polled
    }
}

// === impl Metered ===

impl<T: Io> AsyncRead for Metered<'_, T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        self.read.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        self.note(polled)
    }
}

impl<T: Io> AsyncWrite for Metered<'_, T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.note(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(cx);
        self.note(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_shutdown(cx);
        self.note(polled)
    }
}

/// Two per joined pair: big enough for the frames of `kubectl cp`, small enough for thousands of idle terminals.
const BUFFER: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use bytes::Bytes;
    use http::{Request, Response, StatusCode};
    use http_body_util::Empty;
    use hyper::{body::Incoming, service::service_fn};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        sync::mpsc,
        time::timeout,
    };

    use super::*;
    use crate::drain;

    const SWITCH: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";

    /// Two connections that have switched, seen from their far ends, and the join between them.
    async fn joined(watch: &drain::Watch) -> (DuplexStream, DuplexStream, tokio::sync::oneshot::Receiver<Joined>) {
        let (upgrades, mut switched) = mpsc::channel::<OnUpgrade>(2);
        let mut ends = Vec::new();
        for _ in 0..2 {
            let (mut far, near) = duplex(64);
            let upgrades = upgrades.clone();
            let service = service_fn(move |mut request: Request<Incoming>| {
                upgrades.try_send(hyper::upgrade::on(&mut request)).unwrap();
                let mut response = Response::new(Empty::<Bytes>::new());
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(near), service);
            watch.spawn(tracing::Span::none(), async move { connection.with_upgrades().await.unwrap() });
            far.write_all(SWITCH).await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(far.read_u8().await.unwrap());
            }
            ends.push(far);
        }
        let (a, b) = (switched.recv().await.unwrap(), switched.recv().await.unwrap());
        let (tell, told) = tokio::sync::oneshot::channel();
        watch.spawn(tracing::Span::none(), async move { tell.send(join(a, b).await).unwrap() });
        let b = ends.pop().unwrap();
        (ends.pop().unwrap(), b, told)
    }

    #[tokio::test]
    async fn one_direction_goes_on_when_the_other_has_ended() {
        let (_signal, watch) = drain::channel();
        let (mut a, mut b, told) = joined(&watch).await;
        a.write_all(b"stdin").await.unwrap();
        a.shutdown().await.unwrap();
        let mut read = Vec::new();
        b.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"stdin");

        b.write_all(b"the result, after the end of stdin").await.unwrap();
        b.shutdown().await.unwrap();
        read.clear();
        a.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"the result, after the end of stdin");
        let joined = told.await.unwrap();
        assert_eq!((joined.a_to_b, joined.b_to_a), (5, 34));
        joined.result.unwrap();
    }

    #[tokio::test]
    async fn an_error_on_one_side_ends_the_other_at_once() {
        let (_signal, watch) = drain::channel();
        let (mut a, b, told) = joined(&watch).await;
        drop(b);
        // The pipe of 64 bytes is gone, so a write into it fails.
        a.write_all(&[0; 256]).await.unwrap_or_default();
        let joined = told.await.unwrap();
        assert!(matches!(joined.result, Err(JoinError::Second(_))), "{joined:?}");
        let mut read = Vec::new();
        timeout(Duration::from_secs(5), a.read_to_end(&mut read)).await.unwrap().unwrap();
        assert_eq!(read, b"");
    }

    #[tokio::test]
    async fn a_side_that_never_switches_takes_the_other_with_it() {
        let (_signal, watch) = drain::channel();
        let (mut far, near) = duplex(64);
        let (upgrades, mut switched) = mpsc::channel::<OnUpgrade>(1);
        let service = service_fn(move |mut request: Request<Incoming>| {
            upgrades.try_send(hyper::upgrade::on(&mut request)).unwrap();
            std::future::pending::<Result<Response<Empty<Bytes>>, Infallible>>()
        });
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(near), service);
        watch.spawn(tracing::Span::none(), async move { connection.with_upgrades().await.unwrap_or_default() });
        far.write_all(SWITCH).await.unwrap();
        let on_upgrade = switched.recv().await.unwrap();
        let never = hyper::upgrade::on(Request::new(()));
        let joined = join(on_upgrade, never).await;
        assert!(matches!(joined.result, Err(JoinError::Switch(_))), "{joined:?}");
    }
}
