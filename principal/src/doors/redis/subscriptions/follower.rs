//! Follows one agent from session to session, and keeps subscribed there what its book says.
//!
//! Always true:
//! - There is one pipe at most, in the newest session. It is held without a lease but for the first answer: neither the
//!   agent nor the principal waits for it when they drain. So it is left at once when its session is not the newest any
//!   more.
//! - What an agent says is read no faster than Redis publishes it.
//! - Waiting costs nothing: whatever is to be done has a time or somebody who tells.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use common::{
    AgentName, Report, drain,
    tunnel::{PipeError, SessionId, error::RefusedReason},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing::{debug, info, warn};

use super::{
    MAX_PAYLOAD, Shared,
    book::{Book, Presence},
    desk::Desk,
    dialogue::{Heard, Nonsense},
    metrics::{Outcome, What},
    pipe::Pipe,
    publisher::{Message, Publisher, Publishing, Room, Wanted},
};
use crate::{
    agents::DialError,
    redis::{Backoff, WireError},
};

/// One for each agent to which anybody listens.
pub(super) struct Follower {
    agent: AgentName,
    desk: Arc<Desk>,
    shared: Arc<Shared>,
    newest: watch::Receiver<Option<SessionId>>,
    publishing: watch::Receiver<Publishing>,
    /// The publisher's connection that was heard of.
    connection: Option<u64>,
    _wanted: Wanted,
    backoff: Backoff,
}

/// Why there is no pipe.
#[derive(Debug)]
enum Ended {
    /// There is no session to open one in, or there is a newer one.
    Moved,
    /// The agent opens none.
    Unserved,
    /// It did not work. It is tried again.
    Failed(Failure),
    /// Nobody listens.
    Done,
}

