//! One pipe to an agent.

use std::time::Duration;

use common::{
    AgentName,
    tunnel::{SessionId, Target, TunnelStream},
};
use tokio::time::Instant;

use super::{
    MAX_PAYLOAD, Timing,
    dialogue::{Ask, Dialogue},
    publisher::Message,
};
use crate::{
    agents::{DialError, Dialer, Lease},
    redis::{Backoff, Wire},
};

/// One pipe, and what is under way in it.
pub(super) struct Pipe {
    pub(super) session: SessionId,
    pub(super) wire: Wire<TunnelStream>,
    pub(super) dialogue: Dialogue,
    /// Until the agent has answered once.
    lease: Option<Lease>,
    pub(super) began: Instant,
    /// Since when nothing was answered that is to be.
    waits_since: Option<Instant>,
    pub(super) ping_at: Instant,
    /// When what was refused is asked for again.
    pub(super) retry_at: Option<Instant>,
    refused_at: Instant,
    retries: Backoff,
    /// What is not with the publisher yet, and since when. Until it is, nothing is read.
    pub(super) unpublished: Option<(Message, Instant)>,
}

// === impl Pipe ===

impl Pipe {
    /// A pipe in the newest session of the agent.
    pub(super) fn dial(dialer: &dyn Dialer, agent: &AgentName, timing: Timing) -> Result<Self, DialError> {
        let lease = dialer.reserve(agent)?;
        let stream = dialer.dial(lease.session, Target::Redis)?;
        let now = Instant::now();
        Ok(Self {
            session: lease.session,
            wire: Wire::new(stream, LONGEST),
            dialogue: Dialogue::default(),
            lease: Some(lease),
            began: now,
            waits_since: None,
            ping_at: now + timing.ping,
            retry_at: None,
            refused_at: now,
            retries: Backoff::default(),
            unpublished: None,
        })
    }

    /// Asks.
    pub(super) fn ask(&mut self, ask: Ask, now: Instant) {
        let frame = self.dialogue.ask(ask);
        self.wire.say(&frame);
        self.waits_since.get_or_insert(now);
    }

    /// Asks whether the agent is there, from time to time.
    pub(super) fn ping_if_due(&mut self, now: Instant, timing: Timing) {
        if self.ping_at <= now {
            self.ping_at = now + timing.ping;
            // Else it is seen by what is asked already.
            if self.dialogue.is_answered() {
                self.ask(Ask::Ping, now);
            }
        }
    }

    /// The agent has answered something.
    pub(super) fn answered(&mut self, now: Instant) {
        self.lease = None;
        self.waits_since = if self.dialogue.is_answered() { None } else { Some(now) };
    }

    /// The agent has refused something, which is to be asked for again.
    pub(super) fn refused(&mut self, now: Instant) {
        if self.retry_at.is_none() {
            self.retries.worked(now - self.refused_at);
            self.refused_at = now;
            self.retry_at = Some(now + self.retries.fail());
        }
    }

    /// What was to be published waits no longer. The agent was not heard while it did.
    pub(super) fn take_unpublished(&mut self) -> Option<Message> {
        let (message, since) = self.unpublished.take()?;
        let now = Instant::now();
        self.waits_since = self.waits_since.map(|waits| (waits + (now - since)).min(now));
        Some(message)
    }

    /// When the agent is given up. Never while it is not heard.
    pub(super) fn silent_at(&self, silence: Duration) -> Option<Instant> {
        self.waits_since.filter(|_| self.unpublished.is_none()).map(|since| since + silence)
    }
}

/// A message with the longest payload, its channel and what is around them.
const LONGEST: usize = MAX_PAYLOAD + (2 << 10);
