//! How a header names an agent: the rule of `--auth header:<name>:<regex>`, for a service mesh that says who calls.
//!
//! What must always be true: the header stands there once. A mesh that adds its own to one that the caller sent would leave
//! it to the caller who it is.

use http::{HeaderMap, HeaderName};
use regex::Regex;

use super::{InvalidMethod, first_group, regex, shortened};

/// Finds the agent's name in a header.
#[derive(Debug, Clone)]
pub struct HeaderRule {
    header: HeaderName,
    regex: Regex,
}

/// A call whose headers name no agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::agents) enum HeaderError {
    #[error("the call has no header {0}")]
    Missing(HeaderName),
    #[error("the call has the header {0} more than once: whatever sets it must replace what the caller sent")]
    Repeated(HeaderName),
    #[error("the header {0} is not text")]
    Text(HeaderName),
    #[error("the header {header} does not match the rule of --auth: {value:?}")]
    NoMatch { header: HeaderName, value: String },
}

// === impl HeaderRule ===

impl HeaderRule {
    /// Reads what follows `header:`.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidMethod> {
        let (name, pattern) = text.split_once(':').ok_or(InvalidMethod::Header)?;
        let header = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| InvalidMethod::Header)?;
        let regex = regex(pattern)?.ok_or(InvalidMethod::Header)?;
        Ok(Self { header, regex })
    }

    /// What the header of a call says.
    pub(super) fn name<'a>(&self, headers: &'a HeaderMap) -> Result<&'a str, HeaderError> {
        let header = || self.header.clone();
        let mut values = headers.get_all(&self.header).iter();
        let value = values.next().ok_or_else(|| HeaderError::Missing(header()))?;
        if values.next().is_some() {
            return Err(HeaderError::Repeated(header()));
        }
        let value = value.to_str().map_err(|_| HeaderError::Text(header()))?;
        first_group(&self.regex, value)
            .ok_or_else(|| HeaderError::NoMatch { header: header(), value: shortened(value) })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_first_group_is_the_name_and_a_header_that_is_there_twice_is_none() {
        let rule = HeaderRule::parse("X-Agent:^spiffe://mesh/ns/([^/]+)$").unwrap();
        let mut headers = HeaderMap::new();
        assert!(matches!(rule.name(&headers), Err(HeaderError::Missing(_))));
        headers.insert("x-agent", HeaderValue::from_static("spiffe://mesh/ns/agent-1"));
        assert_eq!(rule.name(&headers), Ok("agent-1"));
        headers.append("x-agent", HeaderValue::from_static("spiffe://mesh/ns/agent-2"));
        assert!(matches!(rule.name(&headers), Err(HeaderError::Repeated(_))));
        headers.insert("x-agent", HeaderValue::from_static("agent-1"));
        assert!(matches!(rule.name(&headers), Err(HeaderError::NoMatch { .. })));
        headers.insert("x-agent", HeaderValue::from_bytes(b"spiffe://mesh/ns/\xff").unwrap());
        assert!(matches!(rule.name(&headers), Err(HeaderError::Text(_))));
    }
}
