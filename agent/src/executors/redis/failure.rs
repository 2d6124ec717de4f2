//! Why a command has no answer, in words for whom sent it.
//!
//! Neither addresses nor paths are in them: those are in the log.

use std::sync::Arc;

use bytes::Bytes;
use common::resp::frames::{self, ErrorCode};

use super::metrics::Outcome;

/// Why Redis did not answer a command. Cheap to clone: it may concern many.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// There is no connection.
    #[error("cannot reach Redis: {0}")]
    Unreachable(Arc<str>),
    /// There is one, and Redis would not have us. The text is all of it.
    #[error("{0}")]
    Login(Arc<str>),
    /// Nothing was heard for too long.
    #[error("Redis did not answer in time")]
    Silent,
    /// The connection broke, twice where the first one was old.
    #[error("the connection to Redis was lost")]
    Lost,
    /// What was heard is nothing that Redis says, or not to this command.
    #[error("what answers is no Redis")]
    NoRedis,
    /// All connections are in use, and none became free in time.
    #[error("too many commands wait for Redis")]
    Busy,
    /// Redis said no.
    #[error("Redis refused the command: {0}")]
    Refused(String),
    /// More is asked for than one principal needs.
    #[error("there are too many {0}")]
    TooMany(&'static str),
    /// What Redis holds is not as Argo CD writes it.
    #[error("the value cannot be {0}")]
    Conversion(&'static str),
}

// === impl Failure ===

impl Failure {
    /// Redis said no, with this line.
    pub(super) fn refused(line: &[u8]) -> Self {
        let line = line.strip_prefix(b"-").unwrap_or(line);
        Self::Refused(String::from_utf8_lossy(line).trim_end().to_owned())
    }

    /// The answer that says so.
    pub(super) fn frame(&self) -> Bytes {
        frames::error(ErrorCode::Err, &self.to_string())
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Refused(_) | Self::Conversion(_) => Outcome::Error,
            _ => Outcome::Unavailable,
        }
    }
}
