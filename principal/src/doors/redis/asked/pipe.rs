//! One pipe to an agent, and the answers that are to come on it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use common::{
    AgentName,
    resp::replies::{Limits, ReplyEvent, ReplyScanner},
    tunnel::{SessionId, TunnelStream},
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::Instant,
};

use super::PipeNumber;
use crate::{
    agents::Lease,
    doors::redis::buffers::{Incoming, Outgoing},
};

/// A pipe on which questions are asked one behind the other, and answered in that order.
pub(super) struct Pipe {
    number: PipeNumber,
    agent: AgentName,
    /// The session that it is a part of, unless it is for one question alone.
    shared: Option<SessionId>,
    stream: TunnelStream,
    outgoing: Outgoing,
    incoming: Incoming,
    scanner: ReplyScanner,
    /// The first piece of the answer whose turn it is, looked at and not taken.
    first: Option<ReplyEvent>,
    /// Whether some of that answer was taken.
    is_within: bool,
    /// Answers that are to come.
    open: usize,
    /// How many of these, the next ones, nobody waits for.
    forgotten: usize,
    /// While answers are to come.
    lease: Option<Lease>,
    idle_since: Instant,
}

// === impl Pipe ===

impl Pipe {
    pub(super) fn new(number: PipeNumber, agent: AgentName, stream: TunnelStream, shared: Option<SessionId>) -> Self {
        Self {
            number,
            agent,
            shared,
            stream,
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            scanner: ReplyScanner::new(Limits { depth: DEPTH, ..Limits::default() }),
            first: None,
            is_within: false,
            open: 0,
            forgotten: 0,
            lease: None,
            idle_since: Instant::now(),
        }
    }

    pub(super) fn number(&self) -> PipeNumber {
        self.number
    }

    pub(super) fn agent(&self) -> &AgentName {
        &self.agent
    }

    /// Whether a question to that agent, whose newest session that is, may be asked on it.
    pub(super) fn takes(&self, agent: &AgentName, session: SessionId) -> bool {
        self.shared == Some(session) && self.agent == *agent
    }

    /// Whether the answer whose turn it is has been taken in part.
    pub(super) fn is_within(&self) -> bool {
        self.is_within
    }

    /// How many bytes wait to be written.
    pub(super) fn unsaid(&self) -> usize {
        self.outgoing.len()
    }

    /// Since when no answer is to come.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.open == 0).then_some(self.idle_since)
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_write(&mut self.stream, cx)
    }

    /// Nobody waits for the next answer. Whether nobody waits for any.
    pub(super) fn forget(&mut self) -> bool {
        if self.first.take().is_some_and(|event| is_last(&event)) {
            return false;
        }
        self.forgotten += 1;
        self.forgotten == self.open
    }

    /// Asks one question more.
    pub(super) fn say(&mut self, command: Bytes, lease: Lease) {
        self.outgoing.push(command);
        self.open += 1;
        self.lease.get_or_insert(lease);
    }

    /// Looks at the beginning of the next answer: the error that it is, if it is one.
    pub(super) fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let first = match self.first.take() {
            Some(event) => event,
            None => ready!(self.poll_next(cx))?,
        };
        self.is_within = false;
        let error = match &first {
            ReplyEvent::Reply(reply) if reply.is_error() => Some(reply.part().bytes().clone()),
            _ => None,
        };
        self.first = Some(first);
        Poll::Ready(Ok(error))
    }

    /// The next piece of an answer that somebody waits for.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<ReplyEvent>> {
        loop {
            let event = match self.first.take() {
                Some(event) => event,
                None => match ready!(self.poll_event(cx))? {
                    event if self.forgotten > 0 => {
                        if is_last(&event) {
                            self.forgotten -= 1;
                            self.answered();
                        }
                        continue;
                    }
                    event => {
                        if is_last(&event) {
                            self.answered();
                        }
                        event
                    }
                },
            };
            self.is_within = !is_last(&event);
            return Poll::Ready(Ok(event));
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<ReplyEvent>> {
        loop {
            let next = self.scanner.next(self.incoming.bytes());
            if let Some(event) = next.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                return Poll::Ready(Ok(event));
            }
            if ready!(self.incoming.poll_read(&mut self.stream, cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Whether nothing comes, as it should be while nothing is asked; wakes when something does.
    pub(super) fn is_silent(&mut self, cx: &mut Context<'_>) -> bool {
        Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut [0])).is_pending()
    }

    fn answered(&mut self) {
        self.open = self.open.saturating_sub(1);
        if self.open == 0 {
            self.lease = None;
            self.idle_since = Instant::now();
            self.incoming.rest();
        }
    }
}

fn is_last(event: &ReplyEvent) -> bool {
    match event {
        ReplyEvent::Reply(reply) => reply.is_whole(),
        ReplyEvent::Part(part) => part.is_last(),
    }
}

/// An agent answers with strings and numbers.
const DEPTH: usize = 4;
