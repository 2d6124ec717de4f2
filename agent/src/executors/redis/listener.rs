//! A connection to Redis on which messages come.
//!
//! Redis sends what was subscribed to, and answers pings. One that says nothing for too long is lost, as is one that says
//! something else; what it would have said nobody knows.

use std::{collections::VecDeque, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use common::resp::{Reply, ReplyEvent, frames};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};

use super::{connections::Connection, failure::Failure, transaction::behind_line};

/// What Redis said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A channel is subscribed to.
    Subscribed(Bytes),
    /// A message of a channel.
    Message(Message),
    /// Redis does not want to, in its own words.
    Refused(Failure),
}

/// A message of a channel.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) channel: Bytes,
    pub(super) payload: Bytes,
}

/// One connection. Dropping it ends its subscriptions.
#[derive(Debug)]
pub(super) struct Listener {
    connection: Connection,
    /// What is to be said to Redis and is not yet.
    unsaid: VecDeque<Bytes>,
    frame: Frame,
    heard_at: Instant,
    /// Since when a ping is not answered.
    pinged_at: Option<Instant>,
}

/// What Redis is saying.
#[derive(Debug)]
struct Frame {
    kind: Kind,
    /// What has come of what will be looked at, as far as it is held.
    came: BytesMut,
    /// There was more than is held.
    is_cut: bool,
}

#[derive(Debug)]
enum Kind {
    /// A message, and how long all is that stands before its payload.
    Message(Bytes, usize),
    Subscribed(Bytes),
    Refused,
    /// Nobody needs it.
    Other,
}

// === impl Listener ===

impl Listener {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            unsaid: VecDeque::new(),
            frame: Frame { kind: Kind::Other, came: BytesMut::new(), is_cut: false },
            heard_at: Instant::now(),
            pinged_at: None,
        }
    }

    /// Subscribes to these channels, each of which is then heard to be, as soon as [`hear`](Self::hear) is asked.
    pub(super) fn subscribe<'a>(&mut self, channels: impl Iterator<Item = &'a Bytes>) {
        self.say(b"SUBSCRIBE", channels);
    }

    /// Ends these subscriptions in the same way; nothing is heard of that.
    pub(super) fn unsubscribe<'a>(&mut self, channels: impl Iterator<Item = &'a Bytes>) {
        self.say(b"UNSUBSCRIBE", channels);
    }

    fn say<'a>(&mut self, word: &[u8], channels: impl Iterator<Item = &'a Bytes>) {
        let mut words = vec![word];
        let mut unsaid = Vec::new();
        for channel in channels {
            words.push(channel);
            if words.len() > AT_ONCE {
                unsaid.push(frames::command(&words));
                words.truncate(1);
            }
        }
        if words.len() > 1 {
            unsaid.push(frames::command(&words));
        }
        self.unsaid.extend(unsaid);
    }

    /// The next thing that Redis says.
    ///
    /// # Errors
    /// When the connection is of no more use.
    ///
    /// # Cancel safety
    /// Cancel safe: what was read and what was said is kept.
    pub(super) async fn hear(&mut self) -> Result<Heard, Failure> {
        loop {
            while let Some(unsaid) = self.unsaid.front_mut() {
                let said = timeout(ANSWER, self.connection.stream.write(unsaid)).await;
                let said = said.map_err(|_elapsed| Failure::Silent)?.map_err(|_lost| Failure::Lost)?;
                unsaid.advance(said);
                if unsaid.is_empty() {
                    self.unsaid.pop_front();
                }
            }
            let connection = &mut self.connection;
            match connection.scanner.next(&mut connection.came) {
                Ok(Some(event)) => {
                    if let Some(heard) = self.take(event)? {
                        return Ok(heard);
                    }
                    continue;
                }
                Ok(None) => {}
                Err(_malformed) => return Err(Failure::NoRedis),
            }
            let wake = self.pinged_at.map_or(self.heard_at + QUIET, |pinged_at| pinged_at + ANSWER);
            self.wait(wake).await?;
        }
    }

    /// Waits for something to be read, and asks a Redis that has been quiet whether it is there.
    async fn wait(&mut self, wake: Instant) -> Result<(), Failure> {
        let connection = &mut self.connection;
        let flushed = timeout(ANSWER, connection.stream.flush()).await;
        flushed.map_err(|_elapsed| Failure::Silent)?.map_err(|_lost| Failure::Lost)?;
        connection.came.reserve(ROOM);
        // What has come counts even where its time is over: the pipe's reader may have kept us from looking.
        match timeout_at(wake, connection.stream.read_buf(&mut connection.came)).await {
            Ok(Ok(0) | Err(_)) => Err(Failure::Lost),
            Ok(Ok(_)) => {
                (self.heard_at, self.pinged_at) = (Instant::now(), None);
                Ok(())
            }
            Err(_elapsed) if self.pinged_at.is_some() => Err(Failure::Silent),
            Err(_elapsed) => {
                self.pinged_at = Some(Instant::now());
                self.unsaid.push_back(frames::ping());
                Ok(())
            }
        }
    }

    fn take(&mut self, event: ReplyEvent) -> Result<Option<Heard>, Failure> {
        let part = match event {
            ReplyEvent::Reply(reply) => {
                self.frame = Frame { kind: Kind::of(&reply)?, came: BytesMut::new(), is_cut: false };
                reply.into_part()
            }
            ReplyEvent::Part(part) => part,
        };
        self.frame.push(part.bytes());
        if part.is_last() { self.frame.heard() } else { Ok(None) }
    }
}

