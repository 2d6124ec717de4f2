//! The filter's own questions to the API server: small, bounded in size and time, and asked as the agent itself.

use std::time::Duration;

use bytes::Bytes;
use common::{Refusal, Report};
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{ACCEPT, USER_AGENT},
};
use hyper::body::Incoming;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, de::DeserializeOwned};
use tracing::debug;

use super::{
    super::{
        body::{self, ReadError, SendBody},
        metrics::Purpose,
        upstream::{OUR_USER_AGENT, Upstream, UpstreamError, short},
    },
    meta::ObjectMeta,
};

/// Asks the API server. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Lookup {
    upstream: Upstream,
}

/// What the API server says.
#[derive(Debug)]
pub(super) enum Looked<T> {
    /// What was asked for.
    Found(T),
    /// Something else: an error of its own.
    Answered(Response<Incoming>),
}

/// Why it says nothing that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    /// It did not answer.
    #[error("a look-up failed")]
    Upstream(#[source] UpstreamError),
    /// It did not answer in time.
    #[error("a look-up took longer than {} s", DEADLINE.as_secs())]
    TimedOut,
    /// The answer cannot be read.
    #[error("the answer to a look-up cannot be read")]
    Read(#[source] ReadError),
    /// The answer is something else.
    #[error("the answer to a look-up cannot be understood")]
    Malformed(#[source] serde_json::Error),
}

/// An object of which nothing but the metadata are of interest.
#[derive(Debug, Deserialize)]
pub(super) struct MetadataOnly {
    pub(super) metadata: ObjectMeta,
}

/// One page of a list of such objects.
#[derive(Debug, Deserialize)]
pub(super) struct MetadataPage {
    #[serde(default)]
    pub(super) metadata: PageMeta,
    /// Go writes no items as null.
    #[serde(default)]
    pub(super) items: Option<Vec<MetadataOnly>>,
}

/// What a list says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PageMeta {
    /// The state of the collection that was listed.
    pub(super) resource_version: String,
    /// Where the next page begins; empty when this is the last.
    #[serde(rename = "continue")]
    pub(super) more: String,
}

/// The API server's words for an error.
#[derive(Deserialize)]
struct Status {
    message: String,
}

// === impl Lookup ===

impl Lookup {
    pub(super) fn new(upstream: Upstream) -> Self {
        Self { upstream }
    }

    /// The metadata of the object at `path`, which must be percent-encoded.
    pub(super) async fn metadata(&self, path: &str, purpose: Purpose) -> Result<Looked<ObjectMeta>, LookupError> {
        Ok(match self.get::<MetadataOnly>(path, METADATA, purpose, LIMIT).await? {
            Looked::Found(object) => Looked::Found(object.metadata),
            Looked::Answered(answer) => Looked::Answered(answer),
        })
    }

    /// A page of the metadata of the collection at `path`, from where `more` says that it begins.
    pub(super) async fn page(
        &self,
        path: &str,
        more: &str,
        purpose: Purpose,
    ) -> Result<Looked<MetadataPage>, LookupError> {
        let mut target = format!("{path}?limit={PAGE}");
        if !more.is_empty() {
            target.push_str("&continue=");
            target.extend(utf8_percent_encode(more, NON_ALPHANUMERIC));
        }
        self.get(&target, METADATA_LIST, purpose, PAGE_LIMIT).await
    }

    /// Begins a watch of metadata, whose events are in the answer if that is 200.
    pub(super) async fn watch(&self, target: &str, purpose: Purpose) -> Result<Response<Incoming>, LookupError> {
        let asking = self.send(target, METADATA, purpose);
        tokio::time::timeout(DEADLINE, asking).await.unwrap_or(Err(LookupError::TimedOut))
    }

    /// What is at `path`, as JSON.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        path: &str,
        purpose: Purpose,
    ) -> Result<Looked<T>, LookupError> {
        self.get(path, JSON, purpose, LIMIT).await
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        accept: HeaderValue,
        purpose: Purpose,
        limit: usize,
    ) -> Result<Looked<T>, LookupError> {
        let asking = async {
            let answer = self.send(path, accept, purpose).await?;
            if answer.status() != StatusCode::OK {
                return Ok(Looked::Answered(answer));
            }
            let body = body::read(answer.into_body(), limit).await.map_err(LookupError::Read)?;
            serde_json::from_slice(&body).map(Looked::Found).map_err(LookupError::Malformed)
        };
        tokio::time::timeout(DEADLINE, asking).await.unwrap_or(Err(LookupError::TimedOut))
    }

    async fn send(&self, path: &str, accept: HeaderValue, purpose: Purpose) -> Result<Response<Incoming>, LookupError> {
        let mut request = Request::new(SendBody::Empty);
        *request.uri_mut() = path
            .parse()
            .map_err(|error: http::uri::InvalidUri| LookupError::Upstream(UpstreamError::Path(error.into())))?;
        request.headers_mut().insert(ACCEPT, accept);
        request.headers_mut().insert(USER_AGENT, OUR_USER_AGENT);
        self.upstream.send(request, purpose).await.map_err(LookupError::Upstream)
    }
}

// === impl LookupError ===

impl LookupError {
    /// What the caller is told.
    pub(super) fn refusal(&self) -> Refusal {
        debug!(error = %Report(self), "look-up failed");
        match self {
            Self::Upstream(error) => error.refusal(),
            Self::TimedOut => Refusal::UpstreamUnreachable("it did not answer a look-up in time".into()),
            Self::Read(ReadError::Broken(_)) => {
                Refusal::UpstreamUnreachable("its answer to a look-up broke off".into())
            }
            Self::Read(ReadError::TooLarge(_)) => Refusal::Undecidable("the metadata are too large".into()),
            Self::Malformed(_) => Refusal::Undecidable("the metadata are malformed".into()),
        }
    }
}

/// Why the API server did not answer a look-up with an object, in its own words where it has any: a 403 of its RBAC
/// names the permission that is missing.
pub(super) async fn reason(answer: Response<Incoming>) -> String {
    let status = answer.status();
    let body = tokio::time::timeout(DEADLINE, body::read(answer.into_body(), STATUS_LIMIT)).await;
    let body = body.ok().and_then(Result::ok).unwrap_or_else(Bytes::new);
    match serde_json::from_slice::<Status>(&body) {
        Ok(Status { message }) if !message.is_empty() => short(&message),
        _ => format!("the API server answered {status}"),
    }
}

/// Metadata alone, and from a server that cannot do that (an aggregated one) the whole object.
const METADATA: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json");
/// The same of a list.
const METADATA_LIST: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Metadata of one object, one group's discovery, or 500 events: each is well below.
const LIMIT: usize = 4 << 20;
/// As client-go's pager has it.
const PAGE: usize = 500;
/// A page of metadata has 64 KiB for each object then. It is read as a whole, but not kept.
const PAGE_LIMIT: usize = 32 << 20;
const STATUS_LIMIT: usize = 64 << 10;
/// Below the 10 s that a request may take to its answer's head, so that the caller learns why there is none.
const DEADLINE: Duration = Duration::from_secs(8);
