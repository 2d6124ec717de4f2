//! The outbound half of a pipe.

use std::{
    fmt, io, mem,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use super::{
    PipeError, PipeId, Target,
    event::{Open, PrincipalEvent},
    limits::{CHUNK, EARLY_DATA},
};
use crate::proto::Chunk;

/// What it takes to ask an agent for a pipe.
#[derive(Debug)]
pub struct Opening {
    /// The pipe's id.
    pub pipe: PipeId,
    /// Where it is to lead.
    pub target: Target,
    /// The session's control stream.
    pub control: mpsc::Sender<PrincipalEvent>,
}

/// ```text
///  Opening ──first flush──► Open ──shutdown──► Finished
///  (principal only: bytes gather as early data)
/// ```
pub(super) enum Writer {
    Opening(Box<Gathering>),
    Open(PollSender<Chunk>),
    Finished,
}

/// A pipe nobody has been asked for yet.
pub(super) struct Gathering {
    pipe: PipeId,
    target: Target,
    control: PollSender<PrincipalEvent>,
    early_data: BytesMut,
    next: PollSender<Chunk>,
}

// === impl Writer ===

impl Writer {
    pub(super) fn opening(opening: Opening, next: mpsc::Sender<Chunk>) -> Self {
        let Opening { pipe, target, control } = opening;
        let (control, next) = (PollSender::new(control), PollSender::new(next));
        Self::Opening(Box::new(Gathering { pipe, target, control, early_data: BytesMut::new(), next }))
    }

    pub(super) fn open(sender: mpsc::Sender<Chunk>) -> Self {
        Self::Open(PollSender::new(sender))
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<Result<usize, PipeError>> {
        if let Self::Opening(gathering) = self {
            let room = EARLY_DATA.saturating_sub(gathering.early_data.len());
            let written = gather(&mut gathering.early_data, bufs, room);
            if written > 0 || bufs.iter().all(|buf| buf.is_empty()) {
                return Poll::Ready(Ok(written));
            }
            ready!(self.poll_open(cx))?;
        }
        let Self::Open(sender) = self else {
            return Poll::Ready(Err(PipeError::Cut("written to after its end".to_owned())));
        };
        ready!(sender.poll_reserve(cx)).map_err(|_closed| gone())?;
        let mut data = BytesMut::with_capacity(bufs.iter().map(|buf| buf.len()).sum::<usize>().min(CHUNK));
        let written = gather(&mut data, bufs, CHUNK);
        sender.send_item(Chunk { data: data.freeze(), fin: false }).map_err(|_closed| gone())?;
        Poll::Ready(Ok(written))
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PipeError>> {
        match self {
            Self::Opening(gathering) if !gathering.early_data.is_empty() => self.poll_open(cx),
            Self::Opening(_) | Self::Open(_) | Self::Finished => Poll::Ready(Ok(())),
        }
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PipeError>> {
        ready!(self.poll_flush(cx))?;
        if let Self::Open(sender) = self {
            // A peer that is gone already needs no word of ours.
            if ready!(sender.poll_reserve(cx)).is_ok() {
                sender.send_item(Chunk { data: Bytes::new(), fin: true }).unwrap_or_default();
            }
            *self = Self::Finished;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn is_unopened(&self) -> bool {
        matches!(self, Self::Opening(_))
    }

    pub(super) fn is_finished(&self) -> bool {
        matches!(self, Self::Finished)
    }

    /// Asks for the pipe, with what has been gathered as its first bytes.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PipeError>> {
        let Self::Opening(gathering) = self else { return Poll::Ready(Ok(())) };
        ready!(gathering.control.poll_reserve(cx)).map_err(|_closed| PipeError::SessionLost)?;
        let Self::Opening(gathering) = mem::replace(self, Self::Finished) else { return Poll::Ready(Ok(())) };
        let Gathering { pipe, target, mut control, early_data, next } = *gathering;
        let open = Open { pipe, target: Some(target), early_data: early_data.freeze() };
        control.send_item(PrincipalEvent::Open(open)).map_err(|_closed| PipeError::SessionLost)?;
        *self = Self::Open(next);
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opening(_) => "Opening",
            Self::Open(_) => "Open",
            Self::Finished => "Finished",
        })
    }
}

/// Appends up to `room` bytes of `bufs` to `into`; returns how many.
fn gather(into: &mut BytesMut, bufs: &[io::IoSlice<'_>], room: usize) -> usize {
    let before = into.len();
    let mut room = room;
    for buf in bufs {
        let (part, _) = buf.split_at(buf.len().min(room));
        into.extend_from_slice(part);
        room -= part.len();
    }
    into.len() - before
}

fn gone() -> PipeError {
    PipeError::Cut("the peer dropped it".to_owned())
}