// === impl Frame ===

impl Frame {
    fn push(&mut self, bytes: &[u8]) {
        if let Kind::Other | Kind::Subscribed(_) = self.kind {
            return;
        }
        let room = HELD.saturating_sub(self.came.len());
        self.is_cut |= bytes.len() > room;
        self.came.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// What it says, now that all of it is here.
    fn heard(&mut self) -> Result<Option<Heard>, Failure> {
        let came = std::mem::take(&mut self.came).freeze();
        Ok(Some(match std::mem::replace(&mut self.kind, Kind::Other) {
            Kind::Message(channel, before) => {
                let payload = came.get(before..).map(|payload| came.slice_ref(payload));
                let payload = payload.as_ref().and_then(behind_line).filter(|_| !self.is_cut);
                // Two bytes end it. What is too long to be held tells that something has changed, as any message does.
                let payload = payload.map(|payload| payload.slice(..payload.len().saturating_sub(BEHIND)));
                Heard::Message(Message { channel, payload: payload.unwrap_or_default() })
            }
            Kind::Subscribed(channel) => Heard::Subscribed(channel),
            Kind::Refused => Heard::Refused(Failure::refused(&came)),
            Kind::Other => return Ok(None),
        }))
    }
}

// === impl Kind ===

impl Kind {
    fn of(reply: &Reply) -> Result<Self, Failure> {
        if reply.is_error() {
            return Ok(Self::Refused);
        }
        let channel = reply.channel().map(Bytes::copy_from_slice);
        match (reply.kind(), channel, reply.length()) {
            (Some(b"message"), Some(channel), Some(3)) => {
                let before = format!("*3\r\n$7\r\nmessage\r\n${}\r\n", channel.len()).len() + channel.len() + BEHIND;
                Ok(Self::Message(channel, before))
            }
            (Some(b"subscribe"), Some(channel), Some(3)) => Ok(Self::Subscribed(channel)),
            // The end of a subscription, the answer to a ping, or what is of a channel that cannot be ours.
            (Some(b"unsubscribe" | b"pong" | b"message" | b"subscribe"), ..) => Ok(Self::Other),
            _ => Err(Failure::NoRedis),
        }
    }
}

/// A Redis that says nothing for so long is asked whether it is there.
const QUIET: Duration = Duration::from_secs(10);

/// And is lost if it says nothing for so long then, or takes nothing.
const ANSWER: Duration = Duration::from_secs(5);

/// So many channels are in one command.
const AT_ONCE: usize = 256;

/// So much of a message is held; those of Argo CD have no payload.
const HELD: usize = 64 << 10;

/// Room for some usual messages.
const ROOM: usize = 4 << 10;

/// A carriage return and a line feed.
const BEHIND: usize = 2;
