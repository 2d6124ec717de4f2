//! How a certificate names an agent: the rule of `--auth mtls:[subject:|uri:]<regex>`.
//!
//! Whoever comes here passed the TLS handshake, so the CA vouches for the certificate; the rule only reads it. The same
//! certificate always gives the same name, which is never the principal's own namespace.

use common::{AgentName, agent_name::InvalidAgentName, auth::PeerIdentity};
use regex::Regex;

/// Finds the agent's name in its certificate.
#[derive(Debug, Clone)]
pub struct CertificateRule {
    source: Source,
    /// No agent may have this name: upstream keeps an agent's Applications in the namespace of its name.
    principal_namespace: String,
    /// Whether the CN must be the name, too.
    matches_common_name: bool,
}

/// A rule that cannot be followed: what it should look like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    /// Another method, or none.
    #[error("must be mtls:[subject:|uri:]<regex>")]
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
}

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
    /// The regex matches what can be no agent.
    #[error("the certificate names no possible agent")]
    Name(#[source] InvalidAgentName),
    /// An agent of that name would own the principal's namespace.
    #[error("the certificate names the principal's own namespace `{0}`")]
    PrincipalNamespace(AgentName),
    /// `--client-cert-subject-match` is on.
    #[error("the certificate's common name {common_name:?} is not the agent's name `{agent}`")]
    CommonNameDiffers {
        /// What the rule found.
        agent: AgentName,
        /// What the certificate has.
        common_name: Option<String>,
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
    /// Reads the value of `--auth`. Without a regex the name is the certificate's common name.
    ///
    /// # Errors
    /// When the value is no rule that could ever find a name.
    pub fn parse(text: &str, principal_namespace: &str) -> Result<Self, InvalidRule> {
        let config = text.strip_prefix("mtls:").ok_or(InvalidRule::Method)?;
        let source = if let Some(pattern) = config.strip_prefix("uri:") {
            Source::Uri(regex(pattern)?.ok_or(InvalidRule::Uri)?)
        } else {
            // The form without `subject:` is upstream's older one; the shipped manifests use it.
            let pattern = config.strip_prefix("subject:").unwrap_or(config);
            regex(pattern)?.map_or(Source::CommonName, Source::Subject)
        };
        Ok(Self { source, principal_namespace: principal_namespace.to_owned(), matches_common_name: false })
    }

    /// Whether the common name must be the agent's name, wherever the name was found.
    #[must_use]
    pub fn matching_common_name(self, matches_common_name: bool) -> Self {
        Self { matches_common_name, ..self }
    }

    /// The name of the agent that showed this certificate.
    ///
    /// # Errors
    /// When the certificate names none.
    pub fn agent_name(&self, peer: &PeerIdentity) -> Result<AgentName, AuthError> {
        let name = match &self.source {
            Source::CommonName => peer.common_name.as_deref().ok_or(AuthError::NoCommonName)?,
            Source::Subject(regex) => first_group(regex, &peer.subject)
                .ok_or_else(|| AuthError::NoMatch { what: "subject", value: shortened(&peer.subject) })?,
            // The first that matches decides: a later one must not give a second name.
            Source::Uri(regex) => match peer.uri_sans.iter().find_map(|uri| first_group(regex, uri)) {
                Some(name) => name,
                None => {
                    let first = peer.uri_sans.first().ok_or(AuthError::NoUri)?;
                    return Err(AuthError::NoMatch { what: "URI", value: shortened(first) });
                }
            },
        };
        let agent = AgentName::parse(name).map_err(AuthError::Name)?;
        if agent.as_str() == self.principal_namespace {
            return Err(AuthError::PrincipalNamespace(agent));
        }
        if self.matches_common_name && peer.common_name.as_deref() != Some(agent.as_str()) {
            let common_name = peer.common_name.as_deref().map(shortened);
            return Err(AuthError::CommonNameDiffers { agent, common_name });
        }
        Ok(agent)
    }
}

fn regex(pattern: &str) -> Result<Option<Regex>, InvalidRule> {
    if pattern.is_empty() {
        return Ok(None);
    }
    let regex = Regex::new(pattern).map_err(|_| InvalidRule::Regex)?;
    // The whole match counts as the first group of all.
    if regex.captures_len() < 2 { Err(InvalidRule::Group) } else { Ok(Some(regex)) }
}

fn first_group<'a>(regex: &Regex, text: &'a str) -> Option<&'a str> {
    regex.captures(text)?.get(1).map(|group| group.as_str())
}

/// A peer decides how long its names are; our log does not.
fn shortened(text: &str) -> String {
    text.chars().take(256).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> CertificateRule {
        CertificateRule::parse(text, "argocd").unwrap()
    }

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
        rule(text).agent_name(peer).map(|name| name.to_string())
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
        assert!(matches!(found(text, &bad), Err(AuthError::Name(_))));
    }

    #[test]
    fn what_names_no_agent_is_refused() {
        let subject = "O=acme".to_owned();
        assert_eq!(
            found("mtls:CN=([^,]+)", &peer(None, &subject, &[])),
            Err(AuthError::NoMatch { what: "subject", value: subject })
        );
        assert_eq!(found("mtls:", &peer(None, "O=acme", &[])), Err(AuthError::NoCommonName));
        for name in ["Agent", "a.b", "a b", &"x".repeat(64)] {
            let peer = peer(Some(name), &format!("CN={name}"), &[]);
            assert!(matches!(found("mtls:CN=([^,]+)", &peer), Err(AuthError::Name(_))), "{name}");
            assert!(matches!(found("mtls:", &peer), Err(AuthError::Name(_))), "{name}");
        }
        let empty = peer(Some("x"), "CN=,O=x", &[]);
        assert!(matches!(found("mtls:CN=([^,]*)", &empty), Err(AuthError::Name(_))));
        let optional = peer(Some("x"), "O=x", &[]);
        assert!(matches!(found("mtls:O=(y)?", &optional), Err(AuthError::NoMatch { .. })));
    }

    #[test]
    fn no_agent_has_the_name_of_the_principals_namespace() {
        let error = found("mtls:", &peer(Some("argocd"), "CN=argocd", &[])).unwrap_err();
        assert_eq!(error, AuthError::PrincipalNamespace(AgentName::parse("argocd").unwrap()));
    }

    #[test]
    fn the_common_name_may_have_to_match() {
        let rule = rule("mtls:uri:agent:(.+)").matching_common_name(true);
        assert_eq!(rule.agent_name(&peer(Some("a"), "CN=a", &["agent:a"])).unwrap().as_str(), "a");
        for common_name in [Some("b"), None] {
            let error = rule.agent_name(&peer(common_name, "", &["agent:a"])).unwrap_err();
            assert!(matches!(error, AuthError::CommonNameDiffers { .. }), "{common_name:?}");
        }
    }

    #[test]
    fn rules_that_could_never_find_a_name_are_refused() {
        for (text, error) in [
            ("", InvalidRule::Method),
            ("mtls", InvalidRule::Method),
            ("mTLS:CN=(.+)", InvalidRule::Method),
            ("userpass:/file", InvalidRule::Method),
            ("mtls:CN=([^,]+", InvalidRule::Regex),
            ("mtls:any", InvalidRule::Group),
            ("mtls:subject:CN=.+", InvalidRule::Group),
            ("mtls:CN=(?:.+)", InvalidRule::Group),
            ("mtls:uri:", InvalidRule::Uri),
        ] {
            assert_eq!(CertificateRule::parse(text, "argocd").unwrap_err(), error, "{text}");
        }
    }
}
