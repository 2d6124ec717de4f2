//! From one authority to the next without a moment in which a good certificate does not count.
//!
//! The Secret of the authority holds the new certificate first, which signs, and the old ones after it, which are trusted
//! until the last certificate of theirs is replaced.

use std::collections::BTreeMap;

use anyhow::{anyhow, ensure};
use k8s_openapi::{ByteString, api::core::v1::Secret};

use super::secret;
use crate::{
    cli::DropOld,
    cluster_secret::{AGENT_LABEL, Cluster},
    kube::{Change, Side, Written},
    names::{CA, CLIENT_CA, PRINCIPAL_TLS, RESOURCE_PROXY_TLS, TLS_CRT},
    output::Answer,
    pki::{Certificate, Pair, now},
};

/// The data of a new authority's Secret that goes on trusting what `before` holds, as far as that is in its time.
pub(super) fn beside(new: &Pair, called: &str, before: &Secret) -> anyhow::Result<BTreeMap<String, ByteString>> {
    let old = Certificate::chain(called, &secret::roots(called, before)?)?;
    let old = old.iter().filter(|certificate| certificate.is_ca && certificate.out_of_time(now()).is_none());
    let certificate = old.fold(new.certificate.clone(), |text, certificate| text + &certificate.pem());
    Ok(secret::tls_data(&Pair { certificate, key: new.key.clone() }))
}

pub(super) async fn drop_old(side: &Side, args: &DropOld) -> anyhow::Result<Answer> {
    let name = if args.client_ca { CLIENT_CA } else { CA };
    let called = side.secrets.called(name);
    let found = side.secrets.get(name).await?;
    let found = found.ok_or_else(|| anyhow!("{called} does not exist: make it with `pki init`"))?;
    let (current, old) = split(Certificate::chain(&called, &secret::roots(&called, &found)?)?);
    if !args.force {
        let users = users(side, &old).await?;
        ensure!(
            users.is_empty(),
            "certificates of an old CA are in use: issue them again first ({}), or give --force",
            users.join(", ")
        );
    }
    let written = side.secrets.change(name, |before| {
        let mut secret = before.ok_or_else(|| anyhow!("{called} is gone: somebody else deleted it"))?;
        let (now_current, now_old) = split(Certificate::chain(&called, &secret::roots(&called, &secret)?)?);
        let same = now_current.first().map(|one| &one.fingerprint) == current.first().map(|one| &one.fingerprint);
        ensure!(same, "{called} holds another CA now: look at it with `pki inspect`, then try again");
        if now_old.is_empty() {
            return Ok(Change::Leave);
        }
        let kept: String = now_current.iter().map(Certificate::pem).collect();
        let data = secret.data.get_or_insert_default();
        data.insert(TLS_CRT.to_owned(), ByteString(kept.into_bytes()));
        Ok(Change::Write(secret))
    });
    Answer::said(match written.await? {
        Written::Left => "There is no old CA.".to_owned(),
        Written::Created | Written::Updated => {
            format!("Old CAs dropped from secret {}: propagate the CA to every agent again", side.path(name))
        }
    })
}

/// The certificate that signs and those above it, and the others.
fn split(bundle: Vec<Certificate>) -> (Vec<Certificate>, Vec<Certificate>) {
    let mut rest = bundle;
    let mut current: Vec<Certificate> = Vec::new();
    if !rest.is_empty() {
        current.push(rest.remove(0));
    }
    while let Some(last) = current.last().filter(|last| !last.is_self_issued()) {
        let Some(above) = rest.iter().position(|other| last.is_signed_by(other)) else { break };
        current.push(rest.remove(above));
    }
    (current, rest)
}

/// The Secrets on the principal's side whose certificate an old authority signed.
async fn users(side: &Side, old: &[Certificate]) -> anyhow::Result<Vec<String>> {
    let mut users = Vec::new();
    let is_old = |pem: &str| {
        let leaf = Certificate::leaf("", pem).ok();
        leaf.is_some_and(|leaf| old.iter().any(|old| leaf.is_signed_by(old)))
    };
    for name in [PRINCIPAL_TLS, RESOURCE_PROXY_TLS] {
        let found = side.secrets.get(name).await?;
        if found.is_some_and(|found| secret::text(name, &found, TLS_CRT).is_ok_and(|pem| is_old(&pem))) {
            users.push(side.secrets.called(name));
        }
    }
    for found in side.secrets.list(AGENT_LABEL).await? {
        let name = found.metadata.name.clone().unwrap_or_default();
        let credentials = Cluster::read(&name, &found).and_then(|cluster| cluster.credentials(&name));
        if credentials.is_ok_and(|credentials| is_old(&credentials.certificate)) {
            users.push(side.secrets.called(&name));
        }
    }
    Ok(users)
}
