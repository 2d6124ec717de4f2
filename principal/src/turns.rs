//! Agents that wait for their turn.

use std::collections::{HashSet, VecDeque};

use common::AgentName;

/// Agents that wait, each once, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    order: VecDeque<AgentName>,
    waiting: HashSet<AgentName>,
}

// === impl Turns ===

impl Turns {
    pub(crate) fn add(&mut self, name: &AgentName) {
        if self.waiting.insert(name.clone()) {
            self.order.push_back(name.clone());
        }
    }

    pub(crate) fn first(&self) -> Option<&AgentName> {
        self.order.front()
    }

    pub(crate) fn next(&mut self) -> Option<AgentName> {
        let next = self.order.pop_front()?;
        self.waiting.remove(&next);
        Some(next)
    }

    pub(crate) fn remove(&mut self, name: &AgentName) {
        if self.waiting.remove(name) {
            self.order.retain(|waiting| waiting != name);
        }
    }
}
