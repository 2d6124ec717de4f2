//! The Secret by which Argo CD knows a self-registered cluster, exactly as upstream makes it (`principal/registration`). Pure.
//!
//! What stands in it beside what is written here is kept: operators and Argo CD write there, too.

use std::collections::BTreeMap;

use common::{AgentName, auth::Secret as Hidden, label::Labels};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use serde_json::{Map, Value};

use super::{certificate::ClientCertificate, labels};
use crate::control_plane::{AGENT_LABEL, SECRET_TYPE_LABEL};

/// What is to stand in an agent's Secret.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'w> {
    pub(super) agent: &'w AgentName,
    /// Host and port of the Kubernetes door.
    pub(super) proxy_address: &'w str,
    pub(super) certificate: &'w ClientCertificate,
    /// What the agent asks for, and may; none where it has said nothing new.
    pub(super) labels: Option<&'w Labels>,
}

/// A Secret that is ours to change.
pub(super) struct Cluster {
    secret: Secret,
    config: Map<String, Value>,
}

/// A Secret that is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotOurs {
    /// Somebody made it by hand, or with `argocd-agentctl`.
    #[error("it has no label {SELF_REGISTERED}=true")]
    ByHand,
    /// Somebody took its agent's label away, which ends the token, or it is another agent's.
    #[error("it has not the label {AGENT_LABEL} with the agent's name")]
    OtherAgent,
}

/// What the Secret of this agent is called.
pub(super) fn secret_name(agent: &AgentName) -> String {
    format!("cluster-{agent}")
}

// === impl Wanted ===

impl Wanted<'_> {
    /// A new Secret.
    pub(super) fn secret(&self, token: &Hidden) -> Secret {
        let mut secret = Secret { type_: Some("Opaque".into()), ..Secret::default() };
        secret.metadata.name = Some(secret_name(self.agent));
        let labels = [(SECRET_TYPE_LABEL, "cluster"), (AGENT_LABEL, self.agent.as_str()), (SELF_REGISTERED, "true")];
        secret.metadata.labels = Some(texts(labels));
        secret.metadata.annotations = Some(texts([(MANAGED_BY, "argocd-agent"), (SKIP_RECONCILE, "true")]));
        let mut cluster = Cluster { secret, config: Map::new() };
        cluster.set_token(token);
        cluster.bring_up_to_date(self);
        cluster.into_secret()
    }
}

// === impl Cluster ===

impl Cluster {
    /// Takes a Secret that is this agent's, and ours. One whose config cannot be read is, too: it is written anew.
    ///
    /// # Errors
    /// When it is somebody else's.
    pub(super) fn read(agent: &AgentName, secret: Secret) -> Result<Self, NotOurs> {
        let label = |key: &str| secret.metadata.labels.as_ref()?.get(key).map(String::as_str);
        if label(SELF_REGISTERED) != Some("true") {
            return Err(NotOurs::ByHand);
        }
        if label(AGENT_LABEL) != Some(agent.as_str()) {
            return Err(NotOurs::OtherAgent);
        }
        let config = secret.data.as_ref().and_then(|data| data.get(CONFIG));
        let config = config.and_then(|config| serde_json::from_slice(&config.0).ok()).unwrap_or_default();
        Ok(Self { secret, config })
    }

