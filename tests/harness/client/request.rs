//! Requests, whose URI is a path.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::body::Frame;
use serde_json::Value;

/// The body of a request.
pub type Body = BoxBody<Bytes, Infallible>;

/// A GET.
///
/// # Panics
/// When `path` is none.
#[must_use]
pub fn get(path: &str) -> Request<Body> {
    Request::get(path).body(empty()).expect("a path")
}

/// A GET of what is accepted.
///
/// # Panics
/// When `path` or `accept` is none.
#[must_use]
pub fn get_as(path: &str, accept: &str) -> Request<Body> {
    Request::get(path).header("accept", accept).body(empty()).expect("a path")
}

/// A request with a body.
///
/// # Panics
/// When `method`, `path` or `content_type` is none.
#[must_use]
pub fn with_body(method: &str, path: &str, content_type: &str, body: impl Into<Bytes>) -> Request<Body> {
    let method: Method = method.parse().expect("a method");
    let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, content_type);
    request.body(full(body)).expect("a path and a content type")
}

/// A request with a JSON body.
#[must_use]
pub fn with_json(method: &str, path: &str, body: &Value) -> Request<Body> {
    with_body(method, path, "application/json", body.to_string())
}

/// A body that is whole.
#[must_use]
pub fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).boxed()
}

/// A body of unknown length, in pieces of this size.
#[must_use]
pub fn streamed(body: impl Into<Bytes>, piece: usize) -> Body {
    let mut rest: Bytes = body.into();
    let pieces = std::iter::from_fn(move || {
        let piece = rest.split_to(piece.min(rest.len()));
        (!piece.is_empty()).then(|| Ok(Frame::data(piece)))
    });
    StreamBody::new(stream::iter(pieces.collect::<Vec<_>>())).boxed()
}

/// No body.
#[must_use]
pub fn empty() -> Body {
    Empty::new().boxed()
}
