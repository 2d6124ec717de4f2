//! The managed filter: of a workload cluster, only what Argo CD manages is shown and changed.
//!
//! What a request must show before it passes is in [`decide`]; what is asked of the API server for that is in [`lookup`]
//! and [`ancestry`]; what is known beforehand and kept up to date, in [`settings`] and [`applications`]. Lists and
//! watches are taken apart in [`list`] and [`watch`]. Where it cannot be decided, nothing is shown.

pub(crate) mod accept;
pub(crate) mod ancestry;
mod applications;
#[cfg(feature = "test-util")]
pub mod bench;
mod collections;
mod decide;
mod discovery;
mod envelope;
#[cfg(feature = "test-util")]
pub mod fuzz;
mod gzip;
pub(crate) mod hold;
pub(crate) mod item;
pub(crate) mod json;
mod json_nesting;
mod json_object;
pub(crate) mod json_walk;
pub(crate) mod list;
mod live;
mod lookup;
pub(crate) mod meta;
pub(crate) mod metadata;
pub(crate) mod namespaces;
pub(crate) mod protobuf;
pub(crate) mod scan;
mod scope;
mod settings;
mod source;
mod standing;
mod subject;
pub(crate) mod table;
pub(crate) mod tracking;
pub(crate) mod uid;
pub(crate) mod watch;
pub(crate) mod wire;

#[cfg(test)]
mod samples;

use std::sync::Arc;

use common::{Refusal, Report, drain};
use http::{HeaderMap, Response, StatusCode, header::CONTENT_ENCODING};
use hyper::body::Incoming;
use tracing::debug;

use self::{
    ancestry::{Ancestry, Ask},
    applications::Applications,
    decide::{Absent, Plan, Rules, content_type},
    hold::{Held, HoldError},
    lookup::{Looked, Lookup},
    meta::ObjectMeta,
    namespaces::Namespaces,
    settings::Settings,
    uid::Uid,
    watch::recall::Recall,
};
use super::{
    KubeOptions,
    body::{self, AnswerBody, ReadError, SendBody},
    metrics::{Decision, KubeMetrics, Purpose},
    request::{Request, ResourceRequest, is_apply},
    service::Inbound,
    upstream::{Upstream, is_impersonation},
};

/// Decides on requests and has those that pass carried out.
#[derive(Debug)]
pub(super) struct Filter {
    rules: Rules,
    upstream: Upstream,
    lookup: Lookup,
    settings: Settings,
    applications: Applications,
    ancestry: Ancestry,
    recall: Recall,
    metrics: KubeMetrics,
}

type Answer = Response<AnswerBody>;

// === impl Filter ===

impl Filter {
    /// Begins to watch what the filter goes by.
    pub(super) fn start(options: &KubeOptions, upstream: Upstream, metrics: KubeMetrics, drain: &drain::Watch) -> Self {
        let argo = Namespaces::new(&options.namespace, &options.application_namespaces);
        let client = upstream.kube_client(&options.namespace);
        Self {
            settings: Settings::watch(client.clone(), &options.namespace, drain),
            applications: Applications::watch(&client, &argo, drain),
            ancestry: Ancestry::new(&upstream, argo.clone(), &metrics, drain.clone()),
            recall: Recall::default(),
            lookup: Lookup::new(upstream.clone()),
            rules: Rules { argo, managed_creates_only: options.managed_creates_only },
            upstream,
            metrics,
        }
    }

    /// Answers a request, or says why not.
    pub(super) async fn serve(self: &Arc<Self>, inbound: Inbound) -> Result<Answer, Refusal> {
        let answer = self.decide(inbound).await;
        let decision = match &answer {
            Ok((decision, _)) => *decision,
            Err(refusal) => Decision::from(refusal),
        };
        self.metrics.decided(decision);
        answer.map(|(_, answer)| answer)
    }

    async fn decide(self: &Arc<Self>, inbound: Inbound) -> Result<(Decision, Answer), Refusal> {
        let target = inbound.target();
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let request = Request::parse(&inbound.parts.method, target)
            .map_err(|error| Refusal::BadRequest(error.to_string().into()))?;
        match self.rules.plan(request, &inbound.parts.method, query, &inbound.parts.headers) {
            Plan::Pass => self.forward(inbound, Decision::Passed).await,
            Plan::Refuse(refusal) => Err(refusal),
            Plan::Read(resource) => self.read(&resource, inbound).await,
            // Boxed, as all that is rare or long: a request's future is moved as a whole, and would be as large as these.
            Plan::Guard(resource, absent) => Box::pin(self.guard(resource, absent, inbound)).await,
            Plan::Create(resource) => Box::pin(self.create(&resource, inbound)).await,
            Plan::List(resource) => Box::pin(self.list(resource, inbound)).await,
            Plan::Watch(resource) => Box::pin(self.watch(resource, inbound)).await,
        }
    }

    async fn forward(&self, inbound: Inbound, decision: Decision) -> Result<(Decision, Answer), Refusal> {
        let answer = self.send(inbound).await?;
        Ok((decision, answer.map(AnswerBody::Upstream)))
    }

    async fn send(&self, inbound: Inbound) -> Result<Response<Incoming>, Refusal> {
        self.upstream.send(inbound.into_request(), Purpose::Client).await.map_err(|error| {
            debug!(error = %Report(&error), "no answer");
            error.refusal()
        })
    }

