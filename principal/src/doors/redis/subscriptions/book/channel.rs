//! One channel of an agent.

use std::sync::Arc;

use tokio::{
    sync::{Notify, OwnedSemaphorePermit},
    time::Instant,
};

/// What is known of a channel.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) listeners: usize,
    /// Since when nobody listens; it is noted under this time.
    pub(super) lonely_since: Option<Instant>,
    pub(super) standing: Standing,
    /// Who listens may have missed something.
    pub(super) missed: bool,
    /// Tells who waits that it is known how the subscription does.
    pub(super) settled: Arc<Notify>,
    /// Its place among the channels of all agents.
    _place: OwnedSemaphorePermit,
}

/// How its subscription does at the agent.
///
/// ```text
///            ┌────────────────────────────────────────────┐
///            ▼                                            │
///         Unasked ──ask──► Asked ──yes──► Stands ──ask──► Leaving
///            ▲               │
///            └──again── Refused ◄──no
/// ```
///
/// From each back to the first when the pipe is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Unasked,
    Asked,
    Stands,
    Refused,
    Leaving,
}

// === impl Channel ===

impl Channel {
    pub(super) fn new(place: OwnedSemaphorePermit) -> Self {
        Self {
            listeners: 0,
            lonely_since: None,
            standing: Standing::Unasked,
            missed: false,
            settled: Arc::default(),
            _place: place,
        }
    }
}
