//! What the principal listens to on one pipe, on a connection of its own to Redis.
//!
//! Always true:
//! - A channel of which the principal was told that it is subscribed to stays so until the principal ends it, however
//!   often Redis is lost; after each time that its messages may have been lost, one without payload says so.
//! - Nothing waits here but in Redis: a message is read when the pipe takes it. Where Redis has enough of that it closes
//!   the connection, which is such a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use common::resp::frames;
use futures_util::future::BoxFuture;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until, timeout_at},
};
use tracing::debug;

use super::{
    Shared,
    failure::Failure,
    listener::{Heard, Listener, Message},
    metrics::{CommandClass, Outcome},
    naming::Channel,
};
use crate::link::backoff::Backoff;

/// The subscriptions of one pipe.
pub(super) struct Subscriptions {
    shared: Arc<Shared>,
    /// Channels as they are called here, with the names by which the principal knows each: two of them may be one here.
    channels: BTreeMap<Bytes, Vec<Bytes>>,
    /// How many names there are.
    count: usize,
    state: State,
    backoff: Backoff,
    /// Held while anybody listens.
    place: Option<OwnedSemaphorePermit>,
}

/// ```text
///   Nobody ──first channel──► Live ──lost──► Lost ──after a while──► Returning
///      ▲                       │ ▲            │ ▲ └────── failed ──────┘ │
///      └──── last channel ─────┴─┼────────────┘                          │
///                                └───────────────────────────────────────┘
/// ```
enum State {
    Nobody,
    Live(Box<Listener>),
    Lost { until: Instant },
    Returning(BoxFuture<'static, Result<Listener, Failure>>),
}

// === impl Subscriptions ===

impl Subscriptions {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let backoff = Backoff::up_to(LONGEST_WAIT);
        Self { shared, channels: BTreeMap::new(), count: 0, state: State::Nobody, backoff, place: None }
    }