    pub(super) fn token(&self) -> &str {
        self.config.get(TOKEN).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn set_token(&mut self, token: &Hidden) {
        self.config.insert(TOKEN.into(), token.reveal().into());
    }

    /// Writes everything but the token; whether that changes anything. An address that is there stays: by it Argo CD and
    /// Applications know the cluster, so to change it is an operator's decision.
    pub(super) fn bring_up_to_date(&mut self, wanted: &Wanted<'_>) -> bool {
        let data = self.secret.data.get_or_insert_default();
        let mut changed = false;
        let server = format!("https://{}?agentName={}", wanted.proxy_address, wanted.agent);
        for (key, text) in [("name", wanted.agent.as_str()), ("server", &*server)] {
            if data.get(key).is_none_or(|text| text.0.is_empty()) {
                data.insert(key.into(), ByteString(text.as_bytes().to_vec()));
                changed = true;
            }
        }
        changed |= self.set_certificate(wanted.certificate);
        if let Some(asked) = wanted.labels {
            changed |= labels::bring_in_step(&mut self.secret.metadata, asked);
        }
        changed
    }

    /// The whole Secret, with the version that was read: a write upon another one is refused.
    pub(super) fn into_secret(self) -> Secret {
        let Self { mut secret, config } = self;
        let config = Value::Object(config).to_string();
        secret.data.get_or_insert_default().insert(CONFIG.into(), ByteString(config.into_bytes()));
        secret
    }

    fn set_certificate(&mut self, certificate: &ClientCertificate) -> bool {
        let tls = self.config.entry("tlsClientConfig").or_insert_with(|| Value::Object(Map::new()));
        if !tls.is_object() {
            *tls = Value::Object(Map::new());
        }
        let Some(tls) = tls.as_object_mut() else { return false };
        let ClientCertificate { certificate, key, ca } = certificate;
        let mut changed = false;
        for (field, text) in [("certData", &**certificate), ("keyData", key.reveal()), ("caData", ca)] {
            // Upstream and others may write the same bytes in base64 with line ends.
            if tls.get(field).and_then(Value::as_str) != Some(text) {
                tls.insert(field.into(), text.into());
                changed = true;
            }
        }
        if !tls.contains_key("insecure") {
            tls.insert("insecure".into(), false.into());
            changed = true;
        }
        changed
    }
}

fn texts<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// Upstream's mark of those that the principal made by itself.
pub(crate) const SELF_REGISTERED: &str = "argocd-agent.argoproj-labs.io/self-registered-cluster";
const MANAGED_BY: &str = "managed-by";
const SKIP_RECONCILE: &str = "argocd.argoproj.io/skip-reconcile";
const CONFIG: &str = "config";
const TOKEN: &str = "bearerToken";

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde_json::json;

    use super::{super::certificate::tests::certificate, *};

    fn agent() -> AgentName {
        AgentName::parse("agent-1").unwrap()
    }

