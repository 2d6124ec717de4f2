//! Which commands run at all: reads of agents' keys, GET of how it stands with this cluster, subscriptions to agents'
//! channels, and nothing else.
//!
//! The agent does not trust the principal. No byte of a command goes to Redis as it came: what may run is put together
//! anew, from a word of ours and keys that were parsed.

use bytes::Bytes;
use common::resp::{Command, Word, frames};

use super::{
    metrics::CommandClass,
    naming::{Channel, Conversion, LocalKey, Naming},
};

/// What a command comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Redis is asked.
    Ask(Ask),
    /// Messages of these channels are wanted.
    Subscribe(Vec<Channel>),
    /// They are not any more.
    Unsubscribe(Vec<Channel>),
    /// The agent itself says that it is here.
    Ping,
}

/// What is said to Redis, and what becomes of its answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) class: CommandClass,
    /// One command, or several.
    pub(super) commands: Bytes,
    pub(super) form: Form,
}

/// What is expected of Redis, and what is made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A string or nil, handed on.
    Value,
    /// A number, handed on.
    Number,
    /// A string, compressed on its way; or nil.
    Compressed,
    /// The length of a string, from which follows how long it is when compressed.
    CompressedLength,
    /// A compressed string within a transaction, behind its last four bytes, decompressed on its way; or nil.
    Decompressed,
    /// The last four bytes of a compressed string, which say how long it is.
    PlainLength,
}

/// Why a command does not run, for whom sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("the agent does not run this command")]
    Command,
    #[error("wrong number of arguments")]
    Arguments,
    #[error("the agent has no such key")]
    Key,
    #[error("the agent has no such channel")]
    Channel,
    #[error("value is not an integer or out of range")]
    Number,
    #[error("the command is too long")]
    TooLong,
    #[error("the value is compressed otherwise in the agent's Redis, so no part of it can be read")]
    Part,
}

/// Reads a command.
pub(super) fn judge(command: &Command, naming: &Naming) -> Result<Step, Refused> {
    let class = CommandClass::of(command.word());
    let arguments = command.count().saturating_sub(1);
    let counts = match command.word() {
        Word::Get | Word::Strlen | Word::Ttl | Word::Pttl => arguments == 1,
        Word::Getrange => arguments == 3,
        Word::Exists | Word::Subscribe | Word::Unsubscribe => arguments >= 1,
        Word::Ping => arguments == 0,
        _ => return Err(Refused::Command),
    };
    if !counts {
        return Err(Refused::Arguments);
    }
    // More of them than are held, which is far more than anybody asks for.
    if command.arguments().count() < arguments as usize {
        return Err(Refused::TooLong);
    }
    let key = || naming.key(command.key().unwrap_or_default()).ok_or(Refused::Key);
    let ask = |commands: Bytes, form: Form| Ok(Step::Ask(Ask { class, commands, form }));
    match command.word() {
        Word::Get => {
            let asked = command.key().unwrap_or_default();
            let found = naming.key(asked).or_else(|| naming.cluster_info(asked));
            let LocalKey { key, conversion } = found.ok_or(Refused::Key)?;
            match conversion {
                Conversion::None => ask(frames::get(&key), Form::Value),
                Conversion::Compress => ask(frames::get(&key), Form::Compressed),
                Conversion::Decompress => ask(with_length(&key), Form::Decompressed),
            }
        }
        Word::Strlen => {
            let LocalKey { key, conversion } = key()?;
            match conversion {
                Conversion::None => ask(frames::command(&[b"STRLEN", &key]), Form::Number),
                Conversion::Compress => ask(frames::command(&[b"STRLEN", &key]), Form::CompressedLength),
                Conversion::Decompress => ask(last_bytes(&key), Form::PlainLength),
            }
        }
        Word::Getrange => {
            let LocalKey { key, conversion } = key()?;
            let mut bounds = command.arguments().skip(1).map(|bound| integer(bound.whole()?));
            let (Some(Some(start)), Some(Some(end))) = (bounds.next(), bounds.next()) else {
                return Err(Refused::Number);
            };
            if conversion != Conversion::None {
                return Err(Refused::Part);
            }
            ask(frames::command(&[b"GETRANGE", &key, start, end]), Form::Value)
        }
        Word::Ttl => ask(frames::command(&[b"TTL", &key()?.key]), Form::Number),
        Word::Pttl => ask(frames::command(&[b"PTTL", &key()?.key]), Form::Number),
        Word::Exists => {
            let keys = command.arguments().map(|key| naming.key(key.whole()?)).collect::<Option<Vec<_>>>();
            let keys = keys.ok_or(Refused::Key)?;
            let words = std::iter::once(b"EXISTS".as_slice()).chain(keys.iter().map(|key| key.key.as_ref()));
            ask(frames::command(&words.collect::<Vec<_>>()), Form::Number)
        }
        Word::Subscribe => channels(command, naming).map(Step::Subscribe),
        Word::Unsubscribe => channels(command, naming).map(Step::Unsubscribe),
        Word::Ping => Ok(Step::Ping),
        _ => Err(Refused::Command),
    }
}

