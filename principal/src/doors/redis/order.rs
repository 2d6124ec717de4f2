//! Which reply of Redis belongs to which command of the client.
//!
//! Pure: it is told what was said to Redis and what Redis says, in order. Always true: whatever commands are pipelined,
//! and whether Redis takes or refuses them, each of its frames is found to be a message, a confirmation, or the reply to
//! exactly one command. Commands whose reply simply passes are counted, so a long pipeline of them costs nothing.

use std::collections::VecDeque;

use bytes::Bytes;
use common::resp::{
    commands::Login,
    frames::Protocol,
    replies::{Marker, Reply, Role},
};
use tokio::time::Instant;

use super::asked::Ask;

/// What Redis is yet to say on one connection, and what is known of the connection's state by what it has said.
#[derive(Debug, Default)]
pub(super) struct Order {
    expected: VecDeque<Expected>,
    /// What that holds, in bytes.
    held: usize,
    protocol: Protocol,
    in_transaction: bool,
    /// How many of what is expected may change that.
    turns: usize,
    monitors: bool,
    channels: u64,
    patterns: u64,
    shards: u64,
}

/// What belongs to one command, or to several alike.
#[derive(Debug)]
pub(super) enum Expected {
    /// So many replies that pass.
    Plain(u64),
    /// Confirmations of subscriptions, or one error: so many, or all that there are to be confirmed.
    Confirmations(Subscribed, Option<u64>),
    /// HELLO that asks for this protocol.
    Hello(Protocol),
    /// MULTI.
    Multi,
    /// EXEC.
    Exec,
    /// DISCARD.
    Discard,
    /// RESET.
    Reset,
    /// MONITOR.
    Monitor,
    /// A read of agents' keys, which were asked.
    Read(Read),
    /// The reply to a read that is too long for agents to be asked: it passes unless they had to be.
    Long(Option<Bytes>),
    /// A PING of ours, which tells whether the client has logged in.
    Login,
    /// A reply of which nobody is to know.
    Dropped,
    /// A reply in whose place we say this.
    Replaced(Bytes),
    /// No reply at all: the command did not go to Redis. We say this.
    Said(Bytes),
}

/// What one subscribes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subscribed {
    Channels,
    Patterns,
    Shards,
}

/// A read of which agents answer something.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) shape: Shape,
    /// With the number of the key among the command's, in order.
    pub(super) asks: VecDeque<(u32, Ask)>,
    pub(super) began: Instant,
}

/// Where the agents' answers stand in the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The answer is the reply.
    Whole,
    /// Each answer is an element of it.
    Elements,
    /// The reply is a sum, and Redis is asked twice: for all keys, of which this many are there, and for those of agents.
    Sum(Option<i64>),
}

/// What a frame of Redis is.
#[derive(Debug)]
pub(super) enum Meaning {
    /// Nothing for us: it passes.
    Passes,
    /// It confirms a subscription, and passes. Its number is to be [told](Order::confirmed) when it is known.
    Confirms(Subscribed),
    /// It does not pass, and this is said in its place, which may be nothing.
    Becomes(Bytes),
    /// It is the reply to this read, and Redis allows it.
    Allows(Read),
    /// It is the reply to this read, and Redis does not allow it: it passes.
    Refuses(Read),
    /// RESET was done.
    Resets,
    /// It does not pass, and tells this.
    Login(Login),
}

// === impl Order ===

impl Order {
    /// A command goes to Redis, or would.
    pub(super) fn push(&mut self, expected: Expected) {
        match (&expected, self.expected.back_mut()) {
            (Expected::Plain(more), Some(Expected::Plain(count))) => {
                *count += more;
                return;
            }
            (Expected::Multi | Expected::Exec | Expected::Discard | Expected::Reset, _) => self.turns += 1,
            _ => {}
        }
        self.held += expected.held();
        self.expected.push_back(expected);
    }

