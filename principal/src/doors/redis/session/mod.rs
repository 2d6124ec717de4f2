//! One client connection: every byte of the client goes to its own connection to Redis, every byte of Redis comes back.
//!
//! All of a connection is one task, which is polled as far as anything moves: a command is passed on, and its agent asked,
//! in the same poll in which it came. Always true: what waits to be written is bounded, in each direction, by not reading
//! what would add to it; so a peer that stops reading stops exactly those that it depends on.
//!
//! ```text
//!   client ── commands ──► judge ──► to Redis          (commands.rs)
//!                             └────► to agents          (asked/)
//!   client ◄── order ◄── replies ◄── Redis              (replies.rs)
//!                └────◄── answers ◄── agents
//! ```

mod commands;
mod elements;
mod replies;
mod turn;

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use common::{
    redis::{ConnectError, Endpoint, Stream},
    resp::{
        commands::{self as resp_commands, CommandEvent, CommandScanner},
        replies::{self as resp_replies, ReplyScanner},
    },
};
use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep},
};
use tracing::debug;

use super::{
    asked::Asked,
    buffers::{Incoming, Outgoing},
    metrics::RedisMetrics,
    order::Order,
    refusal,
    subscriptions::{Listening, Subscriptions},
};
use crate::agents::{Dialer, Routes};
use replies::Sink;
use turn::Turn;

/// What all sessions of a door share.
pub(super) struct Shared {
    pub(super) redis: Endpoint,
    pub(super) limits: resp_commands::Limits,
    pub(super) dialer: Arc<dyn Dialer>,
    pub(super) routes: Arc<dyn Routes>,
    pub(super) subscriptions: Subscriptions,
    pub(super) metrics: RedisMetrics,
}

/// One client connection.
pub(super) struct Session<C> {
    shared: Arc<Shared>,
    client: C,
    from_client: Incoming,
    commands: CommandScanner,
    /// Whether Redis is asked if the client has logged in.
    asks_login: bool,
    /// A command that waits for what Redis has yet to say.
    held: Option<CommandEvent>,
    /// What becomes of the further parts of the command that has begun.
    parts: Parts,
    /// What Redis is told behind it.
    behind: Option<Bytes>,
    redis: Redis,
    to_redis: Outgoing,
    from_redis: Incoming,
    replies: ReplyScanner,
    order: Order,
    asked: Asked,
    /// Whither the further parts of the reply go that has begun.
    sink: Sink,
    turn: Turn,
    to_client: Outgoing,
    /// The agents' channels that the client listens to.
    listening: HashMap<Bytes, Listening>,
    phase: Phase,
    /// When all has been said, the client must have taken it by then.
    flushed_until: Option<Instant>,
    /// Rings no later than anything is due; what it is due for is looked up then.
    timer: Option<Pin<Box<Sleep>>>,
}

/// The session's own connection to Redis.
enum Redis {
    /// The client has not said anything.
    Unneeded,
    Connecting(BoxFuture<'static, Result<Stream, ConnectError>>),
    Open(Stream),
    /// Redis has said all that it says.
    Closed,
}

/// What becomes of the further parts of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parts {
    Pass,
    /// They pass, and keys of agents are looked for in them.
    Watch,
    Drop,
}

/// How far the connection is, from the client's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The client is read.
    Open,
    /// The client has said all that it says; it may read on.
    HalfClosed,
    /// Nothing more is taken from the client; when all that is expected has been said, the connection ends.
    Ending,
    /// All has been said; the client is given so long to read it and to leave.
    Lingering(Instant),
}

// === impl Session ===

impl<C: AsyncRead + AsyncWrite + Unpin> Session<C> {
    pub(super) fn new(shared: Arc<Shared>, client: C) -> Self {
        Self {
            commands: CommandScanner::new(shared.limits),
            asks_login: false,
            asked: Asked::new(Arc::clone(&shared.dialer)),
            shared,
            client,
            from_client: Incoming::default(),
            held: None,
            parts: Parts::Pass,
            behind: None,
            redis: Redis::Unneeded,
            to_redis: Outgoing::default(),
            from_redis: Incoming::default(),
            replies: ReplyScanner::new(resp_replies::Limits::default()),
            order: Order::default(),
            sink: Sink::Client,
            turn: Turn::Redis,
            to_client: Outgoing::default(),
            listening: HashMap::new(),
            phase: Phase::Open,
            flushed_until: None,
            timer: None,
        }
    }

