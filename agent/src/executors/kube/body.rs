//! The bodies that go to the API server and come from it. None is collected but within a limit.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream::BoxStream};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::filter::{hold::Held, watch::websocket::WatchSocket};

/// What is sent to the API server.
#[derive(Debug)]
pub(crate) enum SendBody {
    /// Nothing.
    Empty,
    /// What a client sends, as it comes.
    Stream(Incoming),
    /// What was read to be looked at.
    Read(Full<Bytes>),
    /// What our own Kubernetes client sends.
    Own(kube::client::Body),
}

/// What is answered.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// A refusal of our own.
    Own(Full<Bytes>),
    /// What the API server answers, as it comes.
    Upstream(Incoming),
    /// The same, its beginning having been looked at.
    Held(Held),
    /// What is managed of what the API server answers.
    Filtered(FilteredBody),
    /// The same, in a WebSocket behind this answer.
    Socket(WatchSocket),
}

/// A list or a watch of which only some is shown.
pub(crate) struct FilteredBody(BoxStream<'static, Result<Bytes, BoxError>>);

/// Whatever ended a body before its end.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a body could not be read as a whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// It is larger than what is kept.
    #[error("it is larger than {0} bytes")]
    TooLarge(usize),
    /// It broke off.
    #[error("it broke off")]
    Broken(#[source] hyper::Error),
}

/// Reads a body as a whole, within a limit.
pub(crate) async fn read(mut body: Incoming, limit: usize) -> Result<Bytes, ReadError> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(ReadError::Broken)?.into_data() else { continue };
        if data.len() > limit.saturating_sub(read.len()) {
            return Err(ReadError::TooLarge(limit));
        }
        if read.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

// === impl SendBody ===

impl Body for SendBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Stream(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Read(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Own(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream(body) => body.is_end_stream(),
            Self::Read(body) => body.is_end_stream(),
            Self::Own(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream(body) => body.size_hint(),
            Self::Read(body) => body.size_hint(),
            Self::Own(body) => body.size_hint(),
        }
    }
}

// === impl FilteredBody ===

impl FilteredBody {
    /// The body that these pieces are.
    pub(crate) fn new<E>(pieces: impl Stream<Item = Result<Bytes, E>> + Send + 'static) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        Self(pieces.map(|piece| piece.map_err(Into::into)).boxed())
    }

    /// The next piece.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, BoxError>> {
        self.0.next().await
    }
}

impl fmt::Debug for FilteredBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FilteredBody")
    }
}

// === impl AnswerBody ===

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never: Infallible| match never {}),
            Self::Upstream(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Held(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Filtered(body) => body.0.poll_next_unpin(cx).map_ok(Frame::data),
            Self::Socket(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Upstream(body) => body.is_end_stream(),
            Self::Held(body) => body.is_end_stream(),
            Self::Filtered(_) => false,
            Self::Socket(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Upstream(body) => body.size_hint(),
            Self::Held(body) => body.size_hint(),
            Self::Filtered(_) => SizeHint::default(),
            Self::Socket(_) => SizeHint::with_exact(0),
        }
    }
}
