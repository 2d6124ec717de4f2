//! What a valid token allows, and for how long: streams that began with it are not to outlive it.

use std::sync::Arc;

use common::AgentName;
use tokio::time::{Instant, sleep_until};

use crate::control_plane::References;

/// Leave to reach one agent, as long as the token is valid. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Grant {
    agent: AgentName,
    labelled: Arc<References>,
    /// None where the token has no end.
    ends: Option<Instant>,
}

/// Why a token is valid no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// The cluster Secret, or its label.
    #[error("the cluster Secret of the token's agent is gone, or its label")]
    NoSecret,
}

// === impl Grant ===

impl Grant {
    pub(super) fn new(agent: AgentName, labelled: Arc<References>, ends: Option<Instant>) -> Self {
        Self { agent, labelled, ends }
    }

    /// Whom the token is for.
    #[must_use]
    pub fn agent(&self) -> &AgentName {
        &self.agent
    }

    /// Resolves when the token is valid no more. A key that goes is no such end: it has an overlap of its own.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn ended(&self) -> Ended {
        let expired = async {
            match self.ends {
                Some(ends) => sleep_until(ends).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = expired => Ended::Expired,
            () = self.labelled.without(&self.agent) => Ended::NoSecret,
        }
    }
}
