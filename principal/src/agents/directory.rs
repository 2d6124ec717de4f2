//! Which agents there are, attached or not.
//!
//! An agent is registered once it has attached, or while a cluster Secret stands for it. One that is registered and away
//! is unreachable, and not unknown: nobody else may answer in its place.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
};

use common::AgentName;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
    registry,
};

use crate::control_plane::{NotKnown, References};

/// Every registered agent.
#[derive(Debug)]
pub struct Directory {
    /// Those that attached since the principal started. As many as have certificates of our CA, so nothing is forgotten.
    /// A std lock: held for a set operation, never across an await.
    seen: RwLock<HashSet<AgentName>>,
    /// The cluster Secrets, where they can be read at all.
    clusters: Option<Arc<References>>,
}

/// Counts the agents whenever that is asked for.
#[derive(Debug)]
struct Count(Arc<Directory>);

// === impl Directory ===

impl Directory {
    /// Nobody has attached yet. `clusters` are the cluster Secrets, where they can be read at all.
    #[must_use]
    pub fn new(clusters: Option<Arc<References>>) -> Self {
        Self { seen: RwLock::default(), clusters }
    }

    /// The agent has attached.
    pub(super) fn saw(&self, agent: &AgentName) {
        // Agents come back more often than they come.
        if !self.has_seen(agent) {
            self.seen.write().unwrap_or_else(PoisonError::into_inner).insert(agent.clone());
        }
    }

    /// The registered agent of this name.
    ///
    /// # Errors
    /// When a cluster Secret may stand for it and those were never listed.
    pub fn find(&self, name: &str) -> Result<Option<AgentName>, NotKnown> {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        match (seen, &self.clusters) {
            (None, Some(clusters)) => clusters.agent(name),
            (seen, _) => Ok(seen),
        }
    }

    /// Registers the count of the registered agents.
    pub fn register(self: &Arc<Self>, registry: &mut registry::Registry) {
        registry.register_collector(Box::new(Count(Arc::clone(self))));
    }

    fn has_seen(&self, agent: &AgentName) -> bool {
        self.seen.read().unwrap_or_else(PoisonError::into_inner).contains(agent)
    }

    fn count(&self) -> usize {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        let more = self.clusters.as_ref().map(|clusters| clusters.count_without(|agent| seen.contains(agent)));
        seen.len() + more.unwrap_or_default()
    }
}

// === impl Count ===

impl Collector for Count {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let gauge = ConstGauge::new(i64::try_from(self.0.count()).unwrap_or(i64::MAX));
        let help = "Agents that have attached, or that a cluster Secret stands for";
        gauge.encode(encoder.encode_descriptor("agents_registered", help, None, gauge.metric_type())?)
    }
}

#[cfg(test)]
mod tests {
    use common::telemetry::{Exposition, Registry};

    use super::*;

    fn agent(name: &str) -> AgentName {
        AgentName::parse(name).unwrap()
    }

    #[test]
    fn an_agent_is_registered_once_it_was_seen() {
        let directory = Directory::new(None);
        assert_eq!(directory.find("agent-1"), Ok(None));
        directory.saw(&agent("agent-1"));
        directory.saw(&agent("agent-1"));
        assert_eq!(directory.find("agent-1"), Ok(Some(agent("agent-1"))));
        assert_eq!(directory.find("agent-2"), Ok(None));
    }

    #[test]
    fn an_agent_is_registered_while_a_cluster_secret_stands_for_it() {
        let directory = Directory::new(Some(References::of(&[("argocd", "cluster-1", "agent-1")])));
        assert_eq!(directory.find("agent-1"), Ok(Some(agent("agent-1"))));
        assert_eq!(directory.find("agent-2"), Ok(None));
    }

    #[test]
    fn only_who_was_seen_is_known_before_the_cluster_secrets_are() {
        let directory = Directory::new(Some(References::not_listed()));
        directory.saw(&agent("agent-1"));
        assert_eq!(directory.find("agent-1"), Ok(Some(agent("agent-1"))));
        assert!(directory.find("agent-2").is_err());
    }

    #[test]
    fn an_agent_counts_once() {
        let clusters = References::of(&[("argocd", "a", "agent-1"), ("argocd", "b", "agent-1"), ("x", "c", "agent-2")]);
        let directory = Arc::new(Directory::new(Some(clusters)));
        directory.saw(&agent("agent-2"));
        directory.saw(&agent("agent-3"));
        let mut registry = Registry::new();
        directory.register(registry.part("tunnel"));
        let shown = registry.encode(Exposition::Classic);
        assert!(shown.contains("\nargocd_agent_tunnel_agents_registered 3\n"), "{shown}");
    }
}
