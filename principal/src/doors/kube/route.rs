//! Which agent a request is for: who asks decides, request by request.
//!
//! Never by connection: clients share one connection between callers (client-go's transport cache does not look at
//! tokens). Never by anything else in the request: no path, no query, no host name. A token never helps who has no
//! certificate that counts.

use std::{borrow::Cow, net::SocketAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use common::{AgentName, Refusal, auth::PeerIdentity, http::headers::tokens};
use http::{
    HeaderMap,
    header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL},
};

use crate::{
    agents::{
        Tokens,
        tokens::{Grant, TokenError},
    },
    doors::http::forward::BEARER_PROTOCOL,
    revocation::Standing,
};

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) peer: SocketAddr,
    /// What the certificate says, if one was shown; it was verified.
    pub(super) identity: Option<Arc<PeerIdentity>>,
    /// Whether it still counts.
    pub(super) standing: Standing,
}

/// Where a caller may go.
#[derive(Debug)]
pub(super) struct Allowed {
    pub(super) agent: AgentName,
    /// For how long, where a token says it.
    pub(super) grant: Option<Grant>,
}

/// Why a caller may reach no agent: for our own log. What it hears is the [`Refusal`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Denied {
    #[error("no client certificate")]
    NoCertificate,
    #[error("the client certificate is on the blocklist")]
    Revoked,
    #[error("the client certificate's common name can be no agent")]
    Name,
    #[error("the request has several bearer tokens, or one beside another Authorization")]
    SeveralTokens,
    #[error("the token in Sec-WebSocket-Protocol is not base64url")]
    Encoding,
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// A bearer token as it came, not yet believed.
struct Bearer<'a>(Cow<'a, [u8]>);

// === impl Caller ===

impl Caller {
    /// The agent that this caller may reach with a request that has these headers.
    ///
    /// # Errors
    /// When it may reach none.
    pub(super) fn agent(&self, headers: &HeaderMap, tokens: Option<&Tokens>) -> Result<Allowed, Denied> {
        let identity = self.identity.as_ref().ok_or(Denied::NoCertificate)?;
        if self.standing.is_revoked() {
            return Err(Denied::Revoked);
        }
        let common_name = identity.common_name.as_deref();
        if let Some(Bearer(token)) = bearer(headers)? {
            // Whoever shows a token wants to be known by it: a bad one is not mended by a good certificate.
            let tokens = tokens.ok_or(TokenError::NoClusters)?;
            let grant = tokens.grant(&token, common_name)?;
            return Ok(Allowed { agent: grant.agent().clone(), grant: Some(grant) });
        }
        let agent = AgentName::parse(common_name.ok_or(Denied::Name)?).map_err(|_| Denied::Name)?;
        Ok(Allowed { agent, grant: None })
    }
}

// === impl Denied ===

impl Denied {
    /// The caller's part of it. A certificate that was revoked is as good as none.
    pub(super) fn refusal(&self) -> Refusal {
        match self {
            Self::NoCertificate | Self::Revoked => Refusal::NoIdentity,
            Self::Name => Refusal::BadAgentName,
            Self::SeveralTokens | Self::Encoding | Self::Token(_) => Refusal::BadBearer,
        }
    }
}

/// The one token in the places where Kubernetes clients put one: `Authorization`, or, from browsers, a WebSocket
/// subprotocol (`staging/src/k8s.io/apiserver/pkg/authentication/request/websocket/protocol.go`). With two there would be
/// two readings of who asks.
fn bearer(headers: &HeaderMap) -> Result<Option<Bearer<'_>>, Denied> {
    let lines = headers.get_all(AUTHORIZATION);
    let mut found = lines.iter().filter_map(|line| in_authorization(line.as_bytes())).map(|token| Ok(token.into()));
    let protocols = tokens(headers, &SEC_WEBSOCKET_PROTOCOL).filter_map(|token| token.strip_prefix(BEARER_PROTOCOL));
    let mut protocols = protocols.map(|token| URL_SAFE_NO_PAD.decode(token).map(Cow::Owned).or(Err(Denied::Encoding)));
    let token = match (found.next(), protocols.next()) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(Denied::SeveralTokens),
        (Some(_), None) if lines.iter().count() > 1 => return Err(Denied::SeveralTokens),
        (None, Some(_)) if protocols.next().is_some() => return Err(Denied::SeveralTokens),
        (Some(token), None) | (None, Some(token)) => token?,
    };
    Ok(Some(Bearer(token)))
}

/// The token in a value of `Authorization`, if its scheme is that.
fn in_authorization(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    let (scheme, token) = value.split_at_checked(SCHEME.len()).unwrap_or((value, b""));
    let ends = token.first().is_none_or(u8::is_ascii_whitespace);
    (scheme.eq_ignore_ascii_case(SCHEME) && ends).then(|| token.trim_ascii())
}

