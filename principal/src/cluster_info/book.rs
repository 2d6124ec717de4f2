//! What is known of each agent, and what is to be done about it. Pure: it is told what has happened and when, and says
//! what to ask and what to write.
//!
//! Always true:
//! - Each address is of one agent, and is written at once when it or the agent's standing is new, and again after
//!   [`PERIOD`]. Nothing else is needed for that: neither an agent's answer nor Redis's.
//! - What is known of a cluster is of the session that its agent is attached with now, or was without having left.
//! - Agents are asked in turn, so those that do not answer keep nobody else from being asked.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use common::{AgentName, tunnel::SessionId};
use rand::Rng;
use tokio::time::Instant;

use super::{figures::Figures, value::Standing};
use crate::{control_plane::Servers, turns::Turns};

/// What is known of all agents that have an address.
#[derive(Debug, Default)]
pub(super) struct Book {
    agents: HashMap<AgentName, Agent>,
    /// When each agent's turn is the next time.
    due: BTreeSet<(Instant, AgentName)>,
    to_ask: Turns,
    to_save: Turns,
    /// Addresses that more than one agent has.
    contested: BTreeSet<Arc<str>>,
}

/// Who is registered now and was not, and the reverse.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Registered {
    pub(super) came: Vec<AgentName>,
    pub(super) gone: Vec<AgentName>,
    /// Addresses that another agent has already. Whoever comes first in the alphabet has them.
    pub(super) contested: Vec<(AgentName, Arc<str>)>,
}

/// Something to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Save {
    pub(super) agent: AgentName,
    pub(super) server: Arc<str>,
    is_attached: bool,
    figures: Option<Arc<Figures>>,
}

#[derive(Debug)]
struct Agent {
    servers: BTreeSet<Arc<str>>,
    /// Those of them that are to be written.
    unsaved: BTreeSet<Arc<str>>,
    session: Option<SessionId>,
    figures: Option<Arc<Figures>>,
    due: Instant,
    /// How often in a row it was asked in vain.
    failures: u32,
}

// === impl Book ===

impl Book {
    /// These are all the agents and addresses there are.
    pub(super) fn registered(&mut self, servers: Servers, now: Instant) -> Registered {
        let mut done = Registered::default();
        let (mut taken, mut contested, mut kept) = (HashSet::new(), BTreeSet::new(), HashSet::new());
        for (name, mut servers) in servers {
            servers.retain(|server| {
                let is_own = taken.insert(Arc::clone(server));
                if !is_own {
                    if !self.contested.contains(server) {
                        done.contested.push((name.clone(), Arc::clone(server)));
                    }
                    contested.insert(Arc::clone(server));
                }
                is_own
            });
            if servers.is_empty() {
                continue;
            }
            kept.insert(name.clone());
            self.has(&name, servers, now, &mut done);
        }
        self.contested = contested;
        done.gone = self.agents.keys().filter(|name| !kept.contains(*name)).cloned().collect();
        for name in &done.gone {
            self.forget(name);
        }
        done
    }

    /// The agent is attached with this session now, or with none.
    pub(super) fn attached(&mut self, name: &AgentName, session: Option<SessionId>) {
        let Some(agent) = self.agents.get_mut(name).filter(|agent| agent.session != session) else { return };
        let was_attached = agent.session.is_some();
        agent.session = session;
        agent.failures = 0;
        match session {
            Some(_) => self.to_ask.add(name),
            None => agent.figures = None,
        }
        if was_attached != session.is_some() {
            self.save(name);
        }
    }

    /// Whom to ask next, and in which session.
    pub(super) fn next_ask(&mut self) -> Option<(AgentName, SessionId)> {
        while let Some(name) = self.to_ask.next() {
            if let Some(session) = self.agents.get(&name).and_then(|agent| agent.session) {
                return Some((name, session));
            }
        }
        None
    }

    /// What the agent has said in this session: how it stands with its cluster, or that nobody knows.
    pub(super) fn told(&mut self, name: &AgentName, session: SessionId, figures: Option<Figures>) {
        let Some(agent) = self.agents.get_mut(name).filter(|agent| agent.session == Some(session)) else { return };
        agent.failures = 0;
        if agent.figures.as_deref() != figures.as_ref() {
            agent.figures = figures.map(Arc::new);
            self.save(name);
        }
    }

