//! One attached session of one agent: its pipes that are asked for and not open yet, and its places for exchanges.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use common::{
    AgentName,
    tunnel::{
        Incoming, Opening, PipeError, PipeId, SessionId, Target, TunnelStream,
        budget::Budget,
        error::RefusedReason,
        event::PrincipalEvent,
        flow::{Flow, Windows},
        stream::{Attached, End, Outgoing},
    },
};
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{DialError, Lease, cancels::Cancels, metrics::TunnelMetrics};

/// Shared by the registry, the service and every pipe of the session.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    agent: AgentName,
    about: About,
    since: Timestamp,
    /// Of the last ping, in microseconds; 0 before the first was answered.
    round_trip: AtomicU64,
    control: mpsc::Sender<Box<PrincipalEvent>>,
    /// Read by the control stream.
    pub(super) cancels: Cancels,
    /// Pipes asked for and not open yet. A std mutex: held for a map operation, never across an await.
    pending: Mutex<HashMap<PipeId, Pending>>,
    next_pipe: AtomicU64,
    flow: Arc<Flow>,
    slots: Arc<Semaphore>,
    max_requests: u32,
    ended: CancellationToken,
    metrics: TunnelMetrics,
}

/// What an agent says of itself, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct About {
    pub(super) build: String,
    pub(super) mode: String,
    pub(super) namespace: String,
    /// Of its process.
    pub(super) instance: Option<String>,
}

/// What a session's control stream reads.
#[derive(Debug)]
pub(super) struct Events {
    pub(super) control: mpsc::Receiver<Box<PrincipalEvent>>,
    pub(super) session: Arc<Session>,
}

/// The pipe is not one that the session waits for: unknown, or opened before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnknownPipe;

#[derive(Debug)]
struct Pending {
    attached: oneshot::Sender<Attached>,
    outgoing: Outgoing,
}

// === impl Session ===

impl Session {
    pub(super) fn new(
        agent: AgentName,
        about: About,
        windows: Windows,
        max_requests: usize,
        metrics: TunnelMetrics,
    ) -> (Arc<Self>, Events) {
        let (control, control_events) = mpsc::channel(common::tunnel::limits::QUEUED_OPENS);
        // A pipe is cancelled at most once, so this never fills while the agent reads its control stream.
        let cancels = Cancels::new(max_requests.saturating_mul(2));
        let session = Arc::new(Self {
            id: SessionId::random(),
            agent,
            about,
            since: Timestamp::now(),
            round_trip: AtomicU64::new(0),
            control,
            cancels,
            pending: Mutex::default(),
            next_pipe: AtomicU64::new(PipeId::FIRST.get()),
            flow: Flow::new(windows, Arc::default(), Budget::telling(metrics.window_bytes.clone())),
            slots: Arc::new(Semaphore::new(max_requests)),
            max_requests: u32::try_from(max_requests).unwrap_or(u32::MAX),
            ended: CancellationToken::new(),
            metrics,
        });
        let events = Events { control: control_events, session: Arc::clone(&session) };
        (session, events)
    }

    /// The session's id.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Whose session it is.
    #[must_use]
    pub fn agent(&self) -> &AgentName {
        &self.agent
    }

    /// What the agent says of itself.
    pub(super) fn about(&self) -> &About {
        &self.about
    }

    /// When it was attached.
    pub(super) fn since(&self) -> Timestamp {
        self.since
    }

    /// A ping was answered.
    pub(super) fn took(&self, round_trip: Duration) {
        let micros = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        self.round_trip.store(micros.max(1), Ordering::Relaxed);
        self.flow.took(round_trip);
    }

    /// What the last ping took.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        let micros = self.round_trip.load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros))
    }

    /// What its pipes share of their windows.
    pub(super) fn flow(&self) -> &Arc<Flow> {
        &self.flow
    }

    /// Whether the same run of the agent's process attached both, as far as that is known.
    pub(super) fn is_of_the_process_of(&self, other: &Self) -> bool {
        self.about.instance.is_some() && self.about.instance == other.about.instance
    }

    /// Reserves one exchange; `place` is its place among those of all agents.
    pub(super) fn reserve(&self, place: OwnedSemaphorePermit) -> Result<Lease, DialError> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().map_err(|_full| DialError::Busy)?;
        Ok(Lease::new(self.id, slot, place))
    }

    pub(super) fn dial(self: &Arc<Self>, target: Target) -> Result<TunnelStream, DialError> {
        let pipe = PipeId::try_from(self.next_pipe.fetch_add(1, Ordering::Relaxed))
            .expect("a session does not live to see 2^64 pipes");
        let (attached, when_attached) = oneshot::channel();
        let opening = Opening { pipe, target, control: self.control.clone() };
        let session = Arc::clone(self);
        let on_end = Box::new(move |end| session.pipe_ended(pipe, end));
        let (stream, outgoing) = TunnelStream::dial(opening, when_attached, on_end, self.flow.pipe(pipe));
        self.metrics.pipes_open.inc();
        self.pending().insert(pipe, Pending { attached, outgoing });
        // Checked after the insert: `end` sets the token first and clears the map second, so one of the two sees it.
        if self.ended.is_cancelled() {
            self.pending().remove(&pipe);
            return Err(DialError::NotConnected);
        }
        Ok(stream)
    }

    /// The agent opened a pipe: hands its inbound half to whoever dialed and returns the outbound half.
    pub(super) fn attach(&self, pipe: PipeId, incoming: Incoming) -> Result<Outgoing, UnknownPipe> {
        let Pending { attached, outgoing } = self.pending().remove(&pipe).ok_or(UnknownPipe)?;
        attached.send(Ok(incoming)).map_err(|_left| UnknownPipe)?;
        Ok(outgoing)
    }

    /// The agent does not open a pipe.
    pub(super) fn refused(&self, pipe: PipeId, reason: RefusedReason) {
        if let Some(pending) = self.pending().remove(&pipe) {
            // Whoever dialed may have left meanwhile.
            pending.attached.send(Err(PipeError::Refused(reason))).unwrap_or_default();
        }
    }

    /// Queues an event; `false` when the agent does not keep up with its control stream or is gone.
    pub(super) fn say(&self, event: PrincipalEvent) -> bool {
        self.control.try_send(Box::new(event)).is_ok()
    }

    /// Resolves when no exchange runs any more; afterwards none begins. Boxed: it is for the end of a session alone.
    pub(super) fn idle(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (slots, all) = (Arc::clone(&self.slots), self.max_requests);
        Box::pin(async move {
            if let Ok(all) = slots.acquire_many(all).await {
                all.forget();
            }
        })
    }

    /// Ends the session: what waits for a pipe, or for the agent to take more, fails now.
    pub(super) fn end(&self) {
        self.ended.cancel();
        self.flow.close();
        self.pending().clear();
    }

    /// Resolves when the session has ended.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    fn pipe_ended(&self, pipe: PipeId, end: End) {
        self.metrics.pipes_open.dec();
        if end != End::Clean {
            self.pending().remove(&pipe);
        }
        if end == End::Cut {
            // A queue that is full means a control stream that is stuck: liveness ends that session.
            self.cancels.push(pipe);
        }
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, HashMap<PipeId, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
