//! Whose turn it is to speak to the client: Redis's, or an agent's in its place.

use std::{
    io,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use common::{
    Refusal,
    resp::{
        frames::{self, Protocol},
        replies::{Marker, Part, Reply, ReplyEvent},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{Session, elements::Elements, replies::Sink};
use crate::doors::redis::{
    asked::{Ask, Asked},
    buffers::Outgoing,
    metrics::{Outcome, RedisMetrics},
    order::{Read, Shape},
    refusal,
    subscriptions::Listening,
};

/// Who speaks.
#[derive(Debug)]
pub(super) enum Turn {
    /// Redis, frame by frame.
    Redis,
    /// An agent, in place of a reply.
    Answer(Answer),
    /// Agents, in place of elements of one.
    Elements(Box<Elements>),
    /// Agents, for a sum.
    Sum { read: Read, sum: i64 },
    /// Nobody, until an agent says that the channel is listened to.
    Confirm { confirmation: Bytes, channel: Bytes, listening: Listening },
}

/// An agent's answer on its way.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) ask: Ask,
    began: Instant,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Awaited,
    Passing,
    /// Something else was said in its place.
    Dropping,
}

/// Where answers go.
#[derive(Debug)]
pub(super) struct Speech<'s> {
    pub(super) asked: &'s mut Asked,
    pub(super) to_client: &'s mut Outgoing,
    pub(super) protocol: Protocol,
    pub(super) metrics: &'s RedisMetrics,
}

/// How far a turn got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    More,
    Done,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Session<C> {
    /// Takes one step of a turn that is not Redis's.
    ///
    /// # Errors
    /// When an answer broke off that the client has the beginning of.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        let mut speech = Speech {
            asked: &mut self.asked,
            to_client: &mut self.to_client,
            protocol: self.order.protocol(),
            metrics: &self.shared.metrics,
        };
        let step = match &mut self.turn {
            Turn::Redis => return Ok(Poll::Ready(())),
            Turn::Answer(answer) => answer.poll(&mut speech, cx),
            Turn::Elements(elements) => match elements.poll(&mut speech, cx) {
                // More of the reply is to come from Redis.
                Poll::Ready(Ok(None)) => return self.poll_elements(cx),
                Poll::Ready(Ok(Some(step))) => Poll::Ready(Ok(step)),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            },
            Turn::Sum { read, sum } => poll_sum(read, sum, &mut speech, cx).map(Ok),
            Turn::Confirm { listening, .. } => listening.poll_ready(cx).map(|()| Ok(Step::Done)),
        };
        match step {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(Step::More)) => Ok(Poll::Ready(())),
            Poll::Ready(Ok(Step::Done)) => {
                match std::mem::replace(&mut self.turn, Turn::Redis) {
                    Turn::Confirm { confirmation, channel, listening } => {
                        self.listening.insert(channel, listening);
                        self.to_client.push(confirmation);
                    }
                    Turn::Elements(elements) if elements.has_failed() => self.sink = Sink::Nobody,
                    _ => {}
                }
                Ok(Poll::Ready(()))
            }
        }
    }
}

// === impl Turn ===

impl Turn {
    /// Whose turn it is when Redis allows a read with this reply; nothing where the reply is not what the read has, and
    /// passes.
    pub(super) fn of(mut read: Read, reply: &Reply) -> Option<(Self, Sink)> {
        match read.shape {
            Shape::Whole => {
                let (_, ask) = read.asks.pop_front()?;
                Some((Self::Answer(Answer::new(ask, read.began)), Sink::Nobody))
            }
            Shape::Elements => {
                let elements = Elements::new(read, reply);
                Some((Self::Elements(Box::new(elements)), Sink::Elements))
            }
            Shape::Sum(own) => Some((Self::Sum { read, sum: own.unwrap_or(0) }, Sink::Nobody)),
        }
    }

    pub(super) fn confirm(confirmation: Bytes, channel: Bytes, listening: Listening) -> Self {
        Self::Confirm { confirmation, channel, listening }
    }

    pub(super) fn is_redis(&self) -> bool {
        matches!(self, Self::Redis)
    }

