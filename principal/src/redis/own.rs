//! The principal's own Redis, and who the principal is to it.

use std::{fmt, time::Duration};

use common::{
    redis::{ConnectError, Credentials, Endpoint, LoginError, Stream, login},
    resp::{frames, replies::Marker},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use super::wire::{Wire, WireError};

/// Where it is, and with what the principal logs in. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct OwnRedis {
    endpoint: Endpoint,
    credentials: Credentials,
}

/// Why nothing can be said to it now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("cannot connect")]
    Connect(#[source] ConnectError),
    #[error("cannot log in")]
    Login(#[source] LoginError),
    #[error("the conversation broke off")]
    Wire(#[source] WireError),
    #[error("Redis refuses: {0}")]
    Refused(String),
    #[error("Redis answered what nobody asked")]
    Unasked,
    #[error("Redis does not answer")]
    Silent,
}

// === impl OwnRedis ===

impl OwnRedis {
    pub(crate) fn new(endpoint: Endpoint, credentials: Credentials) -> Self {
        Self { endpoint, credentials }
    }

    /// A connection on which Redis has answered, and not later than `silence` after it had us. Frames are taken up to
    /// `longest` bytes.
    ///
    /// # Errors
    /// When it does not have us.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection.
    pub(crate) async fn connect(&self, longest: usize, silence: Duration) -> Result<Wire<Stream>, Trouble> {
        let mut stream = self.endpoint.connect().await.map_err(Trouble::Connect)?;
        login(&mut stream, &self.credentials).await.map_err(Trouble::Login)?;
        let mut wire = Wire::new(stream, longest);
        timeout(silence, greet(&mut wire)).await.map_err(|_elapsed| Trouble::Silent)??;
        Ok(wire)
    }
}

impl fmt::Display for OwnRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoint.fmt(f)
    }
}

/// Asks whether Redis is there and has us. A connection alone says neither: the kernel makes it for a Redis that hangs,
/// which would hear all at once what it was told meanwhile.
async fn greet<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut Wire<S>) -> Result<(), Trouble> {
    wire.say(&frames::ping());
    let answer = wire.next().await.map_err(Trouble::Wire)?;
    let words = answer.words();
    match answer.head.marker() {
        Marker::Simple => Ok(()),
        // Somebody who may do one thing and nothing else.
        Marker::Error if words.starts_with("NOPERM ") => Ok(()),
        Marker::Error => Err(Trouble::Refused(words)),
        _ => Err(Trouble::Unasked),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_redis_is_there_when_it_answers_and_has_us() {
        for (answer, told) in [
            ("+PONG\r\n", None),
            ("-NOPERM this user has no permissions to run the 'ping' command\r\n", None),
            ("-NOAUTH Authentication required.\r\n", Some("Redis refuses: NOAUTH Authentication required.")),
            ("-LOADING Redis is loading\r\n", Some("Redis refuses: LOADING Redis is loading")),
            (":1\r\n", Some("Redis answered what nobody asked")),
        ] {
            let (near, mut redis) = duplex(1 << 20);
            redis.write_all(answer.as_bytes()).await.unwrap();
            let greeted = greet(&mut Wire::new(near, 1_000)).await.err().map(|trouble| trouble.to_string());
            assert_eq!(greeted.as_deref(), told);
        }
    }
}
