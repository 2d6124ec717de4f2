//! The inbound half of a pipe.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::{io::ReadBuf, sync::oneshot};

use super::{PipeError, flow::Inbound, stream::Attached, window::Overdrawn};
use crate::proto::Chunk;

/// ```text
///  Waiting ──attached──► Open ──cut──► Broken   (an error, as often as it is read)
///     └────────────refused───────────────┘
/// ```
/// Open has ended when the peer has said so (`fin`), and stays open until the reader is dropped: see
/// [`Reader::hear_out`].
pub(super) struct Reader {
    /// What has come and is not read yet.
    data: Bytes,
    state: State,
    /// The peer ended its direction cleanly.
    finished: bool,
    /// None where the peer knows no credit.
    inbound: Option<Inbound>,
}

enum State {
    Waiting(oneshot::Receiver<Attached>),
    Open(Box<tonic::Streaming<Chunk>>),
    Broken(PipeError),
}

// === impl Reader ===

impl Reader {
    pub(super) fn new(early_data: Bytes, attached: oneshot::Receiver<Attached>, inbound: Option<Inbound>) -> Self {
        Self { data: early_data, state: State::Waiting(attached), finished: false, inbound }
    }

    /// What stays behind where a reader was taken away.
    pub(super) fn gone() -> Self {
        Self { data: Bytes::new(), state: State::Broken(PipeError::SessionLost), finished: false, inbound: None }
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.data.is_empty() && !self.finished {
            self.state = match &mut self.state {
                State::Waiting(attached) => match ready!(Pin::new(attached).poll(cx)) {
                    Ok(Ok(streaming)) => State::Open(Box::new(streaming)),
                    Ok(Err(error)) => State::Broken(error),
                    Err(_dropped) => State::Broken(PipeError::SessionLost),
                },
                State::Open(streaming) => match ready!(Pin::new(streaming.as_mut()).poll_next(cx)) {
                    Some(Ok(chunk)) => match take(self.inbound.as_mut(), &chunk) {
                        Ok(()) => {
                            self.data = chunk.data;
                            self.finished = chunk.fin;
                            continue;
                        }
                        Err(Overdrawn) => {
                            State::Broken(PipeError::Cut("the peer sent more than was granted".to_owned()))
                        }
                    },
                    Some(Err(status)) => State::Broken(PipeError::Cut(status.message().to_owned())),
                    None => State::Broken(PipeError::Cut("the peer dropped it".to_owned())),
                },
                State::Broken(error) => return Poll::Ready(Err(error.clone().into())),
            };
        }
        let take = self.data.len().min(buf.remaining());
        buf.put_slice(&self.data.split_to(take));
        Poll::Ready(Ok(()))
    }

    /// Throws away what still comes, until the peer has ended the call.
    pub(super) async fn hear_out(mut self) {
        loop {
            match &mut self.state {
                State::Waiting(attached) => match attached.await {
                    Ok(Ok(streaming)) => self.state = State::Open(Box::new(streaming)),
                    Ok(Err(_)) | Err(_) => return,
                },
                State::Open(streaming) => match streaming.next().await {
                    // Granted nonetheless: whoever writes may have to come to its end first.
                    Some(Ok(chunk)) if take(self.inbound.as_mut(), &chunk).is_ok() => {}
                    Some(Ok(_) | Err(_)) | None => return,
                },
                State::Broken(_) => return,
            }
        }
    }

    /// Whether the peer ended its direction cleanly.
    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// The reason, where the reading side already knows why a write fails.
    pub(super) fn why(&mut self) -> Option<PipeError> {
        match &mut self.state {
            State::Broken(error) => Some(error.clone()),
            State::Waiting(attached) => match attached.try_recv() {
                Ok(Err(error)) => {
                    self.state = State::Broken(error.clone());
                    Some(error)
                }
                Ok(Ok(streaming)) => {
                    self.state = State::Open(Box::new(streaming));
                    None
                }
                Err(oneshot::error::TryRecvError::Closed) => Some(PipeError::SessionLost),
                Err(oneshot::error::TryRecvError::Empty) => None,
            },
            State::Open(_) => None,
        }
    }
}

/// A chunk leaves the connection's buffers. One that is nothing but the end costs nothing.
fn take(inbound: Option<&mut Inbound>, chunk: &Chunk) -> Result<(), Overdrawn> {
    match inbound {
        Some(inbound) if !(chunk.fin && chunk.data.is_empty()) => inbound.take(chunk.data.len()),
        Some(_) | None => Ok(()),
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            _ if self.finished => "Finished",
            State::Waiting(_) => "Waiting",
            State::Open(_) => "Open",
            State::Broken(_) => "Broken",
        })
    }
}
