//! Some clients that ask for the same, each on its own connection, as fast as they are answered.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::{task::JoinSet, time::Instant};

use super::{Connection, Endpoint, Expected, Protocol, fetch};
use crate::stats::Latencies;

/// Clients with open connections.
#[derive(Debug)]
pub(crate) struct Crew {
    clients: Vec<Connection>,
}

/// What clients did in some time.
#[derive(Debug)]
pub(crate) struct Burst {
    pub(crate) latencies: Latencies,
    pub(crate) elapsed: Duration,
}

// === impl Crew ===

impl Crew {
    pub(crate) async fn connect(endpoint: &Endpoint, protocol: Protocol, clients: usize) -> Result<Self> {
        let mut crew = Self { clients: Vec::with_capacity(clients) };
        for _ in 0..clients {
            crew.clients.push(endpoint.connect(protocol).await?);
        }
        Ok(crew)
    }

    /// Lets all clients run for a time. When this returns nothing is in flight.
    pub(crate) async fn run(&mut self, path: &str, expected: &Expected, time: Duration) -> Result<Burst> {
        let start = Instant::now();
        let end = start + time;
        let mut tasks = JoinSet::new();
        for connection in self.clients.drain(..) {
            tasks.spawn(client(connection, path.to_owned(), expected.clone(), end));
        }
        let mut all = Vec::new();
        while let Some(client) = tasks.join_next().await {
            let (connection, latencies) = client.context("a client")??;
            self.clients.push(connection);
            all.extend(latencies);
        }
        Ok(Burst { latencies: Latencies::new(all), elapsed: start.elapsed() })
    }
}

// === impl Burst ===

impl Burst {
    pub(crate) fn requests(&self) -> f64 {
        self.latencies.count() as f64
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.requests() / self.elapsed.as_secs_f64()
    }
}

async fn client(
    mut connection: Connection,
    path: String,
    expected: Expected,
    end: Instant,
) -> Result<(Connection, Vec<i64>)> {
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let fetched = fetch(&mut connection, &path, &expected).await?;
        latencies.push(i64::try_from(fetched.total.as_nanos()).unwrap_or(i64::MAX));
    }
    Ok((connection, latencies))
}
