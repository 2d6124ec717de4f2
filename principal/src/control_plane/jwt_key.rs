//! The Secret with the key that signs callers' tokens, of which only the public half is kept.

use std::{borrow::Cow, fmt, sync::Arc};

use k8s_openapi::{
    ByteString, NamespaceResourceScope, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Resource;
use serde::Deserialize;

use crate::agents::tokens::{KeyError, Keys, VerifyingKey};

/// What `argocd-agentctl jwt create-key` writes. What is not a field here is skipped while the answer is read.
#[derive(Clone, Deserialize)]
pub(super) struct JwtSecret {
    metadata: ObjectMeta,
    #[serde(default)]
    data: Data,
}

#[derive(Clone, Default, Deserialize)]
struct Data {
    #[serde(rename = "jwt.key")]
    key: Option<ByteString>,
}

/// Keeps `keys` as the Secret says. One that cannot be used changes nothing but the log and a counter.
pub(super) fn teller(
    namespace: &str,
    name: &str,
    keys: Arc<Keys>,
) -> impl Fn(Option<&JwtSecret>) + Send + Sync + use<> + 'static {
    let object = format!("Secret {namespace}/{name}");
    move |secret| match secret {
        None => keys.gone(&object),
        Some(secret) => keys.take(&object, key(secret)),
    }
}

fn key(secret: &JwtSecret) -> Result<VerifyingKey, KeyError> {
    VerifyingKey::from_pem(&secret.data.key.as_ref().ok_or(KeyError::NoField)?.0)
}

// === impl JwtSecret ===

impl fmt::Debug for JwtSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtSecret").field("name", &self.metadata.name).finish_non_exhaustive()
    }
}

impl Resource for JwtSecret {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        Secret::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Secret::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Secret::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Secret::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_neither_shown_nor_taken_from_elsewhere() {
        let secret = json!({"metadata": {"name": "argocd-agent-jwt"}, "data": {"jwt.key": "aGlkZGVu", "x": "eA=="}});
        let secret: JwtSecret = serde_json::from_value(secret).unwrap();
        let shown = format!("{secret:?}");
        assert!(shown.contains("argocd-agent-jwt") && !shown.contains("104") && !shown.contains("hidden"), "{shown}");
        let other: JwtSecret = serde_json::from_value(json!({"metadata": {}, "data": {"tls.key": "eA=="}})).unwrap();
        assert_eq!(key(&other).unwrap_err(), KeyError::NoField);
        assert_eq!(key(&secret).unwrap_err(), KeyError::NoKey);
    }
}
