//! The half of the key that signs tokens.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_lc_rs::{error::Unspecified, rand::SystemRandom, rsa::KeyPair, signature::RSA_PKCS1_SHA512};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use common::{AgentName, auth::Secret};
use serde_json::json;

use super::key::{AUDIENCE, ISSUER};

/// Signs tokens. Cheap to clone.
#[derive(Clone)]
pub struct SigningKey(Arc<KeyPair>);

/// No token can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Before 1970, or so late that no token can say it.
    #[error("the clock of this machine is wrong")]
    Clock,
    /// There is no randomness, or no memory.
    #[error("the key does not sign")]
    Key,
}

// === impl SigningKey ===

impl SigningKey {
    pub(super) fn new(pair: KeyPair) -> Self {
        Self(Arc::new(pair))
    }

    /// A token by which callers reach `agent`, as upstream makes it (`internal/issuer`), but that it ends. Slow: some
    /// milliseconds of arithmetic.
    ///
    /// # Errors
    /// When the clock is wrong, or the key does not sign.
    pub(crate) fn token(&self, agent: &AgentName, lasts: Duration) -> Result<Secret, SignError> {
        let now = SystemTime::UNIX_EPOCH.elapsed().map_err(|_early| SignError::Clock)?;
        let exp = now.checked_add(lasts).ok_or(SignError::Clock)?.as_secs();
        let now = now.as_secs();
        let claims = json!({
            "iss": ISSUER, "aud": [AUDIENCE], "sub": agent.as_str(),
            "jti": format!("{:032x}", rand::random::<u128>()), "iat": now, "nbf": now, "exp": exp,
        });
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let said = format!("{}.{}", encode(HEADER), encode(claims.to_string().as_bytes()));
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA512, &SystemRandom::new(), said.as_bytes(), &mut signature)
            .map_err(|_: Unspecified| SignError::Key)?;
        Ok(Secret::new(format!("{said}.{}", encode(&signature))))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").finish_non_exhaustive()
    }
}

const HEADER: &[u8] = br#"{"alg":"RS512","typ":"JWT"}"#;

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;
    use serde_json::Value;
    use tokio::time::Instant;

    use super::{
        super::{Invalid, Keys, key::tests::pair},
        *,
    };

    fn agent(name: &str) -> AgentName {
        AgentName::parse(name).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_of_ours_is_one_that_we_take_and_it_ends() {
        let keys = Keys::signing(&mut Registry::default());
        let mut signer = keys.signer();
        assert!(signer.borrow_and_update().is_none());
        keys.take("the test's key", Ok(pair().0));
        let signing = signer.borrow_and_update().clone().unwrap();
        let token = signing.token(&agent("agent-1"), Duration::from_secs(600)).unwrap();
        let ends = keys.end_of(token.reveal().as_bytes(), &agent("agent-1")).unwrap().unwrap() - Instant::now();
        assert!((598..=600).contains(&ends.as_secs()), "{ends:?}");
        assert_eq!(keys.end_of(token.reveal().as_bytes(), &agent("agent-2")), Err(Invalid::Subject));
        let payload = URL_SAFE_NO_PAD.decode(token.reveal().split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("argocd-agent-server"), &json!("agent-1")));
        assert_eq!(claims["aud"], json!(["argocd-agent-resource-proxy"]));
        let another = signing.token(&agent("agent-1"), Duration::from_secs(600)).unwrap();
        assert!(token != another, "each has an id of its own");
        assert!(!format!("{token:?} {signing:?}").contains("eyJ"));
    }

    #[test]
    fn a_token_by_a_key_of_before_is_to_be_replaced() {
        let keys = Keys::signing(&mut Registry::default());
        let signer = keys.signer();
        keys.take("the test's key", Ok(pair().0));
        let token = signer.borrow().clone().unwrap().token(&agent("a"), Duration::from_secs(600)).unwrap();
        keys.take("the test's key", Ok(pair().0));
        assert_eq!(keys.end_of(token.reveal().as_bytes(), &agent("a")), Err(Invalid::Signature));
        // Though it still counts.
        assert_eq!(keys.verify(token.reveal().as_bytes()).unwrap().subject, "a");
        keys.gone("the test's key");
        assert!(signer.borrow().is_none());
    }

    #[test]
    fn nobody_signs_where_nobody_is_to() {
        let keys = Keys::new(&mut Registry::default());
        keys.take("the test's key", Ok(pair().0));
        assert!(keys.signer().borrow().is_none());
    }
}
