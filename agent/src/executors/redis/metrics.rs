//! What the executor counts.

use common::resp::Word;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Cheap to clone; every clone counts into the same.
#[derive(Debug, Clone, Default)]
pub(super) struct RedisMetrics {
    commands: Family<CommandLabels, Counter>,
    connects: Family<ConnectLabels, Counter>,
    connections: Gauge,
    pub(super) channels: Gauge,
    pub(super) messages: Counter,
    pub(super) gaps: Counter,
}

/// A connection that is open, for as long as this lives.
#[derive(Debug)]
pub(super) struct Open(Gauge);

/// A command, as far as the executor tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum CommandClass {
    Get,
    Getrange,
    Strlen,
    Exists,
    Ttl,
    Subscribe,
    Unsubscribe,
    Ping,
    Other,
}

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Outcome {
    /// It was answered with what Redis said.
    Answered,
    /// It is none that runs here.
    Refused,
    /// Redis said no, or what it holds cannot be converted.
    Error,
    /// Redis could not be asked, or did not answer.
    Unavailable,
    /// The answer broke off.
    Cut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommandLabels {
    command: CommandClass,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectLabels {
    outcome: ConnectOutcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ConnectOutcome {
    Connected,
    Unreachable,
    LoginRefused,
}

// === impl RedisMetrics ===

impl RedisMetrics {
    /// Registers the families.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register("commands", "Commands of the principal, by what became of them", new.commands.clone());
        registry.register("connects", "Attempts to connect to Redis and log in", new.connects.clone());
        registry.register("connections_open", "Connections to Redis that are open", new.connections.clone());
        registry.register("channels_subscribed", "Channels that the principal listens to", new.channels.clone());
        registry.register("messages", "Messages that were handed on to the principal", new.messages.clone());
        registry.register("subscription_gaps", "Times that messages may have been lost", new.gaps.clone());
        new
    }

    /// Counts a command.
    pub(super) fn ran(&self, command: CommandClass, outcome: Outcome) {
        self.commands.get_or_create(&CommandLabels { command, outcome }).inc();
    }

    /// Counts an attempt to connect.
    pub(super) fn connected(&self, outcome: ConnectOutcome) {
        self.connects.get_or_create(&ConnectLabels { outcome }).inc();
    }

    /// Counts a connection for as long as it is open.
    pub(super) fn open(&self) -> Open {
        self.connections.inc();
        Open(self.connections.clone())
    }
}

// === impl Open ===

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

// === impl CommandClass ===

impl CommandClass {
    pub(super) fn of(word: Word) -> Self {
        match word {
            Word::Get => Self::Get,
            Word::Getrange => Self::Getrange,
            Word::Strlen => Self::Strlen,
            Word::Exists => Self::Exists,
            Word::Ttl | Word::Pttl => Self::Ttl,
            Word::Subscribe => Self::Subscribe,
            Word::Unsubscribe => Self::Unsubscribe,
            Word::Ping => Self::Ping,
            _ => Self::Other,
        }
    }
}

common::snake_case_labels!(CommandClass, Outcome, ConnectOutcome);
