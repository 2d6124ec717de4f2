//! From Redis to the client, and what takes the place of it.

use std::{
    io,
    task::{Context, Poll},
};

use bytes::Bytes;
use common::{
    AgentKey,
    resp::{
        commands::Login,
        replies::{Part, Reply, ReplyEvent},
    },
};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::warn;

use super::{Redis, Session, UNWRITTEN, turn::Turn};
use crate::{
    agents::Route,
    doors::redis::order::{Meaning, Read, Subscribed},
};

/// Whither the further parts of a reply go.
#[derive(Debug)]
pub(super) enum Sink {
    Client,
    Nobody,
    /// To the client, and the number at its end is of interest.
    Confirmation(Subscribed, Tail),
    /// They are elements, between which agents' answers stand.
    Elements,
}

/// The last bytes of something.
#[derive(Debug, Default)]
pub(super) struct Tail(Vec<u8>);

impl<C: AsyncRead + AsyncWrite + Unpin> Session<C> {
    /// Passes on what Redis and agents say, as long as there is room. Whether anything was passed on.
    ///
    /// # Errors
    /// When the connection cannot go on: what was said last is not whole, and nobody has the rest.
    pub(super) fn poll_replies(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut moved = false;
        while self.to_client.len() < UNWRITTEN {
            if !self.turn.is_redis() {
                if self.poll_turn(cx)?.is_pending() {
                    return Ok(moved);
                }
                moved = true;
                continue;
            }
            if self.replies.is_between()
                && let Some(bytes) = self.order.said()
            {
                self.to_client.push(bytes);
                moved = true;
                continue;
            }
            match self.replies.next(self.from_redis.bytes()) {
                Ok(Some(ReplyEvent::Reply(reply))) => self.reply(reply),
                Ok(Some(ReplyEvent::Part(part))) => self.reply_part(part),
                Ok(None) => {
                    let Redis::Open(stream) = &mut self.redis else { return Ok(moved) };
                    match self.from_redis.poll_read(stream, cx) {
                        Poll::Pending => return Ok(moved),
                        Poll::Ready(Ok(count)) if count > 0 => {}
                        // As Redis alone: what was not answered never will be.
                        Poll::Ready(_) => {
                            self.redis = Redis::Closed;
                            return Ok(true);
                        }
                    }
                }
                Err(error) => {
                    warn!(%error, redis = %self.shared.redis, "Redis says what cannot be followed");
                    self.redis = Redis::Closed;
                    return Ok(true);
                }
            }
            moved = true;
        }
        Ok(moved)
    }

    fn reply(&mut self, reply: Reply) {
        self.sink = Sink::Client;
        match self.order.meaning(&reply) {
            Meaning::Passes => {}
            Meaning::Confirms(what) => return self.confirmation(what, reply),
            Meaning::Resets => {
                self.listening.clear();
                self.set_login(Login::Unknown);
            }
            Meaning::Login(login) => {
                self.sink = Sink::Nobody;
                return self.set_login(login);
            }
            Meaning::Becomes(bytes) => {
                self.sink = Sink::Nobody;
                return self.to_client.push(bytes);
            }
            Meaning::Allows(read) => {
                self.sink = Sink::Nobody;
                if let Some((turn, sink)) = Turn::of(read, &reply) {
                    (self.turn, self.sink) = (turn, sink);
                    return;
                }
            }
            Meaning::Refuses(Read { asks, .. }) => asks.iter().for_each(|(_, ask)| self.asked.forget(ask)),
        }
        self.to_client.push(reply.into_part().into_bytes());
    }

    fn reply_part(&mut self, part: Part) {
        match &mut self.sink {
            Sink::Client => {}
            Sink::Nobody => return,
            Sink::Confirmation(what, tail) => {
                tail.push(part.bytes());
                if part.is_last() {
                    self.order.confirmed(*what, tail.number());
                }
            }
            Sink::Elements => {
                self.turn.elements(&part);
                return;
            }
        }
        self.to_client.push(part.into_bytes());
    }

    fn confirmation(&mut self, what: Subscribed, reply: Reply) {
        let mut tail = Tail::default();
        tail.push(reply.part().bytes());
        if !reply.is_whole() {
            // No channel of an agent's is so long.
            self.sink = Sink::Confirmation(what, tail);
            return self.to_client.push(reply.into_part().into_bytes());
        }
        self.order.confirmed(what, tail.number());
        let channel = reply.channel().unwrap_or_default();
        match reply.kind() {
            Some(b"subscribe") if !self.listening.contains_key(channel) => {
                let channel = Bytes::copy_from_slice(channel);
                if let Some(listening) = self.listen(&channel) {
                    self.turn = Turn::confirm(reply.into_part().into_bytes(), channel, listening);
                    return;
                }
            }
            Some(b"unsubscribe") => drop(self.listening.remove(channel)),
            _ => {}
        }
        self.to_client.push(reply.into_part().into_bytes());
    }

    /// Listens at the agent whose channel it is, if it is one.
    fn listen(&self, channel: &[u8]) -> Option<crate::doors::redis::subscriptions::Listening> {
        let channel = AgentKey::parse(channel).filter(AgentKey::is_channel)?;
        match self.shared.routes.publisher(&channel) {
            Route::Agent(agent) => self.shared.subscriptions.listen(&agent, &channel),
            Route::Local | Route::Unknown(_) => None,
        }
    }
}

// === impl Tail ===

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        let start = bytes.len().saturating_sub(TAIL);
        self.0.extend_from_slice(bytes.get(start..).unwrap_or_default());
        let start = self.0.len().saturating_sub(TAIL);
        self.0.drain(..start);
    }

    /// The integer that is the last element, or 0.
    fn number(&self) -> u64 {
        let text = self.0.strip_suffix(b"\r\n").unwrap_or_default();
        let digits = text.rsplit(|byte| *byte == b':').next().unwrap_or_default();
        std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }
}

/// A colon, as many digits as a number may have, and the line's end.
const TAIL: usize = 23;
