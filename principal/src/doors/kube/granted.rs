//! An answer's body that goes on no longer than the token by which it was asked for.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::agents::tokens::{Ended, Grant};

pin_project! {
    /// Passes unchanged, and breaks off when the token is valid no more. Without a token it only passes.
    pub(super) struct Granted<B> {
        #[pin]
        body: B,
        ended: Option<Pin<Box<dyn Future<Output = Ended> + Send>>>,
    }
}

// === impl Granted ===

impl<B> Granted<B> {
    pub(super) fn new(body: B, grant: Option<Grant>) -> Self {
        let ended = grant.map(|grant| Box::pin(async move { grant.ended().await }) as Pin<Box<_>>);
        Self { body, ended }
    }
}

impl<B: Body> Body for Granted<B>
where
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = B::Data;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        if let Some(ended) = this.ended
            && let Poll::Ready(ended) = ended.as_mut().poll(cx)
        {
            *this.ended = None;
            return Poll::Ready(Some(Err(ended.into())));
        }
        this.body.poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: fmt::Debug> fmt::Debug for Granted<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Granted").field("body", &self.body).finish_non_exhaustive()
    }
}
