//! A TCP proxy between two of ours that can cut, stall and delay what passes.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use common::drain;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::Span;

/// The proxy. Dropping it cuts everything.
#[derive(Debug)]
pub struct Link {
    /// Where to connect to.
    pub address: SocketAddr,
    mood: watch::Sender<Mood>,
    connections: Arc<Mutex<CancellationToken>>,
    accepted: Arc<AtomicUsize>,
    _signal: drain::Signal,
}

/// What happens to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Passing(Duration),
    Stalled,
}

// === impl Link ===

impl Link {
    /// A proxy to `target` on a free port.
    ///
    /// # Panics
    /// When there is none.
    pub async fn to(target: SocketAddr) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), target).await
    }

    /// A proxy to `target` at an address, where another may have been.
    ///
    /// # Panics
    /// When it is taken.
    pub async fn at(address: SocketAddr, target: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let (signal, watch) = drain::channel();
        let (mood, moods) = watch::channel(Mood::Passing(Duration::ZERO));
        let connections = Arc::new(Mutex::new(CancellationToken::new()));
        let accepted = Arc::new(AtomicUsize::new(0));
        let (tokens, count, tasks) = (Arc::clone(&connections), Arc::clone(&accepted), watch.clone());
        watch.spawn(Span::none(), async move {
            while let Ok((near, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (token, moods) = (tokens.lock().expect("not poisoned").clone(), moods.clone());
                tasks.spawn(Span::none(), async move {
                    token.run_until_cancelled(pass(near, target, moods)).await;
                });
            }
        });
        Self { address, mood, connections, accepted, _signal: signal }
    }

    /// Cuts every connection; new ones are taken as before.
    pub fn cut(&self) {
        let old = std::mem::take(&mut *self.connections.lock().expect("not poisoned"));
        old.cancel();
    }

    /// Holds back whatever comes, without a word to either end.
    pub fn stall(&self) {
        self.mood.send_replace(Mood::Stalled);
    }

    /// Lets pass what was held back.
    pub fn resume(&self) {
        self.delay(Duration::ZERO);
    }

    /// Makes each way so long, for what comes from now on.
    pub fn delay(&self, delay: Duration) {
        self.mood.send_replace(Mood::Passing(delay));
    }

    /// How many connections were made.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

async fn pass(near: TcpStream, target: SocketAddr, moods: watch::Receiver<Mood>) {
    // A target that is gone is a connection that ends.
    let Ok(far) = TcpStream::connect(target).await else { return };
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let there = copy(near_read, far_write, moods.clone());
    let back = copy(far_read, near_write, moods);
    // An end that breaks ends both; one that only half-closes does not.
    let _ended = tokio::try_join!(there, back);
}

/// Reads ahead of what is held back, as a long line does: pieces that come together leave together.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut moods: watch::Receiver<Mood>) -> io::Result<()> {
    let (sender, mut held_back) = mpsc::channel::<(Instant, Bytes)>(HELD_BACK);
    let read_moods = moods.clone();
    let read = async move {
        let mut buffer = BytesMut::with_capacity(64 * 1024);
        loop {
            buffer.reserve(64 * 1024);
            let count = from.read_buf(&mut buffer).await?;
            let delay = match *read_moods.borrow() {
                Mood::Passing(delay) => delay,
                Mood::Stalled => Duration::ZERO,
            };
            let piece = (Instant::now() + delay, buffer.split().freeze());
            if sender.send(piece).await.is_err() || count == 0 {
                return io::Result::Ok(());
            }
        }
    };
    let write = async move {
        while let Some((due, mut piece)) = held_back.recv().await {
            moods.wait_for(|mood| *mood != Mood::Stalled).await.map_err(io::Error::other)?;
            sleep_until(due).await;
            if piece.is_empty() {
                return to.shutdown().await;
            }
            to.write_all_buf(&mut piece).await?;
        }
        Ok(())
    };
    tokio::try_join!(read, write).map(drop)
}

/// Pieces that are on their way, of up to 64 KiB.
const HELD_BACK: usize = 256;
