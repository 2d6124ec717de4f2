//! What the Secrets are called: as always, or as Argo CD's operator is told to call them.

use serde_json::Value;

use crate::{
    kube::{Listed, Side},
    names::{CA, CLIENT_TLS, JWT, PRINCIPAL_TLS, RESOURCE_PROXY_TLS},
};

/// The Secrets of one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SecretNames {
    pub(super) ca: String,
    /// The principal's or the agent's own.
    pub(super) own_tls: String,
    pub(super) door_tls: String,
    pub(super) jwt: String,
}

// === impl SecretNames ===

impl SecretNames {
    /// Of the principal.
    pub(super) fn of_principal(spec: &Value) -> Self {
        let at = |path, usual| named(spec, path, usual);
        Self {
            ca: at("/argoCDAgent/principal/tls/rootCASecretName", CA),
            own_tls: at("/argoCDAgent/principal/tls/secretName", PRINCIPAL_TLS),
            door_tls: at("/argoCDAgent/principal/resourceProxy/tls/secretName", RESOURCE_PROXY_TLS),
            jwt: at("/argoCDAgent/principal/jwt/secretName", JWT),
        }
    }

    /// Of an agent, which has no more than two.
    pub(super) fn of_agent(spec: &Value) -> Self {
        let at = |path, usual| named(spec, path, usual);
        Self {
            ca: at("/argoCDAgent/agent/tls/rootCASecretName", CA),
            own_tls: at("/argoCDAgent/agent/tls/secretName", CLIENT_TLS),
            ..Self::of_principal(&Value::Null)
        }
    }
}

/// What the operator's `ArgoCD` in the namespace specifies; nothing where there is none.
///
/// # Errors
/// When that cannot be asked.
pub(super) async fn operators_spec(side: &Side) -> anyhow::Result<Value> {
    let found = side.list(ARGO_CDS).await?;
    Ok(found.first().and_then(|argo_cd| argo_cd.data.get("spec")).cloned().unwrap_or_default())
}

fn named(spec: &Value, path: &str, usual: &str) -> String {
    let name = spec.pointer(path).and_then(Value::as_str).filter(|name| !name.is_empty());
    name.unwrap_or(usual).to_owned()
}

const ARGO_CDS: Listed = Listed { group: "argoproj.io", version: "v1beta1", kind: "ArgoCD", plural: "argocds" };

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_called_as_the_operator_is_told_or_as_always() {
        let spec = json!({"argoCDAgent": {
            "principal": {"tls": {"rootCASecretName": "root", "secretName": ""}, "jwt": {"secretName": "jwt"}},
            "agent": {"tls": {"secretName": "own"}},
        }});
        let principal = SecretNames::of_principal(&spec);
        assert_eq!((&*principal.ca, &*principal.own_tls), ("root", PRINCIPAL_TLS));
        assert_eq!((&*principal.door_tls, &*principal.jwt), (RESOURCE_PROXY_TLS, "jwt"));
        let agent = SecretNames::of_agent(&spec);
        assert_eq!((&*agent.ca, &*agent.own_tls), (CA, "own"));
        assert_eq!(SecretNames::of_agent(&Value::Null).own_tls, CLIENT_TLS);
    }
}
