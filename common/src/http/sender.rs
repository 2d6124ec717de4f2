//! The sending side of an HTTP/1.1 connection that may end at any moment.
//!
//! Always true: each request is answered or fails, also one that is sent just as the connection ends.
//!
//! hyper answers what waits in a connection's queue when the connection is dropped. A request that is queued while another
//! thread does that may come behind it: tokio's queue lets in what was begun before it was closed, and is emptied once
//! (`sync/mpsc/chan.rs`, `Drop for Rx`). That one would wait for ever, since its queue lives as long as its sender. So the
//! sender hears that the connection was dropped, and lets go of the queue, which hands the request back.

use std::{convert::Infallible, fmt, pin::pin};

use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    client::conn::{TrySendError, http1::SendRequest},
};
use tokio::sync::oneshot;

/// Sends requests into a connection, one at a time.
pub struct Sender<B> {
    requests: SendRequest<B>,
    connection: oneshot::Sender<Infallible>,
}

/// For the task that drives the connection.
#[derive(Debug)]
pub struct Driven(oneshot::Receiver<Infallible>);

// === impl Sender ===

impl<B> Sender<B> {
    /// What sends into a connection, and what must drive that.
    #[must_use]
    pub fn new(requests: SendRequest<B>) -> (Self, Driven) {
        let (connection, driven) = oneshot::channel();
        (Self { requests, connection }, Driven(driven))
    }

    /// Whether the connection is known to take nothing any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    /// Whether the connection waits for a request.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.requests.is_ready()
    }

    /// Waits until the connection takes a request.
    ///
    /// # Errors
    /// When it takes none any more.
    pub async fn ready(&mut self) -> hyper::Result<()> {
        self.requests.ready().await
    }
}

impl<B: Body + 'static> Sender<B> {
    /// Sends a request, and returns the answer as soon as its head is here, beside the sender unless the connection has
    /// ended.
    ///
    /// # Errors
    /// When no answer comes. The error has the request where no byte of it was written.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the exchange.
    pub async fn send(
        self,
        request: Request<B>,
    ) -> Result<(Response<Incoming>, Option<Self>), TrySendError<Request<B>>> {
        let Self { mut requests, mut connection } = self;
        let mut answer = pin!(requests.try_send_request(request));
        tokio::select! {
            biased;
            answer = &mut answer => return answer.map(|answer| (answer, Some(Self { requests, connection }))),
            () = connection.closed() => {}
        }
        // What the connection had taken was answered when it was dropped, and what is left in the queue is when that goes.
        drop(requests);
        answer.await.map(|answer| (answer, None))
    }
}

impl<B> fmt::Debug for Sender<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("requests", &self.requests).finish_non_exhaustive()
    }
}

// === impl Driven ===

impl Driven {
    /// Drives the connection to its end.
    pub async fn drive<C: Future>(self, connection: C) -> C::Output {
        let ended = connection.await;
        // The connection is gone by now, and that must be so.
        drop(self);
        ended
    }

    /// Drives the connection to its end, or until the sender is dropped.
    pub async fn drive_while_used<C: Future>(mut self, connection: C) -> Option<C::Output> {
        let ended = tokio::select! {
            biased;
            ended = connection => Some(ended),
            _dropped = &mut self.0 => None,
        };
        drop(self);
        ended
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        pin::Pin,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Context, Poll},
        time::Duration,
    };

    use bytes::Bytes;
    use http_body_util::Empty;
    use hyper::{
        client::conn::http1,
        rt::{Read, ReadBufCursor, Write},
    };
    use tokio::{task::spawn_blocking, time::timeout};

    use super::*;

    /// Where two threads go on at the same moment.
    #[derive(Clone, Default)]
    struct Meeting(Arc<AtomicUsize>);

    impl Meeting {
        fn wait(&self) {
            self.0.fetch_add(1, Ordering::AcqRel);
            for spun in 1_u32.. {
                if self.0.load(Ordering::Acquire) == 2 {
                    break;
                }
                // Its processor may be the one that the other needs.
                if spun % 1024 == 0 { std::thread::yield_now() } else { std::hint::spin_loop() }
            }
        }
    }

    /// A connection of which nothing comes. It is what hyper drops right before the queue.
    struct Silent(Meeting);

    impl Read for Silent {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl Write for Silent {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl Drop for Silent {
        fn drop(&mut self) {
            self.0.wait();
        }
    }

    /// With a sender that did not let go of the queue every second run or so has a round that waits.
    #[tokio::test]
    async fn a_request_that_is_sent_while_the_connection_is_dropped_comes_back() {
        for round in 0..ROUNDS {
            let meeting = Meeting::default();
            let handshake = http1::handshake::<_, Empty<Bytes>>(Silent(meeting.clone()));
            let (requests, connection) = handshake.await.unwrap();
            let (sender, driven) = Sender::new(requests);
            let dropping = spawn_blocking(move || {
                drop(connection);
                drop(driven);
            });
            let request = Request::new(Empty::new());
            meeting.wait();
            for _ in 0..round % SPREAD {
                std::hint::spin_loop();
            }
            let sent = timeout(Duration::from_secs(10), sender.send(request)).await;
            let Ok(sent) = sent else { panic!("never told, in round {round}") };
            assert!(sent.unwrap_err().take_message().is_some());
            dropping.await.unwrap();
        }
    }

    const ROUNDS: usize = 20_000;
    const SPREAD: usize = 64;
}
