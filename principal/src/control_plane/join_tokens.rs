//! The Secrets of join tokens: read when somebody shows a token, and deleted when it is used.

use common::enrollment::TokenId;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DeleteParams, Preconditions},
};

/// Those of the principal's namespace. Cheap to clone.
#[derive(Clone)]
pub(crate) struct JoinTokens(Api<Secret>);

/// Who used a token up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consumed {
    /// We did, and nobody else.
    ByUs,
    /// Somebody was faster, or changed it.
    ByAnother,
}

// === impl JoinTokens ===

impl JoinTokens {
    pub(super) fn new(api: Api<Secret>) -> Self {
        Self(api)
    }

    /// One that was deleted and stays for a finalizer's sake is none.
    pub(crate) async fn find(&self, id: &TokenId) -> Result<Option<Secret>, kube::Error> {
        let found = self.0.get_opt(&id.secret_name()).await?;
        Ok(found.filter(|secret| secret.metadata.deletion_timestamp.is_none()))
    }

    /// Deletes the very object that was found. The API server does that once, for however many principals ask.
    pub(crate) async fn consume(&self, id: &TokenId, found: &Secret) -> Result<Consumed, kube::Error> {
        let same = Preconditions {
            uid: found.metadata.uid.clone(),
            resource_version: found.metadata.resource_version.clone(),
        };
        let params = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
        match self.0.delete(&id.secret_name(), &params).await {
            Ok(_) => Ok(Consumed::ByUs),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(Consumed::ByAnother),
            Err(error) => Err(error),
        }
    }
}

impl std::fmt::Debug for JoinTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinTokens").finish_non_exhaustive()
    }
}
