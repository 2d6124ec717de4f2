//! Labels as Kubernetes lets them be.

use std::{borrow::Borrow, collections::BTreeMap, fmt};

/// A label's key: `[<DNS-1123 subdomain>/]<name>`, where the name has up to 63 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelKey(Box<str>);

/// A label's value: up to 63 characters, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LabelValue(Box<str>);

/// Labels by their keys.
pub type Labels = BTreeMap<LabelKey, LabelValue>;

/// The text can be no label, or no part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLabel {
    /// Of its key.
    #[error(
        "a label's key must be [<prefix>/]<name>: the prefix a DNS-1123 subdomain, the name up to 63 characters of a-z, \
         A-Z, 0-9, -, _ and ., beginning and ending with one of a-z, A-Z, 0-9"
    )]
    Key,
    /// Of its value.
    #[error(
        "a label's value must be empty or up to 63 characters of a-z, A-Z, 0-9, -, _ and ., beginning and ending with one \
         of a-z, A-Z, 0-9"
    )]
    Value,
    /// Of both.
    #[error("must be <key>=<value>")]
    Pair,
}

// === impl LabelKey ===

impl LabelKey {
    /// The only way in.
    ///
    /// # Errors
    /// When `text` can be no key.
    pub fn parse(text: &str) -> Result<Self, InvalidLabel> {
        let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
        let good = !name.is_empty() && is_name(name) && prefix.is_none_or(is_subdomain);
        if good { Ok(Self(text.into())) } else { Err(InvalidLabel::Key) }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the slash, if there is one.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        self.0.split_once('/').map(|(prefix, _)| prefix)
    }
}

impl Borrow<str> for LabelKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LabelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl LabelValue ===

impl LabelValue {
    /// The only way in.
    ///
    /// # Errors
    /// When `text` can be no value.
    pub fn parse(text: &str) -> Result<Self, InvalidLabel> {
        if is_name(text) { Ok(Self(text.into())) } else { Err(InvalidLabel::Value) }
    }

    /// The value as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads `<key>=<value>`.
///
/// # Errors
/// When it is none, or either half can be no part of a label.
pub fn parse_pair(text: &str) -> Result<(LabelKey, LabelValue), InvalidLabel> {
    let (key, value) = text.split_once('=').ok_or(InvalidLabel::Pair)?;
    Ok((LabelKey::parse(key)?, LabelValue::parse(value)?))
}

/// A value, or with something in it the name in a key (`validateLabelValue` and `IsQualifiedName` of
/// `k8s.io/apimachinery`).
fn is_name(text: &str) -> bool {
    let ends = text.bytes().next().into_iter().chain(text.bytes().next_back());
    text.len() <= LONGEST_NAME
        && ends.into_iter().all(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn is_subdomain(text: &str) -> bool {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        let mut ends = part.bytes().next().into_iter().chain(part.bytes().next_back());
        !part.is_empty() && ends.all(is_alphanumeric) && part.bytes().all(|byte| is_alphanumeric(byte) || byte == b'-')
    };
    text.len() <= LONGEST_PREFIX && text.split('.').all(is_part)
}

/// So many may an agent ask for.
pub const MOST_LABELS: usize = 32;

const LONGEST_NAME: usize = 63;
const LONGEST_PREFIX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_what_kubernetes_takes() {
        let (name, long) = ("x".repeat(63), "x".repeat(64));
        for good in ["a", "A.b_c-9", "example.com/tier", "a/b", &name, &format!("{}/a", "a".repeat(253))] {
            assert_eq!(LabelKey::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a/b/c",
            "-a",
            "a-",
            "a b",
            "ä",
            "A/b",
            "a..b/c",
            ".a/b",
            &long,
            "a=b",
            "a,b",
            &format!("{}/a", "a".repeat(254)),
        ] {
            assert_eq!(LabelKey::parse(bad), Err(InvalidLabel::Key), "{bad:?}");
        }
        for good in ["", "a", "1.2_3-b", &name] {
            assert_eq!(LabelValue::parse(good).unwrap().as_str(), good);
        }
        for bad in ["-", "a-", ".a", "a b", "a/b", "a\n", &long] {
            assert_eq!(LabelValue::parse(bad), Err(InvalidLabel::Value), "{bad:?}");
        }
    }

    #[test]
    fn a_pair_has_one_equals_sign() {
        let (key, value) = parse_pair("example.com/tier=prod").unwrap();
        assert_eq!((key.as_str(), key.prefix(), value.as_str()), ("example.com/tier", Some("example.com"), "prod"));
        assert_eq!(parse_pair("tier=").unwrap().1.as_str(), "");
        assert_eq!(parse_pair("tier"), Err(InvalidLabel::Pair));
        assert_eq!(parse_pair("=x"), Err(InvalidLabel::Key));
        assert_eq!(parse_pair("a=b=c"), Err(InvalidLabel::Value));
    }
}
