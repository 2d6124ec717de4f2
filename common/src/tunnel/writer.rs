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
    credit::Credit,
    event::{Open, PrincipalEvent},
    frame,
    limits::{CHUNK, EARLY_DATA},
};

/// What it takes to ask an agent for a pipe.
#[derive(Debug)]
pub struct Opening {
    /// The pipe's id.
    pub pipe: PipeId,
    /// Where it is to lead.
    pub target: Target,
    /// The session's control stream. Boxed: a queue has room for 32 items before there is any.
    pub control: mpsc::Sender<Box<PrincipalEvent>>,
}

pub(super) struct Writer {
    state: State,
    /// None where the peer knows no credit. Early data and the end cost none.
    credit: Option<Credit>,
}

/// ```text
///  Opening ──first flush──► Open ──shutdown──► Finished
///  (principal only: bytes gather as early data)
/// ```
enum State {
    Opening(Box<Gathering>),
    Open(PollSender<Bytes>),
    Finished,
}

/// A pipe nobody has been asked for yet.
struct Gathering {
    pipe: PipeId,
    target: Target,
    control: PollSender<Box<PrincipalEvent>>,
    early_data: BytesMut,
    next: PollSender<Bytes>,
}

// === impl Writer ===

impl Writer {
    pub(super) fn opening(opening: Opening, next: mpsc::Sender<Bytes>, credit: Option<Credit>) -> Self {
        let Opening { pipe, target, control } = opening;
        let (control, next) = (PollSender::new(control), PollSender::new(next));
        let gathering = Gathering { pipe, target, control, early_data: BytesMut::new(), next };
        Self { state: State::Opening(Box::new(gathering)), credit }
    }

    pub(super) fn open(sender: mpsc::Sender<Bytes>, credit: Option<Credit>) -> Self {
        Self { state: State::Open(PollSender::new(sender)), credit }
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<Result<usize, PipeError>> {
        if let State::Opening(gathering) = &mut self.state {
            let room = EARLY_DATA.saturating_sub(gathering.early_data.len());
            let written = gather(&mut gathering.early_data, bufs, room);
            if written > 0 || bufs.iter().all(|buf| buf.is_empty()) {
                return Poll::Ready(Ok(written));
            }
            ready!(self.poll_open(cx))?;
        }
        let State::Open(sender) = &mut self.state else {
            return Poll::Ready(Err(PipeError::Cut("written to after its end".to_owned())));
        };
        let wanted = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        if wanted == 0 {
            return Poll::Ready(Ok(0));
        }
        let room = match &mut self.credit {
            Some(credit) => ready!(credit.poll_room(cx))?,
            None => CHUNK,
        };
        ready!(sender.poll_reserve(cx)).map_err(|_closed| PipeError::dropped())?;
        let length = wanted.min(room);
        let mut chunk = frame::begin(length);
        let written = gather(&mut chunk, bufs, length);
        sender.send_item(chunk.freeze()).map_err(|_closed| PipeError::dropped())?;
        if let Some(credit) = &mut self.credit {
            credit.spend(written);
        }
        Poll::Ready(Ok(written))
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PipeError>> {
        match &self.state {
            State::Opening(gathering) if !gathering.early_data.is_empty() => self.poll_open(cx),
            State::Opening(_) | State::Open(_) | State::Finished => Poll::Ready(Ok(())),
        }
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PipeError>> {
        ready!(self.poll_flush(cx))?;
        if let State::Open(sender) = &mut self.state {
            // A peer that is gone already needs no word of ours.
            if ready!(sender.poll_reserve(cx)).is_ok() {
                sender.send_item(frame::FIN).unwrap_or_default();
            }
            self.state = State::Finished;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn is_unopened(&self) -> bool {
        matches!(self.state, State::Opening(_))
    }

    pub(super) fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished)
    }

    /// Asks for the pipe, with what has been gathered as its first bytes.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PipeError>> {
        let State::Opening(gathering) = &mut self.state else { return Poll::Ready(Ok(())) };
        ready!(gathering.control.poll_reserve(cx)).map_err(|_closed| PipeError::SessionLost)?;
        let State::Opening(gathering) = mem::replace(&mut self.state, State::Finished) else {
            return Poll::Ready(Ok(()));
        };
        let Gathering { pipe, target, mut control, early_data, next } = *gathering;
        let open = Open { pipe, target: Some(target), early_data: early_data.freeze() };
        control.send_item(Box::new(PrincipalEvent::Open(open))).map_err(|_closed| PipeError::SessionLost)?;
        self.state = State::Open(next);
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Opening(_) => "Opening",
            State::Open(_) => "Open",
            State::Finished => "Finished",
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
