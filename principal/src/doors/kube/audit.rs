//! One line per request, at its end: who asked what of which agent, and what came of it.
//!
//! Always true: every request that the door took has exactly one line, however it ended, because dropping its [`Access`]
//! writes it. Never in it: a body, a query, or a header's value but for the user that is impersonated.

use std::{borrow::Cow, fmt, sync::Arc};

use common::{
    AgentName, Refusal,
    http::{
        body::{End, Observer},
        upgrade::{JoinError, Meter},
    },
};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use tokio::time::Instant;
use tracing::info;

use super::{api_path::ApiPath, metrics::DoorMetrics, route::Caller};
use crate::doors::http::{head_guard::Heads, upload::Upload};

/// A request that goes on. Dropped when all of its answer has passed, or nothing of it will any more.
#[derive(Debug)]
pub(super) struct Access {
    caller: Caller,
    method: Method,
    uri: Uri,
    /// As whom the API server is to act.
    impersonated: Option<HeaderValue>,
    agent: Option<AgentName>,
    upload: Upload,
    /// Bytes both ways after a switch of protocols: from the caller, then to the caller.
    meter: Option<Arc<Meter>>,
    bytes_out: u64,
    began: Instant,
    answered: Option<(StatusCode, Instant)>,
    outcome: Outcome,
    cause: Option<String>,
    metrics: DoorMetrics,
    heads: Option<Heads>,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// All of an answer passed.
    Answered,
    /// It was refused, here or by the agent.
    Refused(Cow<'static, str>),
    /// The answer broke off.
    Cut,
    /// The caller left before the end of its answer.
    Left,
}

// === impl Access ===

impl Access {
    pub(super) fn begin<B>(
        caller: &Caller,
        request: &Request<B>,
        upload: Upload,
        heads: Option<Heads>,
        metrics: &DoorMetrics,
    ) -> Self {
        metrics.began();
        Self {
            caller: caller.clone(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            impersonated: request.headers().get(IMPERSONATE_USER).cloned(),
            agent: None,
            upload,
            meter: None,
            bytes_out: 0,
            began: Instant::now(),
            answered: None,
            outcome: Outcome::Left,
            cause: None,
            metrics: metrics.clone(),
            heads,
        }
    }

    pub(super) fn routed(&mut self, agent: &AgentName) {
        self.agent = Some(agent.clone());
    }

    /// Something failed, and this is our own word for it.
    pub(super) fn failed(&mut self, cause: &dyn fmt::Display) {
        self.cause = Some(cause.to_string());
    }

    pub(super) fn refused(&mut self, refusal: &Refusal, status: StatusCode) {
        self.answered = Some((status, Instant::now()));
        self.outcome = Outcome::Refused(refusal.label().into());
    }

    /// The head of an answer came, with a label where it is a refusal of the agent's own.
    pub(super) fn answered(&mut self, status: StatusCode, label: Option<&HeaderValue>) {
        self.answered = Some((status, Instant::now()));
        if let Some(label) = label {
            let label = label.to_str().ok().filter(|label| is_label(label)).unwrap_or("unknown");
            self.outcome = Outcome::Refused(label.to_owned().into());
        }
    }

    /// Protocols are switched: what passes from here on is counted by the meter.
    pub(super) fn switches(&mut self) -> Arc<Meter> {
        // Until it is known better: the drain may drop what runs.
        self.outcome = Outcome::Cut;
        Arc::clone(self.meter.get_or_insert_default())
    }

    /// What was switched has ended.
    pub(super) fn switched_back(&mut self, result: Result<(), JoinError>) {
        self.outcome = match result {
            Ok(()) => Outcome::Answered,
            // The caller's connection is the first.
            Err(JoinError::First(_)) => Outcome::Left,
            Err(error) => {
                self.failed(&common::Report(&error));
                Outcome::Cut
            }
        };
    }

    fn write(&self, ended: Instant, ApiPath { verb, resource }: ApiPath<'_>) {
        let identity = self.caller.identity.as_ref();
        let impersonated = self.impersonated.as_ref().map(|user| user.to_str().unwrap_or("?"));
        let (mut bytes_in, mut bytes_out) = (self.upload.bytes(), self.bytes_out);
        if let Some(meter) = &self.meter {
            bytes_in += meter.a_to_b();
            bytes_out += meter.b_to_a();
        }
        // Strings as values, never by their `Display`: so every format escapes them.
        info!(
            target: "audit",
            caller = identity.and_then(|identity| identity.common_name.as_deref()).map(cut),
            peer = %self.caller.peer,
            impersonated_user = impersonated.map(cut),
            agent = self.agent.as_ref().map(AgentName::as_str),
            verb = verb.as_str(),
            group = resource.map(|resource| cut(resource.group)),
            version = resource.map(|resource| cut(resource.version)),
            resource = resource.map(|resource| cut(resource.resource)),
            subresource = resource.and_then(|resource| resource.subresource).map(cut),
            namespace = resource.and_then(|resource| resource.namespace).map(cut),
            name = resource.and_then(|resource| resource.name).map(cut),
            path = resource.is_none().then(|| cut(self.uri.path())),
            status = self.answered.map(|(status, _)| status.as_u16()),
            bytes_in,
            bytes_out,
            duration_micros = u64::try_from((ended - self.began).as_micros()).unwrap_or(u64::MAX),
            outcome = self.outcome.as_str(),
            cause = self.cause.as_deref().map(cut),
            "request"
        );
    }
}

impl Observer for Access {
    fn data(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
    }

    fn ended(&mut self, how: End) {
        if !matches!(self.outcome, Outcome::Refused(_)) {
            self.outcome = match how {
                End::Complete => Outcome::Answered,
                End::Failed => Outcome::Cut,
                End::Abandoned => Outcome::Left,
            };
        }
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        let ended = Instant::now();
        let api_path = ApiPath::read(&self.method, self.uri.path(), self.uri.query());
        let counted = match self.answered {
            Some((status, at)) if api_path.is_stream() || status == StatusCode::SWITCHING_PROTOCOLS => at,
            _ => ended,
        };
        self.metrics.ended(api_path.verb, self.answered.map(|(status, _)| status), counted - self.began);
        self.write(ended, api_path);
        if let Some(heads) = &self.heads
            && self.upload.is_complete()
        {
            heads.arm();
        }
    }
}

// === impl Outcome ===

impl Outcome {
    fn as_str(&self) -> &str {
        match self {
            Self::Answered => "ok",
            Self::Refused(label) => label,
            Self::Cut => "cut",
            Self::Left => "caller_left",
        }
    }
}

/// Whether an agent's label is a word like ours: it need not be one that this build knows.
fn is_label(label: &str) -> bool {
    (1..=40).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// No name in Kubernetes is longer than 253 bytes; what is, is noise.
fn cut(text: &str) -> &str {
    if text.len() <= MAX_FIELD {
        return text;
    }
    match text.char_indices().nth(MAX_FIELD) {
        Some((end, _)) => text.get(..end).unwrap_or(text),
        None => text,
    }
}

const MAX_FIELD: usize = 256;
const IMPERSONATE_USER: &str = "impersonate-user";
