//! The one connection on which everything is published in the principal's Redis.
//!
//! Always true:
//! - What is published leaves in order, each once. Nothing is said twice: what was said on a connection that broke is lost,
//!   and so is what waited for it.
//! - Each connection has a number, and what was meant for one never gets into another. Whoever publishes learns of a new
//!   number, and owes a gap for what it may have lost.
//! - What waits and what is not answered has a bound, in bytes. Whoever finds no room waits for it, in turn.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use common::{
    Report, drain,
    resp::{frames, replies::Marker},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{Instant, sleep, sleep_until},
};
use tracing::{debug, info, info_span, warn};

use super::{
    Timing,
    metrics::{Connected, Outcome, SubscriptionMetrics, What},
};
use crate::redis::{Backoff, Frame, OwnRedis, Trouble, Wire};

/// Publishes. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Publisher {
    queue: mpsc::Sender<Item>,
    room: Arc<Semaphore>,
    publishing: watch::Receiver<Publishing>,
    wanted: watch::Sender<usize>,
}

/// Whether Redis is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Publishing {
    /// It was not tried yet.
    Untried,
    /// On the connection of this number.
    Up(u64),
    /// No.
    Down,
}

/// Somebody may want to publish. The connection is there for as long as there is anybody.
#[derive(Debug)]
pub(super) struct Wanted(watch::Sender<usize>);

/// Room for something that is to be published.
#[derive(Debug)]
pub(super) struct Room {
    _permit: OwnedSemaphorePermit,
}

/// Something that is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) channel: Arc<str>,
    pub(super) payload: Bytes,
    pub(super) what: What,
}

/// The publisher's end.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) queue: mpsc::Receiver<Item>,
    pub(super) publishing: watch::Sender<Publishing>,
    pub(super) wanted: watch::Receiver<usize>,
}

/// A message, and the number of the connection that it is meant for.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) connection: u64,
    pub(super) message: Message,
    room: Room,
}

/// What Redis was told and has not answered.
#[derive(Debug)]
enum Told {
    Publish(What, Room),
    Ping,
}

/// The task behind it.
struct Task {
    redis: OwnRedis,
    timing: Timing,
    metrics: SubscriptionMetrics,
    inbox: Inbox,
    backoff: Backoff,
    connections: u64,
}

// === impl Publisher ===

impl Publisher {
    /// Begins to publish, in a task of the drain's, as soon as somebody wants to.
    pub(super) fn start(redis: OwnRedis, timing: Timing, metrics: SubscriptionMetrics, drain: &drain::Watch) -> Self {
        let (publisher, inbox) = Self::channel();
        let (backoff, connections) = (Backoff::default(), 0);
        let task = Task { redis, timing, metrics, inbox, backoff, connections };
        let watch = drain.clone();
        drain.spawn(info_span!("redis_publisher"), async move {
            tokio::select! {
                () = watch.draining() => {}
                () = task.run() => {}
            }
        });
        publisher
    }

    /// Both ends of what is to be published.
    pub(super) fn channel() -> (Self, Inbox) {
        let (queue, items) = mpsc::channel(ROOM / COST);
        let (publishing, is_publishing) = watch::channel(Publishing::Untried);
        let (wanted, is_wanted) = watch::channel(0);
        let room = Arc::new(Semaphore::new(ROOM));
        (Self { queue, room, publishing: is_publishing, wanted }, Inbox { queue: items, publishing, wanted: is_wanted })
    }

    /// Somebody may want to publish.
    pub(super) fn want(&self) -> Wanted {
        self.wanted.send_modify(|wanted| *wanted += 1);
        Wanted(self.wanted.clone())
    }

    /// Whether Redis is there, and every change of it.
    pub(super) fn publishing(&self) -> watch::Receiver<Publishing> {
        self.publishing.clone()
    }

    /// Waits for room.
    ///
    /// # Cancel safety
    /// Cancel safe, but the turn is lost.
    pub(super) async fn room(&self, message: &Message) -> Room {
        let cost = (COST + message.payload.len()).min(ROOM);
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        match Arc::clone(&self.room).acquire_many_owned(cost).await {
            Ok(permit) => Room { _permit: permit },
            // Nobody closes it.
            Err(_closed) => std::future::pending().await,
        }
    }

    /// Publishes on the connection of this number, or not at all.
    pub(super) fn publish(&self, connection: u64, message: Message, room: Room) {
        // Whoever has room finds room in the queue, and when the task has ended nothing is published any more.
        self.queue.try_send(Item { connection, message, room }).unwrap_or_default();
    }
}

// === impl Wanted ===

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.send_modify(|wanted| *wanted -= 1);
    }
}

// === impl Task ===

