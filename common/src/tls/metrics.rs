//! What is counted of TLS material.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Which certificate or bundle, as operators know it in metrics and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// The principal's certificate for agents.
    Grpc,
    /// The authorities of agents' certificates.
    GrpcClientCa,
    /// The Kubernetes door's certificate.
    KubeDoor,
    /// The authorities of its callers' certificates.
    KubeDoorClientCa,
    /// The Redis door's certificate.
    RedisDoor,
    /// The authorities of this cluster's Redis.
    RedisCa,
    /// The agent's certificate for the principal.
    Agent,
    /// The authorities of the principal's certificate.
    PrincipalCa,
}

/// Cheap to clone; every clone counts into the same.
#[derive(Debug, Clone, Default)]
pub(super) struct TlsMetrics {
    reloads: Family<Labels, Counter>,
    failures: Family<Labels, Counter>,
    expiry: Family<Labels, Gauge>,
}

/// Of one certificate or bundle.
#[derive(Debug, Default)]
pub(super) struct MaterialMetrics {
    /// Times that new material was put to use.
    pub(super) reloads: Counter,
    /// Updates that could not be used.
    pub(super) failures: Counter,
    /// When what is in use ends.
    pub(super) expiry: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    what: What,
}

// === impl What ===

/// As in the label.
impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grpc => "grpc",
            Self::GrpcClientCa => "grpc_client_ca",
            Self::KubeDoor => "kube_door",
            Self::KubeDoorClientCa => "kube_door_client_ca",
            Self::RedisDoor => "redis_door",
            Self::RedisCa => "redis_ca",
            Self::Agent => "agent",
            Self::PrincipalCa => "principal_ca",
        })
    }
}

impl EncodeLabelValue for What {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        self.to_string().encode(encoder)
    }
}

// === impl TlsMetrics ===

impl TlsMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register("reloads", "Times that a changed certificate or bundle was put to use", new.reloads.clone());
        registry.register(
            "reload_failures",
            "Changes of a certificate or bundle that could not be put to use",
            new.failures.clone(),
        );
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When the certificate in use ends, of a bundle the one that ends last, in seconds since 1970",
            new.expiry.clone(),
        );
        new
    }

    /// Those of one certificate or bundle, which show up at once.
    pub(super) fn of(&self, what: What) -> MaterialMetrics {
        let labels = Labels { what };
        MaterialMetrics {
            reloads: self.reloads.get_or_create_owned(&labels),
            failures: self.failures.get_or_create_owned(&labels),
            expiry: self.expiry.get_or_create_owned(&labels),
        }
    }
}
