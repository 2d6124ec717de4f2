//! Asks one agent what its own Argo CD says of its cluster.

use std::time::Duration;

use common::{
    AgentName, ClusterInfoKey,
    resp::{frames, replies::Marker},
    tunnel::{SessionId, Target},
};
use tokio::time::timeout;

use super::figures::{self, Figures, Nonsense};
use crate::{
    agents::{DialError, Dialer},
    redis::{Frame, Wire, WireError},
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the agent cannot be reached")]
    Dial(#[source] DialError),
    #[error("the agent has another session now")]
    Moved,
    #[error("the agent did not answer within {} s", DEADLINE.as_secs())]
    Silent,
    #[error("the conversation broke off")]
    Wire(#[source] WireError),
    #[error("the agent refuses: {0}")]
    Refused(String),
    #[error("the agent's answer is no value")]
    NoValue,
    #[error("the agent's answer is too long")]
    TooLong,
    #[error("the agent's answer makes no sense")]
    Nonsense(#[source] Nonsense),
}

/// What the agent says, in that session and within 5 s; none where its Argo CD says nothing. The lease is held for as
/// long, and the pipe is of no other use.
pub(super) async fn ask(
    dialer: &dyn Dialer,
    agent: &AgentName,
    session: SessionId,
) -> Result<Option<Figures>, Failure> {
    let lease = dialer.reserve(agent).map_err(Failure::Dial)?;
    if lease.session != session {
        return Err(Failure::Moved);
    }
    let stream = dialer.dial(session, Target::Redis).map_err(Failure::Dial)?;
    let mut wire = Wire::new(stream, LONGEST);
    wire.say(&frames::get(ClusterInfoKey::in_cluster(true).to_string().as_bytes()));
    let frame = timeout(DEADLINE, wire.next()).await.map_err(|_elapsed| Failure::Silent)?.map_err(Failure::Wire)?;
    read(&frame)
}

fn read(frame: &Frame) -> Result<Option<Figures>, Failure> {
    if frame.head.is_error() {
        return Err(Failure::Refused(frame.words()));
    }
    if frame.head.is_nil() {
        return Ok(None);
    }
    let length = frame.head.length().filter(|_| frame.head.marker() == Marker::Bulk).ok_or(Failure::NoValue)?;
    let text = frame.text.as_ref().ok_or(Failure::TooLong)?;
    // The scanner has seen that the string is as long as it says, and that the frame ends behind it.
    let value = text.strip_prefix(&*frames::bulk_start(length)).and_then(|rest| rest.strip_suffix(frames::BULK_END));
    Figures::parse(value.ok_or(Failure::NoValue)?).map(Some).map_err(Failure::Nonsense)
}

/// What its Redis has to answer an agent within, which then says so itself.
const DEADLINE: Duration = Duration::from_secs(5);

/// What an agent compresses itself has not become shorter, but longer by what is around it.
const LONGEST: usize = figures::LONGEST + (4 << 10);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::{super::figures::gzip, *};

    async fn answer(bytes: &[u8]) -> Result<Option<Figures>, Failure> {
        let (near, mut far) = duplex(4 << 20);
        far.write_all(bytes).await.unwrap();
        read(&Wire::new(near, LONGEST).next().await.unwrap())
    }

    fn value(bytes: &[u8]) -> Vec<u8> {
        [&*frames::bulk_start(bytes.len() as u64), bytes, frames::BULK_END].concat()
    }

    #[tokio::test]
    async fn an_answer_is_a_value_or_nothing_and_all_else_is_a_failure() {
        let told = answer(&value(&gzip(br#"{"applicationsCount":7}"#))).await;
        assert_eq!(told.unwrap().unwrap().applications, 7);
        assert_eq!(answer(b"$-1\r\n").await.unwrap(), None);
        assert_eq!(answer(b"_\r\n").await.unwrap(), None);
        let refused = answer(b"-ERR the agent has no such key\r\n").await.unwrap_err();
        assert_eq!(refused.to_string(), "the agent refuses: ERR the agent has no such key");
        assert!(matches!(answer(b"+OK\r\n").await, Err(Failure::NoValue)));
        assert!(matches!(answer(b"*1\r\n$1\r\na\r\n").await, Err(Failure::NoValue)));
        assert!(matches!(answer(&value(b"{}")).await, Err(Failure::Nonsense(_))));
        assert!(matches!(answer(&value(&vec![b'x'; 2 << 20])).await, Err(Failure::TooLong)));
    }
}
