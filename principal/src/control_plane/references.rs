//! Which agent each object of the control plane refers to.
//!
//! Asked for every key, so it is a lookup of text in maps; filled by a watch. Not known until its first list is complete,
//! and kept for good from then on: an API server that is away takes nothing away.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use common::AgentName;
use tokio::sync::watch;

/// Objects of one kind that refer to an agent each. Those that refer to none are not kept.
#[derive(Debug)]
pub struct References {
    objects: Objects,
    /// None until the first list is complete. A std lock: held for map operations, never across an await.
    listed: RwLock<Option<Listed>>,
    /// Whoever keeps something up to date by it is told that there is something new.
    changed: watch::Sender<()>,
}

/// What is kept of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) agent: AgentName,
    /// By what address Argo CD knows the agent's cluster.
    pub(super) server: Option<Arc<str>>,
}

impl Reference {
    pub(super) fn without_server(agent: AgentName) -> Self {
        Self { agent, server: None }
    }
}

/// By what addresses Argo CD knows the cluster of each agent. An agent is in it without any, too.
pub(crate) type Servers = BTreeMap<AgentName, BTreeSet<Arc<str>>>;

/// What is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Objects {
    /// Secrets of Argo CD that stand for a cluster each.
    ClusterSecrets,
    /// Applications of Argo CD.
    Applications,
    /// The ConfigMap of the certificates that are shut out.
    Blocklist,
    /// The Secret with the key of callers' tokens.
    JwtKey,
    /// The Secret with the certificate for self-registered clusters.
    ClientCertificate,
    /// The Secret with the authority of agents' certificates.
    Authority,
}

/// It cannot be said yet. The text is the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotKnown(pub &'static str);

/// A list, or one that comes.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// By namespace, then by name.
    of: HashMap<Box<str>, HashMap<Box<str>, Reference>>,
    /// How many objects refer to each agent.
    counts: HashMap<AgentName, usize>,
}

// === impl References ===

impl References {
    pub(super) fn new(objects: Objects) -> Self {
        Self { objects, listed: RwLock::default(), changed: watch::Sender::new(()) }
    }

    /// The agent that the object refers to; none where there is no such object, or it refers to none.
    ///
    /// # Errors
    /// When the objects were never listed.
    pub fn agent_of(&self, namespace: &str, name: &str) -> Result<Option<AgentName>, NotKnown> {
        let listed = self.read();
        let reference = listed.as_ref().map(|listed| listed.reference(namespace, name));
        reference.map(|reference| Some(reference?.agent.clone())).ok_or(self.objects.not_known())
    }

    /// The agent of this name, where any object refers to it.
    ///
    /// # Errors
    /// When the objects were never listed.
    pub fn agent(&self, name: &str) -> Result<Option<AgentName>, NotKnown> {
        let listed = self.read();
        let agent = listed.as_ref().map(|listed| listed.counts.get_key_value(name).map(|(agent, _)| agent.clone()));
        agent.ok_or(self.objects.not_known())
    }

