//! What is counted of who agents say they are.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Cheap to clone; every clone counts into the same.
#[derive(Debug, Clone, Default)]
pub(super) struct AuthMetrics {
    refused: Family<Labels, Counter>,
    /// Passwords that were compared with a hash, those of unknown users included.
    pub(super) password_checks: Counter,
    /// Times that a changed file of users was put to use.
    pub(super) reloads: Counter,
    /// Changes of it that could not be.
    pub(super) reload_failures: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    reason: Reason,
}

/// Why somebody is no agent of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    /// No certificate was shown, and one must be.
    NoCertificate,
    /// The certificate is on the blocklist.
    Revoked,
    /// The certificate names nobody.
    Certificate,
    /// No name and password came along.
    NoLogin,
    /// Nobody has that name and that password.
    Login,
    /// The header that names agents names nobody.
    Header,
    /// The name is no agent's, or the principal's own.
    Name,
    /// The certificate is another one's.
    CommonName,
    /// The connection belongs to another agent.
    OtherAgent,
    /// Too many log in at a time.
    Busy,
}

// === impl AuthMetrics ===

impl AuthMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register("refused", "Calls of agents that were refused for who they are", new.refused.clone());
        let help = "Passwords that were compared with a hash, those of unknown users included";
        registry.register("password_checks", help, new.password_checks.clone());
        registry.register("reloads", "Times that a changed file of users was put to use", new.reloads.clone());
        let help = "Changes of the file of users that could not be put to use";
        registry.register("reload_failures", help, new.reload_failures.clone());
        new
    }

    pub(super) fn refuse(&self, reason: Reason) {
        self.refused.get_or_create(&Labels { reason }).inc();
    }
}

common::snake_case_labels!(Reason);
