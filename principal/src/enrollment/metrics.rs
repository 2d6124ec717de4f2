//! What is counted of agents' certificates.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Cheap to clone; every clone counts into the same.
#[derive(Debug, Clone, Default)]
pub struct EnrollmentMetrics {
    issued: Family<IssuedLabels, Counter>,
    refused: Family<RefusedLabels, Counter>,
}

/// For what a certificate was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum By {
    /// For a token.
    Join,
    /// For the certificate before.
    Renewal,
}

/// Why none was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    /// The token is not known, was used, or is not the one of that name.
    Token,
    /// The token's time is over.
    Expired,
    /// The token is another agent's.
    Agent,
    /// What came as a request is none, or its key is not one that is taken.
    Request,
    /// The connection has no certificate that names an agent.
    Unauthenticated,
    /// Too many at a time.
    Busy,
    /// The API server does not answer, or refuses.
    ControlPlane,
    /// There is nothing to sign with.
    Authority,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuedLabels {
    by: By,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    reason: Reason,
}

// === impl EnrollmentMetrics ===

impl EnrollmentMetrics {
    /// Registers the families.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register("certificates", "Certificates that agents were given", new.issued.clone());
        registry.register("refused", "Requests for a certificate that were refused", new.refused.clone());
        new
    }

    pub(super) fn issued(&self, by: By) {
        self.issued.get_or_create_owned(&IssuedLabels { by }).inc();
    }

    pub(super) fn refused(&self, reason: Reason) {
        self.refused.get_or_create_owned(&RefusedLabels { reason }).inc();
    }
}

// === impl By ===

impl EncodeLabelValue for By {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        match self {
            Self::Join => "join",
            Self::Renewal => "renewal",
        }
        .encode(encoder)
    }
}

// === impl Reason ===

impl EncodeLabelValue for Reason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        match self {
            Self::Token => "token",
            Self::Expired => "expired",
            Self::Agent => "agent",
            Self::Request => "request",
            Self::Unauthenticated => "unauthenticated",
            Self::Busy => "busy",
            Self::ControlPlane => "control_plane",
            Self::Authority => "authority",
        }
        .encode(encoder)
    }
}
