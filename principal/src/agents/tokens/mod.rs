//! Whose a caller's bearer token is.
//!
//! A token is a JWT that was signed by the principal's key when an agent's cluster Secret was made. What must always be
//! true: it is good only for the agent that is its subject, and only while a cluster Secret has that agent's label: who
//! deletes the Secret, or takes the label away, ends the token, and what runs by it. Nothing of a token is ever shown,
//! neither whole nor in part.

mod grant;
mod key;
mod keys;
mod signing;

use std::sync::Arc;

use common::{AgentName, agent_name::InvalidAgentName};

use self::key::Verified;
#[cfg(test)]
pub(crate) use self::key::tests::key as key_of_a_test;
pub use self::{
    grant::{Ended, Grant},
    key::{Invalid, KeyError, TokenKey},
    keys::Keys,
    signing::{SignError, SigningKey},
};
use super::Directory;
use crate::control_plane::{AGENT_LABEL, NotKnown, References};

/// Finds the agent of a token.
#[derive(Debug)]
pub struct Tokens {
    keys: Arc<Keys>,
    /// Whom a cluster Secret's label names; none where no API server can be asked.
    labelled: Option<Arc<References>>,
    directory: Arc<Directory>,
}

/// Why a token is not taken. For our own log: whoever showed it hears one and the same text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is longer than any of ours.
    #[error("the token has more than {LONGEST} bytes")]
    TooLong,
    /// No key signed it, or what it says does not hold.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Its subject is something else.
    #[error("the token's subject can be no agent")]
    Subject(#[source] InvalidAgentName),
    /// Nobody says whose cluster Secrets there are.
    #[error("tokens need the control plane's Kubernetes API, which has the cluster Secrets: give --kubeconfig")]
    NoClusters,
    /// It cannot be said yet.
    #[error("{0}")]
    NotKnown(NotKnown),
    /// The Secret was deleted, or never was.
    #[error("no cluster Secret has the label {AGENT_LABEL}={0}, so the agent's token is not valid")]
    NoSecret(AgentName),
    /// A stolen token helps no other agent.
    #[error("the token is agent `{token}`'s and the certificate agent `{certificate}`'s")]
    OtherAgent {
        /// Whose the token is.
        token: AgentName,
        /// Whom the certificate names.
        certificate: AgentName,
    },
}

// === impl Tokens ===

impl Tokens {
    /// Tokens that one of `keys` has signed, for agents that `labelled` names.
    #[must_use]
    pub fn new(keys: Arc<Keys>, labelled: Option<Arc<References>>, directory: Arc<Directory>) -> Self {
        Self { keys, labelled, directory }
    }

    /// Leave to reach the agent that the token is for, shown by somebody whose certificate has this common name.
    ///
    /// The certificate may be one that Argo CD has for all its clusters; where it is an agent's own, it must be the same
    /// agent's.
    ///
    /// # Errors
    /// When it is for none, or not for this caller.
    pub fn grant(&self, token: &[u8], common_name: Option<&str>) -> Result<Grant, TokenError> {
        if token.len() > LONGEST {
            return Err(TokenError::TooLong);
        }
        let Verified { subject, ends } = self.keys.verify(token)?;
        let agent = AgentName::parse(&subject).map_err(TokenError::Subject)?;
        let labelled = self.labelled.as_ref().ok_or(TokenError::NoClusters)?;
        if labelled.agent(agent.as_str()).map_err(TokenError::NotKnown)?.is_none() {
            return Err(TokenError::NoSecret(agent));
        }
        match common_name.filter(|name| *name != agent.as_str()).map(|name| self.directory.find(name)) {
            None | Some(Ok(None)) => Ok(Grant::new(agent, Arc::clone(labelled), ends)),
            Some(Ok(Some(certificate))) => Err(TokenError::OtherAgent { token: agent, certificate }),
            Some(Err(not_known)) => Err(TokenError::NotKnown(not_known)),
        }
    }
}

/// Ours have about 1.1 KB with a key of 4096 bits, and 1.8 KB with the largest that can be used, of 8192.
const LONGEST: usize = 4096;

#[cfg(test)]
pub(crate) mod tests {
    use std::time::{Duration, SystemTime};

    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    use prometheus_client::registry::Registry;
    use serde_json::{Value, json};

    use super::{key::tests::pair, *};