    /// Resolves when it is known that no object refers to the agent, as soon as that is so.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn without(&self, agent: &AgentName) {
        let mut changes = self.changes();
        while self.agent(agent.as_str()) != Ok(None) {
            // The sender is ours, so it does not go.
            changes.changed().await.unwrap_or_default();
        }
    }

    /// How many agents are referred to, less those of `others`; none while that is not known.
    #[must_use]
    pub fn count_without(&self, others: impl Fn(&AgentName) -> bool) -> usize {
        self.read().as_ref().map_or(0, |listed| listed.counts.keys().filter(|agent| !others(agent)).count())
    }

    /// By what addresses Argo CD knows the clusters; none before the first list.
    pub(crate) fn servers(&self) -> Option<Servers> {
        let listed = self.read();
        let mut servers = Servers::new();
        for Reference { agent, server } in listed.as_ref()?.of.values().flat_map(HashMap::values) {
            servers.entry(agent.clone()).or_default().extend(server.clone());
        }
        Some(servers)
    }

    /// Tells whenever there is something new.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether the objects were listed. Then they stay known.
    pub(super) fn is_known(&self) -> bool {
        self.read().is_some()
    }

    /// A new list is complete, and takes the place of what was known.
    pub(super) fn replace(&self, listed: Listed) {
        *self.write() = Some(listed);
        self.changed.send_replace(());
    }

    /// One object is so now. Of no effect before the first list, which has it.
    pub(super) fn set(&self, namespace: &str, name: &str, reference: Option<Reference>) {
        // Most changes of an Application are of its status, so readers are not kept out for those.
        let same = |listed: &Listed| listed.reference(namespace, name) == reference.as_ref();
        if self.read().as_ref().is_none_or(same) {
            return;
        }
        if let Some(listed) = self.write().as_mut() {
            listed.set(namespace, name, reference);
        }
        self.changed.send_replace(());
    }

    fn read(&self) -> RwLockReadGuard<'_, Option<Listed>> {
        self.listed.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<Listed>> {
        self.listed.write().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Objects ===

impl Objects {
    fn not_known(self) -> NotKnown {
        match self {
            Self::ClusterSecrets => NotKnown("cluster secrets are not known yet"),
            Self::Applications => NotKnown("applications are not known yet"),
            Self::Blocklist => NotKnown("the blocklist is not known yet"),
            Self::JwtKey => NotKnown("the key of tokens is not known yet"),
            Self::ClientCertificate => NotKnown("the certificate for self-registered clusters is not known yet"),
            Self::Authority => NotKnown("the authority of agents is not known yet"),
        }
    }
}

impl fmt::Display for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClusterSecrets => "cluster Secrets",
            Self::Applications => "Applications",
            Self::Blocklist => "blocklist",
            Self::JwtKey => "key of tokens",
            Self::ClientCertificate => "certificate for self-registered clusters",
            Self::Authority => "authority of agents",
        })
    }
}

// === impl Listed ===

impl Listed {
    pub(super) fn set(&mut self, namespace: &str, name: &str, reference: Option<Reference>) {
        let old = match reference {
            Some(reference) => {
                *self.counts.entry(reference.agent.clone()).or_default() += 1;
                self.of.entry(namespace.into()).or_default().insert(name.into(), reference)
            }
            None => self.remove(namespace, name),
        };
        let Some(old) = old else { return };
        if let Entry::Occupied(mut count) = self.counts.entry(old.agent) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    fn remove(&mut self, namespace: &str, name: &str) -> Option<Reference> {
        let names = self.of.get_mut(namespace)?;
        let old = names.remove(name);
        if names.is_empty() {
            self.of.remove(namespace);
        }
        old
    }

    fn reference(&self, namespace: &str, name: &str) -> Option<&Reference> {
        self.of.get(namespace)?.get(name)
    }
}

common::snake_case_labels!(Objects);

#[cfg(test)]
impl References {
    /// As a complete list says.
    pub(crate) fn of(list: &[(&str, &str, &str)]) -> std::sync::Arc<Self> {
        let references = Self::new(Objects::Applications);
        let mut listed = Listed::default();
        for (namespace, name, agent) in list {
            let agent = AgentName::parse(agent).ok();
            listed.set(namespace, name, agent.map(|agent| Reference { agent, server: None }));
        }
        references.replace(listed);
        std::sync::Arc::new(references)
    }

    /// A complete list says so now: name, agent and address of each.
    pub(crate) fn say(&self, list: &[(&str, &str, &str)]) {
        let mut listed = Listed::default();
        for (name, agent, server) in list {
            let agent = AgentName::parse(agent).unwrap();
            listed.set("argocd", name, Some(Reference { agent, server: Some((*server).into()) }));
        }
        self.replace(listed);
    }

