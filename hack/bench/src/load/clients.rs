//! The kinds of clients that ask for one thing at a time.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Context, Result};
use tokio::time::Instant;

use super::{
    Connection, Endpoint, Expected, Protocol,
    crew::{Client, Crew},
    fetch::fetch,
};

/// Asks for the same thing over one warm connection.
#[derive(Debug)]
pub(crate) struct Reader {
    connection: Connection,
    path: String,
    expected: Expected,
}

/// Asks for one thing after the other over one warm connection, and for none twice.
#[derive(Debug)]
pub(crate) struct Explorer {
    connection: Connection,
    left: VecDeque<(String, Expected)>,
}

/// Asks for the same thing, over a new connection each time: what Argo CD's server does for most of what its users do.
#[derive(Debug)]
pub(crate) struct Newcomer {
    endpoint: Endpoint,
    protocol: Protocol,
    path: String,
    expected: Expected,
}

// === impl Reader ===

impl Reader {
    /// So many of them.
    pub(crate) async fn crew(
        endpoint: &Endpoint,
        protocol: Protocol,
        clients: usize,
        path: &str,
        expected: &Expected,
    ) -> Result<Crew<Self>> {
        let mut crew = Vec::with_capacity(clients);
        for _ in 0..clients {
            let connection = endpoint.connect(protocol).await?;
            crew.push(Self { connection, path: path.to_owned(), expected: expected.clone() });
        }
        Ok(Crew::new(crew))
    }
}

impl Client for Reader {
    async fn once(&mut self) -> Result<Option<Duration>> {
        Ok(Some(fetch(&mut self.connection, &self.path, &self.expected).await?.total))
    }
}

// === impl Explorer ===

impl Explorer {
    /// So many of them, who share out what there is to ask for.
    pub(crate) async fn crew(
        endpoint: &Endpoint,
        protocol: Protocol,
        clients: usize,
        all: &[(String, Expected)],
    ) -> Result<Crew<Self>> {
        let mut crew = Vec::with_capacity(clients);
        for number in 0..clients {
            let left = all.iter().skip(number).step_by(clients).cloned().collect();
            crew.push(Self { connection: endpoint.connect(protocol).await?, left });
        }
        Ok(Crew::new(crew))
    }
}

impl Client for Explorer {
    async fn once(&mut self) -> Result<Option<Duration>> {
        let Some((path, expected)) = self.left.pop_front() else { return Ok(None) };
        Ok(Some(fetch(&mut self.connection, &path, &expected).await?.total))
    }
}

// === impl Newcomer ===

impl Newcomer {
    /// So many of them.
    pub(crate) fn crew(
        endpoint: &Endpoint,
        protocol: Protocol,
        clients: usize,
        path: &str,
        expected: &Expected,
    ) -> Crew<Self> {
        let newcomer =
            || Self { endpoint: endpoint.clone(), protocol, path: path.to_owned(), expected: expected.clone() };
        Crew::new(std::iter::repeat_with(newcomer).take(clients).collect())
    }
}

impl Client for Newcomer {
    async fn once(&mut self) -> Result<Option<Duration>> {
        let start = Instant::now();
        let mut connection = self.endpoint.connect(self.protocol).await.context("a new connection")?;
        fetch(&mut connection, &self.path, &self.expected).await?;
        Ok(Some(start.elapsed()))
    }
}
