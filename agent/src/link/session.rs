//! One attached session at the agent: hears the principal, opens pipes, and ends when either side has had enough.

use std::{collections::HashMap, time::Duration};

use common::{
    Report, drain,
    tunnel::{
        PipeId,
        error::RefusedReason,
        event::{AgentEvent, GoAwayReason, Open, PrincipalEvent},
        liveness::Liveness,
    },
};
use futures_util::StreamExt;
use tokio::{
    sync::oneshot,
    task::{AbortHandle, JoinSet},
    time::Instant,
};
use tracing::{Instrument, debug, debug_span, info, warn};

use super::{connect::Driver, handshake::Attached, metrics::LinkMetrics, pipe};
use crate::dispatch::Dispatch;

/// Runs one session. Its pipes are its own: they end with it.
pub(super) struct Session {
    attached: Attached,
    driver: Driver,
    dispatch: Dispatch,
    drain: drain::Watch,
    metrics: LinkMetrics,
    /// Tells the pipes that the exchange that runs is the last one.
    finish: (drain::Signal, drain::Watch),
    pipes: JoinSet<PipeId>,
    aborts: HashMap<PipeId, AbortHandle>,
    /// Told once when this session takes no new pipes any more.
    left: Option<oneshot::Sender<Left>>,
    /// The connection carries no new call, as somebody between the two ends says, a mesh's proxy for instance.
    closing: bool,
    /// When another session took over: what was meant for this one by then has come.
    replaced_by: Option<Instant>,
}

/// Why a session takes no new pipes any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Left {
    /// The principal said so; what runs may finish.
    GoAway(GoAwayReason),
    /// It is over.
    Ended(String),
}

// === impl Session ===

impl Session {
    pub(super) fn new(
        attached: Attached,
        driver: Driver,
        dispatch: Dispatch,
        drain: drain::Watch,
        metrics: LinkMetrics,
    ) -> (Self, oneshot::Receiver<Left>) {
        let (left, when_left) = oneshot::channel();
        let (pipes, aborts) = (JoinSet::new(), HashMap::new());
        let finish = drain::channel();
        (
            Self {
                attached,
                driver,
                dispatch,
                drain,
                metrics,
                finish,
                pipes,
                aborts,
                left: Some(left),
                closing: false,
                replaced_by: None,
            },
            when_left,
        )
    }

    /// Runs until the connection ends, or until the last pipe has ended after a good-bye of either side or of the connection.
    pub(super) async fn run(mut self) {
        let welcome = &self.attached.welcome;
        let mut liveness = Liveness::new(welcome.ping_interval, welcome.silence, Instant::now());
        let silence = welcome.silence;
        let drain = self.drain.clone();
        let mut draining = false;
        // Until the principal has heard our good-bye it may use pipes that are idle: they are closed after that.
        let mut heard_by = None;
        let why = loop {
            let leaving = draining || self.left.is_none();
            tokio::select! {
                event = self.attached.events.next() => match event {
                    Some(Ok(event)) => match PrincipalEvent::try_from(event) {
                        Ok(event) => self.hear(event, &mut liveness, draining),
                        // An event of a later build, which it may send only where it does not matter.
                        Err(error) => debug!(error = %Report(&error), "event ignored"),
                    },
                    Some(Err(status)) => break format!("connection lost: {}", status.message()),
                    None => break "the principal ended the session".to_owned(),
                },
                ended = &mut self.driver => match ended {
                    // Where the connection has ended altogether, so have the events.
                    Ok(()) => {
                        info!("the connection takes no new pipes");
                        self.closing = true;
                        self.leave(Left::GoAway(GoAwayReason::Draining));
                    }
                    Err(error) => break format!("connection lost: {}", Report(&error)),
                },
                Some(ended) = self.pipes.join_next(), if !self.pipes.is_empty() => self.pipe_ended(ended),
                () = tokio::time::sleep_until(liveness.wake_at()) => {
                    let now = Instant::now();
                    if liveness.is_dead(now) {
                        break format!("the principal was silent for {} s", silence.as_secs());
                    }
                    if let Some(nonce) = liveness.ping_due(now) {
                        self.say(AgentEvent::Ping(nonce));
                    }
                }
                () = self.attached.flow.ping_wanted() => self.say(AgentEvent::Ping(liveness.ping(Instant::now()))),
                () = drain.draining(), if !draining => {
                    draining = true;
                    self.say(AgentEvent::GoAway(GoAwayReason::Draining));
                    // Answered behind the good-bye.
                    let now = Instant::now();
                    self.say(AgentEvent::Ping(liveness.ping(now)));
                    heard_by = Some(now + GOOD_BYE);
                }
                () = sleep_until(heard_by), if heard_by.is_some() => {
                    heard_by = None;
                    self.finish.0.begin();
                }
                () = sleep_until(self.replaced_by), if self.replaced_by.is_some() => {
                    self.replaced_by = None;
                    self.finish.0.begin();
                }
                () = std::future::ready(()), if leaving && self.pipes.is_empty() && self.replaced_by.is_none() => {
                    break "left after the last pipe".to_owned();
                }
            }
        };
        info!(reason = %why, "session ended");
        self.leave(Left::Ended(why));
        // The pipes that still run hold places in the gauge.
        self.metrics.pipes_open.dec_by(i64::try_from(self.aborts.len()).unwrap_or_default());
    }

