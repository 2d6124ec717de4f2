//! Watches who is registered and who is attached, asks agents what they know of their clusters, and writes all of it into
//! the book.
//!
//! Always true: waiting costs nothing, and so many agents are asked at a time that neither they nor we are busy with it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use common::{AgentName, Report, tunnel::SessionId};
use futures_util::{
    StreamExt,
    future::{AbortHandle, Abortable, abortable},
    stream::FuturesUnordered,
};
use tokio::{sync::watch, task::yield_now, time::Instant};
use tracing::{debug, warn};

use super::{
    book::{Book, Registered},
    desk::Desk,
    figures::Figures,
    metrics::{Answer, ClusterInfoMetrics},
    question::{Failure, ask},
};
use crate::{
    agents::Dialer,
    control_plane::References,
    wait::{changed, until},
};

/// The task.
pub(super) struct Watcher {
    dialer: Arc<dyn Dialer>,
    clusters: Arc<References>,
    desk: Arc<Desk>,
    metrics: ClusterInfoMetrics,
    /// What ends to follow each agent.
    followed: HashMap<AgentName, AbortHandle>,
}

/// Which session of an agent is the newest.
type Newest = watch::Receiver<Option<SessionId>>;

// === impl Watcher ===

impl Watcher {
    pub(super) fn new(
        dialer: Arc<dyn Dialer>,
        clusters: Arc<References>,
        desk: Arc<Desk>,
        metrics: ClusterInfoMetrics,
    ) -> Self {
        Self { dialer, clusters, desk, metrics, followed: HashMap::new() }
    }

    /// Watches for ever.
    pub(super) async fn run(mut self) {
        let mut changes = self.clusters.changes();
        // What is known already counts, too.
        changes.mark_changed();
        let mut read_at = Instant::now();
        let mut moves = FuturesUnordered::new();
        let mut asked = FuturesUnordered::new();
        loop {
            while asked.len() < ASKED
                && let Some((agent, session)) = self.desk.with(Book::next_ask)
            {
                asked.push(question(Arc::clone(&self.dialer), agent, session));
            }
            let due = self.desk.with(|book| book.next_due());
            tokio::select! {
                () = changed(&mut changes, read_at) => {
                    for agent in self.read() {
                        let mut newest = self.dialer.newest(&agent);
                        // As it is now counts, too.
                        newest.mark_changed();
                        moves.push(self.follow(agent, newest));
                        // Thousands may come at once, and each is looked up.
                        yield_now().await;
                    }
                    read_at = Instant::now() + PAUSE;
                }
                Some(next) = moves.next() => {
                    if let Ok((agent, mut newest)) = next {
                        let session = *newest.borrow_and_update();
                        self.desk.with(|book| book.attached(&agent, session));
                        moves.push(self.follow(agent, newest));
                    }
                }
                Some((agent, session, said)) = asked.next() => self.heard(&agent, session, said),
                () = until(due) => self.desk.with(|book| book.due(Instant::now())),
            }
        }
    }

    /// Reads who is registered; those who were not are to be followed.
    fn read(&mut self) -> Vec<AgentName> {
        let Some(servers) = self.clusters.servers() else { return Vec::new() };
        let done = self.desk.with(|book| book.registered(servers, Instant::now()));
        let Registered { came, gone, contested } = done;
        for agent in gone {
            if let Some(stop) = self.followed.remove(&agent) {
                stop.abort();
            }
        }
        for (agent, server) in contested {
            warn!(
                %agent,
                %server,
                "another agent's cluster Secret has the same server, by which Argo CD tells clusters apart: it needs one of \
                 its own, such as https://argocd-agent-resource-proxy:9090?agentName={agent}"
            );
        }
        came
    }

    /// The next that is to be known of the agent's sessions, unless nobody wants to know by then.
    fn follow(
        &mut self,
        agent: AgentName,
        newest: Newest,
    ) -> Abortable<impl Future<Output = (AgentName, Newest)> + use<>> {
        let (next, stop) = abortable(moved(agent.clone(), newest));
        self.followed.insert(agent, stop);
        next
    }

    fn heard(&self, agent: &AgentName, session: SessionId, said: Result<Option<Figures>, Failure>) {
        match said {
            Ok(figures) => {
                self.metrics.answer(if figures.is_some() { Answer::Told } else { Answer::Nothing });
                self.desk.with(|book| book.told(agent, session, figures));
            }
            Err(failure) => {
                self.metrics.answer(Answer::Failed);
                debug!(%agent, error = %Report(&failure), "the agent does not say how it stands with its cluster");
                self.desk.with(|book| book.failed(agent, session, Instant::now()));
            }
        }
    }
}

/// Resolves when the agent's newest session is another one.
async fn moved(agent: AgentName, mut newest: Newest) -> (AgentName, Newest) {
    if newest.changed().await.is_err() {
        // Nobody is left who attaches anybody.
        std::future::pending::<()>().await;
    }
    (agent, newest)
}

async fn question(
    dialer: Arc<dyn Dialer>,
    agent: AgentName,
    session: SessionId,
) -> (AgentName, SessionId, Result<Option<Figures>, Failure>) {
    let said = ask(&*dialer, &agent, session).await;
    (agent, session, said)
}

/// So many agents are asked at a time. Ten thousand that come back at once have all been asked after some seconds, and
/// those that do not answer are a few hundred a minute.
const ASKED: usize = 32;