    /// Before the first list.
    pub(crate) fn not_listed() -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self::new(Objects::Applications))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str) -> Option<AgentName> {
        Some(AgentName::parse(name).unwrap())
    }

    fn to(name: &str) -> Option<Reference> {
        Some(Reference { agent: agent(name)?, server: None })
    }

    fn at(name: &str, server: &str) -> Option<Reference> {
        Some(Reference { agent: agent(name)?, server: Some(server.into()) })
    }

    #[test]
    fn nothing_is_known_before_the_first_list() {
        let references = References::new(Objects::Applications);
        let not_known = NotKnown("applications are not known yet");
        references.set("ns", "a", to("agent-1"));
        assert_eq!(references.agent_of("ns", "a"), Err(not_known));
        assert_eq!(references.servers(), None);
        assert_eq!(references.agent("agent-1"), Err(not_known));
        assert_eq!(references.count_without(|_| false), 0);
        references.replace(Listed::default());
        assert_eq!((references.agent_of("ns", "a"), references.agent("agent-1")), (Ok(None), Ok(None)));
    }

    #[test]
    fn an_agent_is_referred_to_until_the_last_object_goes() {
        let references = References::of(&[("ns", "a", "agent-1"), ("ns", "b", "agent-1"), ("other", "a", "agent-2")]);
        assert_eq!(references.agent_of("ns", "a"), Ok(agent("agent-1")));
        assert_eq!(references.agent_of("other", "a"), Ok(agent("agent-2")));
        assert_eq!(references.agent_of("other", "b"), Ok(None));
        assert_eq!(references.count_without(|_| false), 2);
        assert_eq!(references.count_without(|agent| agent.as_str() == "agent-1"), 1);
        // Said again, moved, and gone.
        references.set("ns", "a", to("agent-1"));
        references.set("ns", "a", to("agent-2"));
        assert_eq!(references.agent("agent-1"), Ok(agent("agent-1")));
        references.set("ns", "b", None);
        references.set("ns", "b", None);
        assert_eq!(references.agent("agent-1"), Ok(None));
        references.set("other", "a", None);
        assert_eq!(references.agent("agent-2"), Ok(agent("agent-2")));
        references.set("ns", "a", None);
        assert_eq!(references.agent("agent-2"), Ok(None));
        assert!(references.read().as_ref().is_some_and(|listed| listed.of.is_empty()));
    }

    #[tokio::test]
    async fn whoever_waits_for_the_last_object_to_go_is_told_then() {
        let references = References::of(&[("ns", "a", "agent-1"), ("ns", "b", "agent-1"), ("ns", "c", "agent-2")]);
        let first = AgentName::parse("agent-1").unwrap();
        let mut gone = std::pin::pin!(references.without(&first));
        assert!(futures_util::poll!(gone.as_mut()).is_pending());
        references.set("ns", "a", None);
        references.set("ns", "c", None);
        assert!(futures_util::poll!(gone.as_mut()).is_pending());
        references.set("ns", "b", to("agent-2"));
        gone.await;
        let second = AgentName::parse("agent-2").unwrap();
        let mut gone = std::pin::pin!(references.without(&second));
        assert!(futures_util::poll!(gone.as_mut()).is_pending());
        references.replace(Listed::default());
        gone.await;
    }

    #[test]
    fn a_new_list_takes_the_place_of_the_old_one() {
        let references = References::of(&[("ns", "a", "agent-1")]);
        let mut listed = Listed::default();
        listed.set("ns", "b", to("agent-2"));
        references.replace(listed);
        assert_eq!(references.agent_of("ns", "a"), Ok(None));
        assert_eq!(references.agent("agent-1"), Ok(None));
        assert_eq!(references.agent("agent-2"), Ok(agent("agent-2")));
    }

    #[test]
    fn addresses_are_known_by_agent_and_whoever_follows_them_is_told_of_changes_alone() {
        let references = References::new(Objects::ClusterSecrets);
        let mut changes = references.changes();
        let mut listed = Listed::default();
        listed.set("ns", "a", at("agent-1", "https://a"));
        listed.set("ns", "b", at("agent-1", "https://b"));
        listed.set("ns", "c", to("agent-2"));
        references.replace(listed);
        let known = |agent: &str| references.servers().unwrap().remove(agent).map(|servers| servers.len());
        assert_eq!((known("agent-1"), known("agent-2"), known("agent-3")), (Some(2), Some(0), None));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        references.set("ns", "b", at("agent-1", "https://b"));
        assert!(!changes.has_changed().unwrap());
        references.set("ns", "b", at("agent-1", "https://a"));
        assert!(changes.has_changed().unwrap());
        assert_eq!(known("agent-1"), Some(1));
        references.set("ns", "c", None);
        assert_eq!(known("agent-2"), None);
    }
}
