//! A message as the next hop is to see it: end to end all the same, hop by hop its own. Pure: no IO.

use common::{
    Refusal,
    http::{
        headers::{set_upgrade, strip_hop_by_hop, tokens},
        refusal::LABEL_HEADER,
    },
};
use http::{
    HeaderMap, HeaderValue, Method, Uri, Version,
    header::{AUTHORIZATION, CONTENT_LENGTH, COOKIE, HOST, SEC_WEBSOCKET_PROTOCOL, TRANSFER_ENCODING},
    request, response,
};
use hyper::{body::Body, ext::ReasonPhrase};

/// Makes a caller's request one for an agent: path and query byte for byte, the headers less what was for this hop or for
/// us. Returns whether it asks to switch protocols.
///
/// # Errors
/// When it cannot be carried.
pub(crate) fn request(head: &mut request::Parts, body: &impl Body) -> Result<bool, Refusal> {
    if head.method == Method::CONNECT || head.method == Method::TRACE {
        return Err(Refusal::BadRequest("CONNECT and TRACE are not supported".into()));
    }
    set_host(head)?;
    let path = head.uri.path_and_query().cloned().ok_or(Refusal::BadRequest("the request has no path".into()))?;
    head.uri = Uri::from(path);
    if head.version == Version::HTTP_2 {
        join_cookies(&mut head.headers);
    }
    if head.headers.get_all(TRANSFER_ENCODING).iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(Refusal::BadRequest("the only transfer encoding supported is chunked".into()));
    }
    let upgrade = strip_hop_by_hop(&mut head.headers).filter(|_| head.version == Version::HTTP_11);
    head.headers.remove(AUTHORIZATION);
    remove_token_protocol(&mut head.headers)?;
    head.headers.remove(LABEL_HEADER);
    set_length(&mut head.headers, body)?;
    let upgrades = upgrade.is_some();
    if let Some(protocol) = upgrade {
        if !body.is_end_stream() {
            return Err(Refusal::BadRequest("a request to switch protocols has a body".into()));
        }
        set_upgrade(&mut head.headers, protocol);
    }
    head.version = Version::HTTP_11;
    head.extensions.clear();
    Ok(upgrades)
}

/// Makes an agent's answer one for the caller: status, headers and reason as they came, less what was for this hop. Returns
/// the label, where the answer is a refusal of the agent's own.
pub(crate) fn response(head: &mut response::Parts, to: Version) -> Option<HeaderValue> {
    // Also an answer that does not switch may name protocols (426).
    if let Some(protocol) = strip_hop_by_hop(&mut head.headers)
        && to == Version::HTTP_11
    {
        set_upgrade(&mut head.headers, protocol);
    }
    let reason = head.extensions.remove::<ReasonPhrase>();
    head.extensions.clear();
    if let Some(reason) = reason {
        head.extensions.insert(reason);
    }
    head.version = Version::HTTP_11;
    if to == Version::HTTP_2 {
        own_values(&mut head.headers);
    }
    head.headers.remove(LABEL_HEADER)
}

/// Values are parts of the buffer that the answer was read into. HTTP/2 remembers them for the caller's connection, dozens of
/// them where each answer has one of its own (RFC 7541 section 2.3.2), and would keep a buffer of at least 8 KiB for each.
fn own_values(headers: &mut HeaderMap) {
    for value in headers.values_mut() {
        // What was a value is one again.
        if let Ok(mut own) = HeaderValue::from_bytes(value.as_bytes()) {
            own.set_sensitive(value.is_sensitive());
            *value = own;
        }
    }
}

/// One Host: what stands in the request line, or in `:authority`, counts (RFC 9112 section 3.2.2).
fn set_host(head: &mut request::Parts) -> Result<(), Refusal> {
    let hosts = head.headers.get_all(HOST).iter().count();
    if let Some(authority) = head.uri.authority() {
        let (_, host) = authority.as_str().rsplit_once('@').unwrap_or(("", authority.as_str()));
        let host = HeaderValue::from_str(host).map_err(|_| Refusal::BadRequest("the host is malformed".into()))?;
        head.headers.insert(HOST, host);
    } else if hosts > 1 || (hosts == 0 && head.version == Version::HTTP_11) {
        return Err(Refusal::BadRequest("the request names no host, or several".into()));
    }
    Ok(())
}

/// The other place of a token, which is meant for us like the first. What is left must be something: Kubernetes refuses a
/// token that is the only protocol, because whoever answers has none to agree on.
fn remove_token_protocol(headers: &mut HeaderMap) -> Result<(), Refusal> {
    // What we cannot read, Kubernetes might.
    if headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().any(|line| line.to_str().is_err()) {
        return Err(Refusal::BadRequest("Sec-WebSocket-Protocol is not ASCII".into()));
    }
    if !tokens(headers, &SEC_WEBSOCKET_PROTOCOL).any(|protocol| protocol.starts_with(BEARER_PROTOCOL)) {
        return Ok(());
    }
    let others = tokens(headers, &SEC_WEBSOCKET_PROTOCOL).filter(|protocol| !protocol.starts_with(BEARER_PROTOCOL));
    let others = others.collect::<Vec<_>>().join(", ");
    let others = HeaderValue::from_str(&others).ok().filter(|others| !others.is_empty());
    let others = others.ok_or(Refusal::BadRequest("the token is the only WebSocket protocol".into()))?;
    headers.insert(SEC_WEBSOCKET_PROTOCOL, others);
    Ok(())
}

