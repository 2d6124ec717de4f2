//! The inbound half of a `Pipe` call: what HTTP/2 delivers, cut into what the pipe's reader wants.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Body as _;
use tonic::body::Body;

use super::{
    PipeError,
    call::refusal,
    cutter::{Cutter, Piece},
};

/// Always true: HTTP/2 is asked for more only when what it has delivered is used up, so a reader that stalls binds its
/// peer, and holds a frame at most.
pub struct Incoming {
    /// tonic's type, for one that any body can become. What is said of a broken connection is tonic's, too.
    body: Body,
    /// What has come and is not cut yet.
    frame: Bytes,
    cutter: Cutter,
}

// === impl Incoming ===

impl Incoming {
    /// What comes in `body`.
    #[must_use]
    pub fn new(body: Body) -> Self {
        Self { body, frame: Bytes::new(), cutter: Cutter::default() }
    }

    /// The next that can be passed on, or why nothing more comes. Nothing may be asked after an error.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, PipeError>> {
        loop {
            if let Some(piece) = self.cutter.cut(&mut self.frame).map_err(|bad| PipeError::Cut(bad.to_string()))? {
                return Poll::Ready(Ok(piece));
            }
            // It may still hold the connection's buffer, though nothing is left of it.
            self.frame = Bytes::new();
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.frame = data,
                    // The call's last word, and not the pipe's end, unless a chunk said that before.
                    Err(frame) => {
                        if let Some(refused) = frame.into_trailers().ok().as_ref().and_then(refusal) {
                            return Poll::Ready(Err(refused));
                        }
                    }
                },
                Some(Err(status)) if status.code() != tonic::Code::Cancelled => {
                    return Poll::Ready(Err(PipeError::Cut(status.message().to_owned())));
                }
                None if !self.cutter.is_between() => {
                    return Poll::Ready(Err(PipeError::Cut("the peer dropped it within a message".to_owned())));
                }
                Some(Err(_)) | None => return Poll::Ready(Err(PipeError::dropped())),
            }
        }
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("cutter", &self.cutter).finish_non_exhaustive()
    }
}
