//! What subscriptions at agents count.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Cheap to clone; every clone counts into the same.
#[derive(Debug, Clone)]
pub struct SubscriptionMetrics {
    /// Channels whose subscription stands at their agent.
    pub(super) held: Gauge,
    /// Clients that listen, once for each channel.
    pub(super) listeners: Gauge,
    refused: Family<LimitLabels, Counter>,
    published: Family<PublishedLabels, Counter>,
    publisher: Family<PublisherLabels, Counter>,
}

/// Why nobody else may listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub(super) enum Limit {
    #[error("too many channels of one agent")]
    ChannelsOfAgent,
    #[error("too many channels of all agents")]
    Channels,
    #[error("too many listeners")]
    Listeners,
}

/// What was to be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// What an agent said.
    Message,
    /// That something may have been missed.
    Gap,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Outcome {
    /// Redis has published it.
    Published,
    /// Redis would not.
    Refused,
    /// Redis was away, or it is not known. A gap is published later.
    Lost,
    /// The agent said more than fits. It is published as a gap, and counted there, too.
    TooLong,
    /// Nobody had asked the agent for it.
    Unasked,
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
struct LimitLabels {
    limit: Limit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PublishedLabels {
    what: What,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PublisherLabels {
    outcome: Connected,
}

// === impl SubscriptionMetrics ===

impl SubscriptionMetrics {
    /// Registers the families.
    pub fn register(registry: &mut Registry) -> Self {
        let new = Self {
            held: Gauge::default(),
            listeners: Gauge::default(),
            refused: Family::default(),
            published: Family::default(),
            publisher: Family::default(),
        };
        registry.register("subscriptions", "Channels that are subscribed at their agents", new.held.clone());
        registry.register("listeners", "Clients that listen to agents' channels", new.listeners.clone());
        registry.register("listeners_refused", "Clients that a limit kept from listening", new.refused.clone());
        registry.register("messages", "Messages for the principal's Redis, and gaps", new.published.clone());
        registry.register("publisher_connections", "Connections for publishing", new.publisher.clone());
        new
    }

    pub(super) fn refuse(&self, limit: Limit) {
        self.refused.get_or_create(&LimitLabels { limit }).inc();
    }

    pub(super) fn count(&self, what: What, outcome: Outcome) {
        self.published.get_or_create(&PublishedLabels { what, outcome }).inc();
    }

    pub(super) fn publisher(&self, outcome: Connected) {
        self.publisher.get_or_create(&PublisherLabels { outcome }).inc();
    }

    /// How often that came out so.
    #[cfg(test)]
    pub(super) fn counted(&self, what: What, outcome: Outcome) -> u64 {
        self.published.get_or_create(&PublishedLabels { what, outcome }).get()
    }
}

common::snake_case_labels!(Limit, What, Outcome, Connected);

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;

    use super::*;

    #[test]
    fn names_and_labels_are_what_dashboards_expect() {
        let mut registry = Registry::with_prefix("argocd_agent_redis");
        let metrics = SubscriptionMetrics::register(&mut registry);
        metrics.held.inc();
        metrics.listeners.inc_by(7);
        metrics.refuse(Limit::ChannelsOfAgent);
        metrics.count(What::Message, Outcome::Published);
        metrics.count(What::Gap, Outcome::Lost);
        metrics.publisher(Connected::Up);
        let mut text = String::new();
        text::encode(&mut text, &registry).unwrap();
        for line in [
            "argocd_agent_redis_subscriptions 1",
            "argocd_agent_redis_listeners 7",
            r#"argocd_agent_redis_listeners_refused_total{limit="channels_of_agent"} 1"#,
            r#"argocd_agent_redis_messages_total{what="message",outcome="published"} 1"#,
            r#"argocd_agent_redis_messages_total{what="gap",outcome="lost"} 1"#,
            r#"argocd_agent_redis_publisher_connections_total{outcome="up"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
