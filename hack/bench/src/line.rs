//! A long line between two hops: what enters it leaves it some time later, in order, however much is on its way.

use std::{io, net::Ipv4Addr, time::Duration};

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Lines of one length, which can be changed. Dropping it cuts them all.
#[derive(Debug)]
pub(crate) struct Line {
    one_way: watch::Sender<Duration>,
    tasks: std::sync::Mutex<JoinSet<()>>,
}

// === impl Line ===

impl Line {
    /// Lines without length yet.
    pub(crate) fn new() -> Self {
        Self { one_way: watch::Sender::new(Duration::ZERO), tasks: std::sync::Mutex::default() }
    }

    /// The time there and back, for what enters from now on.
    pub(crate) fn set_round_trip(&self, time: Duration) {
        self.one_way.send_replace(time / 2);
    }

    /// A port of this machine that leads to `target`, which need not listen yet.
    pub(crate) fn to(&self, target: u16) -> Result<u16> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
        listener.set_nonblocking(true).context("a listener")?;
        let listener = TcpListener::from_std(listener).context("a listener")?;
        let port = listener.local_addr().context("a listener")?.port();
        let one_way = self.one_way.subscribe();
        let mut tasks = self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((near, _)) = accepted else { return };
                        let one_way = one_way.clone();
                        // How a connection ends shows at its ends.
                        connections.spawn(async move { drop(carry(near, target, one_way).await) });
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(port)
    }
}

async fn carry(near: TcpStream, target: u16, one_way: watch::Receiver<Duration>) -> io::Result<()> {
    let far = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    tokio::try_join!(one(near_read, far_write, one_way.clone()), one(far_read, near_write, one_way)).map(drop)
}

/// One direction.
async fn one(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    one_way: watch::Receiver<Duration>,
) -> io::Result<()> {
    let (sender, mut under_way) = mpsc::channel::<(Instant, Bytes)>(UNDER_WAY / PIECE);
    let enter = async move {
        let mut buffer = vec![0; PIECE];
        loop {
            let count = from.read(&mut buffer).await?;
            let piece = Bytes::copy_from_slice(buffer.split_at(count).0);
            let due = Instant::now() + *one_way.borrow();
            if sender.send((due, piece)).await.is_err() || count == 0 {
                return io::Result::Ok(());
            }
        }
    };
    let leave = async move {
        while let Some((due, piece)) = under_way.recv().await {
            sleep_until(due).await;
            if piece.is_empty() {
                return to.shutdown().await;
            }
            to.write_all(&piece).await?;
        }
        Ok(())
    };
    tokio::try_join!(enter, leave).map(drop)
}

/// The most bytes that are under way in a direction of a connection: what Linux lets a TCP connection have there unless
/// it is tuned (`net.ipv4.tcp_wmem`). A line that held any amount would hide what windows cost.
const UNDER_WAY: usize = 4 << 20;

const PIECE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_enters_together_leaves_together_and_later() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let line = Line::new();
        line.set_round_trip(Duration::from_millis(100));
        let port = line.to(server.local_addr().unwrap().port()).unwrap();
        let mut near = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let (mut far, _) = server.accept().await.unwrap();
        let start = Instant::now();
        let bytes = vec![7; 1 << 20];
        let (sent, received) = tokio::join!(
            async {
                near.write_all(&bytes).await.unwrap();
                near.shutdown().await
            },
            async {
                let mut received = Vec::new();
                far.read_to_end(&mut received).await.unwrap();
                received
            }
        );
        sent.unwrap();
        assert!(received == bytes);
        assert!(start.elapsed() >= Duration::from_millis(50));
        far.write_all(b"x").await.unwrap();
        assert_eq!(near.read_u8().await.unwrap(), b'x');
        assert!(start.elapsed() >= Duration::from_millis(100));
    }
}