const SCHEME: &[u8] = b"Bearer";

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::agents::tokens::tests::{World, claims};

    #[test]
    fn the_certificate_decides_and_nothing_else_helps() {
        let headers = HeaderMap::new();
        assert_eq!(refused(None, &headers), Err(Refusal::NoIdentity));
        assert_eq!(refused(Some(Some("agent-1")), &headers).unwrap().as_str(), "agent-1");
        for name in [None, Some("Agent 1"), Some("a.b"), Some("")] {
            assert_eq!(refused(Some(name), &headers), Err(Refusal::BadAgentName), "{name:?}");
        }
    }

    #[test]
    fn a_bad_token_is_refused_whatever_the_certificate_says() {
        for (name, value) in [
            ("authorization", "Bearer abc"),
            ("authorization", "bearer  abc"),
            ("authorization", " BEARER\tabc"),
            ("authorization", "Bearer"),
            ("authorization", "Bearer "),
            ("sec-websocket-protocol", "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.YWJj"),
            ("sec-websocket-protocol", "base64url.bearer.authorization.k8s.io.*"),
        ] {
            for basic in [true, false] {
                let mut headers = HeaderMap::new();
                if basic {
                    headers.append(AUTHORIZATION, HeaderValue::from_static("Basic YTpi"));
                }
                headers.append(name, HeaderValue::from_static(value));
                assert_eq!(refused(Some(Some("agent")), &headers), Err(Refusal::BadBearer), "{value}");
                assert_eq!(refused(None, &headers), Err(Refusal::NoIdentity), "{value}");
            }
        }
    }

    #[test]
    fn other_credentials_are_not_looked_at() {
        for value in ["Basic YTpi", "Bearers abc", "", "Negotiate x"] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            assert!(refused(Some(Some("agent")), &headers).is_ok(), "{value}");
        }
    }

    #[test]
    fn a_good_token_decides_whatever_the_certificate_says_as_long_as_that_is_no_other_agents() {
        let world = World::new();
        let token = world.sign(&claims("agent-1"));
        let subprotocol = format!("v5.channel.k8s.io, {BEARER_PROTOCOL}{}", URL_SAFE_NO_PAD.encode(&token));
        for (name, value) in [("authorization", format!("Bearer {token}")), ("sec-websocket-protocol", subprotocol)] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            let found = |common_name| caller(common_name).agent(&headers, Some(&world.tokens));
            for common_name in [Some("agent-1"), Some("argo-cd"), Some("Not A Label"), None] {
                assert_eq!(found(Some(common_name)).unwrap().agent.as_str(), "agent-1", "{name} {common_name:?}");
            }
            assert!(matches!(found(Some(Some("agent-2"))), Err(Denied::Token(TokenError::OtherAgent { .. }))));
            assert_eq!(found(None).unwrap_err(), Denied::NoCertificate);
            assert_eq!(refused(Some(Some("agent-1")), &headers), Err(Refusal::BadBearer), "nobody knows tokens");
        }
    }

    #[test]
    fn one_token_is_one_token() {
        let world = World::new();
        let token = world.sign(&claims("agent-1"));
        let bearer = format!("Bearer {token}");
        let subprotocol = format!("{BEARER_PROTOCOL}{}", URL_SAFE_NO_PAD.encode(&token));
        for lines in [
            [("authorization", bearer.as_str()), ("authorization", bearer.as_str())],
            [("authorization", bearer.as_str()), ("authorization", "Basic YTpi")],
            [("authorization", "Basic YTpi"), ("authorization", bearer.as_str())],
            [("authorization", bearer.as_str()), ("sec-websocket-protocol", subprotocol.as_str())],
            [("sec-websocket-protocol", subprotocol.as_str()), ("sec-websocket-protocol", subprotocol.as_str())],
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(name, value.parse().unwrap());
            }
            let denied = caller(Some(Some("agent-1"))).agent(&headers, Some(&world.tokens)).unwrap_err();
            assert_eq!((denied.refusal(), denied), (Refusal::BadBearer, Denied::SeveralTokens));
        }
    }

    fn refused(common_name: Option<Option<&str>>, headers: &HeaderMap) -> Result<AgentName, Refusal> {
        let found = caller(common_name).agent(headers, None);
        found.map(|allowed| allowed.agent).map_err(|denied| denied.refusal())
    }

    fn caller(common_name: Option<Option<&str>>) -> Caller {
        let identity = common_name.map(|name| PeerIdentity {
            common_name: name.map(str::to_owned),
            subject: String::new(),
            uri_sans: Vec::new(),
            fingerprint: String::new(),
            not_after: 0,
        });
        let standing = Standing::good();
        Caller { peer: ([127, 0, 0, 1], 1).into(), identity: identity.map(Arc::new), standing }
    }
}