    /// The tokens of `agent-1` and `agent-2` are good; `agent-3` is registered without a Secret.
    pub(crate) struct World {
        pub(crate) tokens: Tokens,
        pub(crate) signs: EncodingKey,
    }

    impl World {
        pub(crate) fn new() -> Self {
            let (key, signs) = pair();
            let keys = Arc::new(Keys::new(&mut Registry::default()));
            keys.take("the test's key", Ok(key));
            let clusters = References::of(&[("argocd", "a", "agent-1"), ("argocd", "b", "agent-2")]);
            let directory = Arc::new(Directory::new(Some(Arc::clone(&clusters))));
            directory.saw(&AgentName::parse("agent-3").unwrap());
            Self { tokens: Tokens::new(keys, Some(clusters), directory), signs }
        }

        pub(crate) fn sign(&self, claims: &Value) -> String {
            jsonwebtoken::encode(&Header::new(Algorithm::RS512), claims, &self.signs).unwrap()
        }

        fn found(&self, token: &str, common_name: &str) -> Result<String, String> {
            let found = self.tokens.grant(token.as_bytes(), Some(common_name));
            found.map(|grant| grant.agent().to_string()).map_err(|error| common::Report(&error).to_string())
        }
    }

    /// As upstream's, which never ends.
    pub(crate) fn claims(agent: &str) -> Value {
        json!({
            "iss": "argocd-agent-server", "aud": ["argocd-agent-resource-proxy"], "sub": agent,
            "jti": "f3a1", "iat": now() - 5, "nbf": now() - 5,
        })
    }

    fn now() -> u64 {
        SystemTime::UNIX_EPOCH.elapsed().as_ref().map(Duration::as_secs).unwrap()
    }

    fn with(changes: &Value) -> Value {
        let mut claims = claims("agent-1");
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => claims.as_object_mut().unwrap().remove(name),
                value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        claims
    }

    #[test]
    fn a_token_is_its_subjects_with_and_without_an_end() {
        let world = World::new();
        for claims in [
            claims("agent-1"),
            with(&json!({"exp": now() + 60})),
            with(&json!({"aud": "argocd-agent-resource-proxy"})),
            with(&json!({"aud": ["other", "argocd-agent-resource-proxy"]})),
            with(&json!({"nbf": null, "iat": null, "jti": null})),
        ] {
            assert_eq!(world.found(&world.sign(&claims), "argo-cd").as_deref(), Ok("agent-1"), "{claims}");
        }
        for algorithm in [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512] {
            let token = jsonwebtoken::encode(&Header::new(algorithm), &claims("agent-2"), &world.signs).unwrap();
            assert_eq!(world.found(&token, "argo-cd").as_deref(), Ok("agent-2"), "{algorithm:?}");
        }
    }

