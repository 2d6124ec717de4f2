//! What is counted of what is kept.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Cheap to clone; every clone counts into the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClusterInfoMetrics {
    saves: Family<SaveLabels, Counter>,
    answers: Family<AnswerLabels, Counter>,
    connections: Family<ConnectionLabels, Counter>,
}

/// What became of something that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Save {
    /// Redis has it.
    Saved,
    /// Redis would not have it.
    Refused,
    /// It is not known. It is written again.
    Lost,
}

/// What an agent that was asked has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    /// How it stands with its cluster.
    Told,
    /// That nobody has said anything of it: no controller of Argo CD runs there.
    Nothing,
    /// Nothing, or something else. It is asked again.
    Failed,
}

/// How a connection to the principal's Redis came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Connected {
    /// It stood.
    Up,
    /// It did not come about.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SaveLabels {
    outcome: Save,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    outcome: Answer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabels {
    outcome: Connected,
}

// === impl ClusterInfoMetrics ===

impl ClusterInfoMetrics {
    /// Registers the families.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register("saves", "Times that a cluster's information was written to Redis", new.saves.clone());
        registry.register("answers", "Answers of agents that were asked for it", new.answers.clone());
        registry.register("connections", "Connections for writing it", new.connections.clone());
        new
    }

    pub(super) fn save(&self, outcome: Save) {
        self.saves.get_or_create(&SaveLabels { outcome }).inc();
    }

    pub(super) fn answer(&self, outcome: Answer) {
        self.answers.get_or_create(&AnswerLabels { outcome }).inc();
    }

    pub(super) fn connection(&self, outcome: Connected) {
        self.connections.get_or_create(&ConnectionLabels { outcome }).inc();
    }

    /// How often that came out so.
    #[cfg(test)]
    pub(super) fn saved(&self, outcome: Save) -> u64 {
        self.saves.get_or_create(&SaveLabels { outcome }).get()
    }
}

common::snake_case_labels!(Save, Answer, Connected);

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;

    use super::*;

    #[test]
    fn names_and_labels_are_what_dashboards_expect() {
        let mut registry = Registry::with_prefix("argocd_agent_cluster_info");
        let metrics = ClusterInfoMetrics::register(&mut registry);
        metrics.save(Save::Saved);
        metrics.answer(Answer::Nothing);
        metrics.connection(Connected::Up);
        let mut text = String::new();
        text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"argocd_agent_cluster_info_saves_total{outcome="saved"} 1"#,
            r#"argocd_agent_cluster_info_answers_total{outcome="nothing"} 1"#,
            r#"argocd_agent_cluster_info_connections_total{outcome="up"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
