//! A control plane with its Redis and a principal, a workload cluster with its Redis and an agent.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep, timeout};

use super::{RedisServer, server::PASSWORD};
use crate::{
    accounting::{Part, Usage},
    contestants::{Kind, Ours},
    load::resp::{Endpoint, Exchange, Publisher},
    pki::{CLIENT_NAME, Pki},
    process::Process,
};

/// All that runs for one part of the scenario. Each part has one of its own, so that none begins with the memory that
/// another needed.
#[derive(Debug)]
pub(crate) struct Site {
    /// The control plane's Redis.
    pub(crate) principals: RedisServer,
    /// The workload cluster's.
    pub(crate) agents: RedisServer,
    /// Both, for their books.
    pub(crate) backend: Vec<Part>,
    /// Who takes part, in the order in which they take turns.
    pub(crate) kinds: Vec<Kind>,
    ours: Option<Pair>,
}

/// Principal and agent.
#[derive(Debug)]
struct Pair {
    door: Endpoint,
    /// Each with what it had used when it was ready.
    at_rest: Vec<(Part, Usage)>,
    /// Kept, so that they run.
    processes: [Process; 2],
}

/// Whose Redis has what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Principals,
    Agents,
}

/// How one contestant is reached in one place, and what things are called there.
#[derive(Debug, Clone)]
pub(crate) struct Way<'a> {
    pub(crate) kind: Kind,
    pub(crate) endpoint: &'a Endpoint,
    /// What it costs is what these cost.
    pub(crate) at_rest: &'a [(Part, Usage)],
    place: Place,
}

// === impl Site ===

impl Site {
    /// Starts what `kinds` need, with room for so many clients, and waits until the door answers for both places.
    pub(crate) async fn start(
        dir: &Path,
        pki: &Pki,
        kinds: &[Kind],
        ours: Option<&Ours>,
        clients: usize,
    ) -> Result<Self> {
        let principals = RedisServer::start("redis-principal", dir, clients).await?;
        let agents = RedisServer::start("redis-agent", dir, clients).await?;
        let backend = vec![principals.part.clone(), agents.part.clone()];
        let mut site = Self { principals, agents, backend, kinds: kinds.to_vec(), ours: None };
        if let Some(ours) = ours.filter(|_| kinds.contains(&Kind::Ours)) {
            let addresses = [&site.principals, &site.agents].map(|server| server.endpoint.address());
            let (door, processes) = ours.start_between(dir, pki, addresses, PASSWORD)?;
            let pair = Pair { door: Endpoint::new(door, PASSWORD), at_rest: Vec::new(), processes };
            site.ours.insert(pair).ready(&site.principals, &site.agents).await?;
        }
        Ok(site)
    }

    /// A value for both contestants' clients to ask for.
    pub(crate) async fn store(&self, place: Place, application: &str, value: &[u8]) -> Result<()> {
        let server = match place {
            Place::Principals => &self.principals,
            Place::Agents => &self.agents,
        };
        server.endpoint.connect().await?.set(&key(Kind::Direct, place, application), value).await
    }

    /// Who publishes at the agent's Redis that an application has changed.
    pub(crate) async fn publisher(&self, application: &str) -> Result<Publisher> {
        Publisher::connect(&self.agents.endpoint, channel(Kind::Direct, application)).await
    }

    /// The ways to a place, in the order in which they take turns.
    pub(crate) fn ways(&self, place: Place) -> Vec<Way<'_>> {
        let way = |&kind: &Kind| {
            let (endpoint, at_rest) = match (kind, place, &self.ours) {
                (Kind::Ours, _, Some(pair)) => (&pair.door, pair.at_rest.as_slice()),
                (_, Place::Principals, _) => (&self.principals.endpoint, &[][..]),
                (_, Place::Agents, _) => (&self.agents.endpoint, &[][..]),
            };
            Way { kind, endpoint, at_rest, place }
        };
        self.kinds.iter().map(way).collect()
    }

    /// Makes the most memory that there ever was what there is now.
    pub(crate) fn forget_peak(&self) -> Result<()> {
        self.ours.iter().flat_map(|pair| &pair.at_rest).try_for_each(|(part, _)| part.forget_peak())
    }
}

// === impl Pair ===

impl Pair {
    /// Waits until the door passes on what is in either Redis.
    async fn ready(&mut self, principals: &RedisServer, agents: &RedisServer) -> Result<()> {
        for (server, place) in [(principals, Place::Principals), (agents, Place::Agents)] {
            let value = format!("{place:?}");
            server.endpoint.connect().await?.set(&key(Kind::Direct, place, READY), value.as_bytes()).await?;
            let exchange = Exchange::get(&key(Kind::Ours, place, READY), value.as_bytes());
            let deadline = Instant::now() + START_TIMEOUT;
            loop {
                for process in &mut self.processes {
                    process.check()?;
                }
                let attempt = async { self.door.connect().await?.exchange(&exchange).await };
                match timeout(ATTEMPT_TIMEOUT, attempt).await.context("no answer").flatten() {
                    Ok(_) => break,
                    Err(error) if Instant::now() >= deadline => {
                        let logs = self.processes.iter().map(Process::tail).collect::<String>();
                        return Err(error.context(format!("the Redis door does not answer\n{logs}")));
                    }
                    // Whether a process of others is ready can only be asked.
                    Err(_) => sleep(ATTEMPT_PAUSE).await,
                }
            }
        }
        for process in &self.processes {
            let part = Part::of(process.name(), process.pid())?;
            let usage = part.usage()?;
            self.at_rest.push((part, usage));
        }
        Ok(())
    }
}

// === impl Way ===

impl<'a> Way<'a> {
    pub(crate) fn parts(&self) -> impl Iterator<Item = &'a Part> + use<'a> {
        self.at_rest.iter().map(|(part, _)| part)
    }

    /// GET of what was stored for an application.
    pub(crate) fn get(&self, application: &str, value: &[u8]) -> Exchange {
        Exchange::get(&key(self.kind, self.place, application), value)
    }

    /// The channel on which an application's changes are told.
    pub(crate) fn channel(&self, application: &str) -> String {
        channel(self.kind, application)
    }
}

/// A key of an application's data. In the control plane an agent's applications are in the namespace of its name; in
/// its own cluster they are in that of Argo CD. A key of another kind is nobody's but the principal's Redis's.
fn key(kind: Kind, place: Place, application: &str) -> String {
    match (place, kind) {
        (Place::Principals, _) => format!("mfst|app.kubernetes.io/instance|{application}|main|default|1|1.8.3.gz"),
        (Place::Agents, Kind::Ours) => format!("app|resources-tree|{CLIENT_NAME}_{application}|1.8.3.gz"),
        (Place::Agents, _) => format!("app|resources-tree|{application}|1.8.3.gz"),
    }
}

fn channel(kind: Kind, application: &str) -> String {
    match kind {
        Kind::Ours => format!("app|managed-resources|{CLIENT_NAME}_{application}|1.8.3"),
        _ => format!("app|managed-resources|{application}|1.8.3"),
    }
}

/// The application that the door must know of before it takes part.
const READY: &str = "ready";

const START_TIMEOUT: Duration = Duration::from_secs(30);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(6);
const ATTEMPT_PAUSE: Duration = Duration::from_millis(50);
