//! A `Dialer` whose pipes lead to real Redis servers, without an agent between.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use common::{
    AgentName, drain,
    tunnel::{
        Opening, PipeId, SessionId, Target, TunnelStream, event::PrincipalEvent, in_memory::carried, stream::End,
    },
};
use principal::agents::{DialError, Dialer, Lease};
use tokio::{
    io::copy_bidirectional,
    net::TcpStream,
    sync::{Semaphore, mpsc, oneshot, watch},
};
use tokio_util::sync::CancellationToken;
use tracing::Span;

/// The agents that can be reached.
pub(super) struct Pipes {
    sessions: Mutex<HashMap<AgentName, Attached>>,
    newest: Mutex<HashMap<AgentName, watch::Sender<Option<SessionId>>>>,
    drain: drain::Watch,
}

#[derive(Clone)]
struct Attached {
    id: SessionId,
    redis: SocketAddr,
    pipes: CancellationToken,
}

// === impl Pipes ===

impl Pipes {
    pub(super) fn new(drain: drain::Watch) -> Arc<Self> {
        Arc::new(Self { sessions: Mutex::default(), newest: Mutex::default(), drain })
    }

    /// A new session of an agent, whose Redis is there. The pipes of an earlier one go on.
    pub(super) fn attach(&self, agent: &AgentName, redis: SocketAddr) {
        let session = Attached { id: SessionId::random(), redis, pipes: CancellationToken::new() };
        let id = session.id;
        self.sessions.lock().unwrap().insert(agent.clone(), session);
        self.tell(agent, Some(id));
    }

    /// The agent goes, and its pipes with it.
    pub(super) fn detach(&self, agent: &AgentName) {
        let session = self.sessions.lock().unwrap().remove(agent).unwrap();
        self.tell(agent, None);
        session.pipes.cancel();
    }

    /// Cuts the pipes of an agent, which stays.
    pub(super) fn cut(&self, agent: &AgentName) {
        let mut sessions = self.sessions.lock().unwrap();
        let session = sessions.get_mut(agent).unwrap();
        std::mem::take(&mut session.pipes).cancel();
    }

    fn tell(&self, agent: &AgentName, newest: Option<SessionId>) {
        self.newest.lock().unwrap().entry(agent.clone()).or_default().send_replace(newest);
    }
}

impl Dialer for Pipes {
    fn reserve(&self, agent: &AgentName) -> Result<Lease, DialError> {
        let id = self.sessions.lock().unwrap().get(agent).ok_or(DialError::NotConnected)?.id;
        let place = || Arc::new(Semaphore::new(1)).try_acquire_owned().map_err(|_full| DialError::Busy);
        Ok(Lease::new(id, place()?, place()?))
    }

    fn dial(&self, id: SessionId, target: Target) -> Result<TunnelStream, DialError> {
        let sessions = self.sessions.lock().unwrap();
        let session = sessions.values().find(|session| session.id == id).cloned().ok_or(DialError::NotConnected)?;
        let (control, mut opens) = mpsc::channel(1);
        let (attached, when_attached) = oneshot::channel();
        let opening = Opening { pipe: PipeId::FIRST, target, control };
        let (stream, outgoing) = TunnelStream::dial(opening, when_attached, Box::new(|_end: End| {}), None);
        self.drain.spawn(Span::none(), async move {
            let Some(PrincipalEvent::Open(open)) = opens.recv().await.map(|event| *event) else { return };
            assert_eq!(open.target, Some(Target::Redis));
            let (attach, when_open) = oneshot::channel();
            let (mut io, answers) = TunnelStream::accept(open.early_data, when_open, None);
            attach.send(Ok(carried(outgoing))).unwrap();
            attached.send(Ok(carried(answers))).unwrap_or_default();
            // A Redis that is away cuts the pipe.
            let Ok(mut redis) = TcpStream::connect(session.redis).await else { return };
            let pass = copy_bidirectional(&mut io, &mut redis);
            let _ended = session.pipes.run_until_cancelled(pass).await;
        });
        Ok(stream)
    }

    fn newest(&self, agent: &AgentName) -> watch::Receiver<Option<SessionId>> {
        self.newest.lock().unwrap().entry(agent.clone()).or_default().subscribe()
    }
}