    /// How many bytes are held.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn is_empty(&self) -> bool {
        self.expected.is_empty()
    }

    /// Whether commands are queued and not run now; nothing while Redis has yet to say.
    pub(super) fn in_transaction(&self) -> Option<bool> {
        (self.turns == 0).then_some(self.in_transaction)
    }

    /// Whether the client has surely logged in, as far as it must; nothing while Redis has yet to say.
    pub(super) fn is_let_in(&self) -> Option<bool> {
        self.in_transaction().map(|in_transaction| in_transaction || self.monitors)
    }

    /// What Redis speaks on this connection.
    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The command that was pushed last has keys of agents, and is [too long](Expected::Long) for that.
    pub(super) fn too_long(&mut self, bytes: Bytes) {
        if let Some(Expected::Long(becomes)) = self.expected.back_mut() {
            *becomes = Some(bytes);
        }
    }

    /// What is to be said before anything that Redis says.
    pub(super) fn said(&mut self) -> Option<Bytes> {
        let Expected::Said(bytes) = self.expected.front()? else { return None };
        let bytes = bytes.clone();
        self.pop();
        Some(bytes)
    }

    /// A frame begins.
    pub(super) fn meaning(&mut self, reply: &Reply) -> Meaning {
        let confirms = confirms(reply);
        match reply.role() {
            Role::Attribute => return Meaning::Passes,
            Role::Push => return confirms.map_or(Meaning::Passes, Meaning::Confirms),
            Role::Answer => {}
        }
        if self.is_message(reply) {
            return Meaning::Passes;
        }
        if let (Some(what), Some(Expected::Confirmations(..))) = (confirms, self.expected.front()) {
            return Meaning::Confirms(what);
        }
        let Some(first) = self.pop() else { return Meaning::Passes };
        let refused = reply.is_error();
        match first {
            Expected::Plain(count) => {
                if count > 1 {
                    self.push_front(Expected::Plain(count - 1));
                }
            }
            // An error in place of all confirmations.
            Expected::Confirmations(..) => {}
            Expected::Hello(protocol) if !refused => self.protocol = protocol,
            Expected::Monitor if !refused => self.monitors = true,
            Expected::Hello(_) | Expected::Monitor => {}
            Expected::Multi => self.turned(self.in_transaction || !refused),
            // Also where it is refused: with EXECABORT, or because there is none (`rejectCommand`, server.c).
            Expected::Exec => self.turned(false),
            Expected::Discard => self.turned(self.in_transaction && refused),
            Expected::Reset if refused => self.turned(self.in_transaction),
            Expected::Reset => {
                self.turned(false);
                let Self { expected, held, turns, .. } = std::mem::take(self);
                *self = Self { expected, held, turns, ..Self::default() };
                return Meaning::Resets;
            }
            Expected::Read(read) => return self.read(read, reply),
            Expected::Login => {
                let missing = refused && reply.part().bytes().starts_with(b"-NOAUTH");
                return Meaning::Login(if missing { Login::Missing } else { Login::Done });
            }
            Expected::Long(Some(bytes)) => return Meaning::Becomes(bytes),
            Expected::Long(None) => {}
            Expected::Dropped => return Meaning::Becomes(Bytes::new()),
            Expected::Replaced(bytes) => return Meaning::Becomes(bytes),
            Expected::Said(_) => return Meaning::Passes,
        }
        Meaning::Passes
    }

    /// The last [confirmation](Meaning::Confirms) said that so many subscriptions are left.
    pub(super) fn confirmed(&mut self, what: Subscribed, left: u64) {
        let before = self.subscriptions(what);
        match what {
            Subscribed::Channels => self.channels = left.saturating_sub(self.patterns),
            Subscribed::Patterns => self.patterns = left.saturating_sub(self.channels),
            Subscribed::Shards => self.shards = left,
        }
        let Some(Expected::Confirmations(expected, open)) = self.expected.front_mut() else { return };
        if *expected != what {
            return;
        }
        // To unsubscribe from all of none is confirmed, too.
        let open = open.get_or_insert(before.max(1));
        *open -= 1;
        if *open == 0 {
            self.pop();
        }
    }

    fn read(&mut self, mut read: Read, reply: &Reply) -> Meaning {
        match read.shape {
            Shape::Sum(None) if reply.is_error() => {
                self.push_front(Expected::Dropped);
                Meaning::Refuses(read)
            }
            Shape::Sum(None) => {
                read.shape = Shape::Sum(Some(integer(reply)));
                self.push_front(Expected::Read(read));
                Meaning::Becomes(Bytes::new())
            }
            Shape::Sum(Some(all)) => {
                read.shape = Shape::Sum(Some(all.saturating_sub(integer(reply))));
                Meaning::Allows(read)
            }
            Shape::Whole | Shape::Elements if reply.is_error() => Meaning::Refuses(read),
            // A transaction that we did not see begin.
            Shape::Whole | Shape::Elements if reply.marker() == Marker::Simple => Meaning::Refuses(read),
            Shape::Whole | Shape::Elements => Meaning::Allows(read),
        }
    }

    fn pop(&mut self) -> Option<Expected> {
        let first = self.expected.pop_front()?;
        self.held -= first.held();
        Some(first)
    }

    /// What was first is this now.
    fn push_front(&mut self, expected: Expected) {
        self.held += expected.held();
        self.expected.push_front(expected);
    }

    fn turned(&mut self, in_transaction: bool) {
        self.in_transaction = in_transaction;
        self.turns = self.turns.saturating_sub(1);
    }

    fn subscriptions(&self, what: Subscribed) -> u64 {
        match what {
            Subscribed::Channels => self.channels,
            Subscribed::Patterns => self.patterns,
            Subscribed::Shards => self.shards,
        }
    }

    /// Whether it answers nothing, though it looks like an answer: in RESP2, a message to a subscriber; in both, a
    /// command that a monitor sees, which begins with the time.
    fn is_message(&self, reply: &Reply) -> bool {
        let subscribes = self.channels + self.patterns + self.shards > 0;
        match reply.marker() {
            Marker::Array if subscribes && self.protocol == Protocol::Resp2 => {
                matches!(reply.kind(), Some(b"message" | b"pmessage" | b"smessage"))
            }
            Marker::Simple if self.monitors => reply.part().bytes().get(1).is_some_and(u8::is_ascii_digit),
            _ => false,
        }
    }
}

// === impl Expected ===

impl Expected {
    /// How many bytes it takes, of what a client can make large.
    fn held(&self) -> usize {
        let more = match self {
            Self::Read(Read { asks, .. }) => asks.iter().map(|(_, ask)| size_of::<(u32, Ask)>() + ask.held()).sum(),
            Self::Said(bytes) | Self::Replaced(bytes) => bytes.len(),
            _ => 0,
        };
        size_of::<Self>() + more
    }
}

/// What a frame says to be subscribed to, or no longer, by its kind.
fn confirms(reply: &Reply) -> Option<Subscribed> {
    match reply.kind()? {
        b"subscribe" | b"unsubscribe" => Some(Subscribed::Channels),
        b"psubscribe" | b"punsubscribe" => Some(Subscribed::Patterns),
        b"ssubscribe" | b"sunsubscribe" => Some(Subscribed::Shards),
        _ => None,
    }
}

/// The number that a reply is; 0 where it is none.
pub(super) fn integer(reply: &Reply) -> i64 {
    let text = reply.part().bytes().strip_prefix(b":").and_then(|rest| rest.strip_suffix(b"\r\n"));
    text.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