impl Task {
    async fn run(mut self) {
        loop {
            self.inbox.publishing.send_replace(Publishing::Untried);
            self.backoff = Backoff::default();
            let mut wanted = self.inbox.wanted.clone();
            if wanted.wait_for(|wanted| *wanted > 0).await.is_err() {
                return;
            }
            tokio::select! {
                _unwanted = wanted.wait_for(|wanted| *wanted == 0) => debug!("nobody listens to any agent any more"),
                () = self.keep_publishing() => {}
            }
        }
    }

    async fn keep_publishing(&mut self) {
        loop {
            let trouble = match self.redis.connect(LONGEST, self.timing.silence).await {
                Ok(wire) => {
                    self.connections += 1;
                    self.metrics.publisher(Connected::Up);
                    info!(redis = %self.redis, "publishing what agents say");
                    self.inbox.publishing.send_replace(Publishing::Up(self.connections));
                    let began = Instant::now();
                    let trouble = self.serve(wire).await;
                    self.backoff.worked(began.elapsed());
                    trouble
                }
                Err(trouble) => {
                    self.metrics.publisher(Connected::Failed);
                    trouble
                }
            };
            self.inbox.publishing.send_replace(Publishing::Down);
            // What waited is lost; what somebody who knows no better sends from now on is found to be too late.
            while let Ok(item) = self.inbox.queue.try_recv() {
                self.metrics.count(item.message.what, Outcome::Lost);
            }
            let first = self.backoff.is_fresh();
            let wait = self.backoff.fail();
            if first {
                warn!(redis = %self.redis, error = %Report(&trouble), "cannot publish what agents say, trying again");
            } else {
                debug!(redis = %self.redis, error = %Report(&trouble), "still cannot publish");
            }
            sleep(wait).await;
        }
    }

    /// Publishes until that does not work any more.
    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&mut self, mut wire: Wire<S>) -> Trouble {
        let mut told = VecDeque::new();
        let mut ping_at = Instant::now() + self.timing.ping;
        let mut waits_since: Option<Instant> = None;
        let trouble = loop {
            let silent_at = waits_since.map(|since| since + self.timing.silence);
            let wake_at = silent_at.map_or(ping_at, |silent| silent.min(ping_at));
            tokio::select! {
                frame = wire.next() => {
                    let heard = frame.map_err(Trouble::Wire).and_then(|frame| self.hear(&frame, told.pop_front()));
                    if let Err(trouble) = heard {
                        break trouble;
                    }
                    waits_since = if told.is_empty() { None } else { Some(Instant::now()) };
                }
                Some(item) = self.inbox.queue.recv(), if wire.has_room() => {
                    let Item { connection, message, room } = item;
                    if connection == self.connections {
                        wire.say(&frames::publish(message.channel.as_bytes(), &message.payload));
                        told.push_back(Told::Publish(message.what, room));
                        waits_since.get_or_insert_with(Instant::now);
                    } else {
                        self.metrics.count(message.what, Outcome::Lost);
                    }
                }
                () = sleep_until(wake_at) => {
                    let now = Instant::now();
                    if silent_at.is_some_and(|silent| silent <= now) {
                        break Trouble::Silent;
                    }
                    ping_at = now + self.timing.ping;
                    wire.say(&frames::ping());
                    told.push_back(Told::Ping);
                    waits_since.get_or_insert(now);
                }
            }
        };
        for told in told {
            if let Told::Publish(what, _) = told {
                self.metrics.count(what, Outcome::Lost);
            }
        }
        trouble
    }

    fn hear(&self, frame: &Frame, told: Option<Told>) -> Result<(), Trouble> {
        match told.ok_or(Trouble::Unasked)? {
            Told::Publish(what, _room) if frame.head.is_error() => {
                self.metrics.count(what, Outcome::Refused);
                Err(Trouble::Refused(frame.words()))
            }
            Told::Publish(what, _room) if frame.head.marker() == Marker::Integer => {
                self.metrics.count(what, Outcome::Published);
                Ok(())
            }
            // Redis is there, whatever it thinks of us: if it publishes no more it says so to the next message.
            Told::Ping if frame.head.is_error() || frame.head.marker() == Marker::Simple => Ok(()),
            Told::Publish(..) | Told::Ping => Err(Trouble::Unasked),
        }
    }
}

/// What waits for Redis, in bytes. Argo CD's messages are empty, so this is thousands of them.
const ROOM: usize = 4 << 20;

/// What an empty message costs: its channel is held elsewhere, too.
const COST: usize = 256;

/// Answers are numbers, and errors of a line.
const LONGEST: usize = 4 << 10;

#[cfg(test)]
mod tests;