/// All Secrets are looked at when one has changed, so whoever changes thousands of them is not followed one by one.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use common::tunnel::{Target, TunnelStream};
    use prometheus_client::registry::Registry;

    use super::{super::book::PERIOD, *};
    use crate::agents::{DialError, Lease};

    /// Agents that are attached, and cannot be asked anything.
    #[derive(Default)]
    struct Agents(Mutex<HashMap<AgentName, watch::Sender<Option<SessionId>>>>);

    // === impl Agents ===

    impl Agents {
        fn with<T>(&self, name: &str, act: impl FnOnce(&watch::Sender<Option<SessionId>>) -> T) -> T {
            let mut agents = self.0.lock().unwrap();
            act(agents.entry(AgentName::parse(name).unwrap()).or_insert_with(|| watch::Sender::new(None)))
        }
    }

    impl Dialer for Agents {
        fn reserve(&self, _agent: &AgentName) -> Result<Lease, DialError> {
            Err(DialError::Busy)
        }

        fn dial(&self, _session: SessionId, _target: Target) -> Result<TunnelStream, DialError> {
            Err(DialError::NotConnected)
        }

        fn newest(&self, agent: &AgentName) -> Newest {
            self.with(agent.as_str(), watch::Sender::subscribe)
        }
    }

    /// The next that is written: its address, and whether the agent is attached.
    async fn saved(desk: &Desk) -> (String, bool) {
        loop {
            if let Some(save) = desk.with(Book::next_save) {
                let is_attached = matches!(save.standing(), super::super::value::Standing::Attached(_));
                return (save.server.to_string(), is_attached);
            }
            desk.unsaved().await;
        }
    }

    /// What was written last of each address. Whatever is due is written at any time, and what changes twice in a row
    /// maybe once.
    struct Told<'d> {
        desk: &'d Desk,
        last: HashMap<String, bool>,
    }

    // === impl Told ===

    impl Told<'_> {
        /// Waits until all of this was written.
        async fn until(&mut self, expected: &[(&str, bool)]) {
            while expected.iter().any(|(server, is_attached)| self.last.get(*server) != Some(is_attached)) {
                self.last.extend([saved(self.desk).await]);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn agents_are_followed_while_a_secret_stands_for_them() {
        let (agents, clusters, desk) =
            (Arc::new(Agents::default()), References::not_listed(), Arc::new(Desk::default()));
        let metrics = ClusterInfoMetrics::register(&mut Registry::default());
        let watcher = Watcher::new(agents.clone(), Arc::clone(&clusters), Arc::clone(&desk), metrics);
        let followers = |name: &str| agents.with(name, watch::Sender::receiver_count);
        agents.with("b", |newest| newest.send_replace(Some(SessionId::random())));
        let mut told = Told { desk: &desk, last: HashMap::new() };
        let script = async {
            clusters.say(&[("one", "a", "x"), ("two", "b", "y")]);
            // One of them was attached before it was registered.
            told.until(&[("x", false), ("y", true)]).await;
            agents.with("a", |newest| newest.send_replace(Some(SessionId::random())));
            told.until(&[("x", true)]).await;
            agents.with("a", |newest| newest.send_replace(None));
            told.until(&[("x", false)]).await;
            assert_eq!((followers("a"), followers("b")), (1, 1));
            clusters.say(&[("two", "b", "z")]);
            told.until(&[("z", true)]).await;
            while followers("a") > 0 {
                yield_now().await;
            }
            // It comes back, and is followed again.
            agents.with("a", |newest| newest.send_replace(Some(SessionId::random())));
            clusters.say(&[("one", "a", "x"), ("two", "b", "z")]);
            told.until(&[("x", true)]).await;
            // Nobody has said anything for minutes, and all of it is written again.
            told.last.clear();
            let quiet = Instant::now();
            told.until(&[("x", true), ("z", true)]).await;
            assert!(quiet.elapsed() <= PERIOD);
        };
        tokio::select! {
            () = watcher.run() => unreachable!("it watches for ever"),
            () = script => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn thousands_of_agents_are_followed_by_one_task() {
        let (agents, clusters, desk) =
            (Arc::new(Agents::default()), References::not_listed(), Arc::new(Desk::default()));
        let metrics = ClusterInfoMetrics::register(&mut Registry::default());
        let watcher = Watcher::new(agents.clone(), Arc::clone(&clusters), Arc::clone(&desk), metrics);
        let names: Vec<_> = (0..5_000).map(|number| format!("agent-{number}")).collect();
        let script = async {
            let list: Vec<_> = names.iter().map(|name| (name.as_str(), name.as_str(), name.as_str())).collect();
            clusters.say(&list);
            for _ in &names {
                assert!(!saved(&desk).await.1);
            }
            for name in &names {
                while agents.with(name, watch::Sender::receiver_count) == 0 {
                    yield_now().await;
                }
                agents.with(name, |newest| newest.send_replace(Some(SessionId::random())));
            }
            let mut attached = std::collections::HashSet::new();
            while attached.len() < names.len() {
                let (server, is_attached) = saved(&desk).await;
                if is_attached {
                    attached.insert(server);
                }
            }
        };
        tokio::select! {
            () = watcher.run() => unreachable!("it watches for ever"),
            () = script => {}
        }
    }
}
