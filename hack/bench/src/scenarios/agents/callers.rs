//! Clients of the Kubernetes door that ask for random agents.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use bytes::Bytes;
use serde::Serialize;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{certificates::Certificates, fleet::Fleet};
use crate::{
    load::{Connection, Endpoint, Expected, Protocol, fetch},
    stats::Latencies,
};

/// One client for each of some agents.
pub(super) struct Callers {
    callers: Vec<Caller>,
    expected: Expected,
}

struct Caller {
    endpoint: Endpoint,
    attached: watch::Receiver<bool>,
}

/// What GETs took, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Gets {
    pub(super) first_p50_ms: f64,
    pub(super) first_p99_ms: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

/// What became of GETs while agents came back.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Storm {
    pub(super) requests: u64,
    /// Of agents that were attached before and after.
    pub(super) failed: u64,
}

// === impl Callers ===

impl Callers {
    /// Clients of so many agents, as far from each other as can be.
    pub(super) fn new(
        door: std::net::SocketAddr,
        certificates: &Certificates<'_>,
        fleet: &Fleet,
        clients: usize,
        body: &Bytes,
        dir: &Path,
    ) -> Result<Self> {
        let step = (certificates.count() / clients.max(1)).max(1);
        let caller = |number| {
            let endpoint = Endpoint::new(door, &certificates.files(number, dir)?)?;
            Ok(Caller { endpoint, attached: fleet.of(number).context("no such agent")? })
        };
        let callers = (0..certificates.count()).step_by(step).map(caller).collect::<Result<_>>()?;
        Ok(Self { callers, expected: Expected::object(body.clone()) })
    }

    /// Each client asks its agent a few times, one client after the other: first over a new pipe, then over a warm one.
    pub(super) async fn ask(&self) -> Result<Gets> {
        let (mut first, mut later) = (Vec::new(), Vec::new());
        for caller in &self.callers {
            let mut connection = caller.endpoint.connect(Protocol::Http1).await?;
            for turn in 0..GETS {
                let fetched = fetch(&mut connection, PATH, &self.expected).await?;
                let nanoseconds = i64::try_from(fetched.total.as_nanos()).unwrap_or(i64::MAX);
                if turn == 0 { first.push(nanoseconds) } else { later.push(nanoseconds) }
            }
        }
        let (first, later) = (Latencies::new(first), Latencies::new(later));
        Ok(Gets {
            first_p50_ms: first.percentile(50.0),
            first_p99_ms: first.percentile(99.0),
            p50_ms: later.percentile(50.0),
            p99_ms: later.percentile(99.0),
        })
    }

    /// Asks, as soon as an agent is attached and from then on, until told to stop.
    pub(super) async fn storm(&self, over: Arc<Notify>) -> Result<Storm> {
        let mut tasks = JoinSet::new();
        let (stop, stopped) = watch::channel(false);
        for caller in &self.callers {
            let (endpoint, attached) = (caller.endpoint.clone(), caller.attached.clone());
            tasks.spawn(keep_asking(endpoint, attached, self.expected.clone(), stopped.clone()));
        }
        over.notified().await;
        stop.send_replace(true);
        let mut all = Storm::default();
        while let Some(storm) = tasks.join_next().await {
            let storm = storm.context("a caller")?;
            all.requests += storm.requests;
            all.failed += storm.failed;
        }
        Ok(all)
    }
}

async fn keep_asking(
    endpoint: Endpoint,
    mut attached: watch::Receiver<bool>,
    expected: Expected,
    stopped: watch::Receiver<bool>,
) -> Storm {
    let mut storm = Storm::default();
    let mut connection: Option<Connection> = None;
    while !*stopped.borrow() {
        let began = Instant::now();
        if *attached.borrow_and_update() {
            let attempt = async {
                let mut open = match connection.take() {
                    Some(open) => open,
                    None => endpoint.connect(Protocol::Http1).await?,
                };
                fetch(&mut open, PATH, &expected).await?;
                anyhow::Ok(open)
            };
            let asked = attempt.await;
            storm.requests += 1;
            // One that left or came meanwhile was not attached all the time.
            let stayed = *attached.borrow() && !attached.has_changed().unwrap_or(true);
            match asked {
                Ok(open) => connection = Some(open),
                Err(error) if stayed => {
                    eprintln!("a request to an attached agent failed after {:?}: {error:#}", began.elapsed());
                    storm.failed += 1;
                }
                Err(_) => {}
            }
        }
        // A caller at leisure: what is measured is the storm.
        sleep(PAUSE).await;
    }
    storm
}

/// What any of them is asked for.
const PATH: &str = "/api/v1/namespaces/bench/configmaps/any";

const GETS: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);
