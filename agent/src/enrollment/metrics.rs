//! What is counted of renewals.

use prometheus_client::{metrics::counter::Counter, registry::Registry};

/// Cheap to clone; every clone counts into the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct EnrollmentMetrics {
    pub(super) renewals: Counter,
    pub(super) failures: Counter,
}

// === impl EnrollmentMetrics ===

impl EnrollmentMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register("renewals", "Times that the agent's certificate was renewed", new.renewals.clone());
        registry.register("renewal_failures", "Attempts to renew it that failed", new.failures.clone());
        new
    }
}
