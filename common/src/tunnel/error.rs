//! Why a pipe ended before its time.

use std::{error::Error, io};

use crate::proto;

/// Why a pipe could not be opened or was cut. Travels inside the [`io::Error`] of a [`super::TunnelStream`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PipeError {
    /// The agent does not open this pipe.
    #[error("the agent refused the pipe: {0}")]
    Refused(RefusedReason),
    /// The session ended before the agent had opened the pipe.
    #[error("the session ended before the pipe was open")]
    SessionLost,
    /// The peer dropped the pipe, or the connection beneath broke.
    #[error("the pipe was cut: {0}")]
    Cut(String),
}

/// Why an agent does not open a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefusedReason {
    /// The agent does not serve this target.
    #[error("target not served")]
    Target,
    /// Too many pipes are open.
    #[error("too many pipes")]
    Busy,
    /// The agent is going away.
    #[error("draining")]
    Draining,
    /// A reason that this build does not know.
    #[error("unknown reason")]
    Unknown,
}

// === impl PipeError ===

impl PipeError {
    /// It ended, and nobody said so.
    pub(super) fn dropped() -> Self {
        Self::Cut("the peer dropped it".to_owned())
    }

    /// Finds the pipe's error in the chain of causes of `error`, through however many layers of HTTP wrapped it.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            // An `io::Error` hides its payload from `source`.
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(inner) => Some(inner as &'a (dyn Error + 'static)),
                None => error.source(),
            };
        }
        None
    }
}

impl From<PipeError> for io::Error {
    fn from(error: PipeError) -> Self {
        let kind = match error {
            PipeError::Refused(_) => io::ErrorKind::ConnectionRefused,
            PipeError::SessionLost => io::ErrorKind::NotConnected,
            PipeError::Cut(_) => io::ErrorKind::ConnectionReset,
        };
        io::Error::new(kind, error)
    }
}

// === impl RefusedReason ===

impl RefusedReason {
    pub(super) fn from_wire(wire: i32) -> Self {
        use proto::pipe_refused::Reason;
        match Reason::try_from(wire) {
            Ok(Reason::Target) => Self::Target,
            Ok(Reason::Busy) => Self::Busy,
            Ok(Reason::Draining) => Self::Draining,
            Ok(Reason::Unspecified) | Err(_) => Self::Unknown,
        }
    }

    pub(super) fn to_wire(self) -> proto::pipe_refused::Reason {
        use proto::pipe_refused::Reason;
        match self {
            Self::Target => Reason::Target,
            Self::Busy => Reason::Busy,
            Self::Draining => Reason::Draining,
            Self::Unknown => Reason::Unspecified,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_found_through_the_layers_that_wrap_it() {
        let cut = PipeError::Cut("gone".into());
        let wrapped = io::Error::other(io::Error::from(cut.clone()));
        assert_eq!(PipeError::find(&wrapped), Some(&cut));
        assert_eq!(PipeError::find(&io::Error::other("else")), None);
    }
}
