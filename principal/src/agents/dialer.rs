//! The seam between doors and tunnel: *give me a stream to that agent for that target*.

use common::{
    AgentName,
    tunnel::{SessionId, Target, TunnelStream},
};
use tokio::sync::{OwnedSemaphorePermit, watch};

/// Reaches agents. Doors get one, and know neither sessions nor the registry.
pub trait Dialer: Send + Sync + 'static {
    /// Reserves one exchange with the newest session of `agent`; the lease is held until the answer has ended.
    ///
    /// # Errors
    /// When no session of the agent takes another exchange.
    fn reserve(&self, agent: &AgentName) -> Result<Lease, DialError>;

    /// A new pipe to `target` in that session; usable at once: the first bytes travel with the request to open it.
    ///
    /// # Errors
    /// When the session is gone.
    fn dial(&self, session: SessionId, target: Target) -> Result<TunnelStream, DialError>;

    /// The session that new exchanges with `agent` go to, and every change of it: for what is to follow an agent from
    /// session to session. What goes on in a pipe without a lease must leave when its session is no longer the one, since
    /// nothing else waits for it then.
    fn newest(&self, agent: &AgentName) -> watch::Receiver<Option<SessionId>>;
}

/// A place among the exchanges that run with one session. Dropping it gives the place back, and a session that drains
/// waits for that.
#[derive(Debug)]
pub struct Lease {
    /// The session to dial.
    pub session: SessionId,
    _slot: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

/// Why an agent cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// No session of that agent is attached.
    #[error("agent is not connected")]
    NotConnected,
    /// As many exchanges as allowed run already.
    #[error("too many requests in flight at the agent")]
    Busy,
}

// === impl Lease ===

impl Lease {
    /// For whoever implements [`Dialer`]: a slot of that session, and a place among those of all agents.
    #[must_use]
    pub fn new(session: SessionId, slot: OwnedSemaphorePermit, place: OwnedSemaphorePermit) -> Self {
        Self { session, _slot: slot, _place: place }
    }
}
