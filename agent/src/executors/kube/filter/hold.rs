//! An answer whose beginning is held back until it is decided whether the caller may see it.
//!
//! No more is held than it takes to read the metadata; released, the very bytes that came go out, then the rest as it
//! comes.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{
    meta::ObjectMeta,
    metadata::MetadataScanner,
    scan::{Progress, ScanError},
};

/// The answer's body: first what was held back, then what is to come.
#[derive(Debug)]
pub(crate) struct Held {
    held: VecDeque<Frame<Bytes>>,
    rest: Incoming,
}

/// Why there is nothing to decide on, and nothing to show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HoldError {
    /// What came is not what its headers say.
    #[error("the answer cannot be read")]
    Scan(#[source] ScanError),
    /// The answer broke off.
    #[error("the answer broke off")]
    Broken(#[source] hyper::Error),
}

// === impl Held ===

impl Held {
    /// Reads until the metadata are known. `None` where this answer does not tell them: it is in an encoding that is not
    /// read, has none, or has them behind more than what is held.
    pub(super) async fn until_metadata(
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<(Self, Option<ObjectMeta>), HoldError> {
        let mut this = Self { held: VecDeque::new(), rest: body };
        let Some(mut scanner) = MetadataScanner::for_response(headers) else { return Ok((this, None)) };
        let mut held = 0;
        while held <= LIMIT {
            let Some(frame) = this.rest.frame().await else {
                return match scanner.finish() {
                    ScanError::NoMetadata => Ok((this, None)),
                    error => Err(HoldError::Scan(error)),
                };
            };
            let frame = frame.map_err(HoldError::Broken)?;
            let data = frame.data_ref().cloned().unwrap_or_default();
            held += data.len();
            this.held.push_back(frame);
            match scanner.push(&data) {
                Ok(Progress::NeedMore) => {}
                Ok(Progress::Done(found)) => return Ok((this, Some(found.meta))),
                Err(ScanError::NoMetadata) => return Ok((this, None)),
                Err(error) => return Err(HoldError::Scan(error)),
            }
        }
        Ok((this, None))
    }

    /// Lets go of an answer that is not shown. What has come already is read to its end, because an answer that is not
    /// read costs the connection.
    pub(super) fn discard(mut self) {
        while let Some(Some(Ok(_frame))) = self.rest.frame().now_or_never() {}
    }
}

impl Body for Held {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        match this.held.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut this.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let held: u64 = self.held.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum();
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(held));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}

/// The most that is held of an answer. Objects are no larger than 1.5 MiB, and their metadata come first; for whatever
/// is otherwise, a request for the metadata alone decides while the rest waits.
const LIMIT: usize = 2 << 20;
