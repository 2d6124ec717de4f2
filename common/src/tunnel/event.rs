//! The events of the control stream, decoded from the wire and encoded to it; what makes no sense is rejected here.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use bytes::Bytes;

use super::{PipeId, SessionId, Target, error::RefusedReason, ids::InvalidId, limits::STREAM_WINDOW_LEAST};
use crate::{label::MOST_LABELS, proto};

/// What an agent says.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentEvent {
    /// Always the first.
    Hello(Hello),
    /// Wants a Pong of the same nonce.
    Ping(u64),
    /// Answers a Ping.
    Pong(u64),
    /// Does not open this pipe.
    PipeRefused(PipeId, RefusedReason),
    /// Takes no new pipes.
    GoAway(GoAwayReason),
    /// Takes so many more bytes of a pipe; of none: lends so many to all of them.
    Grant(Option<PipeId>, u32),
}

/// What a principal says.
#[derive(Debug, Clone, PartialEq)]
pub enum PrincipalEvent {
    /// Always the first.
    Welcome(Welcome),
    /// Wants a Pong of the same nonce.
    Ping(u64),
    /// Answers a Ping.
    Pong(u64),
    /// Asks for a pipe.
    Open(Open),
    /// Has no more use for a pipe.
    Cancel(PipeId),
    /// Asks for no new pipes.
    GoAway(GoAwayReason),
    /// Takes so many more bytes of a pipe; of none: lends so many to all of them.
    Grant(Option<PipeId>, u32),
}

/// Who attaches, and what it can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The protocol versions the agent speaks.
    pub versions: RangeInclusive<u32>,
    /// For people and logs, never for decisions.
    pub build: String,
    /// `managed` or `autonomous`.
    pub mode: String,
    /// The namespace of Argo CD in the workload cluster.
    pub namespace: String,
    /// Optional abilities by name.
    pub capabilities: Vec<String>,
    /// What may be opened, of the targets that this build knows.
    pub targets: Vec<Target>,
    /// Labels for the agent's cluster Secret, as the agent says them: whether they can be labels is not looked at here.
    pub cluster_labels: BTreeMap<String, String>,
    /// Of this run of the agent's process; none where the agent is of an older build.
    pub instance: Option<String>,
    /// What it takes of a pipe before it grants more; none where the agent is of a build that knows no grants.
    pub window: Option<u32>,
}

/// The principal's answer to a Hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The version that both will speak.
    pub version: u32,
    /// Names the session.
    pub session: SessionId,
    /// For people and logs, never for decisions.
    pub build: String,
    /// Optional abilities by name.
    pub capabilities: Vec<String>,
    /// How often each end pings.
    pub ping_interval: Duration,
    /// After how long a silent peer is dead.
    pub silence: Duration,
    /// What it takes of a pipe before it grants more; none where the principal is of a build that knows no grants.
    pub window: Option<u32>,
}

/// A request for a pipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The pipe's id, which the agent names when it opens it.
    pub pipe: PipeId,
    /// Where it leads; `None` for a target that this build does not know.
    pub target: Option<Target>,
    /// The first bytes of the principal's direction.
    pub early_data: Bytes,
}

/// Why no new pipes are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoAwayReason {
    /// The sender shuts down.
    Draining,
    /// A newer session of the same agent took over.
    Replaced,
}

/// An event that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvent {
    /// The event is of no kind that this build knows.
    #[error("unknown event")]
    Unknown,
    /// An id is zero.
    #[error("{0}")]
    Id(#[from] InvalidId),
    /// The range of versions holds none.
    #[error("empty range of versions")]
    Versions,
    /// A limit is out of its bounds.
    #[error("limit out of bounds")]
    Limit,
    /// A text is longer than any that is meant.
    #[error("text too long")]
    Text,
}

// === impl AgentEvent ===

impl TryFrom<proto::AgentEvent> for AgentEvent {
    type Error = InvalidEvent;