    /// When something must have happened.
    pub(super) fn until(&self) -> Option<Instant> {
        match self {
            Self::Redis | Self::Confirm { .. } => None,
            Self::Answer(answer) => Some(answer.ask.until()),
            Self::Elements(elements) => elements.until(),
            Self::Sum { read, .. } => read.asks.front().map(|(_, ask)| ask.until()),
        }
    }

    /// More of the reply whose elements these are.
    pub(super) fn elements(&mut self, part: &Part) {
        if let Self::Elements(elements) = self {
            elements.push(part);
        }
    }
}

// === impl Answer ===

impl Answer {
    pub(super) fn new(ask: Ask, began: Instant) -> Self {
        Self { ask, began, state: State::Awaited }
    }

    /// Passes on the next piece of it.
    ///
    /// # Errors
    /// When it breaks off.
    pub(super) fn poll(&mut self, speech: &mut Speech<'_>, cx: &mut Context<'_>) -> Poll<io::Result<Step>> {
        let event = match ready!(speech.asked.poll_answer(&mut self.ask, cx)) {
            Ok(event) => event,
            Err(refusal) if self.state == State::Awaited => {
                speech.to_client.push(refusal::reply(&refusal, self.ask.agent()));
                speech.metrics.answered(Outcome::of(&refusal), self.began.elapsed());
                return Poll::Ready(Ok(Step::Done));
            }
            Err(_) if self.state == State::Dropping => return Poll::Ready(Ok(Step::Done)),
            Err(refusal) => {
                speech.metrics.answered(Outcome::Cut, self.began.elapsed());
                return Poll::Ready(Err(io::Error::other(refusal.text().into_owned())));
            }
        };
        let part = match event {
            ReplyEvent::Reply(reply) => {
                self.state = State::Dropping;
                let (said, outcome) = match reply.marker() {
                    _ if reply.is_nil() => (Some(frames::nil(speech.protocol)), Outcome::Nil),
                    Marker::Bulk | Marker::Integer => (None, Outcome::Value),
                    Marker::Error => {
                        (Some(refusal::of_agent(reply.part().bytes(), self.ask.agent())), Outcome::AgentError)
                    }
                    _ => (Some(refusal::reply(&NONSENSE, self.ask.agent())), Outcome::AgentError),
                };
                speech.metrics.answered(outcome, self.began.elapsed());
                match said {
                    Some(bytes) => speech.to_client.push(bytes),
                    None => self.state = State::Passing,
                }
                reply.into_part()
            }
            ReplyEvent::Part(part) => part,
        };
        let step = if part.is_last() { Step::Done } else { Step::More };
        if self.state == State::Passing {
            speech.to_client.push(part.into_bytes());
        }
        Poll::Ready(Ok(step))
    }
}

/// Adds what one agent more has. All of them, or an error.
fn poll_sum(read: &mut Read, sum: &mut i64, speech: &mut Speech<'_>, cx: &mut Context<'_>) -> Poll<Step> {
    while let Some((_, ask)) = read.asks.front_mut() {
        let (said, outcome) = match ready!(speech.asked.poll_answer(ask, cx)) {
            Ok(ReplyEvent::Reply(reply)) if reply.is_whole() && reply.marker() == Marker::Integer => {
                *sum = sum.saturating_add(crate::doors::redis::order::integer(&reply));
                read.asks.pop_front();
                continue;
            }
            Ok(ReplyEvent::Reply(reply)) if reply.is_whole() && reply.is_error() => {
                (refusal::of_agent(reply.part().bytes(), ask.agent()), Outcome::AgentError)
            }
            Ok(_) => {
                speech.asked.forget(ask);
                (refusal::reply(&NONSENSE, ask.agent()), Outcome::AgentError)
            }
            Err(refusal) => (refusal::reply(&refusal, ask.agent()), Outcome::of(&refusal)),
        };
        read.asks.iter().skip(1).for_each(|(_, ask)| speech.asked.forget(ask));
        speech.to_client.push(said);
        speech.metrics.answered(outcome, read.began.elapsed());
        return Poll::Ready(Step::Done);
    }
    speech.to_client.push(frames::integer(*sum));
    speech.metrics.answered(Outcome::Value, read.began.elapsed());
    Poll::Ready(Step::Done)
}

/// What an agent says that is no answer to what it was asked.
pub(super) const NONSENSE: Refusal =
    Refusal::UpstreamUnreachable(std::borrow::Cow::Borrowed("agent's answer makes no sense"));