    /// What is to be told next, once there is something: a message, or that some may have been lost.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Bytes {
        loop {
            match &mut self.state {
                State::Nobody => std::future::pending().await,
                State::Live(listener) => match listener.hear().await {
                    Ok(Heard::Message(message)) => {
                        let told = self.told(&message);
                        if !told.is_empty() {
                            return told;
                        }
                    }
                    // Of a subscription that was given up meanwhile.
                    Ok(Heard::Subscribed(_)) => {}
                    Ok(Heard::Refused(failure)) | Err(failure) => self.lose(&failure),
                },
                State::Lost { until } => {
                    let back = self.shared.connections.back();
                    tokio::select! {
                        () = sleep_until(*until) => {}
                        () = back => {}
                    }
                    let channels = self.channels.keys().cloned().collect();
                    self.state = State::Returning(Box::pin(listen(Arc::clone(&self.shared), channels)));
                }
                State::Returning(attempt) => match attempt.await {
                    Ok(listener) => {
                        self.live(listener);
                        return self.gap();
                    }
                    Err(failure) => self.lose(&failure),
                },
            }
        }
    }

    /// Subscribes to all of these or to none, within a second; the answer to the principal.
    pub(super) async fn subscribe(&mut self, channels: &[Channel]) -> Bytes {
        let (told, outcome) = match self.want(channels).await {
            Ok(before) => {
                let mut told = BytesMut::from(before.as_ref());
                for channel in channels {
                    self.add(channel);
                    told.extend_from_slice(&confirmation(b"subscribe", channel, self.count));
                }
                (told.freeze(), Outcome::Answered)
            }
            Err(failure) => (failure.frame(), failure.outcome()),
        };
        self.rest_if_nobody();
        self.shared.metrics.ran(CommandClass::Subscribe, outcome);
        told
    }

    /// Ends these subscriptions; the answer to the principal.
    pub(super) fn unsubscribe(&mut self, channels: &[Channel]) -> Bytes {
        let mut told = BytesMut::new();
        let mut gone = Vec::new();
        for channel in channels {
            if self.remove(channel) {
                gone.push(&channel.local);
            }
            told.extend_from_slice(&confirmation(b"unsubscribe", channel, self.count));
        }
        match &mut self.state {
            State::Live(listener) => listener.unsubscribe(gone.into_iter()),
            // It would come back to what nobody wants any more.
            State::Returning(_) if !gone.is_empty() => self.state = State::Lost { until: Instant::now() },
            State::Returning(_) | State::Lost { .. } | State::Nobody => {}
        }
        self.rest_if_nobody();
        self.shared.metrics.ran(CommandClass::Unsubscribe, Outcome::Answered);
        told.freeze()
    }

    /// Has Redis send what these channels say; what is to be told before the principal hears that.
    async fn want(&mut self, channels: &[Channel]) -> Result<Bytes, Failure> {
        if self.count + channels.len() > MOST {
            return Err(Failure::TooMany("channels"));
        }
        if self.place.is_none() {
            let place = Arc::clone(&self.shared.listeners).try_acquire_owned();
            self.place = Some(place.map_err(|_all_taken| Failure::TooMany("pipes that subscribe"))?);
        }
        let wanted = channels.iter().map(|channel| channel.local.clone());
        let wanted = wanted.filter(|local| !self.channels.contains_key(local)).collect::<BTreeSet<_>>();
        let deadline = Instant::now() + SOON;
        if let State::Live(_) = self.state {
            match self.want_more(wanted.clone(), deadline).await {
                // Nobody had noticed yet.
                Err(Failure::Lost) => {}
                told => return told,
            }
        }
        let all = self.channels.keys().cloned().chain(wanted).collect();
        match timeout_at(deadline, listen(Arc::clone(&self.shared), all)).await.unwrap_or(Err(Failure::Silent)) {
            Ok(listener) => {
                self.live(listener);
                Ok(if self.count == 0 { Bytes::new() } else { self.gap() })
            }
            Err(failure) => {
                self.lose(&failure);
                Err(failure)
            }
        }
    }

    /// The same on the connection that there is.
    async fn want_more(&mut self, mut wanted: BTreeSet<Bytes>, deadline: Instant) -> Result<Bytes, Failure> {
        let mut told = BytesMut::new();
        let State::Live(listener) = &mut self.state else { return Err(Failure::Lost) };
        listener.subscribe(wanted.iter());
        while !wanted.is_empty() {
            let State::Live(listener) = &mut self.state else { return Err(Failure::Lost) };
            let failure = match timeout_at(deadline, listener.hear()).await {
                Ok(Ok(Heard::Subscribed(channel))) => {
                    wanted.remove(&channel);
                    continue;
                }
                Ok(Ok(Heard::Message(message))) if told.len() < HELD => {
                    told.extend_from_slice(&self.told(&message));
                    continue;
                }
                // Redis does not want us to have these; what there is goes on.
                Ok(Ok(Heard::Refused(failure))) => return Err(failure),
                // More than is held: what follows is lost, and a gap will tell.
                Ok(Ok(Heard::Message(_))) | Err(_) => Failure::Silent,
                Ok(Err(failure)) => failure,
            };
            self.lose(&failure);
            return Err(failure);
        }
        Ok(told.freeze())
    }

    fn live(&mut self, listener: Listener) {
        self.backoff = Backoff::up_to(LONGEST_WAIT);
        self.state = State::Live(Box::new(listener));
    }

    fn lose(&mut self, failure: &Failure) {
        let wait = self.backoff.fail();
        debug!(error = %failure, wait_millis = wait.as_millis(), "subscriptions lost");
        self.state = State::Lost { until: Instant::now() + wait };
    }

    fn rest_if_nobody(&mut self) {
        if self.channels.is_empty() {
            (self.state, self.place) = (State::Nobody, None);
        }
    }

    fn add(&mut self, channel: &Channel) {
        let names = self.channels.entry(channel.local.clone()).or_default();
        if !names.contains(&channel.principals) {
            names.push(channel.principals.clone());
            self.count += 1;
            self.shared.metrics.channels.inc();
        }
    }

    /// Whether nobody listens to it any more.
    fn remove(&mut self, channel: &Channel) -> bool {
        let Some(names) = self.channels.get_mut(&channel.local) else { return false };
        let before = names.len();
        names.retain(|name| *name != channel.principals);
        if names.len() < before {
            self.count -= 1;
            self.shared.metrics.channels.dec();
        }
        names.is_empty() && self.channels.remove(&channel.local).is_some()
    }

    /// A message, once for each name of its channel.
    fn told(&self, message: &Message) -> Bytes {
        let Message { channel, payload } = message;
        let names = self.channels.get(channel).map(Vec::as_slice).unwrap_or_default();
        self.shared.metrics.messages.inc_by(names.len() as u64);
        match names {
            [name] => frames::command(&[b"message", name, payload]),
            names => names.iter().flat_map(|name| frames::command(&[b"message", name, payload])).collect(),
        }
    }

    /// Of each channel messages may have been lost.
    fn gap(&self) -> Bytes {
        self.shared.metrics.gaps.inc();
        let mut told = BytesMut::new();
        for name in self.channels.values().flatten() {
            told.extend_from_slice(&frames::command(&[b"message", name, b""]));
        }
        told.freeze()
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.shared.metrics.channels.dec_by(i64::try_from(self.count).unwrap_or_default());
    }
}

impl fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriptions").field("channels", &self.count).finish_non_exhaustive()
    }
}

/// A new connection that is subscribed to all of these. What is said on them before is not told: a gap is.
async fn listen(shared: Arc<Shared>, mut channels: BTreeSet<Bytes>) -> Result<Listener, Failure> {
    let deadline = Instant::now() + RETURN;
    let mut listener = Listener::new(shared.connections.connect(deadline).await?);
    listener.subscribe(channels.iter());
    while !channels.is_empty() {
        match timeout_at(deadline, listener.hear()).await {
            Ok(Ok(Heard::Subscribed(channel))) => {
                channels.remove(&channel);
            }
            Ok(Ok(Heard::Message(_))) => {}
            Ok(Ok(Heard::Refused(failure)) | Err(failure)) => return Err(failure),
            Err(_elapsed) => return Err(Failure::Silent),
        }
    }
    Ok(listener)
}

/// `*3`: what has happened, to which channel, and how many there are now.
fn confirmation(what: &[u8], channel: &Channel, count: usize) -> Bytes {
    let count = frames::integer(i64::try_from(count).unwrap_or(i64::MAX));
    [frames::array_start(3), frames::bulk(what), frames::bulk(&channel.principals), count].concat().into()
}

/// Somebody waits in front of a screen for a subscription: it is there at once, or it can be told that it is not.
const SOON: Duration = Duration::from_secs(1);

/// Nobody waits for one that comes back.
const RETURN: Duration = Duration::from_secs(5);

/// A Redis that is back is found within this, even where no command has found it before.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// As many as a principal asks for at most, on one pipe.
const MOST: usize = 10_000;

/// So many bytes of messages are held until a subscription is confirmed.
const HELD: usize = 256 << 10;