    /// The agent was asked in vain. What it has last said stays; it is asked again, and soon if that is new.
    pub(super) fn failed(&mut self, name: &AgentName, session: SessionId, now: Instant) {
        let Some(agent) = self.agents.get_mut(name).filter(|agent| agent.session == Some(session)) else { return };
        let pause = RETRY.saturating_mul(1 << agent.failures.min(MAX_DOUBLINGS)).min(PERIOD);
        agent.failures = agent.failures.saturating_add(1);
        let again = now + pause.mul_f64(rand::rng().random_range(0.5..=1.0));
        if again < agent.due {
            self.due.remove(&(agent.due, name.clone()));
            agent.due = again;
            self.due.insert((again, name.clone()));
        }
    }

    /// When something is to be done again.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Whatever is due by now is to be done again.
    pub(super) fn due(&mut self, now: Instant) {
        while self.next_due().is_some_and(|due| due <= now)
            && let Some((due, name)) = self.due.pop_first()
        {
            let Some(agent) = self.agents.get_mut(&name) else { continue };
            // From when it was due, so that those that were spread stay so; unless that, too, is over.
            agent.due = Some(due + PERIOD).filter(|next| *next > now).unwrap_or(now + PERIOD);
            self.due.insert((agent.due, name.clone()));
            if agent.session.is_some() {
                self.to_ask.add(&name);
            }
            self.save(&name);
        }
    }

    /// What to write next.
    pub(super) fn next_save(&mut self) -> Option<Save> {
        while let Some(name) = self.to_save.first() {
            if let Some(agent) = self.agents.get_mut(name)
                && let Some(server) = agent.unsaved.pop_first()
            {
                let (is_attached, figures) = (agent.session.is_some(), agent.figures.clone());
                return Some(Save { agent: name.clone(), server, is_attached, figures });
            }
            self.to_save.next();
        }
        None
    }

    /// Whether there is anything to write.
    pub(super) fn is_unsaved(&self) -> bool {
        self.to_save.first().is_some()
    }

    /// Nobody knows what Redis has.
    pub(super) fn save_all(&mut self) {
        for (name, agent) in &mut self.agents {
            agent.unsaved.clone_from(&agent.servers);
            self.to_save.add(name);
        }
    }

    fn has(&mut self, name: &AgentName, servers: BTreeSet<Arc<str>>, now: Instant, done: &mut Registered) {
        let agent = self.agents.entry(name.clone()).or_insert_with(|| {
            done.came.push(name.clone());
            // Somewhere within the period: they came all at once, and are not to be all at once from now on.
            let due = now + PERIOD.mul_f64(rand::rng().random_range(0.0..=1.0));
            self.due.insert((due, name.clone()));
            let (known, unsaved) = (BTreeSet::new(), BTreeSet::new());
            Agent { servers: known, unsaved, session: None, figures: None, due, failures: 0 }
        });
        agent.unsaved.retain(|server| servers.contains(server));
        agent.unsaved.extend(servers.difference(&agent.servers).cloned());
        agent.servers = servers;
        if !agent.unsaved.is_empty() {
            self.to_save.add(name);
        }
    }

    fn forget(&mut self, name: &AgentName) {
        if let Some(agent) = self.agents.remove(name) {
            self.due.remove(&(agent.due, name.clone()));
        }
        self.to_ask.remove(name);
        self.to_save.remove(name);
    }

    fn save(&mut self, name: &AgentName) {
        if let Some(agent) = self.agents.get_mut(name) {
            agent.unsaved.clone_from(&agent.servers);
            self.to_save.add(name);
        }
    }
}

// === impl Save ===

impl Save {
    pub(super) fn standing(&self) -> Standing<'_> {
        match self.is_attached {
            true => Standing::Attached(self.figures.as_deref()),
            false => Standing::Away,
        }
    }
}

/// As often as upstream. What is written lasts more than three times as long.
pub(super) const PERIOD: Duration = Duration::from_secs(180);

/// An agent that has only just attached may not have found its Redis yet.
const RETRY: Duration = Duration::from_secs(10);
/// `RETRY` doubled this often is above `PERIOD`.
const MAX_DOUBLINGS: u32 = 5;

#[cfg(test)]
mod tests;
