//! Who an agent is: what `--auth` says of certificates, passwords, or the word of a service mesh.
//!
//! What must always be true: a principal goes by one method; an agent never has the name of the principal's own namespace,
//! whatever the method; a certificate that is on the blocklist keeps out whoever shows it, also where it is not what names
//! the agent; and what a stranger is told is the same for every reason.

mod authenticator;
mod certificate;
mod header;
mod login;
mod metrics;
mod passwords;
mod users;

use std::path::PathBuf;

pub(super) use self::authenticator::Unknown;
pub use self::{
    authenticator::{Authenticator, Entrance, Grant, Shown, Terms},
    certificate::{AuthError, CertificateRule},
    header::HeaderRule,
    users::{UsersError, UsersProblem},
};

/// How agents are known.
#[derive(Debug, Clone)]
pub enum AuthMethod {
    /// By their certificates.
    Certificate(CertificateRule),
    /// By names and passwords, of which this file has the hashes.
    Password(PathBuf),
    /// By a header that a service mesh sets.
    Header(HeaderRule),
}

/// A value of `--auth` by which nobody could ever be known: what it should look like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMethod {
    /// No method has that name.
    #[error("must be mtls:[subject:|uri:]<regex>, userpass:<file> or header:<name>:<regex>")]
    Method,
    /// The regex is none.
    #[error("must hold a regular expression of RE2's syntax")]
    Regex,
    /// The regex finds no name.
    #[error("must hold a regular expression with a group, which is the agent's name, such as CN=([^,]+)")]
    Group,
    /// A URI holds more than a name.
    #[error("must hold a regular expression after uri:, such as spiffe://[^/]+/agent/(.+)")]
    Uri,
    /// No file is named.
    #[error("must hold a file after userpass:, with a line <name>:<bcrypt hash> for each agent")]
    File,
    /// No header, or none that there can be.
    #[error("must hold the name of a header, a colon and a regular expression after header:, such as x-agent:^(.+)$")]
    Header,
}

// === impl AuthMethod ===

impl AuthMethod {
    /// Reads the value of `--auth`.
    ///
    /// # Errors
    /// When nobody could ever be known by it.
    pub fn parse(text: &str) -> Result<Self, InvalidMethod> {
        match text.split_once(':') {
            Some(("mtls", rule)) => CertificateRule::parse(rule).map(Self::Certificate),
            Some(("userpass", file)) if file.trim().is_empty() => Err(InvalidMethod::File),
            Some(("userpass", file)) => Ok(Self::Password(file.trim().into())),
            Some(("header", rule)) => HeaderRule::parse(rule).map(Self::Header),
            _ => Err(InvalidMethod::Method),
        }
    }
}

fn regex(pattern: &str) -> Result<Option<regex::Regex>, InvalidMethod> {
    if pattern.is_empty() {
        return Ok(None);
    }
    let regex = regex::Regex::new(pattern).map_err(|_| InvalidMethod::Regex)?;
    // The whole match counts as the first group of all.
    if regex.captures_len() < 2 { Err(InvalidMethod::Group) } else { Ok(Some(regex)) }
}

fn first_group<'a>(regex: &regex::Regex, text: &'a str) -> Option<&'a str> {
    regex.captures(text)?.get(1).map(|group| group.as_str())
}

/// A peer decides how long its names are; our log does not.
fn shortened(text: &str) -> String {
    text.chars().take(256).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_that_could_never_find_a_name_are_refused() {
        for (text, error) in [
            ("", InvalidMethod::Method),
            ("mtls", InvalidMethod::Method),
            ("mTLS:CN=(.+)", InvalidMethod::Method),
            ("mtls:CN=([^,]+", InvalidMethod::Regex),
            ("mtls:any", InvalidMethod::Group),
            ("mtls:subject:CN=.+", InvalidMethod::Group),
            ("mtls:CN=(?:.+)", InvalidMethod::Group),
            ("mtls:uri:", InvalidMethod::Uri),
            ("userpass", InvalidMethod::Method),
            ("userpass:", InvalidMethod::File),
            ("userpass: ", InvalidMethod::File),
            ("header:", InvalidMethod::Header),
            ("header:x-agent", InvalidMethod::Header),
            ("header:x-agent:", InvalidMethod::Header),
            ("header::(.+)", InvalidMethod::Header),
            ("header:x agent:(.+)", InvalidMethod::Header),
            ("header:x-agent:(", InvalidMethod::Regex),
            ("header:x-agent:.+", InvalidMethod::Group),
        ] {
            assert_eq!(AuthMethod::parse(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn what_follows_the_method_is_its_own() {
        assert!(matches!(AuthMethod::parse("mtls:").unwrap(), AuthMethod::Certificate(_)));
        let AuthMethod::Password(file) = AuthMethod::parse("userpass:/etc/a:b").unwrap() else { panic!() };
        assert_eq!(file, PathBuf::from("/etc/a:b"));
        assert!(matches!(AuthMethod::parse("header:X-Agent:^spiffe://a/(.+)$").unwrap(), AuthMethod::Header(_)));
    }
}