    fn with<T>(certificate: &ClientCertificate, labels: Option<&Labels>, act: impl FnOnce(&Wanted<'_>) -> T) -> T {
        act(&Wanted { agent: &agent(), proxy_address: "proxy:9090", certificate, labels })
    }

    fn config(secret: &Secret) -> Value {
        serde_json::from_slice(&secret.data.as_ref().unwrap()[CONFIG].0).unwrap()
    }

    #[test]
    fn a_new_secret_is_what_upstream_makes() {
        let secret = with(&certificate("shared"), None, |wanted| wanted.secret(&Hidden::new("token")));
        let expected = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {
                "name": "cluster-agent-1",
                "labels": {
                    "argocd.argoproj.io/secret-type": "cluster",
                    "argocd-agent.argoproj-labs.io/agent-name": "agent-1",
                    "argocd-agent.argoproj-labs.io/self-registered-cluster": "true",
                },
                "annotations": {"managed-by": "argocd-agent", "argocd.argoproj.io/skip-reconcile": "true"},
            },
            "data": {
                "name": STANDARD.encode("agent-1"),
                "server": STANDARD.encode("https://proxy:9090?agentName=agent-1"),
                "config": STANDARD.encode(&secret.data.as_ref().unwrap()[CONFIG].0),
            },
        });
        assert_eq!(serde_json::to_value(&secret).unwrap(), expected);
        let tls = json!({"insecure": false, "certData": "shared-crt", "keyData": "shared-key", "caData": "ca"});
        assert_eq!(config(&secret), json!({"bearerToken": "token", "tlsClientConfig": tls}));
    }

    #[test]
    fn what_others_wrote_stays_and_what_is_so_already_is_no_change() {
        let mut secret = with(&certificate("old"), None, |wanted| wanted.secret(&Hidden::new("token")));
        let mut written = config(&secret);
        written["awsAuthConfig"] = json!({"a": 1});
        written["tlsClientConfig"]["serverName"] = json!("door");
        let data = secret.data.as_mut().unwrap();
        data.insert(CONFIG.into(), ByteString(written.to_string().into_bytes()));
        data.insert("server".into(), ByteString(b"https://moved:1?agentName=agent-1".to_vec()));
        data.insert("project".into(), ByteString(b"p".to_vec()));
        secret.metadata.resource_version = Some("7".into());
        let mut cluster = Cluster::read(&agent(), secret).unwrap();
        assert!(!with(&certificate("old"), None, |wanted| cluster.bring_up_to_date(wanted)));
        assert!(with(&certificate("new"), None, |wanted| cluster.bring_up_to_date(wanted)));
        cluster.set_token(&Hidden::new("another"));
        assert_eq!(cluster.token(), "another");
        let secret = cluster.into_secret();
        written["tlsClientConfig"]["certData"] = json!("new-crt");
        written["tlsClientConfig"]["keyData"] = json!("new-key");
        written["bearerToken"] = json!("another");
        assert_eq!(config(&secret), written);
        assert_eq!(secret.metadata.resource_version.as_deref(), Some("7"));
        let data = secret.data.unwrap();
        assert_eq!((&*data["server"].0, &*data["project"].0), (&b"https://moved:1?agentName=agent-1"[..], &b"p"[..]));
    }

    #[test]
    fn labels_come_with_an_agent_that_attaches() {
        let asked: Labels = [common::label::parse_pair("tier=prod").unwrap()].into();
        let secret = with(&certificate("x"), Some(&asked), |wanted| wanted.secret(&Hidden::new("token")));
        assert_eq!(secret.metadata.labels.as_ref().unwrap()["tier"], "prod");
        let mut cluster = Cluster::read(&agent(), secret).unwrap();
        assert!(!with(&certificate("x"), None, |wanted| cluster.bring_up_to_date(wanted)));
        assert!(with(&certificate("x"), Some(&Labels::new()), |wanted| cluster.bring_up_to_date(wanted)));
        assert!(!cluster.into_secret().metadata.labels.unwrap().contains_key("tier"));
    }

    #[test]
    fn only_a_self_registered_secret_of_that_agent_is_ours() {
        let secret = with(&certificate("x"), None, |wanted| wanted.secret(&Hidden::new("token")));
        let without = |change: &dyn Fn(&mut BTreeMap<String, String>)| {
            let mut secret = secret.clone();
            change(secret.metadata.labels.as_mut().unwrap());
            Cluster::read(&agent(), secret).err()
        };
        assert_eq!(without(&|_labels| {}), None);
        assert_eq!(without(&|labels| drop(labels.remove(SELF_REGISTERED))), Some(NotOurs::ByHand));
        let told = without(&|labels| drop(labels.insert(SELF_REGISTERED.into(), "false".into())));
        assert_eq!(told, Some(NotOurs::ByHand));
        assert_eq!(without(&|labels| drop(labels.remove(AGENT_LABEL))), Some(NotOurs::OtherAgent));
        let told = without(&|labels| drop(labels.insert(AGENT_LABEL.into(), "agent-2".into())));
        assert_eq!(told, Some(NotOurs::OtherAgent));
        assert_eq!(Cluster::read(&agent(), Secret::default()).err(), Some(NotOurs::ByHand));
    }

    #[test]
    fn a_config_that_cannot_be_read_is_written_anew() {
        let mut secret = with(&certificate("x"), None, |wanted| wanted.secret(&Hidden::new("token")));
        for nonsense in ["", "x", "[]", r#"{"bearerToken": 7, "tlsClientConfig": "x"}"#] {
            let data = secret.data.as_mut().unwrap();
            data.insert(CONFIG.into(), ByteString(nonsense.as_bytes().to_vec()));
            let mut cluster = Cluster::read(&agent(), secret.clone()).unwrap();
            assert_eq!(cluster.token(), "");
            assert!(with(&certificate("x"), None, |wanted| cluster.bring_up_to_date(wanted)), "{nonsense}");
            assert_eq!(config(&cluster.into_secret())["tlsClientConfig"]["caData"], "ca");
        }
    }
}
