//! What is said to an agent about its channels, and what its answers mean. Pure: frames in, meanings out.
//!
//! Nothing that an agent says is trusted: an answer must be one to what was asked, in order, and a message must be one.
//! Anything else is nonsense, behind which nothing is sure any more.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use common::resp::{frames, replies::Marker};

use crate::redis::Frame;

/// What was asked and is not answered, in order.
#[derive(Debug, Default)]
pub(super) struct Dialogue {
    asked: VecDeque<Ask>,
}

/// What is asked of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    Subscribe(Arc<str>),
    Unsubscribe(Arc<str>),
    Ping,
}

/// What an agent has said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The subscription stands.
    Stands(Arc<str>),
    /// There is no subscription, for the reason given.
    Refused(Arc<str>, String),
    /// The subscription has ended.
    Left(Arc<str>),
    /// It is there.
    Pong,
    /// A message.
    Message {
        channel: Bytes,
        /// None where it is longer than what is taken.
        payload: Option<Bytes>,
    },
}

/// What was said makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Nonsense(&'static str);

// === impl Dialogue ===

impl Dialogue {
    /// Asks; what is to be said is returned.
    pub(super) fn ask(&mut self, ask: Ask) -> Bytes {
        let frame = match &ask {
            Ask::Subscribe(channel) => frames::subscribe(channel.as_bytes()),
            Ask::Unsubscribe(channel) => frames::unsubscribe(channel.as_bytes()),
            Ask::Ping => frames::ping(),
        };
        self.asked.push_back(ask);
        frame
    }

    /// Whether all is answered.
    pub(super) fn is_answered(&self) -> bool {
        self.asked.is_empty()
    }

    /// What a frame means.
    ///
    /// # Errors
    /// When it means nothing.
    pub(super) fn hear(&mut self, frame: &Frame) -> Result<Heard, Nonsense> {
        if frame.head.marker() == Marker::Array && frame.head.kind() == Some(b"message") {
            return message(frame);
        }
        let asked = self.asked.pop_front().ok_or(Nonsense("the agent answered what nobody asked"))?;
        match asked {
            Ask::Subscribe(channel) if frame.head.is_error() => Ok(Heard::Refused(channel, frame.words())),
            Ask::Subscribe(channel) if tells(frame, b"subscribe", &channel) => Ok(Heard::Stands(channel)),
            // There is nothing else that could be done about a refusal: what comes of the channel is not published.
            Ask::Unsubscribe(channel) if frame.head.is_error() || tells(frame, b"unsubscribe", &channel) => {
                Ok(Heard::Left(channel))
            }
            // Who subscribes is answered otherwise (`pingCommand`, server.c). An error is a sign of life, too.
            Ask::Ping if frame.head.is_error() || is_pong(frame) => Ok(Heard::Pong),
            Ask::Subscribe(_) | Ask::Unsubscribe(_) | Ask::Ping => {
                Err(Nonsense("the agent's answer is none to what was asked"))
            }
        }
    }
}

fn tells(frame: &Frame, kind: &[u8], channel: &str) -> bool {
    let head = &frame.head;
    let shape = (head.marker(), head.length()) == (Marker::Array, Some(3));
    shape && head.kind() == Some(kind) && head.channel() == Some(channel.as_bytes())
}