/// Why it did not work.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no pipe")]
    Dial(#[source] DialError),
    #[error("the pipe ended")]
    Wire(#[source] WireError),
    #[error("the agent talks nonsense")]
    Nonsense(#[source] Nonsense),
    #[error("the agent does not answer")]
    Silent,
}

// === impl Follower ===

impl Follower {
    pub(super) fn new(agent: AgentName, desk: Arc<Desk>, shared: Arc<Shared>) -> Self {
        let newest = shared.dialer.newest(&agent);
        let publishing = shared.publisher.publishing();
        let wanted = shared.publisher.want();
        let backoff = Backoff::default();
        Self { agent, desk, shared, newest, publishing, connection: None, _wanted: wanted, backoff }
    }

    /// Follows until nobody listens any more or the drain begins.
    pub(super) async fn run(mut self, drain: drain::Watch) {
        tokio::select! {
            () = drain.draining() => {}
            () = self.follow() => {}
        }
        // Whoever waits is let go.
        self.desk.with(Book::lost);
    }

    async fn follow(&mut self) {
        self.hear_publisher();
        loop {
            let newest = *self.newest.borrow_and_update();
            let ended = match newest {
                Some(_) => self.converse().await,
                None => Ended::Moved,
            };
            self.desk.with(Book::lost);
            let again_at = match ended {
                // Somebody may have come meanwhile.
                Ended::Done => Some(Instant::now()),
                // There may be another session already.
                Ended::Moved => self.newest.borrow().map(|_session| Instant::now()),
                Ended::Unserved => {
                    info!("the agent serves no Redis, so nothing is heard of its channels");
                    None
                }
                Ended::Failed(failure) => Some(Instant::now() + self.fail(&failure)),
            };
            if !self.rest(again_at).await {
                return;
            }
        }
    }

    /// Tells of a failure; the wait before it is tried again.
    fn fail(&mut self, failure: &Failure) -> Duration {
        let first = self.backoff.is_fresh();
        match failure {
            Failure::Nonsense(_) => warn!(error = %Report(failure), "subscriptions are interrupted"),
            _ if first => info!(error = %Report(failure), "subscriptions are interrupted"),
            _ => debug!(error = %Report(failure), "subscriptions are interrupted"),
        }
        self.backoff.fail()
    }

    /// Waits until there is a reason to try again: the time, or another session. Whether it is to be tried at all.
    async fn rest(&mut self, again_at: Option<Instant>) -> bool {
        loop {
            if self.shared.dismiss(&self.agent, &self.desk) {
                return false;
            }
            tokio::select! {
                () = changed(&mut self.newest) => return true,
                () = until(again_at) => return true,
                () = changed(&mut self.publishing) => self.hear_publisher(),
                () = self.desk.touched() => {}
            }
        }
    }

    /// Keeps subscribed in one pipe what is to be.
    async fn converse(&mut self) -> Ended {
        let mut pipe = match Pipe::dial(&*self.shared.dialer, &self.agent, self.shared.timing) {
            Ok(pipe) => pipe,
            Err(error) => return Ended::Failed(Failure::Dial(error)),
        };
        self.desk.with(Book::found);
        let ended = self.keep_subscribed(&mut pipe).await;
        self.backoff.worked(pipe.began.elapsed());
        if let Some((lost, _)) = pipe.unpublished {
            self.shared.metrics.count(lost.what, Outcome::Lost);
        }
        ended
    }

    async fn keep_subscribed(&mut self, pipe: &mut Pipe) -> Ended {
        loop {
            if self.desk.with(|book| book.is_empty()) {
                return Ended::Done;
            }
            self.say(pipe);
            let expires_at = self.desk.with(|book| book.next_expiry());
            let silent_at = pipe.silent_at(self.shared.timing.silence);
            tokio::select! {
                frame = pipe.wire.next(), if pipe.unpublished.is_none() => {
                    let heard = match frame {
                        Ok(frame) => pipe.dialogue.hear(&frame),
                        Err(error) if is_unserved(&error) => return Ended::Unserved,
                        Err(error) => return Ended::Failed(Failure::Wire(error)),
                    };
                    match heard {
                        Ok(heard) => self.hear(pipe, heard),
                        Err(nonsense) => return Ended::Failed(Failure::Nonsense(nonsense)),
                    }
                }
                room = room(&self.shared.publisher, pipe.unpublished.as_ref()) => self.publish(pipe, room),
                () = until(silent_at) => return Ended::Failed(Failure::Silent),
                () = changed(&mut self.newest) => {
                    if *self.newest.borrow() != Some(pipe.session) {
                        return Ended::Moved;
                    }
                }
                () = changed(&mut self.publishing) => {
                    self.hear_publisher();
                    if let Some(lost) = pipe.take_unpublished() {
                        self.shared.metrics.count(lost.what, Outcome::Lost);
                        self.desk.with(|book| book.miss(&lost.channel));
                    }
                }
                () = self.desk.touched() => {}
                () = until(expires_at) => {}
                () = until(pipe.retry_at) => {}
                () = sleep_until(pipe.ping_at) => {}
            }
        }
    }

    /// Says what is to be said now.
    fn say(&self, pipe: &mut Pipe) {
        let now = Instant::now();
        if pipe.retry_at.is_some_and(|retry| retry <= now) {
            pipe.retry_at = None;
            self.desk.with(Book::retry);
        }
        while pipe.wire.has_room()
            && let Some(ask) = self.desk.with(|book| book.next_ask(now))
        {
            pipe.ask(ask, now);
        }
        pipe.ping_if_due(now, self.shared.timing);
        if pipe.unpublished.is_none() {
            let gap = self.desk.with(Book::next_gap);
            let gap = gap.map(|channel| Message { channel, payload: Bytes::new(), what: What::Gap });
            pipe.unpublished = gap.map(|gap| (gap, now));
        }
    }

    fn hear(&self, pipe: &mut Pipe, heard: Heard) {
        let now = Instant::now();
        if !matches!(heard, Heard::Message { .. }) {
            pipe.answered(now);
        }
        match heard {
            Heard::Message { channel, payload } => {
                pipe.unpublished = self.message(&channel, payload).map(|message| (message, now));
            }
            Heard::Stands(channel) => self.desk.with(|book| book.stands(&channel, now)),
            Heard::Refused(channel, words) => {
                debug!(reason = words, "the agent does not subscribe, asking again");
                self.desk.with(|book| book.refused(&channel));
                pipe.refused(now);
            }
            Heard::Left(channel) => self.desk.with(|book| book.left(&channel)),
            Heard::Pong => {}
        }
    }

    /// What is to be published of a message.
    fn message(&self, channel: &[u8], payload: Option<Bytes>) -> Option<Message> {
        let metrics = &self.shared.metrics;
        let Some(channel) = self.desk.with(|book| book.subscribed(channel)) else {
            metrics.count(What::Message, Outcome::Unasked);
            return None;
        };
        if self.connection.is_none() {
            metrics.count(What::Message, Outcome::Lost);
            self.desk.with(|book| book.miss(&channel));
            return None;
        }
        let Some(payload) = payload.filter(|payload| payload.len() <= MAX_PAYLOAD) else {
            metrics.count(What::Message, Outcome::TooLong);
            return Some(Message { channel, payload: Bytes::new(), what: What::Gap });
        };
        Some(Message { channel, payload, what: What::Message })
    }

    /// Hands over what is to be published.
    fn publish(&self, pipe: &mut Pipe, room: Room) {
        let Some(message) = pipe.take_unpublished() else { return };
        if let Some(connection) = self.connection {
            self.shared.publisher.publish(connection, message, room);
        }
    }

    fn hear_publisher(&mut self) {
        let publishing = *self.publishing.borrow_and_update();
        let connection = match publishing {
            Publishing::Up(connection) => Some(connection),
            Publishing::Untried | Publishing::Down => None,
        };
        let lost = self.connection.is_some() && self.connection != connection;
        self.connection = connection;
        self.desk.with(|book| {
            if lost {
                book.publisher_is(Presence::Away);
            }
            book.publisher_is(match publishing {
                Publishing::Untried => Presence::Hoped,
                Publishing::Up(_) => Presence::Here,
                Publishing::Down => Presence::Away,
            });
        });
    }
}

fn is_unserved(error: &WireError) -> bool {
    matches!(PipeError::find(error), Some(PipeError::Refused(RefusedReason::Target)))
}

/// Waits for room for what is to be published.
async fn room(publisher: &Publisher, unpublished: Option<&(Message, Instant)>) -> Room {
    match unpublished {
        Some((message, _)) => publisher.room(message).await,
        None => std::future::pending().await,
    }
}

/// Resolves when the value has changed; never when it cannot change any more.
async fn changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        std::future::pending().await
    }
}

/// Resolves at that time, if there is one.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn an_agent_that_serves_no_redis_is_told_apart_from_one_that_is_busy() {
        let refused = |reason| WireError::Lost(io::Error::from(PipeError::Refused(reason)));
        assert!(is_unserved(&refused(RefusedReason::Target)));
        assert!(!is_unserved(&refused(RefusedReason::Busy)));
        assert!(!is_unserved(&WireError::Closed));
    }
}
