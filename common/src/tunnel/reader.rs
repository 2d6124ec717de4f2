//! The inbound half of a pipe.

use std::{
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::{
    io::ReadBuf,
    sync::oneshot::{self, error::RecvError},
};

use super::{Incoming, PipeError, cutter::Piece, flow::Inbound, stream::Attached, window::Overdrawn};

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
    Open(Incoming),
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
                State::Waiting(attached) => State::after(ready!(Pin::new(attached).poll(cx))),
                State::Open(incoming) => match ready!(poll_taken(incoming, self.inbound.as_mut(), cx)) {
                    Ok(Piece { data, fin, .. }) => {
                        self.data = data;
                        self.finished = fin;
                        continue;
                    }
                    Err(error) => State::Broken(error),
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
            self.state = match &mut self.state {
                State::Waiting(attached) => State::after(attached.await),
                // Counted nonetheless: whoever writes may have to come to its end first.
                State::Open(incoming) => match poll_fn(|cx| poll_taken(incoming, self.inbound.as_mut(), cx)).await {
                    Ok(_thrown_away) => continue,
                    Err(_ended) => return,
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
                Ok(Ok(incoming)) => {
                    self.state = State::Open(incoming);
                    None
                }
                Err(oneshot::error::TryRecvError::Closed) => Some(PipeError::SessionLost),
                Err(oneshot::error::TryRecvError::Empty) => None,
            },
            State::Open(_) => None,
        }
    }
}

// === impl State ===

impl State {
    fn after(attached: Result<Attached, RecvError>) -> Self {
        match attached {
            Ok(Ok(incoming)) => Self::Open(incoming),
            Ok(Err(error)) => Self::Broken(error),
            Err(_dropped) => Self::Broken(PipeError::SessionLost),
        }
    }
}

/// The next piece leaves the connection's buffers, and is counted.
fn poll_taken(
    incoming: &mut Incoming,
    inbound: Option<&mut Inbound>,
    cx: &mut Context<'_>,
) -> Poll<Result<Piece, PipeError>> {
    let next = incoming.poll_piece(cx);
    let Some(inbound) = inbound else { return next };
    inbound.polled(&next);
    let piece = ready!(next)?;
    let overdrawn = |Overdrawn| PipeError::Cut("the peer sent more than was granted".to_owned());
    inbound.take(piece.cost).map_err(overdrawn)?;
    Poll::Ready(Ok(piece))
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
