//! What is counted of registrations.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Cheap to clone; every clone counts into the same.
#[derive(Debug, Clone, Default)]
pub(super) struct RegistrationMetrics {
    writes: Family<WriteLabels, Counter>,
    failures: Family<FailureLabels, Counter>,
    refused_labels: Family<RefusedLabels, Counter>,
    /// Agents whose Secret is still to be seen to.
    pub(super) waiting: Gauge,
    /// Times that the shared certificate could not be used.
    pub(super) certificate_failures: Counter,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Written {
    /// A Secret that was not there.
    Created,
    /// A new token in place of one that was not valid.
    Reissued,
    /// A new token before the one before ends.
    Renewed,
    /// Certificate, address or labels alone.
    Updated,
}

/// Why a Secret could not be seen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    /// A permission is missing.
    Forbidden,
    /// The API server says no for another reason.
    Refused,
    /// The API server does not answer.
    Unreachable,
    /// Others write it all the time.
    Contended,
    /// No token can be made.
    Token,
}

/// Why a label that an agent asks for is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum RefusedLabel {
    /// It is Argo CD's or ours.
    Reserved,
    /// No label can be so.
    Malformed,
    /// The principal's rule does not allow it.
    NotAllowed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    outcome: Written,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    reason: RefusedLabel,
}

// === impl RegistrationMetrics ===

impl RegistrationMetrics {
    /// Registers the families.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register("writes", "Writes of self-registered cluster Secrets", new.writes.clone());
        registry.register("failures", "Times that a cluster Secret could not be seen to", new.failures.clone());
        registry.register(
            "refused_labels",
            "Labels that agents asked for and that were not set",
            new.refused_labels.clone(),
        );
        registry.register("waiting", "Agents whose cluster Secret is still to be seen to", new.waiting.clone());
        registry.register(
            "client_certificate_failures",
            "Times that the certificate for self-registered clusters could not be used",
            new.certificate_failures.clone(),
        );
        new
    }

    pub(super) fn wrote(&self, outcome: Written) {
        self.writes.get_or_create(&WriteLabels { outcome }).inc();
    }

    pub(super) fn failed(&self, reason: Reason) {
        self.failures.get_or_create(&FailureLabels { reason }).inc();
    }

    pub(super) fn refused(&self, reason: RefusedLabel) {
        self.refused_labels.get_or_create(&RefusedLabels { reason }).inc();
    }
}

common::snake_case_labels!(Written, Reason, RefusedLabel);

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;

    use super::*;

    #[test]
    fn names_and_labels_are_what_dashboards_expect() {
        let mut registry = Registry::with_prefix("argocd_agent_registration");
        let metrics = RegistrationMetrics::register(&mut registry);
        metrics.wrote(Written::Created);
        metrics.failed(Reason::Forbidden);
        metrics.refused(RefusedLabel::NotAllowed);
        let mut text = String::new();
        text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"argocd_agent_registration_writes_total{outcome="created"} 1"#,
            r#"argocd_agent_registration_failures_total{reason="forbidden"} 1"#,
            r#"argocd_agent_registration_refused_labels_total{reason="not_allowed"} 1"#,
            "argocd_agent_registration_waiting 0",
            "argocd_agent_registration_client_certificate_failures_total 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