fn channels(command: &Command, naming: &Naming) -> Result<Vec<Channel>, Refused> {
    let channels = command.arguments().map(|channel| naming.channel(channel.whole()?));
    channels.collect::<Option<Vec<_>>>().ok_or(Refused::Channel)
}

/// A bound of a range, as Redis takes it. Whatever it is, it goes to Redis only as a number.
fn integer(text: &[u8]) -> Option<&[u8]> {
    let is_number = std::str::from_utf8(text).ok()?.parse::<i64>().is_ok();
    Some(text).filter(|_| is_number)
}

/// A value and, of the same moment, how long it is when decompressed.
fn with_length(key: &[u8]) -> Bytes {
    let multi = frames::command(&[b"MULTI"]);
    [multi, last_bytes(key), frames::get(key), frames::command(&[b"EXEC"])].concat().into()
}

/// The end of a gzip member: its length before it was compressed (RFC 1952, ISIZE).
fn last_bytes(key: &[u8]) -> Bytes {
    frames::command(&[b"GETRANGE", key, b"-4", b"-1"])
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use common::resp::{CommandEvent, CommandScanner, commands::Limits};

    use super::*;
    use crate::{config::Compression, executors::redis::naming::Namespaces};

    fn naming(compression: Compression) -> Naming {
        Naming { namespaces: Namespaces::Agents, prefix: "p-".to_owned(), compression }
    }

    fn judged_by(naming: &Naming, words: &[&str]) -> Result<Step, Refused> {
        let words = words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>();
        let mut input = BytesMut::from(frames::command(&words).as_ref());
        let event = CommandScanner::new(Limits::default()).next(&mut input).unwrap();
        let Some(CommandEvent::Command(command)) = event else { panic!("no command: {event:?}") };
        judge(&command, naming)
    }

    fn judged(words: &[&str]) -> Result<Step, Refused> {
        judged_by(&naming(Compression::Gzip), words)
    }

    fn said(words: &[&str]) -> (String, Form) {
        match judged(words) {
            Ok(Step::Ask(ask)) => (readable(&ask.commands), ask.form),
            other => panic!("{other:?}"),
        }
    }

    /// Commands as one would type them.
    fn readable(commands: &[u8]) -> String {
        let text = String::from_utf8(commands.to_vec()).unwrap();
        text.split("\r\n").filter(|line| !line.starts_with(['*', '$'])).collect::<Vec<_>>().join(" ").trim().to_owned()
    }

    const TREE: &str = "app|resources-tree|a_b|1.8.3.gz";
    const PLAIN: &str = "app|resources-tree|a_b|1.8.3";
    const CHANNEL: &str = "app|managed-resources|a_b|1.8.3";

    #[test]
    fn reads_of_agents_keys_run_under_the_names_of_this_side() {
        for (words, expected, form) in [
            (&["GET", TREE][..], "GET p-app|resources-tree|b|1.8.3.gz", Form::Value),
            (&["get", TREE], "GET p-app|resources-tree|b|1.8.3.gz", Form::Value),
            (&["STRLEN", TREE], "STRLEN p-app|resources-tree|b|1.8.3.gz", Form::Number),
            (&["TTL", TREE], "TTL p-app|resources-tree|b|1.8.3.gz", Form::Number),
            (&["PTTL", PLAIN], "PTTL p-app|resources-tree|b|1.8.3.gz", Form::Number),
            (&["GETRANGE", TREE, "0", "-1"], "GETRANGE p-app|resources-tree|b|1.8.3.gz 0 -1", Form::Value),
            (
                &["EXISTS", TREE, CHANNEL, TREE],
                "EXISTS p-app|resources-tree|b|1.8.3.gz p-app|managed-resources|b|1.8.3.gz \
                 p-app|resources-tree|b|1.8.3.gz",
                Form::Number,
            ),
        ] {
            assert_eq!(said(words), (expected.to_owned(), form), "{words:?}");
        }
    }

    #[test]
    fn a_value_that_is_kept_in_another_form_is_asked_for_with_what_its_conversion_needs() {
        let (commands, form) = said(&["GET", PLAIN]);
        let key = "p-app|resources-tree|b|1.8.3.gz";
        assert_eq!(commands, format!("MULTI GETRANGE {key} -4 -1 GET {key} EXEC"));
        assert_eq!(form, Form::Decompressed);
        assert_eq!(said(&["STRLEN", PLAIN]), (format!("GETRANGE {key} -4 -1"), Form::PlainLength));

        let kept_plain = naming(Compression::None);
        for (word, expected) in [("GET", Form::Compressed), ("STRLEN", Form::CompressedLength)] {
            match judged_by(&kept_plain, &[word, TREE]) {
                Ok(Step::Ask(Ask { commands, form, .. })) => {
                    assert_eq!(readable(&commands), format!("{word} p-app|resources-tree|b|1.8.3"));
                    assert_eq!(form, expected);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(judged_by(&kept_plain, &["GETRANGE", TREE, "0", "1"]), Err(Refused::Part));
        assert_eq!(judged(&["GETRANGE", PLAIN, "0", "1"]), Err(Refused::Part));
    }

    #[test]
    fn how_it_stands_with_this_cluster_can_be_read_and_nothing_more() {
        let own = "cluster|info|https://kubernetes.default.svc|1.8.3.gz";
        assert_eq!(said(&["GET", own]), (format!("GET p-{own}"), Form::Value));
        for words in [
            &["GET", "cluster|info|https://a|1.8.3.gz"][..],
            &["GET", "p-cluster|info|https://kubernetes.default.svc|1.8.3.gz"],
            &["GET", "cluster|info|https://kubernetes.default.svc|*"],
            &["STRLEN", own],
            &["TTL", own],
            &["EXISTS", own],
            &["GETRANGE", own, "0", "1"],
        ] {
            assert_eq!(judged(words), Err(Refused::Key), "{words:?}");
        }
        for words in [&["SET", own, "x"][..], &["DEL", own], &["MGET", own]] {
            assert_eq!(judged(words), Err(Refused::Command), "{words:?}");
        }
        assert_eq!(judged(&["SUBSCRIBE", own]), Err(Refused::Channel));
    }

    #[test]
    fn channels_come_with_both_names() {
        let channel = Channel { principals: CHANNEL.into(), local: "app|managed-resources|b|1.8.3".into() };
        assert_eq!(judged(&["SUBSCRIBE", CHANNEL]), Ok(Step::Subscribe(vec![channel.clone()])));
        assert_eq!(judged(&["UNSUBSCRIBE", CHANNEL, CHANNEL]), Ok(Step::Unsubscribe(vec![channel.clone(), channel])));
        assert_eq!(judged(&["PING"]), Ok(Step::Ping));
    }

    #[test]
    fn all_else_is_refused() {
        for words in [
            &["SET", TREE, "x"][..],
            &["DEL", TREE],
            &["MGET", TREE],
            &["KEYS", "*"],
            &["EVAL", "return 1", "0"],
            &["MULTI"],
            &["EXEC"],
            &["CONFIG", "GET", "requirepass"],
            &["AUTH", "x"],
            &["HELLO", "3"],
            &["SELECT", "1"],
            &["PUBLISH", CHANNEL, ""],
            &["PSUBSCRIBE", "*"],
            &["SSUBSCRIBE", CHANNEL],
            &["FLUSHALL"],
            &["MONITOR"],
            &["GETDEL", TREE],
            &["nonsense"],
            &[""],
        ] {
            assert_eq!(judged(words), Err(Refused::Command), "{words:?}");
        }
        for words in [
            &["GET"][..],
            &["GET", TREE, TREE],
            &["EXISTS"],
            &["GETRANGE", TREE, "0"],
            &["TTL", TREE, TREE],
            &["SUBSCRIBE"],
            &["UNSUBSCRIBE"],
            &["PING", "x"],
        ] {
            assert_eq!(judged(words), Err(Refused::Arguments), "{words:?}");
        }
        for words in [
            &["GET", "secret"][..],
            &["GET", ""],
            &["GET", &"x".repeat(5_000)],
            &["EXISTS", TREE, "secret"],
            &["STRLEN", "cluster|info|https://a|1.8.3"],
        ] {
            assert_eq!(judged(words), Err(Refused::Key), "{words:?}");
        }
        for words in [&["SUBSCRIBE", "new-revoked-token"][..], &["SUBSCRIBE", CHANNEL, TREE], &["UNSUBSCRIBE", "*"]] {
            assert_eq!(judged(words), Err(Refused::Channel), "{words:?}");
        }
        for bound in ["", "x", "1.5", "9223372036854775808", "1\r\nDEL"] {
            assert_eq!(judged(&["GETRANGE", TREE, bound, "1"]), Err(Refused::Number), "{bound:?}");
            assert_eq!(judged(&["GETRANGE", TREE, "1", bound]), Err(Refused::Number), "{bound:?}");
        }
    }

    #[test]
    fn what_is_too_long_to_be_held_does_not_run() {
        let keys = vec![TREE; 10_000];
        assert_eq!(judged(&[&["EXISTS"], &keys[..]].concat()), Err(Refused::TooLong));
    }
}
