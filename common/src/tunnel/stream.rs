//! A pipe as a byte stream: what HTTP and every other protocol runs on, unaware of the tunnel.

use std::{
    convert::Infallible,
    fmt, io, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Frame;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{mpsc, oneshot},
};

use super::{
    Incoming, PipeError, call,
    credit::{Credit, Granted},
    flow::{Inbound, PipeFlow},
    reader::Reader,
    writer::{Opening, Writer},
};

/// One pipe, as either end sees it.
///
/// Half-close: `shutdown` ends our direction cleanly, the other goes on. Dropping a stream whose two directions have not
/// both ended cleanly cuts it: the far end reads an error, and whatever runs there is cancelled.
///
/// Errors are [`io::Error`]s that carry a [`PipeError`].
pub struct TunnelStream {
    reader: Reader,
    writer: Writer,
    on_end: Option<OnEnd>,
    remainder: Option<oneshot::Sender<Reader>>,
}

/// What is left of the agent's end when its user has finished and the principal has not.
///
/// HTTP/2 throws away what a client has said and not sent yet when it leaves a call that the server has not ended. So
/// the call is left only when the principal has ended it, which it does when it has heard all that concerns it.
#[derive(Debug)]
pub struct Remainder(oneshot::Receiver<Reader>);

/// The inbound half, handed over once the pipe is open, or the reason why it never will be.
pub type Attached = Result<Incoming, PipeError>;

/// Told how a stream ended, when it is dropped.
pub type OnEnd = Box<dyn FnOnce(End) + Send>;

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing was ever asked of the agent.
    Unopened,
    /// Both directions ended cleanly.
    Clean,
    /// Anything else.
    Cut,
}

/// The outbound half as the body of the call, to be polled by the connection. Ends without a final chunk when the stream
/// is cut.
#[derive(Debug)]
pub struct Outgoing {
    /// Each of them a chunk.
    frames: mpsc::Receiver<Bytes>,
    /// What gRPC wants to be said after them, if that is not said yet.
    last: Last,
    /// A writer that waits for credit waits for nothing once this is dropped.
    granted: Option<Arc<Granted>>,
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// An answer: with a status.
    Status,
    /// A request, or an answer whose status is said: with its data.
    Nothing,
}

// === impl TunnelStream ===

impl TunnelStream {
    /// The principal's end: usable at once. The first bytes written travel, at the first flush, in the `Open` that
    /// `opening` describes; what follows waits for the agent to attach. Without a `flow` HTTP/2's windows alone bind.
    #[must_use]
    pub fn dial(
        opening: Opening,
        attached: oneshot::Receiver<Attached>,
        on_end: OnEnd,
        flow: Option<PipeFlow>,
    ) -> (Self, Outgoing) {
        let (sender, frames) = mpsc::channel(super::limits::QUEUED_CHUNKS);
        let (credit, inbound, granted) = directions(flow);
        let (reader, writer) = (Reader::new(Bytes::new(), attached, inbound), Writer::opening(opening, sender, credit));
        let outgoing = Outgoing { frames, last: Last::Status, granted };
        (Self { reader, writer, on_end: Some(on_end), remainder: None }, outgoing)
    }

    /// The agent's end: `early_data` is read first, then what comes through the pipe once it is open. Without a `flow`
    /// HTTP/2's windows alone bind.
    #[must_use]
    pub fn accept(
        early_data: Bytes,
        attached: oneshot::Receiver<Attached>,
        flow: Option<PipeFlow>,
    ) -> (Self, Outgoing) {
        let (sender, frames) = mpsc::channel(super::limits::QUEUED_CHUNKS);
        let (credit, inbound, granted) = directions(flow);
        let (reader, writer) = (Reader::new(early_data, attached, inbound), Writer::open(sender, credit));
        let outgoing = Outgoing { frames, last: Last::Nothing, granted };
        (Self { reader, writer, on_end: None, remainder: None }, outgoing)
    }

    /// What will be left when the stream is dropped.
    pub fn remainder(&mut self) -> Remainder {
        let (sender, receiver) = oneshot::channel();
        self.remainder = Some(sender);
        Remainder(receiver)
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().reader.poll_read(cx, buf)
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.writer.poll_write(cx, bufs).map_err(|error| this.reader.why().unwrap_or(error).into())
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().writer.poll_flush(cx).map_err(Into::into)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().writer.poll_shutdown(cx).map_err(Into::into)
    }
}

impl Drop for TunnelStream {
    fn drop(&mut self) {
        let end = if self.writer.is_unopened() {
            End::Unopened
        } else if self.reader.is_finished() && self.writer.is_finished() {
            End::Clean
        } else {
            End::Cut
        };
        if let Some(on_end) = self.on_end.take() {
            on_end(end);
        }
        // A stream that was not ended cleanly on our side is cut at once.
        if let Some(remainder) = self.remainder.take().filter(|_| self.writer.is_finished()) {
            remainder.send(mem::replace(&mut self.reader, Reader::gone())).unwrap_or_default();
        }
    }
}

impl fmt::Debug for TunnelStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TunnelStream").field("reader", &self.reader).field("writer", &self.writer).finish()
    }
}

// === impl Remainder ===

impl Remainder {
    /// Waits until the stream has been dropped and, where it ended cleanly on our side, until the other side has ended
    /// too. What still comes is thrown away.
    pub async fn hear_out(self) {
        if let Ok(reader) = self.0.await {
            reader.hear_out().await;
        }
    }
}

// === impl Outgoing ===

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let frame = match ready!(this.frames.poll_recv(cx)) {
            Some(frame) => Frame::data(frame),
            None => match mem::replace(&mut this.last, Last::Nothing) {
                Last::Status => Frame::trailers(call::last_word()),
                Last::Nothing => return Poll::Ready(None),
            },
        };
        Poll::Ready(Some(Ok(frame)))
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Some(granted) = &self.granted {
            granted.close(PipeError::dropped());
        }
    }
}

fn directions(flow: Option<PipeFlow>) -> (Option<Credit>, Option<Inbound>, Option<Arc<Granted>>) {
    let (credit, inbound) = flow.map(|PipeFlow { credit, inbound }| (credit, inbound)).unzip();
    let granted = credit.as_ref().map(Credit::granted);
    (credit, inbound, granted)
}
