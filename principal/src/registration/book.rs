//! Whose Secret is to be seen to, and when. Pure: it is told what has happened and when, and says who is next.
//!
//! Always true: each agent is in it once and is visited by one at a time; nobody is in it for whom there is nothing to do
//! now or later.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use common::{AgentName, label::Labels};
use rand::Rng;
use tokio::time::Instant;

use crate::turns::Turns;

/// What is known of all agents that are to be visited, now or later.
#[derive(Debug, Default)]
pub(super) struct Book {
    agents: HashMap<AgentName, Agent>,
    turns: Turns,
    due: BTreeSet<(Instant, AgentName)>,
    /// Those that were to be visited and have not been, with success.
    unsettled: HashSet<AgentName>,
}

/// A visit to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Visit {
    pub(super) agent: AgentName,
    /// The agent has attached: its Secret is made if there is none, and gets these labels.
    pub(super) attached: Option<Arc<Labels>>,
}

#[derive(Debug, Default)]
struct Agent {
    /// There is a self-registered Secret, as far as is known.
    is_registered: bool,
    attached: Option<Arc<Labels>>,
    is_visited: bool,
    /// Something has happened since the visit began.
    again: bool,
    due: Option<Instant>,
    /// How often in a row it was visited in vain.
    failures: u32,
}

// === impl Book ===

impl Book {
    /// The agent has attached, and asks for these labels.
    pub(super) fn attached(&mut self, name: &AgentName, labels: Arc<Labels>) {
        self.agents.entry(name.clone()).or_default().attached = Some(labels);
        self.ask_for_visit(name);
    }

    /// These agents have self-registered Secrets, and no other.
    pub(super) fn registered(&mut self, names: &BTreeSet<AgentName>) {
        for name in names {
            let agent = self.agents.entry(name.clone()).or_default();
            if !std::mem::replace(&mut agent.is_registered, true) && agent.due.is_none() {
                self.ask_for_visit(name);
            }
        }
        let gone = |(name, agent): (&AgentName, &mut Agent)| {
            let is_gone = agent.is_registered && !names.contains(name);
            if is_gone {
                agent.is_registered = false;
            }
            is_gone.then(|| name.clone())
        };
        let gone: Vec<_> = self.agents.iter_mut().filter_map(gone).collect();
        for name in gone {
            self.due_at(&name, None);
            // Whoever is on the way there finds out.
            let is_wanted = |agent: &Agent| agent.attached.is_some() || agent.is_visited;
            if !self.agents.get(&name).is_some_and(is_wanted) {
                self.forget(&name);
            }
        }
    }

    /// What all Secrets have in common has changed.
    pub(super) fn all(&mut self) {
        let names: Vec<_> = self.agents.keys().cloned().collect();
        for name in names {
            self.ask_for_visit(&name);
        }
    }

    /// What kept visits from succeeding is over.
    pub(super) fn all_failed(&mut self) {
        let failed = self.agents.iter().filter(|(_, agent)| agent.failures > 0);
        let names: Vec<_> = failed.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.ask_for_visit(&name);
        }
    }

    /// Whom to visit next.
    pub(super) fn next_visit(&mut self) -> Option<Visit> {
        while let Some(name) = self.turns.next() {
            if let Some(agent) = self.agents.get_mut(&name) {
                agent.is_visited = true;
                return Some(Visit { agent: name, attached: agent.attached.take() });
            }
        }
        None
    }

    /// The visit is over. The next one is due then, or never of itself.
    pub(super) fn settled(&mut self, visit: &Visit, due: Option<Instant>) {
        let Some(agent) = self.agents.get_mut(&visit.agent) else { return };
        (agent.is_visited, agent.failures) = (false, 0);
        if std::mem::take(&mut agent.again) || agent.attached.is_some() {
            self.due_at(&visit.agent, due);
            self.ask_for_visit(&visit.agent);
            return;
        }
        self.unsettled.remove(&visit.agent);
        match due {
            // It was gone before that became known, or is somebody else's.
            None if !agent.is_registered => self.forget(&visit.agent),
            due => self.due_at(&visit.agent, due),
        }
    }

    /// The visit was in vain, and is made again; what the agent has said since counts in place of what it said before.
    pub(super) fn failed(&mut self, visit: Visit, now: Instant) {
        let Visit { agent: name, attached } = visit;
        let Some(agent) = self.agents.get_mut(&name) else { return };
        agent.is_visited = false;
        agent.again = false;
        agent.attached = agent.attached.take().or(attached);
        let pause = FIRST_PAUSE.saturating_mul(1 << agent.failures.min(MAX_DOUBLINGS)).min(LONGEST_PAUSE);
        agent.failures = agent.failures.saturating_add(1);
        let again = now + pause.mul_f64(rand::rng().random_range(0.5..=1.0));
        self.due_at(&name, Some(again));
    }

    /// When somebody is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Whoever is due by now is to be visited.
    pub(super) fn due(&mut self, now: Instant) {
        while self.next_due().is_some_and(|due| due <= now)
            && let Some((_, name)) = self.due.pop_first()
        {
            if let Some(agent) = self.agents.get_mut(&name) {
                agent.due = None;
                self.ask_for_visit(&name);
            }
        }
    }

    /// Whether anybody waits for a visit.
    pub(super) fn has_turns(&self) -> bool {
        self.turns.first().is_some()
    }

    /// How many have not been visited with success since they were to be.
    pub(super) fn unsettled(&self) -> usize {
        self.unsettled.len()
    }

    fn ask_for_visit(&mut self, name: &AgentName) {
        let Some(agent) = self.agents.get_mut(name) else { return };
        self.unsettled.insert(name.clone());
        match agent.is_visited {
            true => agent.again = true,
            false => self.turns.add(name),
        }
    }

    fn due_at(&mut self, name: &AgentName, due: Option<Instant>) {
        let Some(agent) = self.agents.get_mut(name) else { return };
        if let Some(before) = std::mem::replace(&mut agent.due, due) {
            self.due.remove(&(before, name.clone()));
        }
        if let Some(due) = due {
            self.due.insert((due, name.clone()));
        }
    }

    fn forget(&mut self, name: &AgentName) {
        self.due_at(name, None);
        self.agents.remove(name);
        self.turns.remove(name);
        self.unsettled.remove(name);
    }
}

