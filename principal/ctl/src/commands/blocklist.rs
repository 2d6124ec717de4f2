//! `argocd-agentctl blocklist`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use serde::Serialize;

use crate::{
    cli::{Blocklist, Tls},
    kube::{Change, Places, Side, Written},
    names::BLOCKLIST,
    output::Answer,
    pki::Fingerprint,
};

#[derive(Debug, Serialize)]
struct Listed {
    fingerprints: Vec<String>,
    /// Entries that can match no certificate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    invalid: Vec<String>,
}

pub(super) async fn run(places: &Places, command: Blocklist) -> anyhow::Result<Answer> {
    let side = Side::at(places.principal()?).await?;
    let Blocklist::Tls(command) = command;
    match command {
        Tls::Add { fingerprint } => Answer::said(added(&side, &fingerprint).await?),
        Tls::Remove { fingerprint } => remove(&side, &fingerprint).await,
        Tls::List => list(&side).await,
    }
}

/// Puts a certificate on the list; what was done, in words.
pub(super) async fn added(side: &Side, fingerprint: &Fingerprint) -> anyhow::Result<String> {
    let written = side.config_maps.change(BLOCKLIST, |before| {
        let mut list = before.unwrap_or_else(|| {
            let mut new = ConfigMap::default();
            new.metadata.name = Some(BLOCKLIST.to_owned());
            new
        });
        let entries = list.data.get_or_insert_default();
        // In the one spelling that the principal compares; another one of the same, as upstream stored it, goes.
        if entries.contains_key(fingerprint.as_str()) {
            return Ok(Change::Leave);
        }
        drop_spellings(entries, fingerprint);
        entries.insert(fingerprint.to_string(), String::new());
        Ok(Change::Write(list))
    });
    Ok(match written.await? {
        Written::Left => "Fingerprint already in blocklist.".to_owned(),
        Written::Created | Written::Updated => format!("Added to blocklist: {fingerprint}"),
    })
}

async fn remove(side: &Side, fingerprint: &Fingerprint) -> anyhow::Result<Answer> {
    let written = side.config_maps.change(BLOCKLIST, |before| {
        let Some(mut list) = before else { return Ok(Change::Leave) };
        let dropped = list.data.as_mut().is_some_and(|entries| drop_spellings(entries, fingerprint));
        Ok(if dropped { Change::Write(list) } else { Change::Leave })
    });
    Answer::said(match written.await? {
        Written::Left => "Fingerprint not found in blocklist.".to_owned(),
        Written::Created | Written::Updated => format!("Removed from blocklist: {fingerprint}"),
    })
}

async fn list(side: &Side) -> anyhow::Result<Answer> {
    let found = side.config_maps.get(BLOCKLIST).await?.and_then(|list| list.data).unwrap_or_default();
    let (mut fingerprints, mut invalid, mut notes) = (Vec::new(), Vec::new(), String::new());
    for entry in found.into_keys() {
        match entry.parse::<Fingerprint>() {
            Ok(fingerprint) if fingerprint.as_str() == entry => fingerprints.push(entry),
            Ok(_) => {
                // As upstream stored what was typed; its principal compares this very text.
                notes += &format!("\n{entry:?} keeps nobody out as it is spelled: `blocklist tls add` it again");
                invalid.push(entry);
            }
            Err(_) => {
                let map = side.config_maps.called(BLOCKLIST);
                notes += &format!("\n{entry:?} is no fingerprint and keeps nobody out: remove it from {map}");
                invalid.push(entry);
            }
        }
    }
    let mut text = if fingerprints.is_empty() && invalid.is_empty() {
        "No entries in the blocklist.".to_owned()
    } else {
        std::iter::once("FINGERPRINT".to_owned()).chain(fingerprints.iter().cloned()).collect::<Vec<_>>().join("\n")
    };
    text += &notes;
    Answer::of(&Listed { fingerprints, invalid }, text)
}

/// Removes every spelling of a fingerprint; whether there was one.
fn drop_spellings(entries: &mut BTreeMap<String, String>, fingerprint: &Fingerprint) -> bool {
    let before = entries.len();
    entries.retain(|entry, _| entry.parse::<Fingerprint>().as_ref() != Ok(fingerprint));
    entries.len() < before
}
