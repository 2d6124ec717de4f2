//! One connection to a Redis, or to the door.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use super::Reply;
use crate::load::Fetch;

/// Where a Redis or a door listens, and what the client logs in with.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    address: SocketAddr,
    password: String,
}

/// A connection that is logged in.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What has come and has not been taken.
    input: BytesMut,
}

/// A command whose reply is known, byte by byte.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    command: Bytes,
    reply: Bytes,
}

// === impl Endpoint ===

impl Endpoint {
    pub(crate) fn new(address: SocketAddr, password: &str) -> Self {
        Self { address, password: password.to_owned() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens a connection: RESP3 and the login in one command, as go-redis does it.
    pub(crate) async fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(self.address).await;
        let stream = stream.with_context(|| format!("connecting to {}", self.address))?;
        stream.set_nodelay(true).context("switching delays off")?;
        let mut connection = Connection { stream, input: BytesMut::new() };
        connection.ask(&["hello", "3", "auth", "default", &self.password]).await.context("logging in")?;
        Ok(connection)
    }
}

// === impl Connection ===

impl Connection {
    /// Sends a command and waits for its reply, which must be no error.
    pub(crate) async fn ask(&mut self, words: &[&str]) -> Result<Reply> {
        let words = words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>();
        self.send(&command(&words)).await?;
        match self.next().await? {
            (Reply::Error(error), _) => {
                bail!("{}: {error}", String::from_utf8_lossy(words.first().unwrap_or(&&[][..])))
            }
            (reply, _) => Ok(reply),
        }
    }

    /// Stores a value.
    pub(crate) async fn set(&mut self, key: &str, value: &[u8]) -> Result<()> {
        self.send(&command(&[b"set", key.as_bytes(), value])).await?;
        match self.next().await? {
            (Reply::Text(_), _) => Ok(()),
            (reply, _) => bail!("SET was answered {reply:?}"),
        }
    }

    /// The next reply or push, and when the last byte of it came.
    pub(super) async fn next(&mut self) -> Result<(Reply, Instant)> {
        let mut at = Instant::now();
        loop {
            if let Some((reply, length)) = Reply::parse(&self.input)? {
                self.input.advance(length);
                return Ok((reply, at));
            }
            self.fill(SMALL).await?;
            at = Instant::now();
        }
    }

    /// Sends a command and compares its reply, to the last byte.
    pub(crate) async fn exchange(&mut self, exchange: &Exchange) -> Result<Fetch> {
        let start = Instant::now();
        self.begin(exchange).await?;
        let first_byte = self.finish(exchange).await?.saturating_duration_since(start);
        Ok(Fetch { first_byte, total: start.elapsed(), bytes: exchange.reply.len() as u64 })
    }

    /// Sends a command and reads nothing of its reply.
    pub(super) async fn begin(&mut self, exchange: &Exchange) -> Result<()> {
        self.send(&exchange.command).await
    }

    /// Reads the reply of a command that was begun, and says when the first of it was there.
    pub(super) async fn finish(&mut self, exchange: &Exchange) -> Result<Instant> {
        self.arrives().await?;
        let first = Instant::now();
        let mut rest = self.compare(&exchange.reply)?;
        while !rest.is_empty() {
            self.fill(rest.len().clamp(SMALL, LARGE)).await?;
            rest = self.compare(rest)?;
        }
        Ok(first)
    }

    /// Waits until something has come.
    pub(super) async fn arrives(&mut self) -> Result<()> {
        if self.input.is_empty() { self.fill(SMALL).await } else { Ok(()) }
    }

    /// Takes what has come, which must be how this begins, and returns what is to come.
    fn compare<'a>(&mut self, expected: &'a [u8]) -> Result<&'a [u8]> {
        let length = self.input.len().min(expected.len());
        let come = self.input.split_to(length);
        if let Some(rest) = expected.strip_prefix(come.as_ref()) {
            return Ok(rest);
        }
        let start = come.get(..come.len().min(SHOWN)).unwrap_or_default();
        bail!("not the expected reply, {} bytes before its end: {}", expected.len(), start.escape_ascii());
    }

    async fn send(&mut self, command: &[u8]) -> Result<()> {
        self.stream.write_all(command).await.context("sending a command")
    }

    async fn fill(&mut self, space: usize) -> Result<()> {
        self.input.reserve(space);
        if self.stream.read_buf(&mut self.input).await.context("waiting for a reply")? == 0 {
            bail!("the connection was closed");
        }
        Ok(())
    }
}

// === impl Exchange ===

impl Exchange {
    /// GET of a value that is there.
    pub(crate) fn get(key: &str, value: &[u8]) -> Self {
        let mut reply = format!("${}\r\n", value.len()).into_bytes();
        reply.extend_from_slice(value);
        reply.extend_from_slice(b"\r\n");
        Self { command: command(&[b"get", key.as_bytes()]).into(), reply: reply.into() }
    }

    /// PING, which any server answers from memory.
    pub(crate) fn ping() -> Self {
        Self { command: command(&[b"ping"]).into(), reply: Bytes::from_static(b"+PONG\r\n") }
    }
}

/// A command as all clients send it: an array of bulk strings.
fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut command = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        command.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        command.extend_from_slice(word);
        command.extend_from_slice(b"\r\n");
    }
    command
}

/// Room for a read where the reply is short: a value of some KiB comes in one.
const SMALL: usize = 4 << 10;

/// Room for a read of a value of megabytes.
const LARGE: usize = 256 << 10;

/// How much an error quotes of what came.
const SHOWN: usize = 120;

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A connection to somebody who says this and no more, whatever is said to them, while they are kept.
    async fn told(said: &'static [u8]) -> (Connection, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (stream, accepted) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), async { listener.accept().await });
        let (mut peer, _) = accepted.unwrap();
        peer.write_all(said).await.unwrap();
        peer.shutdown().await.unwrap();
        (Connection { stream: stream.unwrap(), input: BytesMut::new() }, peer)
    }

    #[test]
    fn a_command_says_the_length_of_all_its_words() {
        assert_eq!(command(&[b"get", b"k\r\n"]), b"*2\r\n$3\r\nget\r\n$3\r\nk\r\n\r\n");
    }

    #[tokio::test]
    async fn a_reply_is_compared_to_its_last_byte() {
        let get = Exchange::get("k", b"value");
        let (mut connection, _peer) = told(b"$5\r\nvalue\r\n").await;
        let fetched = connection.exchange(&get).await.unwrap();
        assert_eq!(fetched.bytes, 11);
        assert!(fetched.first_byte <= fetched.total);
        for bad in [&b"$5\r\nvaluf\r\n"[..], b"$-1\r\n", b"-ERR agent is away\r\n", b"$5\r\nvalue\r"] {
            let (mut connection, _peer) = told(bad).await;
            assert!(connection.exchange(&get).await.is_err(), "{bad:?}");
        }
        let (mut connection, _peer) = told(b"-ERR agent is away\r\n").await;
        let error = connection.exchange(&get).await.unwrap_err();
        assert!(error.to_string().contains("-ERR agent"), "{error}");
    }

    #[tokio::test]
    async fn what_comes_behind_a_reply_is_the_next_one() {
        let (mut connection, _peer) = told(b"$1\r\nv\r\n+PONG\r\n:3\r\n").await;
        connection.exchange(&Exchange::get("k", b"v")).await.unwrap();
        connection.exchange(&Exchange::ping()).await.unwrap();
        assert_eq!(connection.ask(&["publish", "c", ""]).await.unwrap(), Reply::Integer(3));
        assert!(connection.ask(&["ping"]).await.is_err());
    }
}
