//! A Secret by which Argo CD knows a cluster, of which only the agent's name and the cluster's address are read.
//!
//! It holds the credentials of whoever calls that cluster. Those are never decoded: what is not a field here is skipped
//! while the answer is read.

use std::{borrow::Cow, sync::Arc};

use common::AgentName;
use k8s_openapi::{ByteString, NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Resource, runtime::watcher};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use tracing::debug;

use super::{
    references::{Listed, Objects, Reference, References},
    watch::Keep,
};
use crate::registration::SELF_REGISTERED;

/// Who the cluster Secrets stand for. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clusters {
    /// By their label, and without it by their address.
    pub named: Arc<References>,
    /// By their label alone. A token is good only while its agent is here: the label is what an operator takes away.
    pub labelled: Arc<References>,
    /// Those of the labelled ones that the principal made by itself.
    pub self_registered: Arc<References>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct ClusterSecret {
    metadata: ObjectMeta,
    #[serde(default)]
    data: Data,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Data {
    /// The address of the cluster, which at ours is the Kubernetes door's.
    server: Option<ByteString>,
}

// === impl Clusters ===

impl Clusters {
    pub(super) fn new() -> Self {
        let new = || Arc::new(References::new(Objects::ClusterSecrets));
        Self { named: new(), labelled: new(), self_registered: new() }
    }
}

impl Keep<ClusterSecret> for Clusters {
    /// By each rule.
    type Coming = (Listed, Listed, Listed);

    fn listed((named, labelled, self_registered): &mut Self::Coming, secret: ClusterSecret) {
        let (namespace, name) = secret.key();
        named.set(namespace, name, secret.reference());
        labelled.set(namespace, name, secret.labelled_agent().map(Reference::without_server));
        self_registered.set(namespace, name, secret.self_registered_agent().map(Reference::without_server));
    }

    fn replace(&self, (named, labelled, self_registered): Self::Coming) {
        self.named.replace(named);
        self.labelled.replace(labelled);
        self.self_registered.replace(self_registered);
    }

    fn apply(&self, secret: ClusterSecret) {
        let (namespace, name) = secret.key();
        self.named.set(namespace, name, secret.reference());
        self.labelled.set(namespace, name, secret.labelled_agent().map(Reference::without_server));
        let self_registered = secret.self_registered_agent().map(Reference::without_server);
        self.self_registered.set(namespace, name, self_registered);
    }

    fn delete(&self, secret: ClusterSecret) {
        let (namespace, name) = secret.key();
        self.named.set(namespace, name, None);
        self.labelled.set(namespace, name, None);
        self.self_registered.set(namespace, name, None);
    }

    fn is_known(&self) -> bool {
        self.labelled.is_known()
    }
}

// === impl ClusterSecret ===

impl ClusterSecret {
    pub(super) fn selection() -> watcher::Config {
        watcher::Config::default().labels(CLUSTERS).page_size(PAGE)
    }

    /// What the label says, which upstream and `argocd-agentctl` write; without it what the address says. A Secret
    /// that was written by hand may have the address alone.
    fn agent(&self) -> Option<AgentName> {
        if self.label().is_some() {
            return self.labelled_agent();
        }
        self.parsed(&agent_in_query(std::str::from_utf8(&self.data.server.as_ref()?.0).ok()?)?)
    }

    /// What is kept of it.
    fn reference(&self) -> Option<Reference> {
        Some(Reference { agent: self.agent()?, server: self.server().map(Into::into) })
    }

    fn labelled_agent(&self) -> Option<AgentName> {
        self.parsed(self.label()?)
    }

    fn self_registered_agent(&self) -> Option<AgentName> {
        let is_self_registered = self.metadata.labels.as_ref()?.get(SELF_REGISTERED).is_some_and(|text| text == "true");
        self.labelled_agent().filter(|_| is_self_registered)
    }

    fn label(&self) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(AGENT_LABEL).map(String::as_str)
    }

    fn parsed(&self, name: &str) -> Option<AgentName> {
        let parsed = AgentName::parse(name);
        if parsed.is_err() {
            debug!(secret = self.metadata.name, %name, "a cluster Secret names an agent that cannot be one");
        }
        parsed.ok()
    }

    /// As Argo CD calls the cluster: without slashes at the end (`SecretToCluster`, `util/db/cluster.go`).
    fn server(&self) -> Option<&str> {
        let server = std::str::from_utf8(&self.data.server.as_ref()?.0).ok()?.trim_end_matches('/');
        let is_kept = (1..=LONGEST_SERVER).contains(&server.len());
        if !is_kept {
            debug!(secret = self.metadata.name, "the address in a cluster Secret is empty, or too long for one");
        }
        Some(server).filter(|_| is_kept)
    }

    fn key(&self) -> (&str, &str) {
        (self.metadata.namespace.as_deref().unwrap_or_default(), self.metadata.name.as_deref().unwrap_or_default())
    }
}

impl Resource for ClusterSecret {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Secret".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "secrets".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// The first `agentName` in the query of `server`, as Go's `url.Values.Get` reads it.
fn agent_in_query(server: &str) -> Option<Cow<'_, str>> {
    let (_, query) = server.split('#').next()?.split_once('?')?;
    let mut fields = query.split('&').filter_map(|field| field.split_once('='));
    let (_, value) = fields.find(|(key, _)| *key == AGENT_FIELD)?;
    percent_decode_str(value.trim()).decode_utf8().ok()
}

