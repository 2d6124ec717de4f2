//! What the control plane keeps of a join token: a Secret of its own, which the principal deletes when it is used.

use std::{collections::BTreeMap, fmt::Write as _};

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use super::{TokenId, TokenSecret};
use crate::AgentName;

/// What a token is good for, without what would let anybody use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRecord {
    /// Who may join by it.
    pub agent: AgentName,
    /// Of the token's secret.
    pub hash: [u8; 32],
    /// When it ends, in seconds since 1970.
    pub end: i64,
}

/// A Secret that holds no such record: which part is missing or wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no join token's Secret: {0} is missing or wrong")]
pub struct NoRecord(&'static str);

// === impl JoinRecord ===

impl JoinRecord {
    /// Of a token that is made now.
    #[must_use]
    pub fn new(agent: AgentName, secret: &TokenSecret, end: i64) -> Self {
        Self { agent, hash: secret.hash(), end }
    }

    /// The Secret as it is created.
    #[must_use]
    pub fn to_secret(&self, id: &TokenId) -> Secret {
        let hash = self.hash.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let end = Timestamp::from_second(self.end).map_or_else(|_| String::new(), |end| end.to_string());
        let data = [(AGENT, self.agent.to_string()), (HASH, hash), (END, end)];
        Secret {
            metadata: ObjectMeta {
                name: Some(id.secret_name()),
                labels: Some(BTreeMap::from([(TOKEN_LABEL.to_owned(), "true".to_owned())])),
                ..ObjectMeta::default()
            },
            type_: Some("Opaque".to_owned()),
            immutable: Some(true),
            data: Some(data.into_iter().map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes()))).collect()),
            ..Secret::default()
        }
    }

    /// Reads what [`to_secret`](Self::to_secret) made.
    ///
    /// # Errors
    /// When it is something else, which somebody may have put there under that name.
    pub fn from_secret(secret: &Secret) -> Result<Self, NoRecord> {
        if !secret.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(TOKEN_LABEL)) {
            return Err(NoRecord("its label"));
        }
        let text = |key: &'static str| {
            let bytes = secret.data.as_ref().and_then(|data| data.get(key));
            bytes.and_then(|bytes| std::str::from_utf8(&bytes.0).ok()).ok_or(NoRecord(key))
        };
        Ok(Self {
            agent: AgentName::parse(text(AGENT)?).map_err(|_| NoRecord(AGENT))?,
            hash: hash(text(HASH)?).ok_or(NoRecord(HASH))?,
            end: text(END)?.parse::<Timestamp>().map_err(|_| NoRecord(END))?.as_second(),
        })
    }
}

fn hash(text: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).and_then(|d| d.try_into().ok())).collect();
    let bytes: Vec<u8> = digits?.chunks_exact(2).filter_map(|pair| Some(pair.first()? << 4 | pair.last()?)).collect();
    (text.len() == 64).then(|| bytes.try_into().ok())?
}

/// By what the Secrets of join tokens are found. Not the label of agents, which cluster Secrets have.
pub const TOKEN_LABEL: &str = "argocd-agent.argoproj-labs.io/join-token";

const AGENT: &str = "agent";
const HASH: &str = "secret-sha256";
const END: &str = "expires";
