//! A client that asks for much and stops reading.

use anyhow::{Context, Result};
use bytes::Bytes;
use hyper::body::Incoming;

use super::{
    connection::{Connection, Endpoint, Protocol},
    expected::Expected,
    fetch::{next_data, open},
};

/// A connection with an answer in it that nobody reads.
#[derive(Debug)]
pub(crate) struct Stalled {
    body: Incoming,
    /// What came before it stopped.
    first: Bytes,
    expected: Expected,
    /// Kept, so that it is open.
    _connection: Connection,
}

// === impl Stalled ===

impl Stalled {
    /// Asks, and waits until the answer has begun.
    pub(crate) async fn begin(
        endpoint: &Endpoint,
        protocol: Protocol,
        path: &str,
        expected: &Expected,
    ) -> Result<Self> {
        let mut connection = endpoint.connect(protocol).await?;
        let mut body = open(&mut connection, path, expected.encoding()).await?;
        let first = next_data(&mut body).await?.context("an answer without a body")?;
        Ok(Self { body, first, expected: expected.clone(), _connection: connection })
    }

    /// Reads all of it after all: that it was stalled must have changed nothing.
    pub(crate) async fn resume(mut self) -> Result<()> {
        let mut check = self.expected.check();
        check.feed(&self.first)?;
        while let Some(data) = next_data(&mut self.body).await.context("reading on")? {
            check.feed(&data)?;
        }
        check.finish()
    }
}
