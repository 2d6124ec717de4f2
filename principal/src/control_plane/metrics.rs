//! What the principal counts of its watches of the control plane.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::references::Objects;

/// Cheap to clone; every clone counts into the same.
#[derive(Debug, Clone, Default)]
pub(super) struct WatchMetrics {
    up: Family<ObjectLabels, Gauge>,
    failures: Family<ObjectLabels, Counter>,
}

/// Of one watch.
#[derive(Debug, Default)]
pub(super) struct ObjectMetrics {
    up: Gauge,
    failures: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ObjectLabels {
    objects: Objects,
}

// === impl WatchMetrics ===

impl WatchMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register("watch_up", "Whether what is known of these objects is kept up to date", new.up.clone());
        registry.register(
            "watch_failures",
            "Times that a list or a watch of these objects failed",
            new.failures.clone(),
        );
        new
    }

    /// Those of one watch, which show up at once.
    pub(super) fn of(&self, objects: Objects) -> ObjectMetrics {
        let labels = ObjectLabels { objects };
        ObjectMetrics { up: self.up.get_or_create_owned(&labels), failures: self.failures.get_or_create_owned(&labels) }
    }
}

// === impl ObjectMetrics ===

impl ObjectMetrics {
    pub(super) fn up(&self) {
        self.up.set(1);
    }

    pub(super) fn down(&self) {
        self.up.set(0);
        self.broke();
    }

    pub(super) fn broke(&self) {
        self.failures.inc();
    }
}
