//! The seam between sessions and whatever is to be done when an agent attaches.

use std::{collections::BTreeMap, fmt::Debug};

use common::AgentName;

/// Hears of each session as it is attached.
pub trait Newcomers: Debug + Send + Sync + 'static {
    /// The agent has attached, and asks for these labels, which may be anything. Whatever is to be done is done elsewhere:
    /// the agent waits for this.
    fn attached(&self, agent: &AgentName, labels: &BTreeMap<String, String>);
}
