//! The Redis door: Argo CD finds the resource trees of every agent as if they were in the principal's own Redis.
//!
//! Redis itself stays the judge. Each client has a connection of its own to the principal's Redis, every byte of its
//! commands goes there as it came, and every byte of the replies comes back. One thing alone is ours: where a command
//! reads [agents' keys](common::AgentKey), the agents are asked at the same time, and what they say takes the place of the
//! value or the nil in Redis's reply. An error of Redis's passes, and the agents' answer is thrown away. So logins, ACLs,
//! wrong commands, the protocol and the order of replies are Redis's own.
//!
//! | file | |
//! |---|---|
//! | `session/` | one client connection, polled as one |
//! | `judge.rs` | what becomes of a command, pure |
//! | `order.rs` | which reply belongs to which command, pure |
//! | `asked/` | the pipes of one connection to agents |
//! | `subscriptions/` | what is listened to at agents, for all connections |
//!
//! Unlike HTTP doors it writes no audit lines: Argo CD's server reads some keys for each click, and a key's text is the
//! client's. Metrics count commands and answers.

mod asked;
mod buffers;
mod judge;
mod metrics;
mod order;
mod refusal;
mod session;
pub mod subscriptions;

use std::{fmt, future::poll_fn, pin::pin, sync::Arc};

use common::{
    drain,
    redis::Endpoint,
    resp::commands::{Limits, Login},
};
use metrics::RedisMetrics;
use prometheus_client::registry::Registry;
use session::{Session, Shared};
use subscriptions::Subscriptions;

use crate::{
    agents::{Dialer, Routes},
    listen::Connection,
};

/// The door. It serves connections that a listener has accepted.
pub struct RedisDoor {
    shared: Arc<Shared>,
}

/// Settings of a Redis door.
#[derive(Debug, Clone)]
pub struct RedisDoorOptions {
    /// The principal's own Redis.
    pub redis: Endpoint,
    /// The longest argument, in bytes: Redis's `proto-max-bulk-len`.
    pub max_bulk: u64,
    /// The most arguments of one command.
    pub max_args: u32,
}

// === impl RedisDoor ===

impl RedisDoor {
    /// A door to the agents that `dialer` reaches and `routes` knows keys of.
    pub fn new(
        options: RedisDoorOptions,
        dialer: Arc<dyn Dialer>,
        routes: Arc<dyn Routes>,
        subscriptions: Subscriptions,
        metrics: &mut Registry,
    ) -> Self {
        let RedisDoorOptions { redis, max_bulk, max_args } = options;
        let limits = Limits { bulk: max_bulk, arguments: max_args, login: Login::Unknown, ..Limits::default() };
        let metrics = RedisMetrics::register(metrics);
        Self { shared: Arc::new(Shared { redis, limits, dialer, routes, subscriptions, metrics }) }
    }

    /// Serves one connection until it ends. When `drain` drains, it ends as soon as nothing is under way on it.
    pub async fn serve(&self, connection: Connection, drain: drain::Watch) {
        let gauge = self.shared.metrics.connections().clone();
        gauge.inc();
        let mut session = Session::new(Arc::clone(&self.shared), connection.io);
        let mut draining = pin!(drain.draining());
        let mut drains = false;
        poll_fn(|cx| {
            drains = drains || draining.as_mut().poll(cx).is_ready();
            session.poll(cx, drains)
        })
        .await;
        gauge.dec();
    }
}

impl fmt::Debug for RedisDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisDoor").field("redis", &self.shared.redis).finish_non_exhaustive()
    }
}