fn is_pong(frame: &Frame) -> bool {
    let text = frame.text.as_deref();
    text == Some(b"+PONG\r\n") || text == Some(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n")
}

/// Reads `message`, channel, payload: three strings as Redis writes them.
fn message(frame: &Frame) -> Result<Heard, Nonsense> {
    let nonsense = || Nonsense("the agent's message is none");
    let channel = frame.head.channel().filter(|_| frame.head.length() == Some(3)).ok_or_else(nonsense)?;
    let channel = Bytes::copy_from_slice(channel);
    let Some(text) = &frame.text else { return Ok(Heard::Message { channel, payload: None }) };
    let start = format!("*3\r\n$7\r\nmessage\r\n${}\r\n", channel.len());
    let rest = text.strip_prefix(start.as_bytes()).and_then(|rest| rest.strip_prefix(&channel[..]));
    let rest = rest.and_then(|rest| rest.strip_prefix(b"\r\n$")).ok_or_else(nonsense)?;
    // The scanner has seen that the string is as long as it says, and that the frame ends behind it.
    let line = rest.iter().position(|byte| *byte == b'\n').ok_or_else(nonsense)?;
    let payload = rest.get(line + 1..).and_then(|rest| rest.strip_suffix(b"\r\n")).ok_or_else(nonsense)?;
    // A copy: a message that waits is not to keep all that came with it.
    Ok(Heard::Message { channel, payload: Some(Bytes::copy_from_slice(payload)) })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;
    use crate::redis::Wire;

    async fn frame(text: &[u8]) -> Frame {
        let (near, mut far) = duplex(1 << 20);
        far.write_all(text).await.unwrap();
        Wire::new(near, 1_000).next().await.unwrap()
    }

    async fn hear(asked: &[Ask], text: &str) -> Result<Heard, Nonsense> {
        let mut dialogue = Dialogue::default();
        for ask in asked {
            dialogue.ask(ask.clone());
        }
        dialogue.hear(&frame(text.as_bytes()).await)
    }

    #[tokio::test]
    async fn answers_are_to_what_was_asked() {
        let (c, d): (Arc<str>, Arc<str>) = ("c".into(), "d".into());
        let mut dialogue = Dialogue::default();
        assert_eq!(dialogue.ask(Ask::Subscribe(Arc::clone(&c))), "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n");
        dialogue.ask(Ask::Subscribe(Arc::clone(&d)));
        dialogue.ask(Ask::Unsubscribe(Arc::clone(&c)));
        for ask in [Ask::Ping, Ask::Ping, Ask::Ping] {
            assert_eq!(dialogue.ask(ask), "*1\r\n$4\r\nPING\r\n");
        }
        for (text, heard) in [
            ("*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", Heard::Stands(Arc::clone(&c))),
            ("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n", message_of("c", Some("hi"))),
            ("-ERR no \"d\"\r\n", Heard::Refused(d, "ERR no \\\"d\\\"".to_owned())),
            ("*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n", Heard::Left(c)),
            ("*2\r\n$4\r\npong\r\n$0\r\n\r\n", Heard::Pong),
            ("+PONG\r\n", Heard::Pong),
            ("-ERR Redis is away\r\n", Heard::Pong),
        ] {
            assert!(!dialogue.is_answered());
            assert_eq!(dialogue.hear(&frame(text.as_bytes()).await), Ok(heard), "{text:?}");
        }
        assert!(dialogue.is_answered());
    }

    #[tokio::test]
    async fn what_nobody_asked_is_nonsense() {
        let c = || Ask::Subscribe("c".into());
        for (asked, text) in [
            (&[][..], "+PONG\r\n"),
            (&[], "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"),
            (&[c()], "*3\r\n$9\r\nsubscribe\r\n$1\r\nd\r\n:1\r\n"),
            (&[c()], "*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:1\r\n"),
            (&[c()], "*2\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n"),
            (&[c()], ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"),
            (&[c()], "+PONG\r\n"),
            (&[c()], "$-1\r\n"),
            (&[Ask::Ping], "+OK\r\n"),
            (&[], "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$0\r\n\r\n"),
        ] {
            assert!(hear(asked, text).await.is_err(), "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_message_is_three_strings() {
        for payload in ["", "hi", "a\r\nb\n", "\r\n"] {
            let text = format!("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n${}\r\n{payload}\r\n", payload.len());
            assert_eq!(hear(&[Ask::Ping], &text).await, Ok(message_of("c", Some(payload))));
        }
        for text in [
            "*1\r\n$7\r\nmessage\r\n",
            "*2\r\n$7\r\nmessage\r\n$1\r\nc\r\n",
            "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$-1\r\n",
            "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n:1\r\n",
            "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n+hi\r\n",
            "*3\r\n$7\r\nmessage\r\n+c\r\n$0\r\n\r\n",
            "*3\r\n+message\r\n$1\r\nc\r\n$0\r\n\r\n",
            "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n*1\r\n$0\r\n\r\n",
            "*3\r\n$7\r\nmessage\r\n:1\r\n$0\r\n\r\n",
            "*4\r\n$7\r\nmessage\r\n$1\r\nc\r\n$0\r\n\r\n$0\r\n\r\n",
        ] {
            assert!(hear(&[], text).await.is_err(), "{text:?}");
        }
        let long = "x".repeat(2_000);
        let text = format!("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2000\r\n{long}\r\n");
        assert_eq!(hear(&[], &text).await, Ok(message_of("c", None)));
    }

    fn message_of(channel: &str, payload: Option<&str>) -> Heard {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        Heard::Message { channel: bytes(channel), payload: payload.map(bytes) }
    }
}