    /// Moves what can be moved. Ready when the connection has ended: where it `drains`, as soon as nothing is under way on
    /// it. A client that subscribes connects again.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, drains: bool) -> Poll<()> {
        loop {
            if drains && self.phase == Phase::Open && self.is_quiet() {
                self.phase = Phase::Ending;
            }
            match self.poll_all(cx) {
                Ok(Moved::Yes) => {}
                Ok(Moved::No) => match self.poll_timer(cx) {
                    // Something is due.
                    Poll::Ready(()) => {}
                    Poll::Pending => return Poll::Pending,
                },
                Ok(Moved::Ended) => return Poll::Ready(()),
                Err(error) => {
                    debug!(%error, "connection of a Redis client broke");
                    return Poll::Ready(());
                }
            }
        }
    }

    fn poll_all(&mut self, cx: &mut Context<'_>) -> io::Result<Moved> {
        if let Phase::Lingering(until) = self.phase {
            return self.poll_linger(until, cx);
        }
        let mut moved = self.poll_commands(cx)?;
        self.poll_connect(cx);
        moved |= self.poll_to_redis(cx);
        moved |= self.asked.poll_write(cx);
        moved |= self.poll_replies(cx)?;
        let before = self.to_client.len();
        let written = self.to_client.poll_write(&mut self.client, cx)?;
        if !self.is_over() {
            // Where nothing could be read for want of room, there may be some now.
            moved |= before >= UNWRITTEN && self.to_client.len() < UNWRITTEN;
            return Ok(if moved { Moved::Yes } else { Moved::No });
        }
        let now = Instant::now();
        if written.is_ready() {
            self.phase = Phase::Lingering(now + LINGER);
            return Ok(Moved::Yes);
        }
        let until = *self.flushed_until.get_or_insert(now + FLUSH);
        Ok(if until <= now { Moved::Ended } else { Moved::No })
    }

    fn is_quiet(&self) -> bool {
        let nothing_came = self.commands.is_between() && self.from_client.is_empty() && self.held.is_none();
        nothing_came && self.order.is_empty() && self.turn.is_redis() && self.replies.is_between()
    }

    /// Whether all has been said.
    fn is_over(&self) -> bool {
        if !self.turn.is_redis() {
            return false;
        }
        match (self.phase, &self.redis) {
            (_, Redis::Closed) => true,
            (Phase::Ending, _) => self.order.is_empty() && self.held.is_none(),
            (Phase::HalfClosed, Redis::Unneeded) => true,
            (Phase::Open | Phase::HalfClosed | Phase::Lingering(_), _) => false,
        }
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) {
        if matches!(self.redis, Redis::Unneeded) && !self.to_redis.is_empty() {
            let endpoint = self.shared.redis.clone();
            self.redis = Redis::Connecting(Box::pin(async move { endpoint.connect().await }));
        }
        let Redis::Connecting(connecting) = &mut self.redis else { return };
        match connecting.as_mut().poll(cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(stream)) => self.redis = Redis::Open(stream),
            Poll::Ready(Err(error)) => {
                self.shared.metrics.redis_unreachable();
                debug!(error = %common::Report(&error), redis = %self.shared.redis, "cannot reach Redis");
                self.to_client.push(refusal::no_redis(&error.reason()));
                self.redis = Redis::Closed;
            }
        }
    }

    /// Whether anything was written.
    fn poll_to_redis(&mut self, cx: &mut Context<'_>) -> bool {
        let Redis::Open(stream) = &mut self.redis else { return false };
        let before = self.to_redis.len();
        match self.to_redis.poll_write(stream, cx) {
            Poll::Ready(Ok(())) if self.phase == Phase::HalfClosed && self.held.is_none() => {
                // Redis says what it has to say, and closes. What goes wrong here is seen where it is read.
                let _: Poll<io::Result<()>> = Pin::new(stream).poll_shutdown(cx);
            }
            Poll::Ready(Ok(())) | Poll::Pending => {}
            // It may have said why, so it is read to its end.
            Poll::Ready(Err(_)) => self.to_redis = Outgoing::default(),
        }
        before != self.to_redis.len()
    }

    /// Closes our side, and reads until the client closes its own: else what it has not read might be taken from it (RFC 9112
    /// section 9.6 tells why).
    fn poll_linger(&mut self, until: Instant, cx: &mut Context<'_>) -> io::Result<Moved> {
        if until <= Instant::now() || Pin::new(&mut self.client).poll_shutdown(cx)?.is_pending() {
            return Ok(if until <= Instant::now() { Moved::Ended } else { Moved::No });
        }
        loop {
            self.from_client.bytes().clear();
            match self.from_client.poll_read(&mut self.client, cx)? {
                Poll::Ready(0) => return Ok(Moved::Ended),
                Poll::Ready(_) => {}
                Poll::Pending => return Ok(Moved::No),
            }
        }
    }

    /// Ready when something is due, and then sets the timer for what is next.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let lingers = if let Phase::Lingering(until) = self.phase { Some(until) } else { None };
        // An agent is waited for while its answer could be passed on.
        let waits = self.turn.until().filter(|_| self.to_client.len() < UNWRITTEN);
        let next = [waits, self.asked.drop_idle(cx), self.flushed_until, lingers].into_iter().flatten().min();
        let Some(next) = next else {
            self.timer = None;
            self.rest();
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
        if timer.deadline() > next || timer.is_elapsed() {
            timer.as_mut().reset(next);
        }
        let due = timer.as_mut().poll(cx);
        if due.is_pending() {
            self.rest();
        }
        due
    }

    /// Nothing moves: room that is not needed is given back.
    fn rest(&mut self) {
        self.from_client.rest();
        self.from_redis.rest();
    }
}

/// What a poll came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moved {
    Yes,
    No,
    Ended,
}

/// So much may wait to be written to a peer before those are no longer read whose bytes would add to it.
const UNWRITTEN: usize = 128 << 10;

/// So much may be held of commands that wait for replies that do not just pass, before the client is no longer read: some
/// thousand reads of agents' keys.
const UNANSWERED: usize = 2 << 20;

/// What is left when Redis has closed must be taken in this time.
const FLUSH: Duration = Duration::from_secs(10);

/// What a client on the other side of the earth needs to read an error and to close.
const LINGER: Duration = Duration::from_secs(2);
