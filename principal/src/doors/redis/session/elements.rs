//! A reply whose elements are in part Redis's and in part agents'.
//!
//! Redis's own are cut out of its reply as they come, so none of them is held whole. An agent that is known to have nothing
//! to say before anything was said makes all of the reply an error; where that turns out later, its elements are errors.

use std::{
    io,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use common::resp::replies::{Limits, Part, Reply, ReplyEvent, ReplyScanner, Role};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    Redis, Session,
    turn::{Answer, Speech, Step},
};
use crate::doors::redis::{metrics::Outcome, order::Read, refusal};

/// Such a reply.
#[derive(Debug)]
pub(super) struct Elements {
    read: Read,
    state: State,
    /// How many elements there are, and how many have begun.
    length: u64,
    begun: u64,
    /// What came of Redis's reply, behind its first line, and whether that is all.
    content: BytesMut,
    is_all: bool,
    scanner: ReplyScanner,
    /// Whether further parts of Redis's element are thrown away.
    drops: bool,
}

#[derive(Debug)]
enum State {
    /// Until each agent has begun to answer.
    Waiting(Bytes),
    Redis,
    Answer(Answer),
    /// All of it was an error; the rest of Redis's reply is thrown away.
    Failed,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Session<C> {
    /// Reads more of Redis's reply.
    pub(super) fn poll_elements(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        loop {
            match self.replies.next(self.from_redis.bytes()).map_err(io::Error::other)? {
                Some(ReplyEvent::Reply(_)) => return Err(io::Error::other("a reply within a reply")),
                Some(ReplyEvent::Part(part)) => {
                    self.turn.elements(&part);
                    return Ok(Poll::Ready(()));
                }
                None => {}
            }
            let Redis::Open(stream) = &mut self.redis else { return Err(io::ErrorKind::UnexpectedEof.into()) };
            match self.from_redis.poll_read(stream, cx)? {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Poll::Ready(_) => {}
            }
        }
    }
}

// === impl Elements ===

impl Elements {
    /// Of a reply that begins.
    pub(super) fn new(read: Read, reply: &Reply) -> Self {
        let bytes = reply.part().bytes();
        let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
        Self {
            read,
            state: State::Waiting(bytes.slice(..end)),
            length: reply.length().unwrap_or(0),
            begun: 0,
            content: bytes.get(end..).unwrap_or_default().into(),
            is_all: reply.is_whole(),
            scanner: ReplyScanner::new(Limits::default()),
            drops: false,
        }
    }

    /// More of Redis's reply.
    pub(super) fn push(&mut self, part: &Part) {
        self.is_all = part.is_last();
        self.content.extend_from_slice(part.bytes());
    }

    /// When an agent must have said something.
    pub(super) fn until(&self) -> Option<Instant> {
        match &self.state {
            State::Waiting(_) => self.read.asks.iter().map(|(_, ask)| ask.until()).min(),
            State::Answer(answer) => Some(answer.ask.until()),
            State::Redis | State::Failed => None,
        }
    }

    /// Whether nothing of it is to be said any more, although more of it is to come.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.state, State::Failed)
    }

    /// Says the next piece of it. `None` when more of Redis's reply is needed.
    ///
    /// # Errors
    /// When an answer breaks off.
    pub(super) fn poll(&mut self, speech: &mut Speech<'_>, cx: &mut Context<'_>) -> Poll<io::Result<Option<Step>>> {
        match &mut self.state {
            State::Failed => Poll::Ready(Ok(Some(Step::Done))),
            State::Waiting(_) => self.poll_waiting(speech, cx).map(|()| Ok(Some(Step::More))),
            State::Answer(answer) => {
                if ready!(answer.poll(speech, cx))? == Step::Done {
                    self.state = State::Redis;
                }
                Poll::Ready(Ok(Some(Step::More)))
            }
            State::Redis => Poll::Ready(self.next(speech)),
        }
    }

    fn poll_waiting(&mut self, speech: &mut Speech<'_>, cx: &mut Context<'_>) -> Poll<()> {
        let mut failed = None;
        for (_, ask) in &mut self.read.asks {
            if let Some(error) = ready!(speech.asked.poll_begun(ask, cx)) {
                failed = Some((refusal::of_agent(&error, ask.agent()), Outcome::AgentError));
                break;
            }
            if let Some(why) = ask.refusal() {
                failed = Some((refusal::reply(why, ask.agent()), Outcome::of(why)));
                break;
            }
        }
        let state = std::mem::replace(&mut self.state, State::Redis);
        if let Some((error, outcome)) = failed {
            self.read.asks.iter().for_each(|(_, ask)| speech.asked.forget(ask));
            speech.to_client.push(error);
            speech.metrics.answered(outcome, self.read.began.elapsed());
            self.state = State::Failed;
        } else if let State::Waiting(head) = state {
            speech.to_client.push(head);
        }
        Poll::Ready(())
    }

    fn next(&mut self, speech: &mut Speech<'_>) -> io::Result<Option<Step>> {
        match self.scanner.next(&mut self.content).map_err(io::Error::other)? {
            Some(ReplyEvent::Reply(reply)) => {
                self.drops = false;
                if reply.role() == Role::Answer {
                    let number = self.begun;
                    self.begun += 1;
                    let next = self.read.asks.front().map(|(number, _)| u64::from(*number));
                    if next == Some(number)
                        && let Some((_, ask)) = self.read.asks.pop_front()
                    {
                        self.drops = true;
                        self.state = State::Answer(Answer::new(ask, self.read.began));
                        return Ok(Some(Step::More));
                    }
                }
                speech.to_client.push(reply.into_part().into_bytes());
            }
            Some(ReplyEvent::Part(part)) if self.drops => drop(part),
            Some(ReplyEvent::Part(part)) => speech.to_client.push(part.into_bytes()),
            None if !self.is_all => return Ok(None),
            None if self.begun == self.length && self.scanner.is_between() => return Ok(Some(Step::Done)),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(Some(Step::More))
    }
}
