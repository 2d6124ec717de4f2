//! Which agent a request is for: who asks decides, request by request.
//!
//! Never by connection: clients share one connection between callers (client-go's transport cache does not look at
//! tokens). Never by anything else in the request: no path, no query, no host name.

use std::{net::SocketAddr, sync::Arc};

use common::{AgentName, Refusal, auth::PeerIdentity, http::headers::tokens};
use http::{
    HeaderMap,
    header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL},
};

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) peer: SocketAddr,
    /// What the certificate says, if one was shown; it was verified.
    pub(super) identity: Option<Arc<PeerIdentity>>,
}

/// A bearer token as it came, not yet believed.
#[derive(Clone, Copy)]
struct Bearer<'a>(#[expect(dead_code, reason = "no token is valid yet, whatever it says")] &'a [u8]);

// === impl Caller ===

impl Caller {
    /// The agent that this caller may reach with a request that has these headers.
    ///
    /// # Errors
    /// When it may reach none.
    pub(super) fn agent(&self, headers: &HeaderMap) -> Result<AgentName, Refusal> {
        let identity = self.identity.as_ref().ok_or(Refusal::NoIdentity)?;
        if let Some(token) = bearer(headers) {
            // Whoever shows a token wants to be known by it: a bad one is not mended by a good certificate.
            return subject(token);
        }
        let name = identity.common_name.as_deref().ok_or(Refusal::BadAgentName)?;
        AgentName::parse(name).map_err(|_| Refusal::BadAgentName)
    }
}

/// The agent that a token was issued for. None has been issued yet.
fn subject(_token: Bearer<'_>) -> Result<AgentName, Refusal> {
    Err(Refusal::BadBearer)
}

/// A token in the places where Kubernetes clients put one: `Authorization`, or, from browsers, a WebSocket subprotocol
/// (`staging/src/k8s.io/apiserver/pkg/authentication/request/websocket/protocol.go`).
fn bearer(headers: &HeaderMap) -> Option<Bearer<'_>> {
    let authorization = headers.get_all(AUTHORIZATION).into_iter().find_map(|value| {
        let value = value.as_bytes().trim_ascii();
        let (scheme, token) = value.split_at_checked(SCHEME.len()).unwrap_or((value, b""));
        let ends = token.first().is_none_or(u8::is_ascii_whitespace);
        (scheme.eq_ignore_ascii_case(SCHEME) && ends).then(|| token.trim_ascii())
    });
    let in_subprotocol = || tokens(headers, &SEC_WEBSOCKET_PROTOCOL).find_map(|token| token.strip_prefix(SUBPROTOCOL));
    authorization.or_else(|| in_subprotocol().map(str::as_bytes)).map(Bearer)
}

const SCHEME: &[u8] = b"Bearer";
const SUBPROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_certificate_decides_and_nothing_else_helps() {
        let headers = HeaderMap::new();
        assert_eq!(caller(Some(Some("agent-1"))).agent(&headers).unwrap().as_str(), "agent-1");
        assert_eq!(caller(None).agent(&headers), Err(Refusal::NoIdentity));
        for name in [None, Some("Agent 1"), Some("a.b"), Some("")] {
            assert_eq!(caller(Some(name)).agent(&headers), Err(Refusal::BadAgentName), "{name:?}");
        }
    }

    #[test]
    fn a_token_is_invalid_whatever_the_certificate_says() {
        for (name, value) in [
            ("authorization", "Bearer abc"),
            ("authorization", "bearer  abc"),
            ("authorization", " BEARER\tabc"),
            ("authorization", "Bearer"),
            ("authorization", "Bearer "),
            ("sec-websocket-protocol", "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.YWJj"),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(AUTHORIZATION, HeaderValue::from_static("Basic YTpi"));
            headers.append(name, HeaderValue::from_static(value));
            assert_eq!(caller(Some(Some("agent"))).agent(&headers), Err(Refusal::BadBearer), "{value}");
            assert_eq!(caller(None).agent(&headers), Err(Refusal::NoIdentity), "{value}");
        }
    }

    #[test]
    fn other_credentials_are_not_looked_at() {
        for value in ["Basic YTpi", "Bearers abc", "", "Negotiate x"] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            assert!(caller(Some(Some("agent"))).agent(&headers).is_ok(), "{value}");
        }
    }

    fn caller(common_name: Option<Option<&str>>) -> Caller {
        let identity = common_name.map(|name| PeerIdentity {
            common_name: name.map(str::to_owned),
            subject: String::new(),
            uri_sans: Vec::new(),
            fingerprint: String::new(),
            not_after: 0,
        });
        Caller { peer: ([127, 0, 0, 1], 1).into(), identity: identity.map(Arc::new) }
    }
}
