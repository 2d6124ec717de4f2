//! [`Refusal`] in the words of RESP.

use std::borrow::Cow;

use bytes::Bytes;
use common::{
    AgentName, Refusal,
    resp::frames::{self, ErrorCode},
};

/// `-ERR <what>: <agent>`. Never another code: clients say a command again for some of them, and nobody else would learn
/// that an agent is away.
pub(super) fn reply(refusal: &Refusal, agent: Option<&AgentName>) -> Bytes {
    error(&text(refusal), agent)
}

/// An error of the agent's, such as `-ERR cannot reach Redis`, said by us.
pub(super) fn of_agent(line: &[u8], agent: Option<&AgentName>) -> Bytes {
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end().trim_start_matches('-');
    error(line.strip_prefix("ERR ").unwrap_or(line), agent)
}

/// What is said before the connection ends when Redis cannot be reached.
pub(super) fn no_redis(why: &str) -> Bytes {
    error(&format!("the redis proxy cannot reach the principal's Redis: {why}"), None)
}

fn error(what: &str, agent: Option<&AgentName>) -> Bytes {
    match agent {
        Some(agent) => frames::error(ErrorCode::Err, &format!("{what}: {agent}")),
        None => frames::error(ErrorCode::Err, what),
    }
}

fn text(refusal: &Refusal) -> Cow<'static, str> {
    match refusal {
        Refusal::AgentNotConnected => "agent is not connected".into(),
        Refusal::AgentTimeout => "agent did not answer in time".into(),
        Refusal::TunnelBroken => "connection to the agent was lost".into(),
        Refusal::TooManyRequests => "too many requests in flight at the agent".into(),
        Refusal::ProxyDisabled => "agent serves no Redis".into(),
        Refusal::Undecidable(why) | Refusal::UpstreamUnreachable(why) | Refusal::BadRequest(why) => why.clone(),
        // Of callers and of objects: they do not come up here.
        Refusal::NoIdentity
        | Refusal::BadBearer
        | Refusal::BadAgentName
        | Refusal::NotManaged
        | Refusal::DeleteCollectionNotAllowed
        | Refusal::CreateNotManaged
        | Refusal::ItemTooLarge => refusal.text(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_and_who() {
        let agent = AgentName::parse("agent-a").unwrap();
        assert_eq!(reply(&Refusal::AgentNotConnected, Some(&agent)), "-ERR agent is not connected: agent-a\r\n");
        assert_eq!(of_agent(b"-ERR cannot\r\n", Some(&agent)), "-ERR cannot: agent-a\r\n");
        // No code that makes clients ask again.
        assert_eq!(of_agent(b"-LOADING data\r\n", Some(&agent)), "-ERR LOADING data: agent-a\r\n");
        assert_eq!(reply(&Refusal::Undecidable("not known".into()), None), "-ERR not known\r\n");
    }
}
