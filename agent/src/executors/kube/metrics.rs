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
    broken: Counter,
    owner_cache: Family<CacheLabels, Counter>,
}

/// How often it was known what an owner is. Looked up once: a watch asks for its owners again and again.
#[derive(Debug, Clone)]
pub(super) struct OwnerCache {
    /// It was known.
    pub(super) hits: Counter,
    /// The API server had to be asked.
    pub(super) misses: Counter,
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
    /// The settings, Applications and owners that the filter goes by.
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
    /// What is managed of a collection is shown.
    Listed,
    /// What is managed of a collection is shown as it comes and goes.
    Watched,
    /// The API server itself had no object to show.
    NoObject,
    /// The object is not managed.
    NotManaged,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    outcome: CacheOutcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum CacheOutcome {
    Hit,
    Miss,
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
        let broken = "Lists and watches that were broken off because they could not be filtered to their end";
        registry.register("filter_streams_broken", broken, new.broken.clone());
        registry.register("filter_owner_cache", "Owners that were known, and not", new.owner_cache.clone());
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

    /// Counts a list or a watch that cannot be filtered any further.
    pub(super) fn broke_off(&self) {
        self.broken.inc();
    }

    /// Counts what the filter did.
    pub(super) fn decided(&self, decision: Decision) {
        self.decisions.get_or_create(&DecisionLabels { decision }).inc();
    }

    /// Where look-ups of owners are counted.
    pub(super) fn owner_cache(&self) -> OwnerCache {
        let counter = |outcome| self.owner_cache.get_or_create(&CacheLabels { outcome }).clone();
        OwnerCache { hits: counter(CacheOutcome::Hit), misses: counter(CacheOutcome::Miss) }
    }
}

// === impl Decision ===

impl From<&Refusal> for Decision {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::NotManaged => Self::NotManaged,
            Refusal::DeleteCollectionNotAllowed => Self::DeleteCollectionNotAllowed,
            Refusal::CreateNotManaged => Self::CreateNotManaged,
            Refusal::BadRequest(_) => Self::BadRequest,
            Refusal::UpstreamUnreachable(_) => Self::Unreachable,
            // The filter has no other ways to say no.
            _ => Self::Undecidable,
        }
    }
}

common::snake_case_labels!(Purpose, Decision, Outcome, CacheOutcome);
