//! The ids of the tunnel, each of its own kind, in order of life: a session, then its pipes.

use std::{fmt, num::NonZeroU64, str::FromStr};

/// One attached session of one agent. Random, so that a pipe of an earlier life of the principal matches nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(NonZeroU64);

/// One pipe of one session. Counted up by the principal, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PipeId(NonZeroU64);

/// The text or number is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: a decimal number from 1 to 2^64-1 is")]
pub struct InvalidId;

macro_rules! id {
    ($name:ident) => {
        impl $name {
            /// The number as it stands on the wire.
            #[must_use]
            pub fn get(self) -> u64 {
                self.0.get()
            }
        }

        impl TryFrom<u64> for $name {
            type Error = InvalidId;

            fn try_from(number: u64) -> Result<Self, InvalidId> {
                NonZeroU64::new(number).map(Self).ok_or(InvalidId)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.parse().map(Self).map_err(|_| InvalidId)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(SessionId);
id!(PipeId);

impl SessionId {
    /// A new session's id.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }
}

impl PipeId {
    /// The first pipe of a session.
    pub const FIRST: Self = Self(NonZeroU64::MIN);
}
