//! Answers: whole ones, and those that are read as they come.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use crate::soon;

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, not decoded.
    pub body: Bytes,
    /// What came behind the body.
    pub trailers: Option<HeaderMap>,
}

/// An answer that is read as it comes. Dropping it cancels the request.
#[derive(Debug)]
pub struct Stream {
    /// Its status code.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    body: Incoming,
    rest: BytesMut,
}

// === impl Answer ===

impl Answer {
    /// Reads an answer to its end.
    ///
    /// # Panics
    /// When it breaks off.
    pub async fn read(response: Response<Incoming>) -> Self {
        let (head, mut body) = response.into_parts();
        let (mut bytes, mut trailers) = (BytesMut::new(), None);
        while let Some(frame) = soon(body.frame()).await {
            match frame.expect("a whole answer").into_data() {
                Ok(data) => bytes.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        Self { status: head.status, headers: head.headers, body: bytes.freeze(), trailers }
    }

    /// The same, whose status must be this.
    ///
    /// # Panics
    /// When it is another.
    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Asserts that this is the refusal with this code, reason and text, byte for byte.
    ///
    /// # Panics
    /// When it is not.
    pub fn assert_refusal(&self, code: u16, reason: &str, text: &str) {
        let expected = format!(
            r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":"{text}","reason":"{reason}","code":{code}}}"#
        );
        assert_eq!((self.status.as_u16(), self.text()), (code, expected));
        assert_eq!(self.headers.get(CONTENT_TYPE).map(|value| value.as_bytes()), Some(&b"application/json"[..]));
        assert!(!self.headers.contains_key("retry-after"));
    }

    /// Asserts that the object is one that is not shown.
    pub fn assert_not_managed(&self) {
        self.assert_refusal(404, "NotFound", "resource not managed by app");
    }
}

// === impl Stream ===

impl Stream {
    pub(super) fn new(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status, headers: head.headers, body, rest: BytesMut::new() }
    }

    /// The next line without its end, or what is left, or none at the end.
    ///
    /// # Panics
    /// When the answer breaks off, or nothing comes.
    pub async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line = self.rest.split_to(end + 1);
                return Some(String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned());
            }
            match soon(self.body.frame()).await {
                Some(frame) => {
                    self.rest.extend_from_slice(&frame.expect("the answer goes on").into_data().unwrap_or_default())
                }
                None if self.rest.is_empty() => return None,
                None => return Some(String::from_utf8_lossy(&self.rest.split()).into_owned()),
            }
        }
    }

    /// Reads on until it ends, or breaks off.
    ///
    /// # Panics
    /// When it does neither.
    pub async fn end(&mut self) {
        while let Some(Ok(_)) = soon(self.body.frame()).await {}
    }

    /// The next event of a watch, or none at its end.
    ///
    /// # Panics
    /// When the answer breaks off, nothing comes, or it is no watch.
    pub async fn event(&mut self) -> Option<Value> {
        self.line().await.map(|line| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// The next so many bytes, or none at a clean end before the first of them.
    ///
    /// # Panics
    /// When the answer breaks off within them, or nothing comes.
    pub async fn exactly(&mut self, count: usize) -> Option<Bytes> {
        while self.rest.len() < count {
            match soon(self.body.frame()).await {
                Some(frame) => {
                    self.rest.extend_from_slice(&frame.expect("the answer goes on").into_data().unwrap_or_default())
                }
                None if self.rest.is_empty() => return None,
                None => panic!("ended after {} of {count} bytes", self.rest.len()),
            }
        }
        Some(self.rest.split_to(count).freeze())
    }

    /// The rest of it.
    ///
    /// # Panics
    /// When the answer breaks off, or nothing comes.
    pub async fn rest(mut self) -> Bytes {
        while let Some(frame) = soon(self.body.frame()).await {
            self.rest.extend_from_slice(&frame.expect("the answer goes on").into_data().unwrap_or_default());
        }
        self.rest.freeze()
    }
}
