//! The name of an agent: the one key by which doors, registry, Secrets and metrics speak of a workload cluster.

use std::{borrow::Borrow, fmt, sync::Arc};

/// A DNS-1123 label (RFC 1123 section 2.1, as Kubernetes reads it): 1 to 63 characters of `a-z`, `0-9` and `-`,
/// beginning and ending with a letter or digit. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentName(Arc<str>);

/// The text is no DNS-1123 label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a DNS-1123 label: up to 63 characters of a-z, 0-9 and -, beginning and ending with a-z or 0-9")]
pub struct InvalidAgentName(String);

// === impl AgentName ===

impl AgentName {
    /// The only way in.
    ///
    /// # Errors
    /// When `text` is no DNS-1123 label.
    pub fn parse(text: &str) -> Result<Self, InvalidAgentName> {
        let label = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = text.as_bytes();
        let ends = bytes.first().is_some_and(label) && bytes.last().is_some_and(label);
        if ends && bytes.len() <= MAX_LENGTH && bytes.iter().all(|b| label(b) || *b == b'-') {
            Ok(Self(text.into()))
        } else {
            Err(InvalidAgentName(text.chars().take(MAX_LENGTH + 1).collect()))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// So that a map of agents is asked by text, and no name has to be made first. Both hash and compare alike.
impl Borrow<str> for AgentName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// RFC 1123 and Kubernetes agree: a label has at most 63 octets.
const MAX_LENGTH: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_dns_labels_only() {
        for good in ["a", "agent-1", "0", &"x".repeat(63)] {
            assert_eq!(AgentName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä", "a b", "a\n", &"x".repeat(64)] {
            assert!(AgentName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_set_of_names_is_asked_by_text() {
        let names = std::collections::HashSet::from([AgentName::parse("agent-1").unwrap()]);
        assert_eq!(names.get("agent-1").map(AgentName::as_str), Some("agent-1"));
        assert!(!names.contains("agent-2"));
    }
}
