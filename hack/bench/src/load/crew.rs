//! Some clients that each do the same again and again, as fast as they are answered.

use std::{future::Future, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::stats::Latencies;

/// One client.
pub(crate) trait Client: Send + 'static {
    /// Does its work once and says how long that took, or that there is no more to do.
    fn once(&mut self) -> impl Future<Output = Result<Option<Duration>>> + Send;
}

/// Clients that work at the same time.
#[derive(Debug)]
pub(crate) struct Crew<C> {
    clients: Vec<C>,
}

/// What clients did in some time.
#[derive(Debug)]
pub(crate) struct Burst {
    pub(crate) latencies: Latencies,
    pub(crate) elapsed: Duration,
}

// === impl Crew ===

impl<C: Client> Crew<C> {
    pub(crate) fn new(clients: Vec<C>) -> Self {
        Self { clients }
    }

    /// Lets all clients run for a time, or until none has more to do. When this returns nothing is in flight.
    pub(crate) async fn run(&mut self, time: Duration) -> Result<Burst> {
        let start = Instant::now();
        let end = start + time;
        let mut tasks = JoinSet::new();
        for client in self.clients.drain(..) {
            tasks.spawn(work(client, end));
        }
        let mut all = Vec::new();
        while let Some(client) = tasks.join_next().await {
            let (client, latencies) = client.context("a client")??;
            self.clients.push(client);
            all.extend(latencies);
        }
        Ok(Burst { latencies: Latencies::new(all), elapsed: start.elapsed() })
    }

    /// The clients, at the end of their work.
    pub(crate) fn dismissed(self) -> Vec<C> {
        self.clients
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

async fn work<C: Client>(mut client: C, end: Instant) -> Result<(C, Vec<i64>)> {
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let once = timeout(PATIENCE, client.once()).await.context("no answer")?;
        let Some(took) = once? else { break };
        latencies.push(i64::try_from(took.as_nanos()).unwrap_or(i64::MAX));
    }
    Ok((client, latencies))
}

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
