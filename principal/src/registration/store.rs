//! The Secrets of the control plane's namespace, one call at a time.

use std::{error::Error, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::PostParams};
use tokio::time::timeout;

use super::metrics::Reason;

/// Where cluster Secrets are. There is one of it, and another for tests.
pub(super) trait Store: Send + Sync + 'static {
    fn get(&self, name: &str) -> impl Future<Output = Result<Option<Secret>, StoreError>> + Send;
    fn create(&self, secret: &Secret) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Refused where it is not the version that was read.
    fn replace(&self, name: &str, secret: &Secret) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The API server.
pub(super) struct ApiStore {
    api: Api<Secret>,
    namespace: Box<str>,
}

/// A call that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {verb} Secret {namespace}/{name}: {why}")]
pub(super) struct StoreError {
    pub(super) verb: Verb,
    pub(super) namespace: Box<str>,
    pub(super) name: Box<str>,
    pub(super) why: Why,
}

/// What the API server was asked for, as roles call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Create,
    Update,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Why {
    /// It was written, made or deleted since it was read.
    #[error("somebody else has written it meanwhile")]
    MetAnother,
    /// In the API server's words, which name the permission.
    #[error("the API server refuses: {0}")]
    Forbidden(String),
    /// In the API server's words.
    #[error("the API server refuses: {0}")]
    Refused(String),
    #[error("the API server does not answer: {0}")]
    Unreachable(String),
}

// === impl ApiStore ===

impl ApiStore {
    pub(super) fn new(api: Api<Secret>, namespace: &str) -> Self {
        Self { api, namespace: namespace.into() }
    }

    async fn ask<T>(
        &self,
        verb: Verb,
        name: &str,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, StoreError> {
        let why = match timeout(PATIENCE, call).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => Why::of(verb, &error),
            Err(_elapsed) => Why::Unreachable(format!("nothing was heard within {} s", PATIENCE.as_secs())),
        };
        Err(StoreError { verb, namespace: self.namespace.clone(), name: name.into(), why })
    }
}

impl Store for ApiStore {
    async fn get(&self, name: &str) -> Result<Option<Secret>, StoreError> {
        self.ask(Verb::Get, name, self.api.get_opt(name)).await
    }

    async fn create(&self, secret: &Secret) -> Result<(), StoreError> {
        let name = secret.metadata.name.as_deref().unwrap_or_default();
        self.ask(Verb::Create, name, self.api.create(&params(), secret)).await.map(drop)
    }

    async fn replace(&self, name: &str, secret: &Secret) -> Result<(), StoreError> {
        self.ask(Verb::Update, name, self.api.replace(name, &params(), secret)).await.map(drop)
    }
}

fn params() -> PostParams {
    PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() }
}

// === impl StoreError ===

impl StoreError {
    pub(super) fn met_another(&self) -> bool {
        self.why == Why::MetAnother
    }

    pub(super) fn reason(&self) -> Reason {
        match self.why {
            Why::MetAnother => Reason::Contended,
            Why::Forbidden(_) => Reason::Forbidden,
            Why::Refused(_) => Reason::Refused,
            Why::Unreachable(_) => Reason::Unreachable,
        }
    }

    /// What an operator can do about it.
    pub(super) fn cure(&self) -> String {
        match self.why {
            Why::MetAnother => "see who writes it all the time".to_owned(),
            Why::Forbidden(_) => format!(
                "allow the principal's ServiceAccount get, create and update on secrets in namespace {}: {} is missing",
                self.namespace, self.verb
            ),
            Why::Refused(_) => "see what the API server says, and that the namespace is there".to_owned(),
            Why::Unreachable(_) => "let the principal reach the API server; it keeps trying".to_owned(),
        }
    }
}

// === impl Why ===

impl Why {
    fn of(verb: Verb, error: &kube::Error) -> Self {
        let kube::Error::Api(status) = error else {
            return Self::Unreachable(short(&innermost(error).to_string()));
        };
        match (status.reason.as_str(), verb) {
            ("Conflict" | "NotFound", Verb::Update) | ("AlreadyExists", Verb::Create) => Self::MetAnother,
            _ if matches!(status.code, 401 | 403) => Self::Forbidden(short(&status.message)),
            _ if status.code == 429 || status.code >= 500 => Self::Unreachable(short(&status.message)),
            _ => Self::Refused(short(&status.message)),
        }
    }
}

impl std::fmt::Display for Verb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Get => "get",
            Self::Create => "create",
            Self::Update => "update",
        })
    }
}

fn innermost(error: &dyn Error) -> &dyn Error {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost
}

/// In one line, whoever wrote it.
fn short(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").chars().take(LONGEST_CAUSE).collect()
}

/// An API server is near, and nobody else waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

const MANAGER: &str = "argocd-agent-principal";

/// Enough for the API server's own texts, and a line of the log for others.
const LONGEST_CAUSE: usize = 300;
