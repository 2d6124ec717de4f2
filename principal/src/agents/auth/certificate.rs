//! How a certificate names an agent: the rule of `--auth mtls:[subject:|uri:]<regex>`.
//!
//! Whoever comes here passed the TLS handshake, so the CA vouches for the certificate; the rule only reads it. The same
//! certificate always gives the same name.

use common::auth::PeerIdentity;
use regex::Regex;

use super::{InvalidMethod, first_group, regex, shortened};

/// Finds the agent's name in its certificate.
#[derive(Debug, Clone)]
pub struct CertificateRule(Source);

/// A certificate that names no agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The rule wants one.
    #[error("the certificate has no common name")]
    NoCommonName,
    /// The rule wants one.
    #[error("the certificate has no URI among its alternative names")]
    NoUri,
    /// The regex does not match.
    #[error("the certificate's {what} {value:?} does not match the rule of --auth")]
    NoMatch {
        /// Where the name was looked for.
        what: &'static str,
        /// What stood there.
        value: String,
    },
}

/// Where the name is, and how it is cut out.
#[derive(Debug, Clone)]
enum Source {
    CommonName,
    Subject(Regex),
    Uri(Regex),
}

// === impl CertificateRule ===

impl CertificateRule {
    /// Reads what follows `mtls:`. Without a regex the name is the certificate's common name.
    ///
    /// # Errors
    /// When it is no rule that could ever find a name.
    pub fn parse(text: &str) -> Result<Self, InvalidMethod> {
        if let Some(pattern) = text.strip_prefix("uri:") {
            return Ok(Self(Source::Uri(regex(pattern)?.ok_or(InvalidMethod::Uri)?)));
        }
        // The form without `subject:` is upstream's older one; the shipped manifests use it.
        let pattern = text.strip_prefix("subject:").unwrap_or(text);
        Ok(Self(regex(pattern)?.map_or(Source::CommonName, Source::Subject)))
    }

    /// The name of whoever showed this certificate. Whether it can be an agent's is not asked here.
    ///
    /// # Errors
    /// When the certificate names none.
    pub fn name<'a>(&self, peer: &'a PeerIdentity) -> Result<&'a str, AuthError> {
        match &self.0 {
            Source::CommonName => peer.common_name.as_deref().ok_or(AuthError::NoCommonName),
            Source::Subject(regex) => first_group(regex, &peer.subject)
                .ok_or_else(|| AuthError::NoMatch { what: "subject", value: shortened(&peer.subject) }),
            // The first that matches decides: a later one must not give a second name.
            Source::Uri(regex) => {
                peer.uri_sans.iter().find_map(|uri| first_group(regex, uri)).ok_or_else(|| {
                    match peer.uri_sans.first() {
                        Some(first) => AuthError::NoMatch { what: "URI", value: shortened(first) },
                        None => AuthError::NoUri,
                    }
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(common_name: Option<&str>, subject: &str, uris: &[&str]) -> PeerIdentity {
        PeerIdentity {
            common_name: common_name.map(str::to_owned),
            subject: subject.to_owned(),
            uri_sans: uris.iter().map(|uri| (*uri).to_owned()).collect(),
            fingerprint: String::new(),
            not_after: 0,
        }
    }

    fn found(text: &str, peer: &PeerIdentity) -> Result<String, AuthError> {
        CertificateRule::parse(text.strip_prefix("mtls:").unwrap()).unwrap().name(peer).map(str::to_owned)
    }

    #[test]
    fn the_shipped_rule_takes_the_common_name_out_of_the_subject() {
        let peer = peer(Some("agent-managed"), "CN=agent-managed,OU=x,O=acme", &[]);
        for text in ["mtls:CN=([^,]+)", "mtls:subject:CN=([^,]+)", "mtls:", "mtls:subject:"] {
            assert_eq!(found(text, &peer).as_deref(), Ok("agent-managed"), "{text}");
        }
        assert_eq!(found("mtls:O=([a-z]+)", &peer).as_deref(), Ok("acme"));
        assert_eq!(found(r"mtls:CN=(\w+)-(\w+)", &peer).as_deref(), Ok("agent"), "the first group is the name");
    }

    #[test]
    fn every_uri_is_tried_in_turn_and_the_first_that_matches_decides() {
        let text = "mtls:uri:spiffe://[^/]+/agent/(.+)";
        let many = peer(None, "O=x", &["https://a", "spiffe://acme/agent/one", "spiffe://acme/agent/two"]);
        assert_eq!(found(text, &many).as_deref(), Ok("one"));
        assert_eq!(found(text, &peer(Some("cn"), "CN=cn", &[])), Err(AuthError::NoUri));
        let other = peer(None, "", &["https://a"]);
        assert_eq!(found(text, &other), Err(AuthError::NoMatch { what: "URI", value: "https://a".into() }));
        let bad = peer(None, "", &["spiffe://acme/agent/A", "spiffe://acme/agent/two"]);
        assert_eq!(found(text, &bad).as_deref(), Ok("A"));
    }

    #[test]
    fn what_names_nobody_is_refused() {
        let subject = "O=acme".to_owned();
        assert_eq!(
            found("mtls:CN=([^,]+)", &peer(None, &subject, &[])),
            Err(AuthError::NoMatch { what: "subject", value: subject })
        );
        assert_eq!(found("mtls:", &peer(None, "O=acme", &[])), Err(AuthError::NoCommonName));
        let optional = peer(Some("x"), "O=x", &[]);
        assert!(matches!(found("mtls:O=(y)?", &optional), Err(AuthError::NoMatch { .. })));
    }
}
