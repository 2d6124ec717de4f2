//! What agents were asked for one client connection: its pipes to them, and whose turn it is on each.
//!
//! A pipe belongs to one connection while that uses it, so a client that stops reading stalls nobody else. Answers are
//! taken in the order of the questions, which is the order of the client's commands. Always true: every question ends, with
//! an answer, with a [`Refusal`], or by being forgotten; and one that may be asked again is, once, on a pipe of its own: a read
//! changes nothing, and a pipe that was idle may turn out to be gone.

mod pipe;

use std::{
    fmt, io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use common::{
    AgentName, Refusal,
    resp::replies::ReplyEvent,
    tunnel::{PipeError, Target, error::RefusedReason},
};
use tokio::time::Instant;

use self::pipe::Pipe;
use crate::agents::{DialError, Dialer};

/// The pipes of one client connection.
pub(super) struct Asked {
    dialer: Arc<dyn Dialer>,
    pipes: Vec<Pipe>,
    next: u64,
}

/// A question to an agent.
#[derive(Debug)]
pub(super) struct Ask {
    /// Nobody, where it is not known whom to ask.
    agent: Option<AgentName>,
    /// As it was said, in case that it must be said again.
    command: Bytes,
    way: Result<PipeNumber, Refusal>,
    again: bool,
    until: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PipeNumber(u64);

// === impl Asked ===

impl Asked {
    pub(super) fn new(dialer: Arc<dyn Dialer>) -> Self {
        Self { dialer, pipes: Vec::new(), next: 0 }
    }

    /// Asks at once, as far as the agent can be reached.
    pub(super) fn ask(&mut self, agent: &AgentName, command: Bytes) -> Ask {
        let way = self.say(agent, &command, true);
        Ask { agent: Some(agent.clone()), command, way, again: false, until: Instant::now() + DEADLINE }
    }

    /// Writes what is to be said to agents, as far as they take it now. Whether there is room that was not there before.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        let had_room = self.has_room();
        for pipe in &mut self.pipes {
            // What is wrong is seen where the answer is read.
            let _: Poll<io::Result<()>> = pipe.poll_write(cx);
        }
        !had_room && self.has_room()
    }

    /// Whether agents take what they are told.
    pub(super) fn has_room(&self) -> bool {
        self.pipes.iter().all(|pipe| pipe.unsaid() < UNSAID)
    }

    /// Waits until the next answer of the pipe on which this was asked has begun, or none will come: the error that it is,
    /// if it is one.
    pub(super) fn poll_begun(&mut self, ask: &mut Ask, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while let Ok(number) = ask.way {
            match self.poll_pipe(number, cx, Pipe::poll_begun) {
                Poll::Ready(Ok(error)) => return Poll::Ready(error),
                Poll::Ready(Err(refusal)) => self.lost(ask, refusal, false),
                Poll::Pending if ask.until <= Instant::now() => self.silent(ask),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(None)
    }

    /// The next piece of an answer; nothing of those asked before may be open on its pipe.
    pub(super) fn poll_answer(&mut self, ask: &mut Ask, cx: &mut Context<'_>) -> Poll<Result<ReplyEvent, Refusal>> {
        loop {
            let number = match &ask.way {
                Ok(number) => *number,
                Err(refusal) => return Poll::Ready(Err(refusal.clone())),
            };
            let within = self.find(number).is_some_and(|pipe| pipe.is_within());
            match self.poll_pipe(number, cx, Pipe::poll_next) {
                Poll::Ready(Ok(event)) => {
                    // From now on it is the agent's pace that counts.
                    ask.until = Instant::now() + STALL;
                    return Poll::Ready(Ok(event));
                }
                Poll::Ready(Err(refusal)) => self.lost(ask, refusal, within),
                Poll::Pending if ask.until <= Instant::now() => self.silent(ask),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Nobody waits for the answer.
    pub(super) fn forget(&mut self, ask: &Ask) {
        let Ok(number) = ask.way else { return };
        // With no more to come, the agent need not answer at all.
        if self.find(number).is_some_and(Pipe::forget) {
            self.drop_pipe(number);
        }
    }

    /// Drops pipes on which nothing was asked for a while, and those that the agent has ended: one that drains waits for that.
    /// When to look again, if there are any.
    pub(super) fn drop_idle(&mut self, cx: &mut Context<'_>) -> Option<Instant> {
        if self.pipes.is_empty() {
            return None;
        }
        let now = Instant::now();
        let lives = |pipe: &mut Pipe| pipe.idle_since().is_none_or(|since| since + IDLE > now && pipe.is_silent(cx));
        self.pipes.retain_mut(lives);
        self.pipes.iter().filter_map(|pipe| Some(pipe.idle_since()? + IDLE)).min()
    }

    fn say(&mut self, agent: &AgentName, command: &Bytes, is_shared: bool) -> Result<PipeNumber, Refusal> {
        let lease = self.dialer.reserve(agent).map_err(refusal_of_dial)?;
        let session = lease.session;
        let shared = self.pipes.iter_mut().find(|pipe| pipe.takes(agent, session));
        if let Some(pipe) = shared.filter(|_| is_shared) {
            pipe.say(command.clone(), lease);
            return Ok(pipe.number());
        }
        let stream = self.dialer.dial(session, Target::Redis).map_err(refusal_of_dial)?;
        let number = PipeNumber(self.next);
        self.next += 1;
        let mut pipe = Pipe::new(number, agent.clone(), stream, is_shared.then_some(session));
        pipe.say(command.clone(), lease);
        self.pipes.push(pipe);
        Ok(number)
    }

    /// The answer does not come on this pipe, nor anything else.
    fn lost(&mut self, ask: &mut Ask, refusal: Refusal, within: bool) {
        if let Ok(number) = ask.way {
            self.drop_pipe(number);
        }
        let may_be = !within && refusal == Refusal::TunnelBroken && !std::mem::replace(&mut ask.again, true);
        ask.way = match &ask.agent {
            Some(agent) if may_be => self.say(agent, &ask.command, false),
            _ => Err(refusal),
        };
    }

    fn silent(&mut self, ask: &mut Ask) {
        if let Ok(number) = ask.way {
            self.drop_pipe(number);
        }
        ask.way = Err(Refusal::AgentTimeout);
    }

    fn poll_pipe<T>(
        &mut self,
        number: PipeNumber,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Pipe, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<Result<T, Refusal>> {
        match self.find(number) {
            Some(pipe) => {
                // It may be asked only now. What is wrong with it is seen where it is read.
                let _: Poll<io::Result<()>> = pipe.poll_write(cx);
                poll(pipe, cx).map_err(|error| refusal_of_pipe(&error))
            }
            // Another answer that did not come took it along.
            None => Poll::Ready(Err(Refusal::TunnelBroken)),
        }
    }

    fn find(&mut self, number: PipeNumber) -> Option<&mut Pipe> {
        self.pipes.iter_mut().find(|pipe| pipe.number() == number)
    }

    fn drop_pipe(&mut self, number: PipeNumber) {
        self.pipes.retain(|pipe| pipe.number() != number);
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pipes.iter().map(Pipe::agent)).finish()
    }
}

// === impl Ask ===

impl Ask {
    /// A question that cannot be asked.
    pub(super) fn refused(refusal: Refusal) -> Self {
        Self { agent: None, command: Bytes::new(), way: Err(refusal), again: true, until: Instant::now() }
    }

    /// Who was asked.
    pub(super) fn agent(&self) -> Option<&AgentName> {
        self.agent.as_ref()
    }

    /// How many bytes it holds.
    pub(super) fn held(&self) -> usize {
        self.command.len()
    }

    /// When its answer must have gone on.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Why there is no answer, if that is known.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        self.way.as_ref().err()
    }
}

fn refusal_of_dial(error: DialError) -> Refusal {
    match error {
        DialError::NotConnected => Refusal::AgentNotConnected,
        DialError::Busy => Refusal::TooManyRequests,
    }
}

fn refusal_of_pipe(error: &io::Error) -> Refusal {
    match PipeError::find(error) {
        Some(PipeError::Refused(RefusedReason::Target)) => Refusal::ProxyDisabled,
        Some(PipeError::Refused(RefusedReason::Busy)) => Refusal::TooManyRequests,
        _ => Refusal::TunnelBroken,
    }
}

/// Until an answer begins. Less than what Argo CD's clients wait for a reply, 3 or 5 s by version (go-redis, options.go): they
/// would take a later one for a broken connection, and ask again.
const DEADLINE: Duration = Duration::from_millis(2_500);

/// An answer that has begun and does not go on is dead after this time.
const STALL: Duration = Duration::from_secs(5);

/// A burst of page views uses a pipe again; what is longer idle costs more, at both ends, than a new one.
const IDLE: Duration = Duration::from_secs(10);

/// So much is said to an agent and not taken by it before the client is no longer read.
const UNSAID: usize = 64 << 10;

#[cfg(test)]
mod tests;
