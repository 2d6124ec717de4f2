//! `agent join`: what the agent does with `--join-token-file`, from a workstation that reaches both sides.

use std::{collections::BTreeMap, io::Read, path::Path, sync::Arc};

use anyhow::{Context, anyhow, ensure};
use common::{
    config::TlsVersions,
    enrollment::{ENROLLED, Enrolled, JoinToken, discover},
    proxy::Proxies,
};
use k8s_openapi::api::core::v1::Secret;

use crate::{
    cli::Join,
    commands::{pki, secret},
    kube::{Change, Places, Side, Written},
    names::{CA, CLIENT_TLS, TLS_KEY, TYPE_TLS},
    output::Answer,
    pki::Pair,
};

pub(super) async fn join(places: &Places, args: &Join) -> anyhow::Result<Answer> {
    let token = read(&args.token_file)?;
    let side = Side::at(places.agent()?).await?;
    let exists = || {
        let path = side.path(CLIENT_TLS);
        anyhow!("Certificate exists in secret {path}, please use --upsert to replace it: the token was not used.")
    };
    ensure!(args.upsert || side.secrets.get(CLIENT_TLS).await?.is_none(), exists());
    let proxies = Proxies::read(|name| std::env::var(name).ok())?;
    let principal = discover(&token, &proxies, TlsVersions::ALL).await.with_context(|| failed(&token))?;
    // Before the token is used: what keeps one Secret from being written keeps the other, too.
    let held = side.secrets.get(CA).await?;
    let ca = if held.is_some_and(|held| secret::has(&held, TLS_KEY)) {
        format!("Secret {} holds the CA itself and is left as it is", side.path(CA))
    } else {
        match pki::put_roots(&side, principal.authorities(), true).await? {
            Written::Left => format!("Secret {} is up to date", side.path(CA)),
            written => done(&side, CA, written),
        }
    };
    let enrolled = Arc::new(principal.join().await.with_context(|| failed(&token))?);
    let written = side.secrets.change(CLIENT_TLS, |before| Ok(Change::Write(with(before, &enrolled)))).await;
    let written = written.context("the token is used up, and its certificate is lost: make another token")?;
    let (agent, address) = (&token.agent, &token.principal);
    Answer::said(format!(
        "{}\n{ca}\nAgent {agent} joined: it reaches the principal with --server-address={} --server-port={}",
        done(&side, CLIENT_TLS, written),
        address.host(),
        address.port(),
    ))
}

fn failed(token: &JoinToken) -> String {
    format!("cannot join as agent {} at {}", token.agent, token.principal)
}

/// What the agent loads, and renews for the sake of its mark.
fn with(before: Option<Secret>, enrolled: &Enrolled) -> Secret {
    let pair = Pair { certificate: enrolled.certificate.clone(), key: enrolled.key.clone() };
    let mut secret = before.unwrap_or_else(|| {
        let mut new = Secret { type_: Some(TYPE_TLS.to_owned()), ..Secret::default() };
        new.metadata.name = Some(CLIENT_TLS.to_owned());
        new
    });
    secret.data = Some(secret::tls_data(&pair));
    let annotations = secret.metadata.annotations.get_or_insert_with(BTreeMap::new);
    annotations.insert(ENROLLED.to_owned(), "true".to_owned());
    secret
}

fn done(side: &Side, name: &str, written: Written) -> String {
    let what = if written == Written::Created { "created" } else { "updated." };
    format!("Secret {} {what}", side.path(name))
}

fn read(file: &Path) -> anyhow::Result<JoinToken> {
    let mut text = String::new();
    let (name, read) = if file == Path::new("-") {
        ("stdin".to_owned(), std::io::stdin().lock().take(LARGEST).read_to_string(&mut text))
    } else {
        let opened = std::fs::File::open(file);
        (file.display().to_string(), opened.and_then(|file| file.take(LARGEST).read_to_string(&mut text)))
    };
    read.with_context(|| format!("cannot read the join token from {name}"))?;
    JoinToken::parse(&text).with_context(|| format!("cannot use the join token from {name}"))
}

/// A token is a tenth of that.
const LARGEST: u64 = 8 << 10;
