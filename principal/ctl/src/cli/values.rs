//! Values that flags of several commands take. Each error says what is allowed.

use std::collections::BTreeMap;

use common::{AgentName, grpc::Address};

use crate::pki::Fingerprint;

pub(super) fn agent_name(text: &str) -> Result<AgentName, String> {
    let refused = |_| "must be a DNS-1123 label: up to 63 characters of a-z, 0-9 and -, not - at its ends".to_owned();
    AgentName::parse(text).map_err(refused)
}

pub(super) fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).ok_or_else(|| "must be <host>:<port>, an IPv6 address in brackets".to_owned())
}

pub(super) fn fingerprint(text: &str) -> Result<Fingerprint, String> {
    text.parse().map_err(|error: crate::pki::NoFingerprint| error.to_string())
}

/// `http://host:port`.
pub(super) fn http_address(text: &str) -> Result<http::Uri, String> {
    let uri: Option<http::Uri> = text.parse().ok();
    let right = |uri: &http::Uri| {
        uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty()) && uri.path() == "/"
    };
    uri.filter(right).ok_or_else(|| "must be http://<host>:<port>, where a principal has its --admin-port".to_owned())
}

/// `key=value`, with what Kubernetes lets a label be.
pub(super) fn label(text: &str) -> Result<(String, String), String> {
    let allowed = || "must be <key>=<value>, both as Kubernetes lets labels be".to_owned();
    let (key, value) = text.split_once('=').ok_or_else(allowed)?;
    let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
    let is_part = |text: &str| {
        let mut ends = text.bytes().next().into_iter().chain(text.bytes().next_back());
        let inside = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        text.len() <= 63 && ends.all(|b| b.is_ascii_alphanumeric()) && text.bytes().all(inside)
    };
    if !name.is_empty() && is_part(name) && is_part(value) { Ok((key.into(), value.into())) } else { Err(allowed()) }
}

/// The labels that were given, the later of the same key.
pub(crate) fn labels(given: &[(String, String)]) -> BTreeMap<String, String> {
    given.iter().cloned().collect()
}

/// `[namespace/]name` of a Secret.
pub(crate) fn secret_ref<'a>(text: &'a str, namespace: &'a str) -> (&'a str, &'a str) {
    match text.split_once('/') {
        Some(("", name)) => (namespace, name),
        Some(parts) => parts,
        None => (namespace, text),
    }
}
