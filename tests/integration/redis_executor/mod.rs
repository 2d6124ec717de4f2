//! The Redis executor in front of real Redis servers, on pipes in memory.

mod conversion;
mod failures;
mod load;
mod login;
mod policy;
mod reads;
mod subscriptions;

use std::time::Duration;

use agent::{
    config::{Compression, RedisConfig, RedisTls},
    executors::redis::{RedisExecutor, RedisOptions},
};
use bytes::BytesMut;
use common::{
    drain,
    redis::Credentials,
    resp::{ReplyEvent, ReplyScanner, frames, replies::Limits},
};
use harness::{panics, redis::Redis, soon};
use prometheus_client::registry::Registry;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::TcpStream,
};
use tracing::Span;

/// An executor that runs.
struct Site {
    executor: RedisExecutor,
    registry: Registry,
    signal: Option<drain::Signal>,
    watch: drain::Watch,
}

/// The principal's end of a pipe, or a connection of the test's own to Redis.
struct Pipe<S = DuplexStream> {
    stream: S,
    came: BytesMut,
    scanner: ReplyScanner,
}

const TREE: &str = "app|resources-tree|agent-a_guestbook|1.8.3.gz";
const LOCAL_TREE: &str = "app|resources-tree|guestbook|1.8.3.gz";
const PLAIN_TREE: &str = "app|resources-tree|agent-a_guestbook|1.8.3";
const LOCAL_PLAIN_TREE: &str = "app|resources-tree|guestbook|1.8.3";
const CHANNEL: &str = "app|managed-resources|agent-a_guestbook|1.8.3";
const LOCAL_CHANNEL: &str = "app|managed-resources|guestbook|1.8.3";

// === impl Site ===

impl Site {
    fn new(redis: &Redis) -> Self {
        Self::with(redis, |_options| {})
    }

    fn with(redis: &Redis, change: impl FnOnce(&mut RedisOptions)) -> Self {
        Self::at(&redis.address().to_string(), change)
    }

    fn at(address: &str, change: impl FnOnce(&mut RedisOptions)) -> Self {
        panics::are_fatal();
        let redis = RedisConfig {
            address: address.to_owned(),
            tls: RedisTls::Off,
            credentials: Credentials::None,
            database: 0,
            key_prefix: String::new(),
            compression: Compression::Gzip,
        };
        let mut options =
            RedisOptions { redis, tls: None, namespace: "argocd".into(), destination_based_mapping: false };
        change(&mut options);
        let (signal, watch) = drain::channel();
        let mut registry = Registry::default();
        let executor = RedisExecutor::start(options, &watch, &mut registry).unwrap();
        Self { executor, registry, signal: Some(signal), watch }
    }

    fn pipe(&self) -> Pipe {
        // As much as a chunk is held on a pipe's way.
        let (near, far) = tokio::io::duplex(64 << 10);
        let (executor, finish) = (self.executor.clone(), self.watch.clone());
        self.watch.spawn(Span::none(), async move { executor.serve_stream(far, &finish).await });
        Pipe::new(near)
    }

    /// A number among the metrics.
    fn metric(&self, name: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |number| number.parse().unwrap())
    }
}

// === impl Pipe ===

impl Pipe<TcpStream> {
    /// A connection of the test's own.
    async fn direct(redis: &Redis) -> Self {
        Self::new(redis.connect().await)
    }
}

impl<S: AsyncReadExt + AsyncWriteExt + Unpin> Pipe<S> {
    fn new(stream: S) -> Self {
        Self { stream, came: BytesMut::new(), scanner: ReplyScanner::new(Limits::default()) }
    }

    /// Says a command and reads its reply.
    async fn ask(&mut self, words: &[&str]) -> String {
        self.say(words).await;
        self.heard().await
    }

    async fn say(&mut self, words: &[&str]) {
        let words = words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>();
        self.write(&frames::command(&words)).await;
    }

    async fn write(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.unwrap();
    }

    /// The next reply, with escapes for what is no text.
    async fn heard(&mut self) -> String {
        self.reply().await.expect("a reply").escape_ascii().to_string().replace(r"\'", "'")
    }

    /// The next reply as it came; none where the pipe ends cleanly or is cut before its end.
    async fn reply(&mut self) -> Option<Vec<u8>> {
        let mut reply = Vec::new();
        loop {
            let part = match self.scanner.next(&mut self.came).unwrap() {
                Some(ReplyEvent::Reply(reply)) => reply.into_part(),
                Some(ReplyEvent::Part(part)) => part,
                None => {
                    let read = soon(self.stream.read_buf(&mut self.came)).await;
                    if read.is_ok_and(|read| read > 0) {
                        continue;
                    }
                    return None;
                }
            };
            reply.extend_from_slice(part.bytes());
            if part.is_last() {
                return Some(reply);
            }
        }
    }

    /// Whether it ends before anything else comes.
    async fn ends(&mut self) -> bool {
        let nothing = self.came.is_empty();
        let read = soon(self.stream.read_buf(&mut self.came)).await;
        nothing && read.map_or(true, |read| read == 0)
    }

    /// Stores a value.
    async fn set(&mut self, key: &str, value: &[u8]) {
        self.write(&frames::command(&[b"SET", key.as_bytes(), value])).await;
        assert_eq!(self.heard().await, r"+OK\r\n");
    }
}

/// A value that Argo CD would keep for this: text, compressed.
fn gzip(plain: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// The string within a reply.
fn string(reply: &[u8]) -> &[u8] {
    let begin = reply.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let length: usize = std::str::from_utf8(&reply[1..begin - 2]).unwrap().parse().unwrap();
    assert_eq!(reply.len(), begin + length + 2);
    &reply[begin..begin + length]
}

/// What is quick enough to be called at once, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(1);
