//! A client that asks for much and stops reading.

use anyhow::{Context, Result};

use super::{Connection, Endpoint, Exchange};

/// A connection with a reply in it that nobody reads.
#[derive(Debug)]
pub(crate) struct Stalled {
    connection: Connection,
    exchange: Exchange,
}

// === impl Stalled ===

impl Stalled {
    /// Asks, and waits until the reply has begun.
    pub(crate) async fn begin(endpoint: &Endpoint, exchange: &Exchange) -> Result<Self> {
        let mut connection = endpoint.connect().await?;
        connection.begin(exchange).await?;
        connection.arrives().await?;
        Ok(Self { connection, exchange: exchange.clone() })
    }

    /// Reads all of it after all: that it was stalled must have changed nothing.
    pub(crate) async fn resume(mut self) -> Result<()> {
        self.connection.finish(&self.exchange).await.context("reading on").map(drop)
    }
}
