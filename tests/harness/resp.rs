//! A client of Redis that keeps every byte it hears.

use std::{io, net::SocketAddr};

use bytes::BytesMut;
use common::resp::{
    frames,
    replies::{Limits, ReplyEvent, ReplyScanner},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::soon;

/// One connection.
#[derive(Debug)]
pub struct RespClient {
    stream: TcpStream,
    input: BytesMut,
    scanner: ReplyScanner,
}

// === impl RespClient ===

impl RespClient {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens there.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("somebody listens");
        Self { stream, input: BytesMut::new(), scanner: ReplyScanner::new(Limits::default()) }
    }

    /// Says a command, and takes its reply as text.
    pub async fn ask(&mut self, words: &[&str]) -> String {
        self.say(words).await;
        self.reply().await
    }

    /// Says a command.
    pub async fn say(&mut self, words: &[&str]) {
        let words: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
        self.raw(&frames::command(&words)).await;
    }

    /// Says these bytes.
    ///
    /// # Panics
    /// When the connection is broken, or nobody reads for a minute.
    pub async fn raw(&mut self, bytes: &[u8]) {
        self.try_raw(bytes).await.expect("the peer reads");
    }

    /// Says these bytes, as far as the peer takes them.
    ///
    /// # Errors
    /// When the connection is broken.
    ///
    /// # Panics
    /// When nobody reads for a minute.
    pub async fn try_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        soon(self.stream.write_all(bytes)).await
    }

    /// The next frame, pushes included.
    ///
    /// # Panics
    /// When none comes.
    pub async fn reply(&mut self) -> String {
        String::from_utf8_lossy(&self.frame().await.expect("a reply")).into_owned()
    }

    /// The next frame, or nothing where the connection ends before it.
    ///
    /// # Panics
    /// When what comes is no RESP, or nothing comes for a minute.
    pub async fn frame(&mut self) -> Option<Vec<u8>> {
        let mut frame = Vec::new();
        loop {
            match self.scanner.next(&mut self.input).expect("RESP") {
                Some(event) => {
                    let part = match event {
                        ReplyEvent::Reply(reply) => reply.into_part(),
                        ReplyEvent::Part(part) => part,
                    };
                    frame.extend_from_slice(part.bytes());
                    if part.is_last() {
                        return Some(frame);
                    }
                }
                None => {
                    if soon(self.stream.read_buf(&mut self.input)).await.unwrap_or(0) == 0 {
                        return None;
                    }
                }
            }
        }
    }

    /// Says that nothing more is to be said.
    ///
    /// # Panics
    /// When the connection is broken.
    pub async fn finish(&mut self) {
        self.stream.shutdown().await.expect("the connection is there");
    }

    /// All that comes until the connection ends.
    pub async fn rest(mut self) -> Vec<u8> {
        let mut rest = self.input.to_vec();
        // A reset ends it, too.
        soon(self.stream.read_to_end(&mut rest)).await.map(drop).unwrap_or_default();
        rest
    }
}
