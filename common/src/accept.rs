//! Accepting connections: whatever the listening socket says, it is asked again, and never in a busy loop.
//!
//! A process out of file descriptors is told so by every `accept` until some are closed, so errors of the socket itself
//! are followed by a growing pause. What is wrong with a single connection concerns nobody.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep_until},
};

/// A listening socket that survives its errors.
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    pause: Pause,
    resume_at: Option<Instant>,
}

/// How long to leave a failing socket alone: doubled by every error, reset by every success.
#[derive(Debug, Default)]
struct Pause {
    last: Option<Duration>,
}

// === impl Acceptor ===

impl Acceptor {
    /// Takes a bound socket.
    #[must_use]
    pub fn new(listener: TcpListener) -> Self {
        Self { listener, pause: Pause::default(), resume_at: None }
    }

    /// The next connection, which sends small writes at once (`TCP_NODELAY`), and its peer; one that came by IPv4 to an
    /// IPv6 socket is named by its IPv4 address.
    ///
    /// # Errors
    /// When the socket cannot accept now, for instance for want of file descriptors. It is to be counted and logged,
    /// and no reason to stop: the next call waits before it tries.
    ///
    /// # Cancel safety
    /// Cancel safe: a connection is returned or still in the kernel's queue.
    pub async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            if let Some(at) = self.resume_at {
                sleep_until(at).await;
                self.resume_at = None;
            }
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    self.pause = Pause::default();
                    // Fails only for a connection that is gone already.
                    if stream.set_nodelay(true).is_ok() {
                        return Ok((stream, SocketAddr::new(peer.ip().to_canonical(), peer.port())));
                    }
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    self.resume_at = Some(Instant::now() + self.pause.next());
                    return Err(error);
                }
            }
        }
    }
}

// === impl Pause ===

impl Pause {
    fn next(&mut self) -> Duration {
        let next = self.last.map_or(FIRST_PAUSE, |last| (2 * last).min(LONGEST_PAUSE));
        self.last = Some(next);
        next
    }
}

/// The connection was taken from the queue and had failed there (`accept(2)`, "error handling").
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Short enough that nobody notices a single hiccup; the same bounds as Go's `net/http`.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_second_and_no_further() {
        let mut pause = Pause::default();
        let pauses: Vec<_> = (0..10).map(|_| pause.next().as_millis()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }

    #[test]
    fn running_out_of_file_descriptors_is_no_matter_of_one_connection() {
        assert!(!concerns_one_connection(&io::Error::from_raw_os_error(24)));
        assert!(concerns_one_connection(&io::ErrorKind::ConnectionAborted.into()));
    }

    #[tokio::test]
    async fn an_ipv4_peer_of_an_ipv6_socket_has_its_ipv4_address() {
        // Where there is no IPv6, there is nothing to test.
        let Ok(listener) = TcpListener::bind("[::]:0").await else { return };
        let client = TcpStream::connect(("127.0.0.1", listener.local_addr().unwrap().port())).await.unwrap();
        let (_, peer) = Acceptor::new(listener).accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_waiting_loses_no_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut acceptor = Acceptor::new(listener);
        assert!(futures_util::FutureExt::now_or_never(acceptor.accept()).is_none());
        let client = TcpStream::connect(address).await.unwrap();
        let (stream, peer) = acceptor.accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert!(stream.nodelay().unwrap());
    }
}
