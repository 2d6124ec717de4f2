//! What becomes of a command before Redis has seen it.
//!
//! Pure. Redis is the judge of all that it can judge; what is refused here is what could not be right any more behind it.

use bytes::Bytes;
use common::{
    AgentKey, AgentName,
    resp::{
        commands::{Argument, Command, Part, Word},
        frames::{self, ErrorCode},
    },
};

use super::order::{Expected, Order, Shape, Subscribed};
use crate::agents::{Route, Routes};

/// What to do with a command.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It goes to Redis, and this is expected.
    Pass(Expected),
    /// It goes to Redis, and agents are asked.
    Read(Shape, Vec<Question>),
    /// It does not go to Redis. If it would be queued in a transaction, that is aborted.
    Refuse(&'static str),
    /// It does not go to Redis, and the connection ends behind the refusal: the client is to come back and say it again.
    Dismiss(&'static str),
    /// What it means depends on what Redis has yet to say.
    Wait,
}

/// Something that an agent is to be asked for one key.
#[derive(Debug)]
pub(super) struct Question {
    /// Which of the command's keys it is.
    pub(super) number: u32,
    /// The key, as the client calls it.
    pub(super) key: Bytes,
    /// Who is to be asked, or why nobody can be.
    pub(super) whom: Result<AgentName, &'static str>,
    /// In which words.
    pub(super) command: Bytes,
}

/// Judges a command that begins.
pub(super) fn judge(command: &Command, order: &Order, routes: &dyn Routes) -> Verdict {
    match command.word() {
        Word::Get | Word::Ttl | Word::Pttl | Word::Strlen => read(command, 2, Shape::Whole, order, routes),
        Word::Getrange => read(command, 4, Shape::Whole, order, routes),
        Word::Mget => read(command, 2, Shape::Elements, order, routes),
        Word::Exists => read(command, 2, Shape::Sum(None), order, routes),
        Word::Subscribe => {
            let channels = command.arguments().filter_map(|channel| AgentKey::parse(channel.whole()?));
            let mut channels = channels.filter(AgentKey::is_channel);
            if channels.any(|channel| matches!(routes.publisher(&channel), Route::Unknown(_))) {
                // go-redis subscribes anew by itself when it was cut off. An error alone it takes for one of the network's:
                // it goes on reading on the same connection, and Argo CD waits for messages that never come
                // (pubsub.go, `releaseConn`, `initMsgChan`).
                return match order.in_transaction() {
                    None => Verdict::Wait,
                    Some(true) => Verdict::Refuse(QUEUED),
                    Some(false) => Verdict::Dismiss(UNKNOWN_CHANNEL),
                };
            }
            subscription(command, Subscribed::Channels, order)
        }
        Word::Unsubscribe => subscription(command, Subscribed::Channels, order),
        Word::Psubscribe | Word::Punsubscribe => subscription(command, Subscribed::Patterns, order),
        Word::Ssubscribe | Word::Sunsubscribe => subscription(command, Subscribed::Shards, order),
        Word::Client if command.silences() => Verdict::Refuse(SILENCE),
        Word::Replicate => Verdict::Refuse(REPLICATION),
        Word::Hello => match command.protocol() {
            Some(protocol) => unless_queued(order, Expected::Hello(protocol)),
            None => PASS,
        },
        Word::Monitor => unless_queued(order, Expected::Monitor),
        Word::Multi => Verdict::Pass(Expected::Multi),
        Word::Exec => Verdict::Pass(Expected::Exec),
        Word::Discard => Verdict::Pass(Expected::Discard),
        Word::Reset => Verdict::Pass(Expected::Reset),
        _ => PASS,
    }
}

/// What else is asked of Redis behind the first command: how many of the sum are what it has itself of agents' keys.
pub(super) fn count(questions: &[Question]) -> Bytes {
    let keys = questions.iter().map(|question| question.key.as_ref());
    frames::command(&std::iter::once(b"EXISTS".as_slice()).chain(keys).collect::<Vec<_>>())
}

fn read(command: &Command, fewest: u32, shape: Shape, order: &Order, routes: &dyn Routes) -> Verdict {
    let takes_more = shape != Shape::Whole;
    if command.count() < fewest || (command.count() > fewest && !takes_more) {
        return PASS;
    }
    let keys = command.arguments().take(if takes_more { usize::MAX } else { 1 });
    let questions = (0..).zip(keys).filter_map(|(number, key)| question(command, number, &key, routes));
    let questions: Vec<_> = questions.collect();
    // Nobody knows yet whose keys are behind those that are here.
    let is_long = takes_more && command.arguments().count() + 1 < command.count() as usize;
    match order.in_transaction() {
        _ if questions.is_empty() && !is_long => PASS,
        None => Verdict::Wait,
        Some(true) => Verdict::Refuse(TRANSACTION),
        Some(false) if is_long => Verdict::Pass(Expected::Long((!questions.is_empty()).then(too_long))),
        Some(false) if questions.len() > MOST => Verdict::Refuse(TOO_MANY),
        Some(false) => Verdict::Read(shape, questions),
    }
}

/// Whether there are agents' keys in the further parts of a command that is too long to be answered by them.
pub(super) fn reads_more(part: &Part, routes: &dyn Routes) -> bool {
    let keys = part.arguments().filter_map(|key| AgentKey::parse(key.whole()?));
    keys.map(|key| routes.route(&key)).any(|route| route != Route::Local)
}

/// What is said then.
pub(super) fn too_long() -> Bytes {
    frames::error(ErrorCode::Err, TOO_LONG)
}

fn question(command: &Command, number: u32, key: &Argument<'_>, routes: &dyn Routes) -> Option<Question> {
    let key = key.whole()?;
    let whom = match routes.route(&AgentKey::parse(key)?) {
        Route::Local => return None,
        Route::Agent(agent) => Ok(agent),
        Route::Unknown(why) => Err(why),
    };
    let words = match command.word() {
        Word::Ttl => frames::command(&[b"TTL", key]),
        Word::Pttl => frames::command(&[b"PTTL", key]),
        Word::Strlen => frames::command(&[b"STRLEN", key]),
        Word::Exists => frames::command(&[b"EXISTS", key]),
        Word::Getrange => {
            let mut range = command.arguments().skip(1).map(|place| place.whole());
            // What is too long to be known is no number, and Redis says so.
            let mut place = || range.next().flatten().unwrap_or_default();
            let (start, end) = (place(), place());
            frames::command(&[b"GETRANGE", key, start, end])
        }
        _ => frames::get(key),
    };
    Some(Question { number, key: Bytes::copy_from_slice(key), whom, command: words })
}

fn subscription(command: &Command, what: Subscribed, order: &Order) -> Verdict {
    let channels = u64::from(command.count().saturating_sub(1));
    let leaves = matches!(command.word(), Word::Unsubscribe | Word::Punsubscribe | Word::Sunsubscribe);
    match channels {
        0 if leaves => unless_queued(order, Expected::Confirmations(what, None)),
        // Which Redis refuses.
        0 => PASS,
        some => unless_queued(order, Expected::Confirmations(what, Some(some))),
    }
}

/// A command whose reply cannot be found within that of EXEC.
fn unless_queued(order: &Order, expected: Expected) -> Verdict {
    match order.in_transaction() {
        None => Verdict::Wait,
        Some(true) => Verdict::Refuse(QUEUED),
        Some(false) => Verdict::Pass(expected),
    }
}

/// What Redis is told in place of a command that is refused while it queues: an error that aborts the transaction.
pub(super) fn abort() -> Bytes {
    frames::command(&[b"GET"])
}

const PASS: Verdict = Verdict::Pass(Expected::Plain(1));

/// An application has a handful of keys, a page of them a few hundred.
const MOST: usize = 1_024;

const TRANSACTION: &str = "keys of agents cannot be read in a transaction";
const QUEUED: &str = "the redis proxy cannot follow this command in a transaction";
const SILENCE: &str = "the redis proxy needs replies: CLIENT REPLY OFF and SKIP are not supported";
const REPLICATION: &str = "the redis proxy does not support replication";
const TOO_LONG: &str = "the redis proxy reads at most 64 KiB of keys in one command";
const TOO_MANY: &str = "the redis proxy reads at most 1024 keys of agents in one command";
const UNKNOWN_CHANNEL: &str = "the redis proxy does not know yet which agent the channel belongs to";
