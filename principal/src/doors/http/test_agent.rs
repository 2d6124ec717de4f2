//! Agents for tests: real pipes, without the gRPC connection between their ends.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use common::{
    AgentName, drain,
    tunnel::{
        Opening, PipeError, PipeId, SessionId, Target, TunnelStream, error::RefusedReason, event::PrincipalEvent,
        in_memory::carried, stream::End,
    },
};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tracing::Span;

use crate::agents::{DialError, Dialer, Lease};

/// The agents that a door can reach.
#[derive(Debug)]
pub(crate) struct TestAgents {
    sessions: Mutex<HashMap<AgentName, TestSession>>,
    newest: Mutex<HashMap<AgentName, watch::Sender<Option<SessionId>>>>,
    pipes: mpsc::Sender<AgentPipe>,
    drain: drain::Watch,
}

#[derive(Debug, Clone)]
struct TestSession {
    id: SessionId,
    slots: Arc<Semaphore>,
    refuses: Option<PipeError>,
}

/// The agent's end of a pipe.
#[derive(Debug)]
pub(crate) struct AgentPipe {
    pub(crate) session: SessionId,
    pub(crate) io: TunnelStream,
    /// How the door's end ended, when it has.
    pub(crate) ended: oneshot::Receiver<End>,
}

// === impl TestAgents ===

impl TestAgents {
    /// No agents yet; the pipes that doors open come out of the receiver.
    pub(crate) fn new(drain: drain::Watch) -> (Arc<Self>, mpsc::Receiver<AgentPipe>) {
        let (pipes, opened) = mpsc::channel(1024);
        (Arc::new(Self { sessions: Mutex::default(), newest: Mutex::default(), pipes, drain }), opened)
    }

    /// Attaches a session that takes so many exchanges at once; replaces an earlier one.
    pub(crate) fn attach(&self, agent: &str, slots: usize) -> SessionId {
        self.insert(agent, slots, None)
    }

    /// Attaches an agent that opens no pipes.
    pub(crate) fn attach_refusing(&self, agent: &str, error: PipeError) {
        self.insert(agent, 1, Some(error));
    }

    /// Takes a session away.
    pub(crate) fn detach(&self, agent: &str) {
        self.sessions.lock().unwrap().remove(&AgentName::parse(agent).unwrap());
        self.tell(&AgentName::parse(agent).unwrap(), None);
    }

    /// Exchanges that the agent would take now.
    pub(crate) fn free_slots(&self, agent: &str) -> usize {
        self.sessions.lock().unwrap()[&AgentName::parse(agent).unwrap()].slots.available_permits()
    }

    fn insert(&self, agent: &str, slots: usize, refuses: Option<PipeError>) -> SessionId {
        let session = TestSession { id: SessionId::random(), slots: Arc::new(Semaphore::new(slots)), refuses };
        let id = session.id;
        let agent = AgentName::parse(agent).unwrap();
        self.sessions.lock().unwrap().insert(agent.clone(), session);
        self.tell(&agent, Some(id));
        id
    }

    fn tell(&self, agent: &AgentName, newest: Option<SessionId>) {
        self.newest.lock().unwrap().entry(agent.clone()).or_default().send_replace(newest);
    }
}

impl Dialer for TestAgents {
    fn reserve(&self, agent: &AgentName) -> Result<Lease, DialError> {
        let session = self.sessions.lock().unwrap().get(agent).cloned().ok_or(DialError::NotConnected)?;
        let slot = session.slots.try_acquire_owned().map_err(|_| DialError::Busy)?;
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().map_err(|_full| DialError::Busy)?;
        Ok(Lease::new(session.id, slot, place))
    }

    fn dial(&self, id: SessionId, target: Target) -> Result<TunnelStream, DialError> {
        let sessions = self.sessions.lock().unwrap();
        let session = sessions.values().find(|session| session.id == id).cloned().ok_or(DialError::NotConnected)?;
        let (control, mut opens) = mpsc::channel(1);
        let (attached, when_attached) = oneshot::channel();
        let (tell_end, ended) = oneshot::channel();
        let on_end = Box::new(move |end| tell_end.send(end).unwrap_or_default());
        let opening = Opening { pipe: PipeId::FIRST, target, control };
        let (stream, outgoing) = TunnelStream::dial(opening, when_attached, on_end, None);
        let pipes = self.pipes.clone();
        self.drain.spawn(Span::none(), async move {
            let Some(PrincipalEvent::Open(open)) = opens.recv().await.map(|event| *event) else { return };
            assert_eq!(open.target, Some(target));
            if let Some(error) = session.refuses {
                attached.send(Err(error)).unwrap_or_default();
                return;
            }
            let (attach, when_open) = oneshot::channel();
            let (io, answers) = TunnelStream::accept(open.early_data, when_open, None);
            attach.send(Ok(carried(outgoing))).unwrap();
            attached.send(Ok(carried(answers))).unwrap_or_default();
            pipes.send(AgentPipe { session: id, io, ended }).await.unwrap_or_default();
        });
        Ok(stream)
    }

    fn newest(&self, agent: &AgentName) -> watch::Receiver<Option<SessionId>> {
        self.newest.lock().unwrap().entry(agent.clone()).or_default().subscribe()
    }
}

/// The refusal of an agent that does not serve Kubernetes.
pub(crate) fn not_served() -> PipeError {
    PipeError::Refused(RefusedReason::Target)
}
