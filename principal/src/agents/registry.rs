//! Who is attached: the newest session of an agent wins, and the one it replaces is told.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use common::{
    AgentName,
    tunnel::{
        SessionId, Target, TunnelStream,
        event::{GoAwayReason, PrincipalEvent},
        flow::Windows,
    },
};
use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};
use tracing::{info, warn};

use super::{
    DialError, Dialer, Directory, Lease,
    metrics::TunnelMetrics,
    session::{About, Events, Session},
};

/// Every attached session, by agent and by id.
#[derive(Debug)]
pub struct Registry {
    /// A std lock: held for map operations, never across an await.
    attached: RwLock<Attached>,
    directory: Arc<Directory>,
    limits: Limits,
    places: Arc<Semaphore>,
    metrics: TunnelMetrics,
}

/// How many exchanges may be in flight.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// With one session.
    pub per_agent: usize,
    /// With all of them together.
    pub all: usize,
}

#[derive(Debug, Default)]
struct Attached {
    /// Where new exchanges go.
    newest: HashMap<AgentName, Arc<Session>>,
    /// Also those that were replaced and still finish what runs.
    all: HashMap<SessionId, Arc<Session>>,
    /// Who is told which session is the newest. One that nobody listens to goes when there is a change, or somebody else
    /// wants to be told.
    told: HashMap<AgentName, watch::Sender<Option<SessionId>>>,
    /// Those that were attached and are not. As many as have certificates of our CA, so nothing is forgotten.
    gone: HashMap<AgentName, (Timestamp, About)>,
}

/// An agent that has attached.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) standing: Standing,
    pub(super) about: About,
}

/// How it stands with it now.
#[derive(Debug)]
pub(super) enum Standing {
    Attached { since: Timestamp, round_trip: Option<Duration> },
    Gone { since: Timestamp },
}

// === impl Registry ===

impl Registry {
    /// An empty registry, which tells the directory who attaches.
    #[must_use]
    pub fn new(directory: Arc<Directory>, limits: Limits, metrics: TunnelMetrics) -> Self {
        let places = Arc::new(Semaphore::new(limits.all));
        Self { attached: RwLock::default(), directory, limits, places, metrics }
    }

    /// Attaches a new session, which takes over from an older one of the same agent.
    pub(super) fn attach(&self, agent: &AgentName, about: About, windows: Windows) -> (Arc<Session>, Events) {
        let (most, metrics) = (self.limits.per_agent, self.metrics.clone());
        let (session, events) = Session::new(agent.clone(), about, windows, most, metrics);
        self.directory.saw(agent);
        let mut attached = self.write();
        attached.all.insert(session.id(), Arc::clone(&session));
        attached.gone.remove(agent);
        let replaced = attached.newest.insert(agent.clone(), Arc::clone(&session));
        attached.tell(agent);
        self.metrics.agents_connected.set(level(&attached.newest));
        drop(attached);
        self.metrics.sessions.inc();
        if let Some(old) = replaced {
            if session.is_of_the_process_of(&old) {
                info!(%agent, old = %old.id(), new = %session.id(), "the agent attached anew, its newer session is used");
            } else {
                warn!(%agent, old = %old.id(), new = %session.id(), "a newer session of the agent took over");
            }
            if !old.say(PrincipalEvent::GoAway(GoAwayReason::Replaced)) {
                old.end();
            }
        }
        (session, events)
    }

    /// New exchanges no longer go to this session.
    pub(super) fn retire(&self, session: &Session) {
        let mut attached = self.write();
        if let Entry::Occupied(newest) = attached.newest.entry(session.agent().clone())
            && newest.get().id() == session.id()
        {
            newest.remove();
            attached.gone.insert(session.agent().clone(), (Timestamp::now(), session.about().clone()));
            attached.tell(session.agent());
        }
        self.metrics.agents_connected.set(level(&attached.newest));
    }

    /// The session is gone.
    pub(super) fn detach(&self, session: &Session) {
        self.retire(session);
        self.write().all.remove(&session.id());
        session.end();
    }

    /// How many exchanges a session may have in flight.
    pub(super) fn per_agent(&self) -> usize {
        self.limits.per_agent
    }

    /// The session with that id, replaced ones included.
    pub(super) fn session(&self, id: SessionId) -> Option<Arc<Session>> {
        self.read().all.get(&id).cloned()
    }

    /// The agents that are attached now, in order.
    #[must_use]
    pub fn agents(&self) -> Vec<AgentName> {
        let mut agents: Vec<_> = self.read().newest.keys().cloned().collect();
        agents.sort();
        agents
    }

