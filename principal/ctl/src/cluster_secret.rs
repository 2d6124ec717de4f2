//! The Secret by which Argo CD knows an agent's cluster: where the Kubernetes door is, and the caller's credentials.
//!
//! What stands in it beside what we know is kept: others write there, too.

use anyhow::{Context, anyhow, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{AgentName, auth::Secret as Hidden};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use serde_json::{Map, Value};

use crate::pki::Pair;

/// An agent's cluster Secret, read.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) name: String,
    pub(crate) server: String,
    config: Map<String, Value>,
}

/// The certificates and the key in it, PEM; what is not there is empty.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) certificate: String,
    pub(crate) key: Hidden,
    pub(crate) ca: String,
}

// === impl Cluster ===

impl Cluster {
    pub(crate) fn new(agent: &AgentName, server: String) -> Self {
        Self { name: agent.to_string(), server, config: Map::new() }
    }

    /// Reads it from a Secret.
    ///
    /// # Errors
    /// When it is none of a cluster.
    pub(crate) fn read(called: &str, secret: &Secret) -> anyhow::Result<Self> {
        let text = |key: &str| -> anyhow::Result<String> {
            let bytes = secret.data.as_ref().and_then(|data| data.get(key));
            let bytes =
                bytes.ok_or_else(|| anyhow!("{called} has no key {key}: delete the agent and create it again"))?;
            String::from_utf8(bytes.0.clone()).map_err(|_| anyhow!("key {key} of {called} is not text"))
        };
        // The parser's own words may repeat a credential.
        let config = serde_json::from_str(&text("config")?);
        let config = config.map_err(|_| anyhow!("key config of {called} is no JSON object"))?;
        Ok(Self { name: text("name")?, server: text("server")?, config })
    }

    /// Writes it into a Secret, over what it holds of the same.
    pub(crate) fn write(&self, secret: &mut Secret) -> anyhow::Result<()> {
        let config = serde_json::to_vec(&self.config).context("cannot write the cluster's config")?;
        let data = secret.data.get_or_insert_default();
        data.insert("name".into(), ByteString(self.name.clone().into_bytes()));
        data.insert("server".into(), ByteString(self.server.clone().into_bytes()));
        data.insert("config".into(), ByteString(config));
        Ok(())
    }

    /// What a caller shows and trusts.
    pub(crate) fn credentials(&self, called: &str) -> anyhow::Result<Credentials> {
        let tls = self.config.get("tlsClientConfig");
        let pem = |key: &str| -> anyhow::Result<String> {
            let text = tls.and_then(|tls| tls.get(key)).and_then(Value::as_str).unwrap_or_default();
            let bytes = STANDARD.decode(text).ok();
            bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| {
                anyhow!("tlsClientConfig.{key} of {called} is not base64 of PEM: reissue it with `agent rotate`")
            })
        };
        Ok(Credentials { certificate: pem("certData")?, key: Hidden::new(pem("keyData")?), ca: pem("caData")? })
    }

    pub(crate) fn set_credentials(&mut self, pair: &Pair, ca: &str) {
        let encode = |text: &str| Value::from(STANDARD.encode(text));
        let tls = self.config.entry("tlsClientConfig").or_insert_with(|| Value::Object(Map::new()));
        if !tls.is_object() {
            *tls = Value::Object(Map::new());
        }
        if let Some(tls) = tls.as_object_mut() {
            tls.insert("insecure".into(), false.into());
            tls.insert("certData".into(), encode(&pair.certificate));
            tls.insert("keyData".into(), encode(pair.key.reveal()));
            tls.insert("caData".into(), encode(ca));
        }
    }

    /// A field of `config` that is a text, such as `username`; whether that changed anything.
    pub(crate) fn set_text(&mut self, field: &str, text: &str) -> bool {
        let before = self.config.insert(field.to_owned(), text.into());
        before.as_ref().and_then(Value::as_str) != Some(text)
    }

    /// The token of a self-registered one.
    pub(crate) fn bearer_token(&self) -> Option<&str> {
        self.config.get("bearerToken").and_then(Value::as_str).filter(|token| !token.is_empty())
    }
}

/// `cluster-<agent>`.
pub(crate) fn secret_name(agent: &AgentName) -> String {
    format!("cluster-{agent}")
}

