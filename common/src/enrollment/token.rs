//! A join token: what one agent needs to get its first certificate, in one word.
//!
//! It is good once and for minutes, and for one name. Whoever has it may join as that agent, so it shows itself nowhere.

use std::fmt;

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::Pin;
use crate::{AgentName, grpc::Address};

/// A join token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// Where the principal is.
    pub principal: Address,
    /// Whom the certificate will name.
    pub agent: AgentName,
    /// Under what the control plane knows the token.
    pub id: TokenId,
    /// What proves that one has it.
    pub secret: TokenSecret,
    /// The principal's authorities.
    pub pin: Pin,
    /// When it ends, in seconds since 1970. For the holder, who need not try any longer; the control plane has its own.
    pub end: i64,
}

/// Names a token: 16 hexadecimal digits, which may stand in the name of an object. It is no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenId(Box<str>);

/// What only the holder of a token has: 256 random bits.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret([u8; 32]);

/// A text that is no join token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// It is something else.
    #[error("it is no join token: those begin with `argocd-agent-join.`")]
    Other,
    /// It is one of a later version of this program.
    #[error("it is a join token of another version: use the argocd-agent of the version that made it")]
    Version,
    /// It is a part of one, or was changed.
    #[error("it is cut or changed: copy it again, whole")]
    Broken,
}

/// What stands behind the prefix, as JSON. A later version that means something else has another prefix.
#[derive(Serialize, Deserialize)]
struct Wire {
    principal: String,
    agent: String,
    id: String,
    secret: String,
    pin: String,
    end: i64,
}

// === impl JoinToken ===

impl JoinToken {
    /// Reads its text; white space around it, as at the end of a file, does not matter.
    ///
    /// # Errors
    /// When it is none. Nothing of the text is in the error.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let text = text.trim();
        let rest = text.strip_prefix(PREFIX).ok_or(InvalidToken::Other)?;
        let (version, rest) = rest.split_once('.').ok_or(InvalidToken::Broken)?;
        if version != VERSION {
            return Err(InvalidToken::Version);
        }
        if rest.len() > LONGEST {
            return Err(InvalidToken::Broken);
        }
        Self::read(rest).ok_or(InvalidToken::Broken)
    }

    fn read(text: &str) -> Option<Self> {
        let (json, sum) = text.split_once('.')?;
        let json = URL_SAFE_NO_PAD.decode(json).ok()?;
        if checksum(&json) != sum {
            return None;
        }
        let wire: Wire = serde_json::from_slice(&json).ok()?;
        Some(Self {
            principal: Address::parse(&wire.principal)?,
            agent: AgentName::parse(&wire.agent).ok()?,
            id: TokenId::parse(&wire.id)?,
            secret: TokenSecret(URL_SAFE_NO_PAD.decode(wire.secret).ok()?.try_into().ok()?),
            pin: Pin::parse(&wire.pin)?,
            end: wire.end,
        })
    }

    /// Its text, for the one who is to have it.
    #[must_use]
    pub fn reveal(&self) -> String {
        let wire = Wire {
            principal: self.principal.to_string(),
            agent: self.agent.to_string(),
            id: self.id.to_string(),
            secret: URL_SAFE_NO_PAD.encode(self.secret.0),
            pin: self.pin.to_string(),
            end: self.end,
        };
        let json = serde_json::to_vec(&wire).expect("texts and a number can be written");
        format!("{PREFIX}{VERSION}.{}.{}", URL_SAFE_NO_PAD.encode(&json), checksum(&json))
    }
}

/// Against slips, not against anybody: a token that was cut is told from one that is not valid.
fn checksum(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    URL_SAFE_NO_PAD.encode(digest.as_ref().get(..3).unwrap_or_default())
}

// === impl TokenId ===

impl TokenId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("{:016x}", rand::random::<u64>()).into())
    }

    /// The only way in from outside: it becomes a part of an object's name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 16 && text.bytes().all(digit)).then(|| Self(text.into()))
    }

    /// The name of the Secret in which the control plane keeps what it knows of the token.
    #[must_use]
    pub fn secret_name(&self) -> String {
        format!("argocd-agent-join-{}", self.0)
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl TokenSecret ===

impl TokenSecret {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// As it came; none where it has another length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes, for the principal.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// What the control plane keeps of it. It is as random as a key, so a plain hash does not give it away.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        digest(&SHA256, &self.0).as_ref().try_into().expect("a SHA-256 has 32 bytes")
    }

    /// Whether it is the one of this hash, in a time that does not tell how much of it is.
    #[must_use]
    pub fn is(&self, hash: &[u8; 32]) -> bool {
        verify_slices_are_equal(&self.hash(), hash).is_ok()
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret")
    }
}

const PREFIX: &str = "argocd-agent-join.";
const VERSION: &str = "1";
/// A host has at most 253 characters, a name 63.
const LONGEST: usize = 2 << 10;