    /// Up to `most` of those that have attached, in order of their names, from the one after `after` on.
    pub(super) fn seen(&self, after: &str, most: usize) -> Vec<(AgentName, Seen)> {
        let attached = self.read();
        let names = attached.newest.keys().chain(attached.gone.keys()).filter(|name| name.as_str() > after);
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names.truncate(most);
        names.into_iter().filter_map(|name| Some((name.clone(), attached.seen(name)?))).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Attached> {
        self.attached.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Attached> {
        self.attached.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dialer for Registry {
    fn reserve(&self, agent: &AgentName) -> Result<Lease, DialError> {
        let attached = self.read();
        let session = attached.newest.get(agent).ok_or(DialError::NotConnected)?;
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_full| DialError::Busy)?;
        session.reserve(place)
    }

    fn dial(&self, session: SessionId, target: Target) -> Result<TunnelStream, DialError> {
        self.session(session).ok_or(DialError::NotConnected)?.dial(target)
    }

    fn newest(&self, agent: &AgentName) -> watch::Receiver<Option<SessionId>> {
        let mut attached = self.write();
        if let Some(told) = attached.told.get(agent) {
            return told.subscribe();
        }
        attached.told.retain(|_, told| told.receiver_count() > 0);
        let (told, newest) = watch::channel(attached.newest_of(agent));
        attached.told.insert(agent.clone(), told);
        newest
    }
}

// === impl Attached ===

impl Attached {
    fn newest_of(&self, agent: &AgentName) -> Option<SessionId> {
        self.newest.get(agent).map(|session| session.id())
    }

    fn seen(&self, agent: &AgentName) -> Option<Seen> {
        if let Some(session) = self.newest.get(agent) {
            let standing = Standing::Attached { since: session.since(), round_trip: session.round_trip() };
            return Some(Seen { standing, about: session.about().clone() });
        }
        let (since, about) = self.gone.get(agent)?;
        Some(Seen { standing: Standing::Gone { since: *since }, about: about.clone() })
    }

    /// What is newest has changed.
    fn tell(&mut self, agent: &AgentName) {
        let newest = self.newest_of(agent);
        // Under the lock: whoever reserves because of what it was told finds it so.
        if let Some(told) = self.told.get(agent)
            && told.send(newest).is_err()
        {
            self.told.remove(agent);
        }
    }
}

fn level<K, V>(map: &HashMap<K, V>) -> i64 {
    i64::try_from(map.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Registry {
        let metrics = TunnelMetrics::register(&mut prometheus_client::registry::Registry::default());
        let directory = Arc::new(Directory::new(None));
        Registry::new(directory, Limits { per_agent: 8, all: 8 }, metrics)
    }

    const WINDOWS: Windows = Windows { own: 65_535, peers: None };

    fn about() -> About {
        About { build: "1".into(), mode: "managed".into(), namespace: "argocd".into(), instance: None }
    }

    #[test]
    fn whoever_follows_an_agent_is_told_of_each_of_its_sessions() {
        let (registry, agent) = (registry(), AgentName::parse("a").unwrap());
        let mut newest = registry.newest(&agent);
        assert_eq!(*newest.borrow_and_update(), None);
        let (first, _events) = registry.attach(&agent, about(), WINDOWS);
        assert!(newest.has_changed().unwrap());
        assert_eq!(*newest.borrow_and_update(), Some(first.id()));
        let (second, _events) = registry.attach(&agent, about(), WINDOWS);
        assert_eq!(*newest.borrow_and_update(), Some(second.id()));
        // One that was replaced ends without being told of: nothing changes.
        registry.detach(&first);
        assert!(!newest.has_changed().unwrap());
        let (_other, _events) = registry.attach(&AgentName::parse("b").unwrap(), about(), WINDOWS);
        assert!(!newest.has_changed().unwrap());
        registry.retire(&second);
        assert_eq!(*newest.borrow_and_update(), None);
        registry.detach(&second);
        assert!(!newest.has_changed().unwrap());
        assert_eq!(*registry.newest(&agent).borrow(), None);
    }

    #[test]
    fn who_is_not_followed_any_more_costs_nothing() {
        let (registry, agent) = (registry(), AgentName::parse("a").unwrap());
        drop(registry.newest(&agent));
        let (_session, _events) = registry.attach(&agent, about(), WINDOWS);
        assert!(registry.read().told.is_empty());
        drop(registry.newest(&agent));
        let newest = registry.newest(&AgentName::parse("b").unwrap());
        assert_eq!(registry.read().told.len(), 1);
        assert_eq!(*newest.borrow(), None);
        assert!(registry.newest(&agent).borrow().is_some());
    }
}
