//! Some clients that ask for the same, each on its own connection, as fast as they are answered.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{Connection, Endpoint, Exchange};
use crate::{load::Burst, stats::Latencies};

/// Clients with open connections.
#[derive(Debug)]
pub(crate) struct Crew {
    clients: Vec<Connection>,
}

// === impl Crew ===

impl Crew {
    pub(crate) async fn connect(endpoint: &Endpoint, clients: usize) -> Result<Self> {
        let mut crew = Self { clients: Vec::with_capacity(clients) };
        for _ in 0..clients {
            crew.clients.push(endpoint.connect().await?);
        }
        Ok(crew)
    }

    /// Lets all clients run for a time. When this returns nothing is in flight.
    pub(crate) async fn run(&mut self, exchange: &Exchange, time: Duration) -> Result<Burst> {
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for connection in self.clients.drain(..) {
            tasks.spawn(client(connection, exchange.clone(), start + time));
        }
        let mut all = Vec::new();
        let joined = async {
            while let Some(client) = tasks.join_next().await {
                let (connection, latencies) = client.context("a client")??;
                self.clients.push(connection);
                all.extend(latencies);
            }
            anyhow::Ok(())
        };
        timeout(time + PATIENCE, joined).await.context("a reply did not come")??;
        Ok(Burst { latencies: Latencies::new(all), elapsed: start.elapsed() })
    }

    /// Asks all clients, one after the other.
    pub(crate) async fn once(&mut self, exchange: &Exchange) -> Result<()> {
        for connection in &mut self.clients {
            timeout(PATIENCE, connection.exchange(exchange)).await.context("a reply did not come")??;
        }
        Ok(())
    }
}

async fn client(mut connection: Connection, exchange: Exchange, end: Instant) -> Result<(Connection, Vec<i64>)> {
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let fetched = connection.exchange(&exchange).await?;
        latencies.push(i64::try_from(fetched.total.as_nanos()).unwrap_or(i64::MAX));
    }
    Ok((connection, latencies))
}

/// Far more than any reply may take, so that one that is lost ends the run.
const PATIENCE: Duration = Duration::from_secs(20);
