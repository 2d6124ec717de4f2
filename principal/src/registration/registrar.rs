//! Hears of every session that is attached, and has the agent's cluster registered.

use std::{collections::BTreeMap, sync::Arc};

use common::AgentName;
use tracing::warn;

use super::{desk::Desk, labels::LabelRule, metrics::RegistrationMetrics};
use crate::agents::Newcomers;

/// What agents' sessions are told to.
#[derive(Debug)]
pub(crate) struct Registrar {
    rule: LabelRule,
    desk: Arc<Desk>,
    metrics: RegistrationMetrics,
}

// === impl Registrar ===

impl Registrar {
    pub(super) fn new(rule: LabelRule, desk: Arc<Desk>, metrics: RegistrationMetrics) -> Self {
        Self { rule, desk, metrics }
    }
}

impl Newcomers for Registrar {
    fn attached(&self, agent: &AgentName, labels: &BTreeMap<String, String>) {
        let (allowed, refused) = self.rule.sort(labels);
        for (_, why) in &refused {
            self.metrics.refused(*why);
        }
        if !refused.is_empty() {
            warn!(
                %agent,
                ?refused,
                "labels that the agent asks for are not set: see --self-registration-allowed-labels"
            );
        }
        self.desk.with(|book| book.attached(agent, Arc::new(allowed)));
    }
}