/// Most outages are short.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// What is missing for longer is for an operator to mend. As soon as one visit succeeds, all are made again.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// `FIRST_PAUSE` doubled this often is above `LONGEST_PAUSE`.
const MAX_DOUBLINGS: u32 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str) -> AgentName {
        AgentName::parse(name).unwrap()
    }

    fn labels() -> Arc<Labels> {
        Arc::new(Labels::new())
    }

    fn registered(book: &mut Book, names: &[&str]) {
        book.registered(&names.iter().map(|name| agent(name)).collect());
    }

    /// Whom it sends somebody to, and whether they have attached.
    fn next(book: &mut Book) -> Option<(String, bool)> {
        book.next_visit().map(|visit| (visit.agent.to_string(), visit.attached.is_some()))
    }

    fn visit(name: &str) -> Visit {
        Visit { agent: agent(name), attached: None }
    }

    #[tokio::test(start_paused = true)]
    async fn who_attaches_is_visited_once_and_again_when_it_is_due() {
        let (mut book, now) = (Book::default(), Instant::now());
        book.attached(&agent("a"), labels());
        book.attached(&agent("a"), labels());
        assert_eq!((next(&mut book), next(&mut book)), (Some(("a".into(), true)), None));
        let due = now + Duration::from_secs(60);
        book.settled(&visit("a"), Some(due));
        // That there is a Secret now is no news.
        registered(&mut book, &["a"]);
        assert_eq!((next(&mut book), book.next_due(), book.unsettled()), (None, Some(due), 0));
        book.due(due);
        assert_eq!((next(&mut book), book.next_due()), (Some(("a".into(), false)), None));
    }

    #[test]
    fn what_is_found_and_what_all_have_in_common_leads_to_visits() {
        let mut book = Book::default();
        registered(&mut book, &["a", "b"]);
        registered(&mut book, &["a", "b"]);
        assert_eq!((next(&mut book), next(&mut book)), (Some(("a".into(), false)), Some(("b".into(), false))));
        book.settled(&visit("a"), None);
        // One is still on the way: it is visited again, and not twice at a time.
        book.all();
        assert_eq!((next(&mut book), next(&mut book)), (Some(("a".into(), false)), None));
        book.settled(&visit("b"), None);
        assert_eq!(next(&mut book), Some(("b".into(), false)));
        assert_eq!(book.unsettled(), 2);
    }

    #[test]
    fn a_secret_that_is_gone_is_nobodys_business_until_its_agent_attaches() {
        let mut book = Book::default();
        registered(&mut book, &["a", "b"]);
        assert_eq!(next(&mut book), Some(("a".into(), false)));
        registered(&mut book, &[]);
        assert_eq!(next(&mut book), None);
        book.settled(&visit("a"), None);
        book.all();
        assert_eq!((next(&mut book), book.unsettled(), book.agents.len()), (None, 0, 0));
        book.attached(&agent("a"), labels());
        registered(&mut book, &[]);
        assert_eq!(next(&mut book), Some(("a".into(), true)));
        // It is somebody else's: nothing is kept of it.
        book.settled(&visit("a"), None);
        assert!(book.agents.is_empty() && book.due.is_empty());
    }

    #[test]
    fn a_visit_in_vain_is_made_again_later_and_later_with_what_was_said_last() {
        let (mut book, mut now) = (Book::default(), Instant::now());
        let (old, new) = (labels(), Arc::new([common::label::parse_pair("a=b").unwrap()].into()));
        book.attached(&agent("a"), old);
        let mut most = FIRST_PAUSE;
        for _ in 0..12 {
            let visit = book.next_visit().unwrap();
            assert!(visit.attached.is_some());
            book.failed(visit, now);
            let due = book.next_due().unwrap();
            assert!(due >= now + most / 2 && due <= now + most, "{:?} of {most:?}", due - now);
            (now, most) = (due, LONGEST_PAUSE.min(most * 2));
            book.due(now);
        }
        let visit = book.next_visit().unwrap();
        book.attached(&agent("a"), Arc::clone(&new));
        book.failed(visit, now);
        assert_eq!(book.unsettled(), 1);
        book.all_failed();
        let visit = book.next_visit().unwrap();
        assert_eq!(visit.attached, Some(new));
        book.settled(&visit, Some(now));
        book.all_failed();
        assert_eq!(next(&mut book), None);
    }
}
