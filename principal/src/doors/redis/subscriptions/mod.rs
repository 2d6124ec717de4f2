//! Subscriptions at agents: one for each channel while anybody listens to it here, and what comes is published in the
//! principal's Redis. So frames, counts and fan-out are Redis's own, for any number of clients.
//!
//! [`Subscriptions::listen`] writes into the `book` of an agent, at its `desk`, who listens to what; the agent's
//! `follower` does what the book says, in a pipe to the agent, and hands what it hears to the `publisher`.
//!
//! Always true:
//! - Whoever has been told that it listens misses nothing without being told: after whatever may have kept a message from
//!   it - a pipe that broke, an agent that went, a Redis that was away - an empty message is published once, as soon as
//!   the subscription stands again. Argo CD does not look at what a message says; it reads anew.
//! - A client costs the agent nothing but the first of each channel; a client that is gone costs nothing after a while.
//! - An agent can make us publish to the channels that were asked of it, and nothing else.

mod book;
mod desk;
mod dialogue;
mod follower;
mod listening;
mod metrics;
mod pipe;
mod publisher;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use common::{
    AgentKey, AgentName, drain,
    redis::{Credentials, Endpoint},
};
use tokio::sync::Semaphore;
use tracing::{debug, info_span};

use self::{desk::Desk, follower::Follower, metrics::Limit, publisher::Publisher};
pub use self::{listening::Listening, metrics::SubscriptionMetrics};
use crate::{agents::Dialer, redis::OwnRedis};

/// The subscriptions at all agents. Cheap to clone.
#[derive(Clone)]
pub struct Subscriptions(Arc<Shared>);

/// How long things take; the default is what it should be.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// A subscription is kept for so long when nobody listens any more: a page of Argo CD that is loaded again listens
    /// again.
    pub linger: Duration,
    /// A client waits so long at most for a subscription.
    pub ready: Duration,
    /// A silent peer is asked so often whether it is there.
    pub ping: Duration,
    /// A peer that does not answer for so long is given up.
    pub silence: Duration,
}

struct Shared {
    dialer: Arc<dyn Dialer>,
    publisher: Publisher,
    metrics: SubscriptionMetrics,
    timing: Timing,
    drain: drain::Watch,
    /// Each has a follower. A std mutex: held for map operations and within them for a book, never across an await.
    desks: Mutex<HashMap<AgentName, Arc<Desk>>>,
    channels: Arc<Semaphore>,
    listeners: Arc<Semaphore>,
}

// === impl Subscriptions ===

impl Subscriptions {
    /// No subscriptions yet. What agents say will be published in the Redis at `redis`; tasks belong to `drain` and end
    /// when that begins.
    #[must_use]
    pub fn start(
        dialer: Arc<dyn Dialer>,
        redis: Endpoint,
        credentials: Credentials,
        metrics: SubscriptionMetrics,
        drain: &drain::Watch,
    ) -> Self {
        Self::start_with(dialer, redis, credentials, metrics, Timing::default(), drain)
    }

    /// As [`start`](Self::start), with another timing.
    #[must_use]
    pub fn start_with(
        dialer: Arc<dyn Dialer>,
        redis: Endpoint,
        credentials: Credentials,
        metrics: SubscriptionMetrics,
        timing: Timing,
        drain: &drain::Watch,
    ) -> Self {
        let publisher = Publisher::start(OwnRedis::new(redis, credentials), timing, metrics.clone(), drain);
        Self::with(dialer, publisher, metrics, timing, drain)
    }

    fn with(
        dialer: Arc<dyn Dialer>,
        publisher: Publisher,
        metrics: SubscriptionMetrics,
        timing: Timing,
        drain: &drain::Watch,
    ) -> Self {
        Self(Arc::new(Shared {
            dialer,
            publisher,
            metrics,
            timing,
            drain: drain.clone(),
            desks: Mutex::default(),
            channels: Arc::new(Semaphore::new(CHANNELS)),
            listeners: Arc::new(Semaphore::new(LISTENERS)),
        }))
    }

    /// Listens to a channel of an agent, by the principal's name for it, until the result is dropped. `None` when a limit
    /// is reached; a log line and a metric say which.
    #[must_use]
    pub fn listen(&self, agent: &AgentName, channel: &AgentKey) -> Option<Listening> {
        match self.try_listen(agent, channel) {
            Ok(listening) => Some(listening),
            Err(limit) => {
                self.0.metrics.refuse(limit);
                debug!(%agent, reason = %limit, "a client may not listen");
                None
            }
        }
    }

    fn try_listen(&self, agent: &AgentName, channel: &AgentKey) -> Result<Listening, Limit> {
        let Self(shared) = self;
        let place = Arc::clone(&shared.listeners).try_acquire_owned().map_err(|_full| Limit::Listeners)?;
        let channel = channel.to_string().into();
        // Held until the book knows of the listener: so the follower does not leave an instant before.
        let mut desks = shared.desks();
        let desk = match desks.get(agent) {
            Some(desk) => Arc::clone(desk),
            None => {
                let desk = Arc::new(Desk::new(shared.timing, shared.metrics.clone()));
                desks.insert(agent.clone(), Arc::clone(&desk));
                let follower = Follower::new(agent.clone(), Arc::clone(&desk), Arc::clone(shared));
                let span = info_span!("redis_subscriptions", %agent);
                shared.drain.spawn(span, follower.run(shared.drain.clone()));
                desk
            }
        };
        let joined = desk.listen(channel, &shared.channels)?;
        drop(desks);
        Ok(Listening::new(desk, joined, shared.timing, place))
    }
}

impl std::fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriptions").field("agents", &self.0.desks().len()).finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    /// Whether the follower of an agent may leave: it may when its book is empty, and is forgotten then.
    fn dismiss(&self, agent: &AgentName, desk: &Desk) -> bool {
        let mut desks = self.desks();
        let done = desk.with(|book| book.is_empty());
        if done {
            desks.remove(agent);
        }
        done
    }

    fn desks(&self) -> MutexGuard<'_, HashMap<AgentName, Arc<Desk>>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Timing ===

impl Default for Timing {
    fn default() -> Self {
        Self {
            linger: Duration::from_secs(30),
            ready: Duration::from_secs(1),
            ping: Duration::from_secs(10),
            silence: Duration::from_secs(5),
        }
    }
}

/// Channels of all agents: a hundred megabytes here, whoever may have a login.
const CHANNELS: usize = 200_000;

/// Clients times channels, all together: another hundred.
const LISTENERS: usize = 1_000_000;

/// The longest message that is passed on. Argo CD's are empty.
const MAX_PAYLOAD: usize = 1 << 20;

#[cfg(test)]
mod tests;