    fn try_from(wire: proto::AgentEvent) -> Result<Self, InvalidEvent> {
        use proto::agent_event::Event;
        Ok(match wire.event.ok_or(InvalidEvent::Unknown)? {
            Event::Hello(hello) => Self::Hello(hello.try_into()?),
            Event::Ping(ping) => Self::Ping(ping.nonce),
            Event::Pong(pong) => Self::Pong(pong.nonce),
            Event::PipeRefused(refused) => {
                Self::PipeRefused(refused.pipe_id.try_into()?, RefusedReason::from_wire(refused.reason))
            }
            Event::GoAway(go_away) => Self::GoAway(GoAwayReason::from_wire(go_away.reason)),
            Event::Grant(grant) => Self::Grant(grant.pipe_id.try_into().ok(), grant.bytes),
        })
    }
}

impl From<AgentEvent> for proto::AgentEvent {
    fn from(event: AgentEvent) -> Self {
        use proto::agent_event::Event;
        let event = match event {
            AgentEvent::Hello(hello) => Event::Hello(hello.into()),
            AgentEvent::Ping(nonce) => Event::Ping(proto::Ping { nonce }),
            AgentEvent::Pong(nonce) => Event::Pong(proto::Pong { nonce }),
            AgentEvent::PipeRefused(pipe, reason) => {
                Event::PipeRefused(proto::PipeRefused { pipe_id: pipe.get(), reason: reason.to_wire().into() })
            }
            AgentEvent::GoAway(reason) => Event::GoAway(reason.to_wire()),
            AgentEvent::Grant(pipe, bytes) => {
                Event::Grant(proto::Grant { pipe_id: pipe.map_or(0, PipeId::get), bytes })
            }
        };
        Self { event: Some(event) }
    }
}

// === impl PrincipalEvent ===

impl TryFrom<proto::PrincipalEvent> for PrincipalEvent {
    type Error = InvalidEvent;

    fn try_from(wire: proto::PrincipalEvent) -> Result<Self, InvalidEvent> {
        use proto::principal_event::Event;
        Ok(match wire.event.ok_or(InvalidEvent::Unknown)? {
            Event::Welcome(welcome) => Self::Welcome(welcome.try_into()?),
            Event::Ping(ping) => Self::Ping(ping.nonce),
            Event::Pong(pong) => Self::Pong(pong.nonce),
            Event::Open(open) => Self::Open(Open {
                pipe: open.pipe_id.try_into()?,
                target: open.target.as_ref().and_then(Target::from_wire),
                early_data: open.early_data,
            }),
            Event::Cancel(cancel) => Self::Cancel(cancel.pipe_id.try_into()?),
            Event::GoAway(go_away) => Self::GoAway(GoAwayReason::from_wire(go_away.reason)),
            Event::Grant(grant) => Self::Grant(grant.pipe_id.try_into().ok(), grant.bytes),
        })
    }
}

impl From<PrincipalEvent> for proto::PrincipalEvent {
    fn from(event: PrincipalEvent) -> Self {
        use proto::principal_event::Event;
        let event = match event {
            PrincipalEvent::Welcome(welcome) => Event::Welcome(welcome.into()),
            PrincipalEvent::Ping(nonce) => Event::Ping(proto::Ping { nonce }),
            PrincipalEvent::Pong(nonce) => Event::Pong(proto::Pong { nonce }),
            PrincipalEvent::Open(open) => Event::Open(proto::Open {
                pipe_id: open.pipe.get(),
                target: open.target.map(Target::to_wire),
                early_data: open.early_data,
            }),
            PrincipalEvent::Cancel(pipe) => Event::Cancel(proto::Cancel { pipe_id: pipe.get() }),
            PrincipalEvent::GoAway(reason) => Event::GoAway(reason.to_wire()),
            PrincipalEvent::Grant(pipe, bytes) => {
                Event::Grant(proto::Grant { pipe_id: pipe.map_or(0, PipeId::get), bytes })
            }
        };
        Self { event: Some(event) }
    }
}

// === impl Hello ===

impl TryFrom<proto::Hello> for Hello {
    type Error = InvalidEvent;

