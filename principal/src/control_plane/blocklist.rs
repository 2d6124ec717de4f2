//! The ConfigMap of the certificates that are shut out: each of its keys is the fingerprint of one.
//!
//! A key that is no fingerprint shuts out nobody, and is told once, by its name: whoever wrote it believes that it does.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use common::auth::Fingerprint;
use k8s_openapi::api::core::v1::ConfigMap;
use tracing::{info, warn};

use crate::revocation::Blocklist;

/// Upstream's name, which `argocd-agentctl blocklist` writes.
pub(super) const NAME: &str = "argocd-agent-tls-blocklist";

/// Keeps `blocklist` as the ConfigMap says; without one nobody is shut out.
pub(super) fn teller(
    namespace: &str,
    blocklist: Arc<Blocklist>,
) -> impl Fn(Option<&ConfigMap>) + Send + Sync + use<> + 'static {
    let object = format!("{namespace}/{NAME}");
    // A std mutex: held for comparing sets, never across an await.
    let bad_before = Mutex::new(HashSet::new());
    move |map| {
        let Entries { fingerprints, bad } = entries(map);
        let mut bad_before = bad_before.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in bad.difference(&bad_before) {
            warn!(
                config_map = object,
                entry,
                "an entry of the blocklist is no SHA-256 of a certificate (64 hexadecimal digits) and shuts out nobody: \
                 correct or remove it"
            );
        }
        *bad_before = bad;
        let entries = fingerprints.len();
        if blocklist.replace(fingerprints) {
            info!(config_map = object, entries, "the blocklist has changed");
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Entries {
    fingerprints: HashSet<Fingerprint>,
    bad: HashSet<String>,
}

fn entries(map: Option<&ConfigMap>) -> Entries {
    let Some(map) = map else { return Entries::default() };
    let (text, binary) = (map.data.iter().flat_map(BTreeMap::keys), map.binary_data.iter().flat_map(BTreeMap::keys));
    let mut entries = Entries::default();
    for key in text.chain(binary) {
        match Fingerprint::parse(key) {
            Ok(fingerprint) => {
                entries.fingerprints.insert(fingerprint);
            }
            Err(_) => {
                entries.bad.insert(key.chars().take(LONGEST_SHOWN).collect());
            }
        }
    }
    entries
}

/// A key of a ConfigMap has at most 253 bytes.
const LONGEST_SHOWN: usize = 253;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_fingerprints_however_they_are_written() {
        let (lower, upper) = ("ab".repeat(32), "CD".repeat(32));
        let map = json!({
            "metadata": {"name": NAME},
            "data": {lower.as_str(): "", "ab": "x"},
            "binaryData": {upper.as_str(): ""},
        });
        let Entries { fingerprints, bad } = entries(Some(&serde_json::from_value(map).unwrap()));
        let expected = [lower, upper].map(|text| Fingerprint::parse(&text).unwrap());
        assert_eq!(fingerprints, HashSet::from(expected));
        assert_eq!(bad, HashSet::from(["ab".to_owned()]));
        assert_eq!(entries(None), Entries::default());
        assert_eq!(entries(Some(&ConfigMap::default())), Entries::default());
    }
}
