//! What the executor counts.

use common::Refusal;
use http::StatusCode;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Cheap to clone; every clone counts into the same.
#[derive(Debug, Clone, Default)]
pub(super) struct KubeMetrics {
    requests: Family<RequestLabels, Counter>,
    decisions: Family<DecisionLabels, Counter>,
}

/// What a request to the API server is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// A client's own request.
    Client,
    /// Whether an object is managed.
    Object,
    /// Whether an object's owner is managed.
    Owner,
    /// Which resource a kind is.
    Discovery,
    /// What events are about.
    Events,
    /// The settings and Applications that the filter goes by.
    Watch,
}

/// What the filter did with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Decision {
    /// It is about no object that could be unmanaged.
    Passed,
    /// The object carries the mark.
    Marked,
    /// The object is owned by one that does.
    Owned,
    /// The API server itself had no object to show.
    NoObject,
    /// The object is not managed.
    NotManaged,
    /// Collections are not shown.
    ListNotAllowed,
    /// Collections are not deleted.
    DeleteCollectionNotAllowed,
    /// An object that is not managed may not be created.
    CreateNotManaged,
    /// It cannot be said.
    Undecidable,
    /// The request is wrong in itself.
    BadRequest,
    /// The API server cannot be reached.
    Unreachable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    purpose: Purpose,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    decision: Decision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Outcome {
    Informational,
    Success,
    Redirection,
    ClientError,
    ServerError,
    NoAnswer,
}

// === impl KubeMetrics ===

impl KubeMetrics {
    /// Registers the families.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register("upstream_requests", "Requests to the API server", new.requests.clone());
        registry.register("filter_decisions", "What the managed filter did with requests", new.decisions.clone());
        new
    }

    /// Counts a request to the API server. `None` where it did not answer.
    pub(super) fn requested(&self, purpose: Purpose, status: Option<StatusCode>) {
        let outcome = match status {
            None => Outcome::NoAnswer,
            Some(status) if status.is_informational() => Outcome::Informational,
            Some(status) if status.is_success() => Outcome::Success,
            Some(status) if status.is_redirection() => Outcome::Redirection,
            Some(status) if status.is_client_error() => Outcome::ClientError,
            Some(_) => Outcome::ServerError,
        };
        self.requests.get_or_create(&RequestLabels { purpose, outcome }).inc();
    }

    /// Counts what the filter did.
    pub(super) fn decided(&self, decision: Decision) {
        self.decisions.get_or_create(&DecisionLabels { decision }).inc();
    }
}

// === impl Decision ===

impl From<&Refusal> for Decision {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::NotManaged => Self::NotManaged,
            Refusal::ListNotAllowed => Self::ListNotAllowed,
            Refusal::DeleteCollectionNotAllowed => Self::DeleteCollectionNotAllowed,
            Refusal::CreateNotManaged => Self::CreateNotManaged,
            Refusal::BadRequest(_) => Self::BadRequest,
            Refusal::UpstreamUnreachable(_) => Self::Unreachable,
            // The filter has no other ways to say no.
            _ => Self::Undecidable,
        }
    }
}

common::snake_case_labels!(Purpose, Decision, Outcome);
