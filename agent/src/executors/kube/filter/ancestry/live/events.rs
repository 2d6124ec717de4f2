//! What the API server tells in a watch of metadata, line by line.

use futures_util::{Stream, StreamExt, TryStreamExt};
use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio_util::{
    codec::{FramedRead, LinesCodec, LinesCodecError},
    io::StreamReader,
};

use super::super::super::meta::ObjectMeta;

/// One event.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    #[serde(rename = "type")]
    pub(super) kind: EventKind,
    pub(super) object: Object,
}

/// `metav1.WatchEvent`'s types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum EventKind {
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
}

/// An object, or the Status of an error.
#[derive(Debug, Deserialize)]
pub(super) struct Object {
    #[serde(default)]
    pub(super) metadata: ObjectMeta,
    #[serde(default)]
    pub(super) message: String,
}

/// Why there are no more events.
#[derive(Debug, thiserror::Error)]
pub(super) enum EventError {
    /// The connection broke, or a line is longer than any object.
    #[error("the watch broke off")]
    Broken(#[source] LinesCodecError),
    /// A line is no event.
    #[error("an event cannot be understood")]
    Malformed(#[source] serde_json::Error),
}

/// The events in an answer.
pub(super) fn events(answer: Response<Incoming>) -> impl Stream<Item = Result<Event, EventError>> + Send + Unpin {
    let bytes = StreamReader::new(answer.into_body().into_data_stream().map_err(std::io::Error::other));
    let lines = FramedRead::new(bytes, LinesCodec::new_with_max_length(MAX_LINE));
    lines.map(|line| {
        let line = line.map_err(EventError::Broken)?;
        serde_json::from_str(&line).map_err(EventError::Malformed)
    })
}

/// etcd takes 1.5 MiB for an object (`--max-request-bytes`), of which metadata are a part.
const MAX_LINE: usize = 4 << 20;
