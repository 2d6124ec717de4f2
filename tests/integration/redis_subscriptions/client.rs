//! A connection to a Redis, by which a test asks and listens.

use std::net::SocketAddr;

use bytes::BytesMut;
use common::resp::{ReplyEvent, ReplyScanner, frames, replies::Limits};
use harness::soon;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A connection to a Redis.
pub(super) struct Client {
    tcp: TcpStream,
    came: BytesMut,
    scanner: ReplyScanner,
    pub(super) password: Option<&'static str>,
}

// === impl Client ===

impl Client {
    pub(super) async fn to(redis: SocketAddr) -> Self {
        let tcp = TcpStream::connect(redis).await.unwrap();
        Self { tcp, came: BytesMut::new(), scanner: ReplyScanner::new(Limits::default()), password: None }
    }

    pub(super) async fn log_in(&mut self) {
        if let Some(password) = self.password {
            assert_eq!(self.ask(&[b"AUTH", password.as_bytes()]).await, "+OK\r\n");
        }
    }

    /// Asks, and returns the answer.
    pub(super) async fn ask(&mut self, words: &[&[u8]]) -> String {
        self.tcp.write_all(&frames::command(words)).await.unwrap();
        self.next().await
    }

    /// The payload of the next message, which is of this channel.
    pub(super) async fn hears(&mut self, channel: &str) -> String {
        let message = self.next().await;
        let start = format!("*3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n$", channel.len());
        let rest = message.strip_prefix(&start).unwrap_or_else(|| panic!("{message}"));
        rest.split_once("\r\n").unwrap().1.strip_suffix("\r\n").unwrap().to_owned()
    }

    /// The next frame.
    async fn next(&mut self) -> String {
        let mut text = Vec::new();
        loop {
            let part = match self.scanner.next(&mut self.came).unwrap() {
                Some(ReplyEvent::Reply(reply)) => reply.into_part(),
                Some(ReplyEvent::Part(part)) => part,
                None => {
                    assert!(soon(self.tcp.read_buf(&mut self.came)).await.unwrap() > 0, "closed");
                    continue;
                }
            };
            text.extend_from_slice(part.bytes());
            if part.is_last() {
                return String::from_utf8(text).unwrap();
            }
        }
    }
}
