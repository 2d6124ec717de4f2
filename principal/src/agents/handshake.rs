//! Hello and Welcome: what agent and principal must agree on before anything else.

use std::time::Duration;

use common::{
    build_info, proto,
    tunnel::{
        SessionId,
        event::{AgentEvent, Hello, InvalidEvent, Welcome},
        limits::{HANDSHAKE, VERSIONS},
    },
};
use futures_util::StreamExt;
use tonic::{Status, Streaming};

use super::metrics::RefusedCall;

/// How the principal wants its sessions kept alive.
#[derive(Debug, Clone, Copy)]
pub struct Liveliness {
    /// How often each end pings.
    pub ping_interval: Duration,
    /// After how long a silent peer is dead.
    pub silence: Duration,
}

/// Why a session does not come about.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("no hello within {} s", HANDSHAKE.as_secs())]
    Timeout,
    #[error("the stream ended before a hello")]
    Ended,
    #[error("the stream broke before a hello")]
    Broken(#[source] Status),
    #[error("the first event makes no sense")]
    Invalid(#[source] InvalidEvent),
    #[error("the first event is no hello")]
    NoHello,
    #[error("no protocol version in common: the agent speaks {} to {}, the principal {} to {}", .0.start(), .0.end(), VERSIONS.start(), VERSIONS.end())]
    Version(std::ops::RangeInclusive<u32>),
}

/// Waits for the agent's Hello and picks the version to speak.
pub(super) async fn hello(events: &mut Streaming<proto::AgentEvent>) -> Result<(Hello, u32), HandshakeError> {
    let first = tokio::time::timeout(HANDSHAKE, events.next()).await.map_err(|_elapsed| HandshakeError::Timeout)?;
    let first = first.ok_or(HandshakeError::Ended)?.map_err(HandshakeError::Broken)?;
    let AgentEvent::Hello(hello) = AgentEvent::try_from(first).map_err(HandshakeError::Invalid)? else {
        return Err(HandshakeError::NoHello);
    };
    let version = *hello.versions.end().min(VERSIONS.end());
    if version < *hello.versions.start().max(VERSIONS.start()) {
        return Err(HandshakeError::Version(hello.versions));
    }
    Ok((hello, version))
}

/// The answer to a Hello.
pub(super) fn welcome(session: SessionId, version: u32, liveliness: Liveliness, window: u32) -> Welcome {
    Welcome {
        version,
        session,
        build: build_info::VERSION.to_owned(),
        capabilities: Vec::new(),
        ping_interval: liveliness.ping_interval,
        silence: liveliness.silence,
        window: Some(window),
    }
}

// === impl HandshakeError ===

impl HandshakeError {
    pub(super) fn reason(&self) -> RefusedCall {
        match self {
            Self::Version(_) => RefusedCall::Version,
            Self::Timeout | Self::Ended | Self::Broken(_) | Self::Invalid(_) | Self::NoHello => RefusedCall::Hello,
        }
    }

    /// What the agent is told.
    pub(super) fn status(&self) -> Status {
        match self {
            Self::Version(_) => Status::failed_precondition(self.to_string()),
            Self::Timeout => Status::deadline_exceeded(self.to_string()),
            Self::Ended | Self::Broken(_) | Self::Invalid(_) | Self::NoHello => {
                Status::invalid_argument(self.to_string())
            }
        }
    }
}