/// The agent of a Secret: what its label says.
pub(crate) fn agent_of(secret: &Secret) -> Option<&str> {
    secret.metadata.labels.as_ref()?.get(AGENT_LABEL).map(String::as_str)
}

/// Whether the principal made it by itself.
pub(crate) fn is_self_registered(secret: &Secret) -> bool {
    let label = secret.metadata.labels.as_ref().and_then(|labels| labels.get(SELF_REGISTERED));
    label.is_some_and(|value| value == "true")
}

/// `https://<address>?agentName=<agent>`, of an address with or without the rest.
///
/// # Errors
/// When it is no address with a port.
pub(crate) fn server_url(address: &str, agent: &AgentName) -> anyhow::Result<String> {
    Ok(format!("https://{}?agentName={agent}", authority(address)?))
}

/// The host and port of an address or URL.
///
/// # Errors
/// When it is none with a port.
pub(crate) fn authority(address: &str) -> anyhow::Result<String> {
    let rest = address.trim().strip_prefix("https://").unwrap_or(address.trim());
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let parsed: Result<http::uri::Authority, _> = rest.parse();
    let Ok(parsed) = parsed else { bail!("{address:?} is no address: must be <host>:<port>") };
    let plain = !rest.contains('@') && !parsed.host().is_empty();
    ensure!(
        plain && parsed.port_u16().is_some_and(|port| port > 0),
        "{address:?} is no address: must be <host>:<port>"
    );
    Ok(rest.to_owned())
}

pub(crate) const AGENT_LABEL: &str = "argocd-agent.argoproj-labs.io/agent-name";
pub(crate) const SECRET_TYPE_LABEL: &str = "argocd.argoproj.io/secret-type";
pub(crate) const MANAGED_BY: &str = "managed-by";
pub(crate) const SKIP_RECONCILE: &str = "argocd.argoproj.io/skip-reconcile";
const SELF_REGISTERED: &str = "argocd-agent.argoproj-labs.io/self-registered-cluster";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn agent() -> AgentName {
        AgentName::parse("agent-1").unwrap()
    }

    #[test]
    fn an_address_becomes_a_url_that_names_the_agent() {
        for address in ["proxy:9090", "https://proxy:9090", " https://proxy:9090/?agentName=other", "proxy:9090/"] {
            assert_eq!(server_url(address, &agent()).unwrap(), "https://proxy:9090?agentName=agent-1", "{address}");
        }
        assert_eq!(server_url("[::1]:9090", &agent()).unwrap(), "https://[::1]:9090?agentName=agent-1");
        for bad in ["", "proxy", "http://proxy:9090", "proxy:0", "proxy:99999", "a@proxy:1", "proxy:9090/path", ":9090"]
        {
            assert!(server_url(bad, &agent()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_others_wrote_into_it_is_kept() {
        let mut secret = Secret::default();
        let config = json!({"awsAuthConfig": {"a": 1}, "tlsClientConfig": {"serverName": "x", "certData": "b2xk"}});
        let mut cluster = Cluster::new(&agent(), "https://a:1".into());
        cluster.config = config.as_object().unwrap().clone();
        cluster.set_credentials(&Pair { certificate: "crt".into(), key: Hidden::new("key") }, "ca");
        assert!(cluster.set_text("username", "u") && !cluster.set_text("username", "u"));
        cluster.write(&mut secret).unwrap();
        let read = Cluster::read("s", &secret).unwrap();
        assert_eq!(read.config["awsAuthConfig"], json!({"a": 1}));
        assert_eq!(read.config["tlsClientConfig"]["serverName"], "x");
        let credentials = read.credentials("s").unwrap();
        assert_eq!((credentials.certificate.as_str(), credentials.key.reveal()), ("crt", "key"));
        assert!(!format!("{credentials:?}").contains("\"key\""));
    }

    #[test]
    fn a_secret_that_is_none_is_told_by_its_key() {
        let secret = Secret::default();
        let error = Cluster::read("Secret a/cluster-x", &secret).err().unwrap().to_string();
        assert_eq!(error, "Secret a/cluster-x has no key config: delete the agent and create it again");
    }
}