    fn hear(&mut self, event: PrincipalEvent, liveness: &mut Liveness, draining: bool) {
        let now = Instant::now();
        liveness.hear(now);
        match event {
            PrincipalEvent::Open(open) => self.open(open, draining),
            PrincipalEvent::Cancel(pipe) => {
                if let Some(abort) = self.aborts.get(&pipe) {
                    debug!(%pipe, "pipe cancelled");
                    abort.abort();
                }
            }
            PrincipalEvent::Ping(nonce) => {
                self.say(AgentEvent::Pong(nonce));
                liveness.pinged(now);
            }
            PrincipalEvent::Pong(nonce) => {
                if let Some(round_trip) = liveness.pong(nonce, now) {
                    self.attached.flow.took(round_trip);
                    if draining {
                        self.finish.0.begin();
                    }
                    debug!(round_trip_micros = round_trip.as_micros(), "pong");
                }
            }
            PrincipalEvent::GoAway(reason) => {
                info!(?reason, "the principal asks for no new pipes");
                if reason == GoAwayReason::Replaced {
                    // It uses the newer session's pipes from here on, but for a request that was on its way to one of
                    // these: a pipe that is closed just then breaks it.
                    self.replaced_by = Some(now + GOOD_BYE);
                }
                self.leave(Left::GoAway(reason));
            }
            PrincipalEvent::Grant(pipe, bytes) => self.attached.flow.granted(pipe, bytes),
            PrincipalEvent::Welcome(_) => debug!("second welcome ignored"),
        }
    }

    fn open(&mut self, open: Open, draining: bool) {
        let pipe = open.pipe;
        let refusing = draining || self.closing;
        let admitted = if refusing { Err(RefusedReason::Draining) } else { self.dispatch.admit(open.target) };
        let admitted = match admitted {
            Ok(_) if self.aborts.contains_key(&pipe) => Err(RefusedReason::Unknown),
            admitted => admitted,
        };
        match admitted {
            Ok(admitted) => {
                let grpc = self.attached.grpc.clone();
                let session = self.attached.welcome.session;
                let (flow, finish) = (self.attached.flow.pipe(pipe), self.finish.1.clone());
                let serve = async move {
                    pipe::serve(grpc, session, open, flow, admitted, finish).await;
                    pipe
                };
                let abort = self.pipes.spawn(serve.instrument(debug_span!("pipe", %pipe)));
                self.aborts.insert(pipe, abort);
                self.metrics.pipes_open.inc();
            }
            Err(reason) => {
                self.metrics.pipes_refused.inc();
                debug!(%pipe, %reason, "pipe refused");
                self.say(AgentEvent::PipeRefused(pipe, reason));
            }
        }
    }

    fn pipe_ended(&mut self, ended: Result<PipeId, tokio::task::JoinError>) {
        match ended {
            Ok(pipe) => {
                self.aborts.remove(&pipe);
            }
            Err(error) => {
                if error.is_panic() {
                    warn!(error = %Report(&error), "a pipe's task panicked");
                }
                self.aborts.retain(|_, abort| abort.id() != error.id());
            }
        }
        self.metrics.pipes_open.dec();
    }

    /// A control stream that does not take a word within its queue is one whose peer is gone: liveness ends it.
    fn say(&self, event: AgentEvent) {
        self.attached.say.try_send(event).unwrap_or_default();
    }

    fn leave(&mut self, why: Left) {
        if let Some(left) = self.left.take() {
            left.send(why).unwrap_or_default();
        }
    }
}

async fn sleep_until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// How long the principal's answer to a good-bye is waited for, and what it had begun before its own.
const GOOD_BYE: Duration = Duration::from_secs(1);
