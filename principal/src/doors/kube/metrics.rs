//! What doors count: requests by verb and code, how long they took, how many run.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use http::StatusCode;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::api_path::Verb;

/// Cheap to clone; every clone counts into the same.
#[derive(Debug, Clone)]
pub(super) struct DoorMetrics {
    requests: Family<RequestLabels, Counter>,
    duration: Family<VerbLabels, Histogram, fn() -> Histogram>,
    in_flight: Family<DoorLabels, Gauge>,
    connection_errors: Family<ConnectionLabels, Counter>,
}

/// Which door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Door {
    Kube,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DoorLabels {
    door: Door,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerbLabels {
    door: Door,
    verb: Verb,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    door: Door,
    verb: Verb,
    code: Code,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabels {
    door: Door,
    reason: ConnectionError,
}

/// The status that a request was answered with, if it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Code(Option<StatusCode>);

/// Why a connection ended that should not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ConnectionError {
    /// What came is no HTTP.
    Malformed,
    /// No request came in time.
    Idle,
    /// It broke within a message.
    Broken,
}

// === impl DoorMetrics ===

impl DoorMetrics {
    /// Registers the families in the registry of the doors.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(durations),
            in_flight: Family::default(),
            connection_errors: Family::default(),
        };
        registry.register("requests", "Requests that a door took, counted at their end", new.requests.clone());
        registry.register(
            "request_duration_seconds",
            "How long requests took; of watches, logs and upgrades, the time to the answer's head",
            new.duration.clone(),
        );
        registry.register("requests_in_flight", "Requests that a door took and that go on", new.in_flight.clone());
        registry.register(
            "connection_errors",
            "Connections of callers that ended for what is no request",
            new.connection_errors.clone(),
        );
        new
    }

    pub(super) fn began(&self) {
        self.in_flight.get_or_create(&DoorLabels { door: Door::Kube }).inc();
    }

    /// A request ended; `None` for one that was never answered because its caller left.
    pub(super) fn ended(&self, verb: Verb, code: Option<StatusCode>, duration: Duration) {
        let door = Door::Kube;
        self.in_flight.get_or_create(&DoorLabels { door }).dec();
        self.requests.get_or_create(&RequestLabels { door, verb, code: Code(code) }).inc();
        self.duration.get_or_create(&VerbLabels { door, verb }).observe(duration.as_secs_f64());
    }

    pub(super) fn connection_failed(&self, reason: ConnectionError) {
        self.connection_errors.get_or_create(&ConnectionLabels { door: Door::Kube, reason }).inc();
    }
}

/// From a GET next door to the deadline of an answer, and beyond it for long downloads.
fn durations() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}

// === impl EncodeLabelValue ===

impl EncodeLabelValue for Door {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Kube => encoder.write_str("kube"),
        }
    }
}

impl EncodeLabelValue for Verb {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.as_str())
    }
}

impl EncodeLabelValue for Code {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        match self.0 {
            // Codes that nobody knows share a series: an agent could make up hundreds.
            Some(code) if code.canonical_reason().is_some() => encoder.write_str(code.as_str()),
            Some(_) => encoder.write_str("other"),
            None => encoder.write_str("none"),
        }
    }
}

impl EncodeLabelValue for ConnectionError {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Malformed => "malformed",
            Self::Idle => "idle",
            Self::Broken => "broken",
        })
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;

    use super::*;

    #[test]
    fn names_and_labels_are_what_dashboards_expect() {
        let mut registry = Registry::with_prefix("argocd_agent_door");
        let metrics = DoorMetrics::register(&mut registry);
        metrics.began();
        metrics.began();
        metrics.began();
        metrics.ended(Verb::Get, Some(StatusCode::OK), Duration::from_millis(2));
        metrics.ended(Verb::DeleteCollection, StatusCode::from_u16(799).ok(), Duration::from_millis(2));
        metrics.connection_failed(ConnectionError::Malformed);
        let mut text = String::new();
        text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"argocd_agent_door_requests_total{door="kube",verb="get",code="200"} 1"#,
            r#"argocd_agent_door_requests_total{door="kube",verb="deletecollection",code="other"} 1"#,
            r#"argocd_agent_door_request_duration_seconds_bucket{le="0.0025",door="kube",verb="get"} 1"#,
            r#"argocd_agent_door_requests_in_flight{door="kube"} 1"#,
            r#"argocd_agent_door_connection_errors_total{door="kube",reason="malformed"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
