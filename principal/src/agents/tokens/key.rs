//! The key of tokens: the half that signs them, and the public one by which they are verified.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use aws_lc_rs::{
    error::{KeyRejected, Unspecified},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::signing::SigningKey;

/// Both halves. Two of the same key are equal.
#[derive(Debug, Clone)]
pub struct TokenKey {
    pub(super) verifying: VerifyingKey,
    pub(super) signing: SigningKey,
}

/// Verifies tokens. Two of the same key are equal.
#[derive(Clone)]
pub(super) struct VerifyingKey {
    /// The public key, an `RSAPublicKey` of RFC 8017.
    der: Box<[u8]>,
    key: DecodingKey,
}

/// A key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The Secret holds something else.
    #[error("it has no field jwt.key: make one with `argocd-agentctl jwt create-key`")]
    NoField,
    /// The file cannot be read.
    #[error("it cannot be read ({0})")]
    Read(std::io::ErrorKind),
    /// There is no private key in it, or an encrypted one.
    #[error("it holds no unencrypted private key in PEM: make one with `argocd-agentctl jwt create-key`")]
    NoKey,
    /// There is another key in it.
    #[error("its key is none of RSA with 2048 to 8192 bits: make one with `argocd-agentctl jwt create-key`")]
    NotRsa,
}

/// A token is not valid. Each is a whole sentence that holds nothing of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// There is nothing to verify it with.
    #[error("there is no key to verify tokens with: see --jwt-key and --jwt-secret-name")]
    NoKey,
    /// It is no JWT, or its algorithm is none of ours.
    #[error("the token is none of ours: it is malformed, or signed in another way")]
    Malformed,
    /// Somebody else made it, or changed it.
    #[error("the token's signature is not by a key of ours")]
    Signature,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    Early,
    /// Another issuer.
    #[error("the token was issued by somebody else")]
    Issuer,
    /// Another audience: agents have tokens, too.
    #[error("the token is for another purpose")]
    Audience,
    /// A claim is missing, or not what it must be.
    #[error("the token says something malformed, or not all that it must")]
    Claims,
    /// Its subject is not the one that it is to have.
    #[error("the token is for somebody else")]
    Subject,
}

/// What a token says that is valid.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verified {
    pub(super) subject: String,
    /// None where it has no end, or one that no clock will see.
    pub(super) ends: Option<Instant>,
}

/// What is read of a token beside what [`Validation`] looks at. Any value: that it is of the right kind is not to be told in
/// the words of a parser, which repeats what it reads.
#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: Value,
    #[serde(default)]
    exp: Value,
}

// === impl TokenKey ===

impl TokenKey {
    /// Reads the key that signs, PKCS#8 as `argocd-agentctl` writes it or PKCS#1.
    ///
    /// # Errors
    /// When there is no such key.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let pair = match PrivateKeyDer::from_pem_slice(pem).map_err(|_| KeyError::NoKey)? {
            PrivateKeyDer::Pkcs8(key) => KeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => KeyPair::from_der(key.secret_pkcs1_der()),
            _ => return Err(KeyError::NotRsa),
        };
        Ok(Self::of(pair.map_err(|_: KeyRejected| KeyError::NotRsa)?))
    }

    /// A key that nobody else has, and that ends with the process. Slow: some hundred milliseconds.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate() -> Result<Self, Unspecified> {
        KeyPair::generate(KeySize::Rsa3072).map(Self::of)
    }

    fn of(pair: KeyPair) -> Self {
        let der = pair.public_key().as_ref();
        let verifying = VerifyingKey { der: der.into(), key: DecodingKey::from_rsa_der(der) };
        Self { verifying, signing: SigningKey::new(pair) }
    }
}

impl PartialEq for TokenKey {
    fn eq(&self, other: &Self) -> bool {
        self.verifying == other.verifying
    }
}

impl Eq for TokenKey {}

// === impl VerifyingKey ===

impl VerifyingKey {
    /// What a token says that this key's other half has signed, and that is for callers of the Kubernetes door.
    pub(super) fn verify(&self, token: &[u8], validation: &Validation) -> Result<Verified, Invalid> {
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.key, validation);
        let Claims { sub, exp } = decoded.map_err(|error| Invalid::of(error.kind()))?.claims;
        match sub {
            Value::String(subject) => Ok(Verified { subject, ends: exp.as_f64().and_then(instant) }),
            _ => Err(Invalid::Claims),
        }
    }
}

