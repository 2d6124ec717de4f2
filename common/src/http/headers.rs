//! Removes what a message says about one connection, so that the rest may travel on over another.
//!
//! RFC 9110 section 7.6.1: these fields are for the next hop only. Forwarded into a pipe they would end or break it
//! (`Connection: close`) or change the framing (`Transfer-Encoding`).

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
        TRANSFER_ENCODING, UPGRADE,
    },
};

/// Removes every hop-by-hop field. Returns the protocol to switch to, where the message asked for that or agrees to it;
/// [`set_upgrade`] puts it back for a next hop that is to switch as well.
///
/// - `TE: trailers` stays: it is a promise of the client's, and without it no trailer would come back.
/// - `Trailer` stays: it is end to end.
/// - A field named by `Connection` goes, unless it is one that decides who asks for what (`is_end_to_end`): a client
///   that lists `Impersonate-User` would otherwise have us drop it and act with more rights than it asked for. Such a
///   field is forwarded as if it had not been listed, because RFC 9110 forbids to list it in the first place.
/// - `h2c` is never carried: behind that upgrade further requests would pass unseen.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) -> Option<HeaderValue> {
    // Most messages have none, and one look at each field costs a tenth of looking up every name. Without `Connection`
    // no other name is listed.
    if !headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        return None;
    }
    let listed: Vec<HeaderName> = tokens(headers, &CONNECTION).filter_map(|token| token.parse().ok()).collect();
    let upgrade = if listed.contains(&UPGRADE) { wanted_protocols(headers) } else { None };
    let trailers = tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case(TRAILERS));
    for name in listed.iter().filter(|name| !is_end_to_end(name)).chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static(TRAILERS));
    }
    upgrade
}

/// Asks the next hop to switch to `protocol`, or agrees to it.
pub fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// The comma-separated tokens of all lines of a field; lines that are no text have none.
pub fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter();
    lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).map(str::trim)
}

/// Fields that no hop may lose, whatever `Connection` says.
fn is_end_to_end(name: &HeaderName) -> bool {
    [AUTHORIZATION, CONTENT_LENGTH, HOST].contains(name) || name.as_str().starts_with("impersonate-")
}

/// The protocols of `Upgrade` that may be carried, in their own words.
fn wanted_protocols(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(UPGRADE).into_iter();
    let first = lines.next()?;
    let is_h2c = |token: &str| token.eq_ignore_ascii_case("h2c");
    if lines.next().is_none() && !tokens(headers, &UPGRADE).any(is_h2c) {
        return Some(first.clone());
    }
    let rest: Vec<&str> = tokens(headers, &UPGRADE).filter(|token| !token.is_empty() && !is_h2c(token)).collect();
    if rest.is_empty() { None } else { HeaderValue::try_from(rest.join(", ")).ok() }
}

const TRAILERS: &str = "trailers";

static HOP_BY_HOP: [HeaderName; 10] = [
    CONNECTION,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_what_is_for_this_hop_and_nothing_else() {
        for (before, after) in [
            (&[("accept", "a/b;q=1"), ("cookie", "a=1"), ("cookie", "b=2")][..], &["accept", "cookie", "cookie"][..]),
            (&[("connection", "close"), ("keep-alive", "timeout=5"), ("x", "1")], &["x"]),
            (&[("connection", "close, X-Hop"), ("connection", "y-hop"), ("x-hop", "1"), ("y-hop", "2")], &[]),
            (
                &[("transfer-encoding", "chunked"), ("trailer", "x"), ("content-type", "a;b=c")],
                &["trailer", "content-type"],
            ),
            (&[("proxy-authorization", "a"), ("proxy-authenticate", "b"), ("proxy-connection", "close")], &[]),
            (&[("te", "gzip, Trailers")], &["te"]),
            (&[("te", "gzip")], &[]),
            (&[("upgrade", "websocket"), ("sec-websocket-key", "k")], &["sec-websocket-key"]),
            (&[("connection", "not a token, \u{1}"), ("x", "1")], &["x"]),
        ] {
            let mut headers = map(before);
            assert_eq!(strip_hop_by_hop(&mut headers), None, "{before:?}");
            let mut left: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
            let mut after = after.to_vec();
            left.sort_unstable();
            after.sort_unstable();
            assert_eq!(left, after, "{before:?}");
        }
    }

    #[test]
    fn a_client_cannot_raise_its_rights_by_listing_a_field_as_hop_by_hop() {
        let all = [
            ("impersonate-user", "jane"),
            ("impersonate-extra-scopes", "view"),
            ("authorization", "Bearer t"),
            ("content-length", "5"),
            ("host", "h"),
        ];
        let mut headers = map(&all);
        let listed = "Impersonate-User, impersonate-extra-scopes, AUTHORIZATION, content-length, Host";
        headers.insert(CONNECTION, HeaderValue::from_static(listed));
        assert_eq!(strip_hop_by_hop(&mut headers), None);
        assert_eq!(headers, map(&all));
    }

    #[test]
    fn keeps_trailers_and_drops_the_rest_of_te() {
        let mut headers = map(&[("te", "gzip;q=1, trailers"), ("connection", "TE")]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("te", "trailers")]));
    }

    #[test]
    fn returns_the_protocol_to_switch_to() {
        for (lines, protocol) in [
            (&[("connection", "Upgrade"), ("upgrade", "websocket")][..], Some("websocket")),
            (&[("connection", "keep-alive, upgrade"), ("upgrade", "SPDY/3.1")], Some("SPDY/3.1")),
            (&[("connection", "x"), ("connection", "upgrade"), ("upgrade", "a"), ("upgrade", "b")], Some("a, b")),
            (&[("connection", "upgrade, http2-settings"), ("upgrade", "h2c"), ("http2-settings", "AA")], None),
            (&[("connection", "upgrade"), ("upgrade", "H2C, websocket")], Some("websocket")),
            (&[("connection", "upgrade")], None),
            (&[("upgrade", "websocket")], None),
        ] {
            let mut headers = map(lines);
            assert_eq!(strip_hop_by_hop(&mut headers).as_ref().map(HeaderValue::as_bytes), protocol.map(str::as_bytes));
            assert_eq!(headers, HeaderMap::new(), "{lines:?}");
        }
    }

    #[test]
    fn an_upgrade_is_put_back_for_the_next_hop() {
        let mut headers = map(&[("connection", "Upgrade"), ("upgrade", "SPDY/3.1"), ("x", "1")]);
        let protocol = strip_hop_by_hop(&mut headers).unwrap();
        set_upgrade(&mut headers, protocol);
        assert_eq!(headers, map(&[("connection", "upgrade"), ("upgrade", "SPDY/3.1"), ("x", "1")]));
    }

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap_or(HeaderValue::from_static("?")));
        }
        headers
    }
}