/// Argo CD's mark (`LabelKeySecretType`).
pub(crate) const SECRET_TYPE_LABEL: &str = "argocd.argoproj.io/secret-type";
const CLUSTERS: &str = "argocd.argoproj.io/secret-type=cluster";
/// Upstream's mark (`LabelKeyClusterAgentMapping`).
pub(crate) const AGENT_LABEL: &str = "argocd-agent.argoproj-labs.io/agent-name";
const AGENT_FIELD: &str = "agentName";
/// An address is kept of each, and a Secret may have a mebibyte.
const LONGEST_SERVER: usize = 2 << 10;
/// `kube` reads a page as a whole, and a Secret with chains of certificates may have 50 KiB.
const PAGE: u32 = 100;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(label: Option<&str>, server: Option<&str>) -> ClusterSecret {
        let server = server.map(|server| serde_json::to_value(ByteString(server.into())).unwrap());
        serde_json::from_value(json!({
            "metadata": {"namespace": "argocd", "name": "s", "labels": label.map(|label| json!({AGENT_LABEL: label}))},
            "data": {"name": "bmFtZQ==", "server": server, "config": "eyJiZWFyZXJUb2tlbiI6ImhpZGRlbiJ9"},
            "type": "Opaque",
        }))
        .unwrap()
    }

    fn agent(label: Option<&str>, server: Option<&str>) -> Option<String> {
        secret(label, server).agent().map(|agent| agent.to_string())
    }

    #[test]
    fn the_label_names_the_agent_and_else_the_address_does() {
        let proxy = "https://argocd-agent-resource-proxy:9090?agentName=agent-2";
        assert_eq!(agent(Some("agent-1"), Some(proxy)), Some("agent-1".into()));
        assert_eq!(agent(Some("agent-1"), None), Some("agent-1".into()));
        assert_eq!(agent(None, Some(proxy)), Some("agent-2".into()));
        for (server, expected) in [
            ("https://proxy:9090/?agentName=a", Some("a")),
            ("https://proxy:9090/?x=y&agentName=a&agentName=b#agentName=c", Some("a")),
            ("https://proxy:9090?agentName=agent%2D1", Some("agent-1")),
            ("https://proxy:9090?agentname=a", None),
            ("https://proxy:9090?agentName=", None),
            ("https://proxy:9090?agentName=A", None),
            ("https://proxy:9090?agentName", None),
            ("https://proxy:9090#?agentName=a", None),
            ("https://kubernetes.default.svc", None),
            ("", None),
        ] {
            assert_eq!(agent(None, Some(server)).as_deref(), expected, "{server}");
        }
        assert_eq!(agent(None, None), None);
        assert_eq!(agent(Some(""), Some(proxy)), None);
        assert_eq!(agent(Some("Agent_1"), Some(proxy)), None);
    }

    #[test]
    fn the_address_is_as_argo_cd_reads_it() {
        let long = "x".repeat(LONGEST_SERVER + 1);
        for (server, expected) in [
            (Some("https://proxy:9090?agentName=a"), Some("https://proxy:9090?agentName=a")),
            (Some("https://proxy:9090//"), Some("https://proxy:9090")),
            (Some(" https://proxy:9090/ "), Some(" https://proxy:9090/ ")),
            (Some("/"), None),
            (Some(""), None),
            (Some(&*long), None),
            (None, None),
        ] {
            assert_eq!(secret(Some("a"), server).server(), expected, "{server:?}");
        }
    }

    #[test]
    fn tokens_are_good_for_whom_a_label_names_and_nobody_else() {
        let (clusters, mut coming) = (Clusters::new(), Default::default());
        let by_hand = Some("https://proxy:9090?agentName=agent-1");
        Clusters::listed(&mut coming, secret(None, by_hand));
        clusters.replace(coming);
        let known = |references: &References| references.agent("agent-1").unwrap().is_some();
        assert_eq!((known(&clusters.named), known(&clusters.labelled)), (true, false));
        clusters.apply(secret(Some("agent-1"), by_hand));
        assert_eq!((known(&clusters.named), known(&clusters.labelled)), (true, true));
        clusters.apply(secret(None, by_hand));
        assert_eq!((known(&clusters.named), known(&clusters.labelled)), (true, false));
        clusters.apply(secret(Some("agent-1"), None));
        clusters.delete(secret(Some("agent-1"), None));
        assert_eq!((known(&clusters.named), known(&clusters.labelled)), (false, false));
    }

    #[test]
    fn a_secret_without_data_is_of_no_agent() {
        let secret: ClusterSecret = serde_json::from_value(json!({"metadata": {"name": "s"}})).unwrap();
        assert_eq!((secret.agent(), secret.server()), (None, None));
    }

    #[test]
    fn credentials_are_not_kept() {
        let shown = format!("{:?}", secret(Some("a"), Some("https://a")));
        assert!(!shown.contains("hidden") && !shown.contains("eyJi") && !shown.contains("config"), "{shown}");
    }
}
