//! A [`Refusal`] in HTTP: the one function by which doors and executors say no.
//!
//! Kubernetes clients decode a `metav1.Status` and show its message, but for the few calls that want raw bytes: there
//! they show a body only if it is plain text. Never with `Retry-After` (client-go would repeat even a POST, up to ten
//! times), never a redirect.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use serde::Serialize;

use crate::Refusal;

/// Carries [`Refusal::label`] from an agent to its principal, which by it tells the agent's own refusals from answers of
/// the API server. The principal removes it: callers never see it, and it means nothing in a request.
pub const LABEL_HEADER: HeaderName = HeaderName::from_static("argocd-agent-refusal");

/// The answer to a request for `path` that is refused.
#[must_use]
pub fn response(refusal: &Refusal, path: &str) -> Response<Full<Bytes>> {
    let (code, reason) = code(refusal);
    let text = cut(refusal.text());
    let (content_type, body) = if wants_raw_bytes(path) {
        ("text/plain; charset=utf-8", text.into_owned().into())
    } else {
        let status = Status {
            kind: "Status",
            api_version: "v1",
            metadata: Metadata {},
            status: "Failure",
            message: &text,
            reason,
            code: code.as_u16(),
        };
        let json = serde_json::to_vec(&status).expect("strings and numbers have a JSON form");
        ("application/json", Bytes::from(json))
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(LABEL_HEADER, HeaderValue::from_static(refusal.label()));
    response
}

/// Takes the agent's label out of an answer.
pub fn take_label(headers: &mut HeaderMap) -> Option<HeaderValue> {
    headers.remove(LABEL_HEADER)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    kind: &'a str,
    api_version: &'a str,
    metadata: Metadata,
    /// client-go ignores a Status in which this is not `Failure`.
    status: &'a str,
    message: &'a str,
    reason: &'a str,
    code: u16,
}

#[derive(Serialize)]
struct Metadata {}

/// The status code, and the reason that Kubernetes' own servers give with it. Never 404 but for one object that is not
/// shown: a client that hears 404 where an agent is away believes the object, or the whole kind, to be deleted.
#[must_use]
pub fn code(refusal: &Refusal) -> (StatusCode, &'static str) {
    match refusal {
        Refusal::NoIdentity | Refusal::BadAgentName | Refusal::BadRequest(_) => (StatusCode::BAD_REQUEST, "BadRequest"),
        Refusal::BadBearer => (StatusCode::UNAUTHORIZED, "Unauthorized"),
        Refusal::NotManaged => (StatusCode::NOT_FOUND, "NotFound"),
        Refusal::DeleteCollectionNotAllowed | Refusal::CreateNotManaged | Refusal::ProxyDisabled => {
            (StatusCode::FORBIDDEN, "Forbidden")
        }
        Refusal::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
        // Kubernetes has no reason for 502: client-go itself makes InternalError of it.
        Refusal::AgentNotConnected | Refusal::TunnelBroken | Refusal::ItemTooLarge => {
            (StatusCode::BAD_GATEWAY, "InternalError")
        }
        Refusal::UpstreamUnreachable(_) | Refusal::Undecidable(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")
        }
        Refusal::AgentTimeout => (StatusCode::GATEWAY_TIMEOUT, "Timeout"),
    }
}

/// The calls by which client-go fetches raw bytes and never looks for a Status.
fn wants_raw_bytes(path: &str) -> bool {
    matches!(path, "/version" | "/api" | "/apis" | "/openapi") || path.starts_with("/openapi/")
}

/// Cuts a text so that the Status around it stays below 1 KiB, however its characters are escaped: of a refused WebSocket
/// handshake client-go keeps no more, and a Status that is cut off does not decode.
fn cut(text: Cow<'static, str>) -> Cow<'static, str> {
    let escaped = |c: char| match c {
        '"' | '\\' | '\u{8}' | '\t' | '\n' | '\u{c}' | '\r' => 2,
        c if c < ' ' => "\\u0000".len(),
        c => c.len_utf8(),
    };
    let mut room = MAX_MESSAGE;
    let end = text.char_indices().find_map(|(at, c)| match room.checked_sub(escaped(c)) {
        Some(left) => {
            room = left;
            None
        }
        None => Some(at),
    });
    match end.and_then(|end| text.get(..end)) {
        Some(start) => format!("{start}…").into(),
        None => text,
    }
}

/// What of a Status the message may take, escaped; the rest takes less than 150.
const MAX_MESSAGE: usize = 800;

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use http_body_util::BodyExt;

    use super::*;

    const POD: &str = "/api/v1/namespaces/a/pods/b";

    #[tokio::test]
    async fn every_refusal_byte_by_byte() {
        for (refusal, code, reason, text) in [
            (Refusal::NoIdentity, 400, "BadRequest", "no authorization found"),
            (Refusal::BadBearer, 401, "Unauthorized", "authentication failed"),
            (Refusal::BadAgentName, 400, "BadRequest", "invalid agent name"),
            (Refusal::BadRequest("no \"such\" way".into()), 400, "BadRequest", "no \\\"such\\\" way"),
            (Refusal::AgentNotConnected, 502, "InternalError", "Agent is not connected, stop proxying"),
            (Refusal::AgentTimeout, 504, "Timeout", "Timeout communicating to the agent"),
            (Refusal::TunnelBroken, 502, "InternalError", "Connection to the agent was lost"),
            (
                Refusal::UpstreamUnreachable("refused".into()),
                503,
                "ServiceUnavailable",
                "agent cannot reach its API server: refused",
            ),
            (Refusal::NotManaged, 404, "NotFound", "resource not managed by app"),
            (
                Refusal::DeleteCollectionNotAllowed,
                403,
                "Forbidden",
                "not authorized to delete collections of resources",
            ),
            (
                Refusal::CreateNotManaged,
                403,
                "Forbidden",
                "not authorized to create resources that are not managed by app",
            ),
            (
                Refusal::Undecidable("why".into()),
                503,
                "ServiceUnavailable",
                "cannot decide whether the resource is managed by app: why",
            ),
            (
                Refusal::ItemTooLarge,
                502,
                "InternalError",
                "an item of the list is larger than 16 MiB, the most that the agent looks through",
            ),
            (Refusal::ProxyDisabled, 403, "Forbidden", "resource proxy is disabled on this agent"),
            (Refusal::TooManyRequests, 429, "TooManyRequests", "too many requests in flight"),
        ] {
            let (head, body) = read(response(&refusal, POD)).await;
            assert_eq!(head.status.as_u16(), code, "{refusal:?}");
            assert_eq!(head.headers.len(), 2, "no Retry-After, and nothing else");
            assert_eq!(head.headers[CONTENT_TYPE], "application/json");
            assert_eq!(head.headers[LABEL_HEADER], refusal.label());
            let expected = format!(
                r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":"{text}","reason":"{reason}","code":{code}}}"#
            );
            assert_eq!(body, expected);

            let (head, body) = read(response(&refusal, "/version")).await;
            assert_eq!(head.status.as_u16(), code, "{refusal:?}");
            assert_eq!(head.headers.len(), 2);
            assert_eq!(head.headers[CONTENT_TYPE], "text/plain; charset=utf-8");
            assert_eq!(body, refusal.text());
        }
    }

    #[test]
    fn raw_paths_are_those_of_client_go() {
        for path in ["/version", "/api", "/apis", "/openapi/v2", "/openapi/v3", "/openapi/v3/apis/apps/v1"] {
            assert!(wants_raw_bytes(path), "{path}");
        }
        for path in ["/", "/versions", "/api/v1", "/apis/apps/v1", "/apis/apps", "/openapis", "/healthz", POD] {
            assert!(!wants_raw_bytes(path), "{path}");
        }
    }

    #[test]
    fn a_status_stays_below_a_kibibyte_whatever_the_cause_says() {
        for filler in ["x", "\"", "\u{1}", "\u{7f}", "ä", "\u{10ffff}", "\n"] {
            let body = response(&Refusal::UpstreamUnreachable(filler.repeat(5_000).into()), POD).into_body();
            let length = body.size_hint().exact().unwrap();
            assert!(length < 1024, "{filler:?}: {length}");
            assert!(length > 700, "{filler:?}: {length}");
        }
    }

    #[test]
    fn a_label_is_taken_out_of_an_answer() {
        let mut answer = response(&Refusal::NotManaged, POD);
        assert_eq!(take_label(answer.headers_mut()).unwrap(), "not_managed");
        assert_eq!(take_label(answer.headers_mut()), None);
    }

    async fn read(response: Response<Full<Bytes>>) -> (http::response::Parts, String) {
        let (head, mut body) = response.into_parts();
        let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
        (head, String::from_utf8(data.to_vec()).unwrap())
    }
}
