//! One GET, read to its end and checked.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::StatusCode;
use hyper::body::{Body, Incoming};
use std::{future::poll_fn, pin::Pin, time::Duration};
use tokio::time::Instant;

use super::{
    connection::{Connection, Encoding},
    expected::Expected,
};

/// How long an answer took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fetch {
    /// Until the first byte of the body.
    pub(crate) first_byte: Duration,
    /// Until its last.
    pub(crate) total: Duration,
    /// How many there were.
    pub(crate) bytes: u64,
}

/// Fetches a path whose answer is known.
pub(crate) async fn fetch(connection: &mut Connection, path: &str, expected: &Expected) -> Result<Fetch> {
    let start = Instant::now();
    let mut first_byte = None;
    let mut bytes = 0;
    let mut check = expected.check();
    let mut body = open(connection, path, expected.encoding()).await?;
    while let Some(data) = next_data(&mut body).await? {
        first_byte.get_or_insert_with(|| start.elapsed());
        bytes += data.len() as u64;
        check.feed(&data)?;
    }
    check.finish()?;
    let total = start.elapsed();
    Ok(Fetch { first_byte: first_byte.unwrap_or(total), total, bytes })
}

/// Fetches a path whose answer will be what others are compared with. It is kept whole, as a yardstick must be.
pub(crate) async fn fetch_whole(connection: &mut Connection, path: &str, encoding: Encoding) -> Result<Bytes> {
    let mut body = open(connection, path, encoding).await?;
    let mut whole = Vec::new();
    while let Some(data) = next_data(&mut body).await? {
        whole.extend_from_slice(&data);
    }
    Ok(whole.into())
}

/// Asks for something that is there. Its body follows.
pub(super) async fn open(connection: &mut Connection, path: &str, encoding: Encoding) -> Result<Incoming> {
    let answer = connection.get(path, encoding).await?;
    let status = answer.status();
    let mut body = answer.into_body();
    if status != StatusCode::OK {
        let text = next_data(&mut body).await?.unwrap_or_default();
        bail!("GET {path} was answered {status}: {}", String::from_utf8_lossy(&text));
    }
    Ok(body)
}

/// The next bytes of a body; trailers are passed over.
pub(crate) async fn next_data(body: &mut Incoming) -> Result<Option<Bytes>> {
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
        if let Ok(data) = frame.context("reading the body")?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}