    #[test]
    fn what_a_token_says_must_hold() {
        let world = World::new();
        for (changes, why) in [
            (json!({"exp": now() - 600}), "the token has expired"),
            (json!({"exp": "tomorrow"}), "the token says something malformed, or not all that it must"),
            (json!({"nbf": now() + 600}), "the token is not valid yet"),
            (json!({"iss": "somebody"}), "the token was issued by somebody else"),
            (json!({"iss": null}), "the token says something malformed, or not all that it must"),
            (json!({"aud": "argocd-agent-server-access"}), "the token is for another purpose"),
            (json!({"aud": ["argocd-agent-server-refresh"]}), "the token is for another purpose"),
            (json!({"aud": null}), "the token says something malformed, or not all that it must"),
            (json!({"sub": null}), "the token says something malformed, or not all that it must"),
            (json!({"sub": 7}), "the token says something malformed, or not all that it must"),
        ] {
            let token = world.sign(&with(&changes));
            assert_eq!(world.found(&token, "argo-cd").unwrap_err(), why, "{changes}");
        }
        // What upstream gives to agents for itself.
        let other = world.sign(&with(&json!({"sub": r#"{"clientID":"agent-1","mode":"managed"}"#})));
        assert!(world.found(&other, "argo-cd").unwrap_err().starts_with("the token's subject can be no agent"));
    }

    #[test]
    fn only_the_key_makes_a_token() {
        let world = World::new();
        let good = world.sign(&claims("agent-1"));
        let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let none = encode(r#"{"alg":"none","typ":"JWT"}"#);
        let hmac = jsonwebtoken::encode(
            &Header::new(Algorithm::HS512),
            &claims("agent-1"),
            // The classic: the public key as the secret of an HMAC.
            &EncodingKey::from_secret(b"public"),
        );
        let others = jsonwebtoken::encode(&Header::new(Algorithm::RS512), &claims("agent-1"), &pair().1).unwrap();
        let pss = jsonwebtoken::encode(&Header::new(Algorithm::PS512), &claims("agent-1"), &world.signs).unwrap();
        let forged = encode(&claims("agent-2").to_string());
        for (token, why) in [
            (format!("{none}.{payload}."), "the token is none of ours: it is malformed, or signed in another way"),
            (
                format!("{none}.{payload}.{signature}"),
                "the token is none of ours: it is malformed, or signed in another way",
            ),
            (hmac.unwrap(), "the token is none of ours: it is malformed, or signed in another way"),
            (pss, "the token is none of ours: it is malformed, or signed in another way"),
            (others, "the token's signature is not by a key of ours"),
            (format!("{header}.{forged}.{signature}"), "the token's signature is not by a key of ours"),
            (format!("{header}.{payload}."), "the token's signature is not by a key of ours"),
            (format!("{good}.{signature}"), "the token is none of ours: it is malformed, or signed in another way"),
            (String::new(), "the token is none of ours: it is malformed, or signed in another way"),
            ("abc".into(), "the token is none of ours: it is malformed, or signed in another way"),
            ("\u{ff}.é.x".into(), "the token is none of ours: it is malformed, or signed in another way"),
            ("a".repeat(LONGEST + 1), "the token has more than 4096 bytes"),
        ] {
            assert_eq!(world.found(&token, "argo-cd").unwrap_err(), why, "{token}");
        }
    }

    #[test]
    fn a_token_ends_with_its_cluster_secret() {
        let world = World::new();
        let token = world.sign(&claims("agent-3"));
        let why = "no cluster Secret has the label argocd-agent.argoproj-labs.io/agent-name=agent-3, \
                   so the agent's token is not valid";
        assert_eq!(world.found(&token, "argo-cd").unwrap_err(), why);
        let World { tokens, signs } = World::new();
        let not_listed = Tokens { labelled: Some(References::not_listed()), ..tokens };
        let world = World { tokens: not_listed, signs };
        let token = world.sign(&claims("agent-1"));
        assert!(world.found(&token, "argo-cd").unwrap_err().ends_with("not known yet"));
        let nobody = Tokens { labelled: None, ..world.tokens };
        assert_eq!(nobody.grant(token.as_bytes(), None).unwrap_err(), TokenError::NoClusters);
    }

    #[test]
    fn an_agents_certificate_does_not_go_with_another_agents_token() {
        let world = World::new();
        let token = world.sign(&claims("agent-1"));
        assert_eq!(world.found(&token, "agent-1").as_deref(), Ok("agent-1"));
        for name in ["agent-2", "agent-3"] {
            let error = world.found(&token, name).unwrap_err();
            assert_eq!(error, format!("the token is agent `agent-1`'s and the certificate agent `{name}`'s"));
        }
        assert_eq!(world.tokens.grant(token.as_bytes(), None).unwrap().agent().as_str(), "agent-1");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_granted_ends_with_the_token() {
        let world = World::new();
        let began = tokio::time::Instant::now();
        let grant = |claims: &Value| world.tokens.grant(world.sign(claims).as_bytes(), None).unwrap();
        assert_eq!(grant(&with(&json!({"exp": now() + 600}))).ended().await, Ended::Expired);
        let lasted = began.elapsed().as_secs();
        assert!((629..=630).contains(&lasted), "{lasted}");
        for never in [claims("agent-1"), with(&json!({"exp": 1e18}))] {
            let grant = grant(&never);
            let quiet = tokio::time::timeout(Duration::from_secs(86_400 * 365), grant.ended());
            assert!(quiet.await.is_err(), "{never}");
        }
    }

    #[test]
    fn no_error_repeats_a_token() {
        let world = World::new();
        let hidden = URL_SAFE_NO_PAD.encode(r#"{"alg":"hidden","typ":"JWT"}"#);
        let wrong = world.sign(&with(&json!({"sub": 7, "iss": ["hidden"], "aud": {"hidden": true}})));
        for token in [format!("{hidden}.hidden.hidden"), wrong] {
            let error = world.tokens.grant(token.as_bytes(), None).unwrap_err();
            let shown = format!("{error:?} {}", common::Report(&error));
            assert!(!shown.contains("hidden"), "{shown}");
        }
    }
}
