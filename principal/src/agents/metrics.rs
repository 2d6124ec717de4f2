//! What the tunnel counts at the principal.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Cheap to clone; every clone counts into the same.
#[derive(Debug, Clone)]
pub struct TunnelMetrics {
    /// Agents with an attached session.
    pub(super) agents_connected: Gauge,
    /// Sessions that were attached.
    pub(super) sessions: Counter,
    /// Pipes that doors hold, idle ones included.
    pub(super) pipes_open: Gauge,
    /// What pipes have of the budgets for windows.
    pub(super) window_bytes: Gauge,
    /// Calls that were refused.
    pub(super) refused: Family<RefusedLabels, Counter>,
    /// Round trips of the pings, in seconds.
    pub(super) round_trip: Histogram,
}

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RefusedLabels {
    pub(super) reason: RefusedCall,
}

/// Why a call of an agent was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum RefusedCall {
    /// It is no agent's; why is counted where that is found out.
    Unauthenticated,
    /// The first event is no Hello that makes sense, or none came.
    Hello,
    /// No protocol version in common.
    Version,
    /// A pipe whose session is unknown or another agent's.
    ForeignPipe,
    /// A pipe that nobody waits for.
    UnknownPipe,
}

// === impl TunnelMetrics ===

impl TunnelMetrics {
    /// Registers the families.
    pub fn register(registry: &mut Registry) -> Self {
        // From a loopback to a satellite.
        let round_trips = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
        let new = Self {
            agents_connected: Gauge::default(),
            sessions: Counter::default(),
            pipes_open: Gauge::default(),
            window_bytes: Gauge::default(),
            refused: Family::default(),
            round_trip: Histogram::new(round_trips),
        };
        registry.register("agents_connected", "Agents with an attached session", new.agents_connected.clone());
        registry.register("sessions", "Sessions that were attached", new.sessions.clone());
        registry.register("pipes_open", "Pipes that doors hold, idle ones included", new.pipes_open.clone());
        let help = "Bytes that pipes have in flight on long lines at most, beyond --tunnel-stream-window each";
        registry.register("window_bytes", help, new.window_bytes.clone());
        registry.register("refused_calls", "Calls of agents that were refused", new.refused.clone());
        registry.register("round_trip_seconds", "Round trips of the pings to agents", new.round_trip.clone());
        new
    }

    pub(super) fn refuse(&self, reason: RefusedCall) {
        self.refused.get_or_create(&RefusedLabels { reason }).inc();
    }
}

common::snake_case_labels!(RefusedCall);
