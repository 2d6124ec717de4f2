//! `argocd-agentctl jwt`.

use anyhow::{anyhow, ensure};
use serde::Serialize;

use super::{confirm, secret};
use crate::{
    cli::Jwt,
    kube::{Places, Side, Written},
    names::{JWT, JWT_KEY, TYPE_OPAQUE},
    output::{Answer, fields},
    pki::{KeySpec, date, kind_of_der, public_key, sha256},
};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    key_type: &'static str,
    key_length: usize,
    created: String,
    /// Of the public half.
    sha256: String,
}

pub(super) async fn run(places: &Places, command: Jwt) -> anyhow::Result<Answer> {
    let side = Side::at(places.principal()?).await?;
    match command {
        Jwt::Create { upsert } => create(&side, upsert).await,
        Jwt::Inspect => inspect(&side).await,
        Jwt::Delete { force } => delete(&side, force).await,
    }
}

async fn create(side: &Side, upsert: bool) -> anyhow::Result<Answer> {
    let refusal = || anyhow!("JWT secret {} already exists. Use --upsert to recreate it.", side.path(JWT));
    ensure!(upsert || side.secrets.get(JWT).await?.is_none(), refusal());
    let key = KeySpec::JWT.generate()?.serialize_pem();
    let data = secret::data(&[(JWT_KEY, &key)]);
    let written = secret::put(&side.secrets, JWT, TYPE_OPAQUE, |_before| Ok(data.clone()), upsert, refusal).await?;
    let done = if written == Written::Created { "created and stored" } else { "updated" };
    Answer::said(format!("Success. JWT signing key {done} in secret {}", side.path(JWT)))
}

async fn inspect(side: &Side) -> anyhow::Result<Answer> {
    let called = side.secrets.called(JWT);
    let found = side.secrets.get(JWT).await?;
    let found = found.ok_or_else(|| anyhow!("{called} does not exist: make it with `jwt create-key`"))?;
    let public = public_key(&format!("key {JWT_KEY} of {called}"), &secret::text(&called, &found, JWT_KEY)?)?;
    let (key_type, key_length) = kind_of_der(&public);
    let created = found.metadata.creation_timestamp.map(|time| date(time.0.as_second()));
    let summary = Summary { key_type, key_length, created: created.unwrap_or_default(), sha256: sha256(&public) };
    let text = fields(&[
        ("Key type", summary.key_type.to_owned()),
        ("Key length", summary.key_length.to_string()),
        ("Created", summary.created.clone()),
        ("Key fingerprint", summary.sha256.clone()),
    ]);
    Ok(Answer::of(&summary, text)?.json_by_default())
}

async fn delete(side: &Side, force: bool) -> anyhow::Result<Answer> {
    let gone = || Answer::said(format!("JWT secret {} does not exist.", side.path(JWT)));
    let Some(found) = side.secrets.get(JWT).await? else { return gone() };
    if !force && !confirm::yes("Are you sure you want to delete the JWT signing key? [y/N]:")? {
        return Answer::said("Aborted.");
    }
    if !side.secrets.delete(&found).await? {
        return gone();
    }
    Answer::said(format!("JWT signing key secret {} deleted successfully.", side.path(JWT)))
}
