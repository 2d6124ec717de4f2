//! What a forwarded port leads to, and the client at its other end.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};

use super::{
    channels::{Channels, DATA_OF_PORT},
    connection::Endpoint,
    fetch::Fetch,
};
use crate::redis::value;

/// A listener that gives and takes so many bytes.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    size: usize,
    _accepting: JoinSet<()>,
}

/// Bytes that repeat after a while, read from anywhere on.
#[derive(Debug)]
struct Noise {
    block: Bytes,
    at: usize,
}

// === impl Port ===

impl Port {
    pub(crate) async fn open(size: usize) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("listening")?;
        let number = listener.local_addr().context("listening")?.port();
        let noise = Noise::new().block;
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                // What goes wrong here shows at the other end.
                let noise = Noise { block: noise.clone(), at: 0 };
                connections.spawn(async move { drop(serve(connection, noise, size).await) });
            }
        });
        Ok(Self { number, size, _accepting: accepting })
    }

    /// Takes all that the port gives.
    pub(crate) async fn download(&self, endpoint: &Endpoint, pod: &str) -> Result<Fetch> {
        let mut channels = Channels::port_forward(endpoint, pod, self.number).await?;
        let start = Instant::now();
        channels.feed(DATA_OF_PORT, &[DOWNLOAD]).await?;
        channels.flush().await?;
        let mut noise = Noise::new();
        let (mut first_byte, mut bytes) = (None, 0);
        while bytes < self.size {
            let data = channels.next(DATA_OF_PORT).await?;
            first_byte.get_or_insert_with(|| start.elapsed());
            noise.check(&data)?;
            bytes += data.len();
        }
        if bytes > self.size {
            bail!("{bytes} bytes, and {} were sent", self.size);
        }
        let total = start.elapsed();
        Ok(Fetch { first_byte: first_byte.unwrap_or(total), total, bytes: bytes as u64 })
    }

    /// Gives the port all that it takes, and waits until it says that this was right.
    pub(crate) async fn upload(&self, endpoint: &Endpoint, pod: &str) -> Result<Fetch> {
        let mut channels = Channels::port_forward(endpoint, pod, self.number).await?;
        let mut noise = Noise::new();
        let start = Instant::now();
        channels.feed(DATA_OF_PORT, &[UPLOAD]).await?;
        let mut left = self.size;
        while left > 0 {
            let piece = noise.take(left.min(PIECE));
            channels.feed(DATA_OF_PORT, &piece).await?;
            left -= piece.len();
        }
        channels.flush().await?;
        let said = channels.next(DATA_OF_PORT).await?;
        if said != RIGHT {
            bail!("what came at the port was wrong");
        }
        let total = start.elapsed();
        Ok(Fetch { first_byte: total, total, bytes: self.size as u64 })
    }
}

async fn serve(mut connection: TcpStream, mut noise: Noise, size: usize) -> Result<()> {
    let mut left = size;
    match connection.read_u8().await? {
        DOWNLOAD => {
            while left > 0 {
                let piece = noise.take(left.min(PIECE));
                connection.write_all(&piece).await?;
                left -= piece.len();
            }
        }
        _ => {
            let mut buffer = vec![0; PIECE];
            while left > 0 {
                let read = connection.read(&mut buffer).await?;
                let data = buffer.get(..read).filter(|data| !data.is_empty()).context("the end")?;
                noise.check(data)?;
                left = left.checked_sub(read).context("too much")?;
            }
            connection.write_all(RIGHT).await?;
        }
    }
    // The other end has what it waits for, and leaves.
    let _ = tokio::time::timeout(LEAVING, connection.read_u8()).await;
    Ok(())
}

// === impl Noise ===

impl Noise {
    fn new() -> Self {
        Self { block: value(BLOCK).into(), at: 0 }
    }

    /// The next bytes, at most so many.
    fn take(&mut self, most: usize) -> Bytes {
        let end = self.block.len().min(self.at + most);
        let piece = self.block.slice(self.at..end);
        self.at = if end == self.block.len() { 0 } else { end };
        piece
    }

    /// Fails unless these are the next bytes.
    fn check(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            let wanted = self.take(data.len());
            data = data.strip_prefix(&wanted[..]).context("bytes that were not sent")?;
        }
        Ok(())
    }
}

/// A prime number, so that no buffer on the way is as long.
const BLOCK: usize = 1_048_573;

/// As much as TLS puts into four records.
const PIECE: usize = 64 << 10;

const DOWNLOAD: u8 = b'd';
const UPLOAD: u8 = b'u';

/// What the port says when it has got what it should.
const RIGHT: &[u8] = b"right";

/// How long a client may take to close what it has read to its end.
const LEAVING: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_the_same_in_any_pieces() {
        let mut sender = Noise::new();
        let mut receiver = Noise::new();
        let mut both = Vec::new();
        for most in [1, BLOCK - 10, 100, 7, 70_000] {
            both.extend_from_slice(&sender.take(most));
        }
        for piece in both.chunks(333_333) {
            receiver.check(piece).unwrap();
        }
        assert!(receiver.check(&both).is_err());
    }
}