    /// One request, whose answer is shown if the object in it is managed.
    async fn read(&self, resource: &ResourceRequest, inbound: Inbound) -> Result<(Decision, Answer), Refusal> {
        let destination = match &resource.name {
            Some(name) if resource.group.is_empty() && resource.resource == "namespaces" => {
                self.applications.deploy_to(name).await
            }
            _ => Ok(false),
        };
        if destination == Ok(true) {
            return self.forward(inbound, Decision::Passed).await;
        }
        // Before the answer is here: its connection need not wait for this one.
        self.settings.tracking().await?;
        let answer = self.send(inbound).await?;
        if !answer.status().is_success() {
            return Ok(verbatim(answer));
        }
        let (parts, body) = answer.into_parts();
        let (held, meta) = Held::until_metadata(&parts.headers, body).await.map_err(|error| unreadable(&error))?;
        let meta = match meta {
            Some(meta) => meta,
            None => match Box::pin(self.look_up(resource)).await? {
                Looked::Found(meta) => meta,
                Looked::Answered(answer) => return Ok(verbatim(answer)),
            },
        };
        match self.judge(resource, &meta).await? {
            Some(decision) => Ok((decision, Response::from_parts(parts, AnswerBody::Held(held)))),
            None => {
                held.discard();
                Err(destination.err().unwrap_or(Refusal::NotManaged))
            }
        }
    }

    /// A request that is forwarded once its object is known to be managed.
    async fn guard(
        &self,
        resource: ResourceRequest,
        absent: Absent,
        inbound: Inbound,
    ) -> Result<(Decision, Answer), Refusal> {
        match (self.look_up(&resource).await?, absent) {
            (Looked::Found(meta), _) => {
                let decision = self.judge(&resource, &meta).await?.ok_or(Refusal::NotManaged)?;
                self.forward(inbound, decision).await
            }
            (Looked::Answered(answer), Absent::Create) if answer.status() == StatusCode::NOT_FOUND => {
                match self.rules.create(resource) {
                    Plan::Create(resource) => self.create(&resource, inbound).await,
                    _ => self.forward(inbound, Decision::Passed).await,
                }
            }
            // It was us who looked. Whether who is to be impersonated may know that there is nothing is another matter.
            (Looked::Answered(answer), _)
                if answer.status() == StatusCode::NOT_FOUND && inbound.parts.headers.keys().any(is_impersonation) =>
            {
                self.forward(inbound, Decision::NoObject).await
            }
            (Looked::Answered(answer), _) => Ok(verbatim(answer)),
        }
    }

    /// A request that is forwarded if the object in its body is managed.
    async fn create(&self, resource: &ResourceRequest, inbound: Inbound) -> Result<(Decision, Answer), Refusal> {
        let Inbound { parts, body } = inbound;
        let SendBody::Stream(body) = body else { return Err(Refusal::CreateNotManaged) };
        let body = body::read(body, CREATE_LIMIT).await.map_err(|error| match error {
            ReadError::TooLarge(_) => Refusal::BadRequest("the request body is too large".into()),
            ReadError::Broken(_) => Refusal::BadRequest("the request body broke off".into()),
        })?;
        let mut meta = created(&parts.headers, &body)?;
        // Owners are looked for where the object is to be, which is what the path says.
        meta.namespace.clone_from(&resource.namespace);
        let decision = self.judge(resource, &meta).await?.ok_or(Refusal::CreateNotManaged)?;
        self.forward(Inbound { parts, body: SendBody::Read(body.into()) }, decision).await
    }

    async fn look_up(&self, resource: &ResourceRequest) -> Result<Looked<ObjectMeta>, Refusal> {
        let path = resource.object_path();
        self.lookup.metadata(&path, Purpose::Object).await.map_err(|error| error.refusal())
    }

    /// Whether an object is managed, and if so, why.
    async fn judge(&self, resource: &ResourceRequest, meta: &ObjectMeta) -> Result<Option<Decision>, Refusal> {
        let tracking = self.settings.tracking().await?;
        if tracking.marks(meta) {
            if let Some(uid) = Uid::parse(&meta.uid) {
                self.ancestry.remember(&uid);
            }
            return Ok(Some(Decision::Marked));
        }
        let links = self.ancestry.links(&resource.group, &resource.resource, meta);
        let managed = Box::pin(self.ancestry.managed(&links, &tracking, Ask::Now)).await?;
        Ok(managed.then_some(Decision::Owned))
    }
}

/// The API server's own answer that there is nothing to show.
fn verbatim(answer: Response<Incoming>) -> (Decision, Answer) {
    (Decision::NoObject, answer.map(AnswerBody::Upstream))
}

/// The metadata that the body of a request gives to what it makes.
fn created(headers: &HeaderMap, body: &[u8]) -> Result<ObjectMeta, Refusal> {
    let said = content_type(headers).unwrap_or("application/json");
    // An apply is said to be YAML, and is JSON where it comes from kubectl or Argo CD.
    let read_as = if is_apply(said) { "application/json" } else { said };
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(Refusal::CreateNotManaged);
    }
    metadata::of_request(read_as, body).map(|found| found.meta).map_err(|error| {
        debug!(error = %Report(&error), "cannot read what is to be created");
        Refusal::CreateNotManaged
    })
}

fn unreadable(error: &HoldError) -> Refusal {
    debug!(error = %Report(error), "cannot read an answer");
    match error {
        HoldError::Scan(_) => Refusal::Undecidable("the answer of the API server cannot be read".into()),
        HoldError::Broken(_) => Refusal::UpstreamUnreachable("its answer broke off".into()),
    }
}

/// What kube-apiserver takes at most (`MaxRequestBodyBytes`, `apiserver/pkg/server/config.go`).
const CREATE_LIMIT: usize = 3 << 20;