/// The moment so many seconds after 1970, clocks that differ allowed for.
fn instant(seconds: f64) -> Option<Instant> {
    let at = Duration::try_from_secs_f64(seconds).ok()?.checked_add(Duration::from_secs(LEEWAY))?;
    let now = SystemTime::UNIX_EPOCH.elapsed().ok()?;
    Instant::now().checked_add(at.saturating_sub(now))
}

/// What a token must say (`internal/issuer` of upstream).
pub(super) fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::RS512);
    // Upstream signs with the first; what counts is that none of them is `none`, or an HMAC whose secret is public.
    validation.algorithms = vec![Algorithm::RS512, Algorithm::RS384, Algorithm::RS256];
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    // No `exp`: upstream's have none. Where there is one, it counts.
    validation.set_required_spec_claims(&["iss", "aud", "sub"]);
    validation.validate_nbf = true;
    validation.leeway = LEEWAY;
    validation
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        // Public: how long it takes tells nobody anything.
        self.der == other.der
    }
}

impl Eq for VerifyingKey {}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey").finish_non_exhaustive()
    }
}

// === impl Invalid ===

impl Invalid {
    fn of(error: &ErrorKind) -> Self {
        match error {
            ErrorKind::InvalidSignature => Self::Signature,
            ErrorKind::ExpiredSignature => Self::Expired,
            ErrorKind::ImmatureSignature => Self::Early,
            ErrorKind::InvalidIssuer => Self::Issuer,
            ErrorKind::InvalidAudience => Self::Audience,
            ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => Self::Claims,
            _ => Self::Malformed,
        }
    }
}

/// Upstream's (`internal/issuer`).
pub(super) const ISSUER: &str = "argocd-agent-server";
/// Upstream's, of those who call the Kubernetes door.
pub(super) const AUDIENCE: &str = "argocd-agent-resource-proxy";

/// How far two clocks may differ, in seconds.
pub(super) const LEEWAY: u64 = 30;

#[cfg(test)]
pub(crate) mod tests {
    use jsonwebtoken::EncodingKey;
    use rcgen::{KeyPair as Generated, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA512};

    use super::*;

    /// A new key, and the half that signs.
    pub(crate) fn pair() -> (TokenKey, EncodingKey) {
        let pair = Generated::generate_for(&PKCS_RSA_SHA512).unwrap();
        let key = TokenKey::from_pem(pair.serialize_pem().as_bytes()).unwrap();
        (key, EncodingKey::from_rsa_der(&pkcs1(&pair)))
    }

    /// A new key.
    pub(crate) fn key() -> TokenKey {
        pair().0
    }

    /// What `jsonwebtoken` signs with.
    fn pkcs1(pair: &Generated) -> Vec<u8> {
        let der = pair.serialize_der();
        // PKCS#8 (RFC 5958) holds it in an OCTET STRING at its end, 26 bytes into it for RSA.
        der[26..].to_vec()
    }

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let pair = Generated::generate_for(&PKCS_RSA_SHA512).unwrap();
        let key = TokenKey::from_pem(pair.serialize_pem().as_bytes()).unwrap();
        let again = TokenKey::from_pem(format!("\n{}\n", pair.serialize_pem()).as_bytes()).unwrap();
        assert!(key == again && key != super::tests::pair().0);
    }

    #[test]
    fn what_is_no_key_of_ours_is_told_with_its_cure() {
        let elliptic = Generated::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
        let public = Generated::generate_for(&PKCS_RSA_SHA512).unwrap().public_key_pem();
        let nonsense = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for (text, error) in [
            ("", KeyError::NoKey),
            ("hidden", KeyError::NoKey),
            (public.as_str(), KeyError::NoKey),
            (elliptic.as_str(), KeyError::NotRsa),
            (nonsense, KeyError::NotRsa),
        ] {
            let found = TokenKey::from_pem(text.as_bytes()).unwrap_err();
            assert!(found == error && found.to_string().contains("argocd-agentctl jwt create-key"), "{text}");
        }
    }

    #[test]
    fn a_generated_key_verifies_and_shows_nothing() {
        let key = TokenKey::generate().unwrap();
        assert_eq!(format!("{key:?}"), "TokenKey { verifying: VerifyingKey { .. }, signing: SigningKey { .. } }");
        assert!(key != TokenKey::generate().unwrap());
    }
}