    fn try_from(wire: proto::Hello) -> Result<Self, InvalidEvent> {
        if wire.min_version == 0 || wire.min_version > wire.max_version {
            return Err(InvalidEvent::Versions);
        }
        // These reach log lines and metrics.
        let texts = [&wire.build, &wire.mode, &wire.namespace, &wire.instance];
        if texts.into_iter().chain(&wire.capabilities).any(|text| text.len() > TEXT) {
            return Err(InvalidEvent::Text);
        }
        let labels = &wire.cluster_labels;
        if labels.len() > MOST_LABELS || labels.iter().any(|(key, value)| key.len().max(value.len()) > LABEL) {
            return Err(InvalidEvent::Text);
        }
        Ok(Self {
            versions: wire.min_version..=wire.max_version,
            build: wire.build,
            mode: wire.mode,
            namespace: wire.namespace,
            capabilities: wire.capabilities,
            targets: wire.targets.iter().filter_map(Target::from_wire).collect(),
            cluster_labels: wire.cluster_labels.into_iter().collect(),
            instance: Some(wire.instance).filter(|instance| !instance.is_empty()),
            window: window(wire.pipe_window_bytes)?,
        })
    }
}

impl From<Hello> for proto::Hello {
    fn from(hello: Hello) -> Self {
        Self {
            min_version: *hello.versions.start(),
            max_version: *hello.versions.end(),
            build: hello.build,
            mode: hello.mode,
            namespace: hello.namespace,
            capabilities: hello.capabilities,
            targets: hello.targets.into_iter().map(Target::to_wire).collect(),
            cluster_labels: hello.cluster_labels.into_iter().collect(),
            instance: hello.instance.unwrap_or_default(),
            pipe_window_bytes: hello.window.unwrap_or_default(),
        }
    }
}

// === impl Welcome ===

impl TryFrom<proto::Welcome> for Welcome {
    type Error = InvalidEvent;

    fn try_from(wire: proto::Welcome) -> Result<Self, InvalidEvent> {
        let limits = wire.limits.unwrap_or_default();
        let ping_interval = Duration::from_millis(limits.ping_interval_millis.into());
        let silence = Duration::from_millis(limits.silence_millis.into());
        if ping_interval.is_zero() || silence <= ping_interval {
            return Err(InvalidEvent::Limit);
        }
        Ok(Self {
            version: wire.version,
            session: wire.session_id.try_into()?,
            build: wire.build,
            capabilities: wire.capabilities,
            ping_interval,
            silence,
            window: window(limits.pipe_window_bytes)?,
        })
    }
}

impl From<Welcome> for proto::Welcome {
    fn from(welcome: Welcome) -> Self {
        let millis = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        Self {
            version: welcome.version,
            session_id: welcome.session.get(),
            build: welcome.build,
            capabilities: welcome.capabilities,
            limits: Some(proto::Limits {
                early_data_bytes: u32::try_from(super::limits::EARLY_DATA).unwrap_or(u32::MAX),
                ping_interval_millis: millis(welcome.ping_interval),
                silence_millis: millis(welcome.silence),
                pipe_window_bytes: welcome.window.unwrap_or_default(),
            }),
        }
    }
}

// === impl GoAwayReason ===

impl GoAwayReason {
    fn from_wire(wire: i32) -> Self {
        match proto::go_away::Reason::try_from(wire) {
            Ok(proto::go_away::Reason::Replaced) => Self::Replaced,
            // A reason of a later build still means: take your work elsewhere.
            Ok(proto::go_away::Reason::Draining | proto::go_away::Reason::Unspecified) | Err(_) => Self::Draining,
        }
    }

    fn to_wire(self) -> proto::GoAway {
        let reason = match self {
            Self::Draining => proto::go_away::Reason::Draining,
            Self::Replaced => proto::go_away::Reason::Replaced,
        };
        proto::GoAway { reason: reason.into() }
    }
}

/// A smaller one could leave a writer waiting that the reader has no reason to grant more.
fn window(wire: u32) -> Result<Option<u32>, InvalidEvent> {
    match wire {
        0 => Ok(None),
        STREAM_WINDOW_LEAST.. => Ok(Some(wire)),
        1.. => Err(InvalidEvent::Limit),
    }
}

/// No build, mode, namespace or capability is longer than this many bytes.
const TEXT: usize = 256;

/// A label's key has at most a prefix of 253 bytes, a slash and 63 more.
const LABEL: usize = 317;

#[cfg(test)]
mod tests;
