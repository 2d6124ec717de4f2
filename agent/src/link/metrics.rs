//! What the link counts at the agent.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// Cheap to clone; every clone counts into the same.
#[derive(Debug, Clone, Default)]
pub struct LinkMetrics {
    /// 1 while a session is attached.
    pub(super) connected: Gauge,
    /// Attempts to attach.
    pub(super) attempts: Counter,
    /// Sessions that were attached.
    pub(super) sessions: Counter,
    /// Pipes that run.
    pub(super) pipes_open: Gauge,
    /// Pipes that were refused.
    pub(super) pipes_refused: Counter,
    /// What pipes have of the budgets for windows.
    pub(super) window_bytes: Gauge,
}

// === impl LinkMetrics ===

impl LinkMetrics {
    /// Registers the families.
    pub fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register("connected", "Whether a session is attached to the principal", new.connected.clone());
        registry.register("attempts", "Attempts to attach to the principal", new.attempts.clone());
        registry.register("sessions", "Sessions that were attached", new.sessions.clone());
        registry.register("pipes_open", "Pipes that are open", new.pipes_open.clone());
        registry.register("pipes_refused", "Pipes that the agent refused", new.pipes_refused.clone());
        let help = "Bytes that pipes have in flight on long lines at most, beyond --tunnel-stream-window each";
        registry.register("window_bytes", help, new.window_bytes.clone());
        new
    }
}
