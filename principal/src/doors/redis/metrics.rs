//! What the door counts. Labels are enums: never a key's text, which is a stranger's.

use std::time::Duration;

use common::{Refusal, resp::commands::Word, snake_case_labels};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Cheap to clone; every clone counts into the same.
#[derive(Debug, Clone)]
pub(super) struct RedisMetrics {
    /// By class, then by side: looked up once, since commands are many.
    commands: [[Counter; SIDES]; CLASSES],
    refused: Family<ClassLabels, Counter>,
    answers: Family<OutcomeLabels, Counter>,
    duration: Histogram,
    malformed: Counter,
    unreachable: Counter,
    connections: Gauge,
}

/// What kind of command it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum CommandClass {
    /// What agents can answer.
    Read,
    Write,
    Subscription,
    Publish,
    Transaction,
    /// Logins and settings of the connection.
    Connection,
    Other,
}

/// Whose answer it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Local,
    Agent,
}

/// How a read of an agent's key ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Outcome {
    Value,
    Nil,
    /// The agent said an error.
    AgentError,
    NotConnected,
    Timeout,
    Lost,
    Busy,
    NotServed,
    /// It is not known whose key it is.
    Undecided,
    /// It broke off within a value.
    Cut,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommandLabels {
    class: CommandClass,
    side: Side,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabels {
    class: CommandClass,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: Outcome,
}

snake_case_labels!(CommandClass, Side, Outcome);

// === impl RedisMetrics ===

impl RedisMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let commands = Family::<CommandLabels, Counter>::default();
        let of = |class, side| commands.get_or_create(&CommandLabels { class, side }).clone();
        let new = Self {
            commands: CommandClass::ALL.map(|class| [of(class, Side::Local), of(class, Side::Agent)]),
            refused: Family::default(),
            answers: Family::default(),
            duration: Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]),
            malformed: Counter::default(),
            unreachable: Counter::default(),
            connections: Gauge::default(),
        };
        registry.register("commands", "Commands of clients, by what kind and whose keys", commands);
        registry.register("commands_refused", "Commands that never went to Redis", new.refused.clone());
        registry.register("agent_answers", "Reads of agents' keys, by how they ended", new.answers.clone());
        registry.register(
            "agent_answer_duration_seconds",
            "From a read of an agent's key to the beginning of its reply",
            new.duration.clone(),
        );
        registry.register("protocol_errors", "Connections that ended for what is no command", new.malformed.clone());
        registry.register(
            "redis_unreachable",
            "Connections that ended because the principal's Redis could not be reached",
            new.unreachable.clone(),
        );
        registry.register("connections_open", "Connections of clients", new.connections.clone());
        new
    }

    pub(super) fn command(&self, class: CommandClass, side: Side) {
        let of_class = self.commands.get(class as usize);
        if let Some(counter) = of_class.and_then(|sides| sides.get(side as usize)) {
            counter.inc();
        }
    }

    pub(super) fn refused(&self, class: CommandClass) {
        self.refused.get_or_create(&ClassLabels { class }).inc();
    }

    pub(super) fn answered(&self, outcome: Outcome, duration: Duration) {
        self.answers.get_or_create(&OutcomeLabels { outcome }).inc();
        self.duration.observe(duration.as_secs_f64());
    }

    pub(super) fn malformed(&self) {
        self.malformed.inc();
    }

    pub(super) fn redis_unreachable(&self) {
        self.unreachable.inc();
    }

    pub(super) fn connections(&self) -> &Gauge {
        &self.connections
    }
}

// === impl CommandClass ===

impl CommandClass {
    const ALL: [Self; CLASSES] =
        [Self::Read, Self::Write, Self::Subscription, Self::Publish, Self::Transaction, Self::Connection, Self::Other];

    pub(super) fn of(word: Word) -> Self {
        match word {
            Word::Get | Word::Mget | Word::Exists | Word::Ttl | Word::Pttl | Word::Strlen | Word::Getrange => {
                Self::Read
            }
            Word::Write => Self::Write,
            Word::Subscribe
            | Word::Unsubscribe
            | Word::Psubscribe
            | Word::Punsubscribe
            | Word::Ssubscribe
            | Word::Sunsubscribe => Self::Subscription,
            Word::Publish => Self::Publish,
            Word::Multi | Word::Exec | Word::Discard | Word::Watch => Self::Transaction,
            Word::Hello | Word::Auth | Word::Select | Word::Ping | Word::Client | Word::Reset | Word::Quit => {
                Self::Connection
            }
            Word::Monitor | Word::Replicate | Word::Block | Word::Other => Self::Other,
        }
    }
}

// === impl Outcome ===

impl Outcome {
    pub(super) fn of(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::AgentNotConnected => Self::NotConnected,
            Refusal::AgentTimeout => Self::Timeout,
            Refusal::TooManyRequests => Self::Busy,
            Refusal::ProxyDisabled => Self::NotServed,
            Refusal::Undecidable(_) => Self::Undecided,
            Refusal::UpstreamUnreachable(_) => Self::AgentError,
            _ => Self::Lost,
        }
    }
}

const CLASSES: usize = 7;
const SIDES: usize = 2;