/// HTTP/2 may split the field; HTTP/1.1 must not see that (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

/// The framing follows from the body and from nothing else: a length that is not the body's would make the agent read the
/// next request of the pipe as part of this one.
fn set_length(headers: &mut HeaderMap, body: &impl Body) -> Result<(), Refusal> {
    let length = body.size_hint().exact();
    if body.is_end_stream() {
        if headers.get_all(CONTENT_LENGTH).iter().any(|said| said.as_bytes().iter().any(|digit| *digit != b'0')) {
            return Err(Refusal::BadRequest("the request's body is not as long as it says".into()));
        }
    } else if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    } else {
        headers.remove(CONTENT_LENGTH);
        // Said expressly, because hyper would drop the body of a GET without it.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    Ok(())
}

/// The WebSocket subprotocol in which a browser carries a bearer token, which it cannot in a header of its own.
pub(crate) const BEARER_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{Request, Response, StatusCode};
    use http_body_util::{Empty, Full};

    use super::*;

    fn head(request: http::request::Builder) -> request::Parts {
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_length_without_its_body_never_reaches_a_pipe() {
        for (length, carried) in [("0", true), ("00", true), ("5", false), ("-0", false)] {
            let mut head = head(Request::post("/x").header("host", "h").header("content-length", length));
            assert_eq!(request(&mut head, &Empty::<Bytes>::new()).is_ok(), carried, "{length}");
        }
    }

    #[test]
    fn a_length_is_that_of_the_body_whatever_the_header_says() {
        let mut head = head(Request::post("/x").header("host", "h").header("content-length", "7"));
        request(&mut head, &Full::new(Bytes::from_static(b"hello"))).unwrap();
        assert_eq!(head.headers[CONTENT_LENGTH], "5");
        assert_eq!(head.headers.get(TRANSFER_ENCODING), None);
    }

    #[test]
    fn no_token_goes_on_wherever_it_stood() {
        let asking = || Request::get("/x").header("host", "h").header("authorization", "Bearer hidden");
        let asking = || asking().header("sec-websocket-protocol", format!("{BEARER_PROTOCOL}hidden"));
        let mut both = head(asking().header("sec-websocket-protocol", "v5.channel.k8s.io, v4.channel.k8s.io"));
        request(&mut both, &Empty::<Bytes>::new()).unwrap();
        assert_eq!(both.headers["sec-websocket-protocol"], "v5.channel.k8s.io, v4.channel.k8s.io");
        assert!(!format!("{:?}", both.headers).contains("hidden"));
        let unreadable = || head(asking().header("sec-websocket-protocol", &b"v5.channel.k8s.io, \xff"[..]));
        for mut head in [head(asking()), unreadable()] {
            assert!(matches!(request(&mut head, &Empty::<Bytes>::new()), Err(Refusal::BadRequest(_))));
        }
    }

    #[test]
    fn only_http_1_1_can_switch() {
        for (version, switches) in [(Version::HTTP_11, true), (Version::HTTP_10, false), (Version::HTTP_2, false)] {
            let asking = Request::get("/x").version(version).header("host", "h").header("connection", "Upgrade");
            let mut head = head(asking.header("upgrade", "websocket"));
            assert_eq!(request(&mut head, &Empty::<Bytes>::new()), Ok(switches), "{version:?}");
            assert_eq!(head.headers.contains_key("upgrade"), switches);
            assert_eq!(head.version, Version::HTTP_11);
        }
    }

    #[test]
    fn what_http_2_remembers_of_an_answer_keeps_no_buffer() {
        for (to, free) in [(Version::HTTP_2, true), (Version::HTTP_11, false)] {
            let buffer = Bytes::from(b"d1ea2f0c".repeat(1024));
            let mut response = Response::new(());
            let value = HeaderValue::from_maybe_shared(buffer.slice(..8)).unwrap();
            response.headers_mut().insert("audit-id", value);
            let mut head = response.into_parts().0;
            super::response(&mut head, to);
            assert_eq!(head.headers["audit-id"], "d1ea2f0c");
            assert_eq!(buffer.is_unique(), free, "{to:?}");
        }
    }

    #[test]
    fn an_answer_may_ask_for_a_switch_where_it_means_something() {
        for (to, kept) in [(Version::HTTP_11, true), (Version::HTTP_2, false)] {
            let response = Response::builder().status(StatusCode::UPGRADE_REQUIRED).header("connection", "upgrade");
            let response = response.header("upgrade", "websocket").header(LABEL_HEADER, "not_managed");
            let mut head = response.body(()).unwrap().into_parts().0;
            assert_eq!(super::response(&mut head, to).unwrap(), "not_managed");
            assert_eq!(head.headers.contains_key("upgrade"), kept, "{to:?}");
            assert!(!head.headers.contains_key(LABEL_HEADER));
        }
    }
}
