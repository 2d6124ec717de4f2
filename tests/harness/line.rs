//! A long line in memory: what enters it leaves it some time later, in order, and no more is on its way than it holds.

use std::{io, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, split},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep_until},
};

/// Where the clock is paused it takes exactly what it holds in each [`Line::one_way`].
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// How long each way is.
    pub one_way: Duration,
    /// How many bytes are on their way at a time, in each direction.
    pub holds: usize,
}

// === impl Line ===

impl Line {
    /// A line that holds whatever enters it.
    #[must_use]
    pub fn wide(one_way: Duration) -> Self {
        Self { one_way, holds: Semaphore::MAX_PERMITS }
    }

    /// Carries both ways, until both have ended.
    pub async fn carry(self, near: DuplexStream, far: DuplexStream) {
        let ((near_read, near_write), (far_read, far_write)) = (split(near), split(far));
        // How it ends shows at its ends.
        let _ended = tokio::try_join!(self.one(near_read, far_write), self.one(far_read, near_write));
    }

    async fn one(self, mut from: ReadHalf<DuplexStream>, mut to: WriteHalf<DuplexStream>) -> io::Result<()> {
        let room = Arc::new(Semaphore::new(self.holds));
        let (sender, mut under_way) = mpsc::channel::<(Instant, Bytes, OwnedSemaphorePermit)>(PIECES);
        let enter = async move {
            let mut buffer = BytesMut::new();
            loop {
                buffer.reserve(PIECE);
                let count = from.read_buf(&mut buffer).await?;
                let piece = u32::try_from(count).map_err(io::Error::other)?;
                let place = Arc::clone(&room).acquire_many_owned(piece).await.map_err(io::Error::other)?;
                let piece = (Instant::now() + self.one_way, buffer.split().freeze(), place);
                if sender.send(piece).await.is_err() || count == 0 {
                    return Ok(());
                }
            }
        };
        let leave = async move {
            while let Some((due, mut piece, place)) = under_way.recv().await {
                sleep_until(due).await;
                if piece.is_empty() {
                    return to.shutdown().await;
                }
                to.write_all_buf(&mut piece).await?;
                drop(place);
            }
            Ok(())
        };
        tokio::try_join!(enter, leave).map(drop)
    }
}

const PIECE: usize = 64 * 1024;

/// So many that what the line holds is what binds, however small they are.
const PIECES: usize = 1 << 14;
