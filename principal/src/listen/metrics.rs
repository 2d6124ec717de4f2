//! What the accept loops count: connections as two counters whose difference is the level, and what went wrong.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use tokio::sync::OwnedSemaphorePermit;

/// Of all doors; cheap to clone, every clone counts into the same.
#[derive(Debug, Clone, Default)]
pub struct ListenMetrics {
    opened: Family<DoorLabels, Counter>,
    closed: Family<DoorLabels, Counter>,
    limit_reached: Family<DoorLabels, Counter>,
    accept_errors: Family<DoorLabels, Counter>,
    handshake_failures: Family<FailureLabels, Counter>,
}

/// Of one door.
#[derive(Debug, Clone)]
pub(super) struct DoorMetrics {
    door: &'static str,
    opened: Counter,
    closed: Counter,
    pub(super) limit_reached: Counter,
    pub(super) accept_errors: Counter,
    handshake_failures: Family<FailureLabels, Counter>,
}

/// Lives as long as a connection: holds its place and counts its end, on whatever path that comes.
#[derive(Debug)]
pub(super) struct Open {
    closed: Counter,
    _place: OwnedSemaphorePermit,
}

/// Why a connection never reached its handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum FailureReason {
    /// It took too long.
    Timeout,
    /// The peers do not agree, or one speaks no TLS.
    Tls,
    /// The peer left.
    Io,
    /// TLS took the peer's certificate, but we cannot read it.
    Identity,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DoorLabels {
    door: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    door: &'static str,
    reason: FailureReason,
}

// === impl ListenMetrics ===

impl ListenMetrics {
    /// Registers the families.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register("connections_opened", "Connections accepted", new.opened.clone());
        registry.register("connections_closed", "Accepted connections that ended", new.closed.clone());
        registry.register("limit_reached", "Times that callers began to wait for a place", new.limit_reached.clone());
        registry.register("accept_errors", "Errors of the listening socket", new.accept_errors.clone());
        registry.register(
            "handshake_failures",
            "Connections that ended before they were any use",
            new.handshake_failures.clone(),
        );
        new
    }

    /// The counters of one door, all of which show up at once: a rate needs a zero to begin with.
    pub(super) fn of(&self, door: &'static str) -> DoorMetrics {
        use FailureReason::{Identity, Io, Timeout, Tls};
        for reason in [Timeout, Tls, Io, Identity] {
            self.handshake_failures.get_or_create_owned(&FailureLabels { door, reason });
        }
        let counter = |family: &Family<DoorLabels, Counter>| family.get_or_create_owned(&DoorLabels { door });
        DoorMetrics {
            door,
            opened: counter(&self.opened),
            closed: counter(&self.closed),
            limit_reached: counter(&self.limit_reached),
            accept_errors: counter(&self.accept_errors),
            handshake_failures: self.handshake_failures.clone(),
        }
    }
}

// === impl DoorMetrics ===

impl DoorMetrics {
    pub(super) fn handshake_failed(&self, reason: FailureReason) {
        self.handshake_failures.get_or_create(&FailureLabels { door: self.door, reason }).inc();
    }
}

// === impl Open ===

impl Open {
    pub(super) fn new(place: OwnedSemaphorePermit, metrics: &DoorMetrics) -> Self {
        metrics.opened.inc();
        Self { closed: metrics.closed.clone(), _place: place }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.closed.inc();
    }
}

common::snake_case_labels!(FailureReason);
