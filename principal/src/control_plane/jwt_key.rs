//! The Secret with the key that signs callers' tokens.

use std::sync::Arc;

use k8s_openapi::ByteString;
use serde::Deserialize;

use super::data_secret::DataSecret;
use crate::agents::tokens::{KeyError, Keys, TokenKey};

/// What `argocd-agentctl jwt create-key` writes.
pub(super) type JwtSecret = DataSecret<JwtData>;

#[derive(Clone, Default, Deserialize)]
pub(super) struct JwtData {
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

fn key(secret: &JwtSecret) -> Result<TokenKey, KeyError> {
    TokenKey::from_pem(&secret.data.key.as_ref().ok_or(KeyError::NoField)?.0)
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
