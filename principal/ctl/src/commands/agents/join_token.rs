//! `agent join-token`.

use anyhow::{bail, ensure};
use common::{
    enrollment::{JoinRecord, JoinToken, TOKEN_LABEL, TokenId, TokenSecret},
    pki::now,
};
use serde::Serialize;

use crate::{
    cli::{BadUsage, JoinToken as Args},
    commands::{authority, secret},
    kube::{Change, Side},
    names::PRINCIPAL_TLS,
    output::Answer,
    pki::{Authority, Certificate},
};

/// What it tells scripts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    agent: String,
    principal: String,
    expires: String,
    token: String,
    command: String,
}

pub(super) async fn join_token(side: &Side, args: &Args) -> anyhow::Result<Answer> {
    let agent = &args.name;
    let seconds = i64::try_from(args.ttl.as_secs()).unwrap_or(i64::MAX);
    if seconds > LONGEST {
        return Err(BadUsage("--ttl: must be 24h at most: make a token when it is needed".into()).into());
    }
    ensure!(
        agent.as_str() != side.place.namespace,
        "no agent may be called {agent}, which is the principal's namespace: give it another name"
    );
    let authority = authority::load(side, false).await?;
    check_principal(side, &authority, args).await?;
    delete_expired(side).await?;
    let token = JoinToken {
        principal: args.principal_address.clone(),
        agent: agent.clone(),
        id: TokenId::random(),
        secret: TokenSecret::random(),
        pin: authority.pin(),
        end: now().saturating_add(seconds),
    };
    let new = JoinRecord::new(agent.clone(), &token.secret, token.end).to_secret(&token.id);
    let name = token.id.secret_name();
    let write = side.secrets.change(&name, |before| match before {
        // As likely as guessing an id.
        Some(_) => bail!("Secret {} is there already: try again", side.path(&name)),
        None => Ok(Change::Write(new.clone())),
    });
    write.await?;
    let text = token.reveal();
    let made = Made {
        agent: agent.to_string(),
        principal: token.principal.to_string(),
        expires: jiff::Timestamp::from_second(token.end).map_or_else(|_| String::new(), |end| end.to_string()),
        command: format!("echo {text} | argocd-agentctl agent join"),
        token: text,
    };
    Answer::of(&made, made.command.as_str())
}

/// An agent that is told an address which the principal's certificate does not name would use its token in vain. Where that
/// certificate is in a file, nothing is known of it here.
async fn check_principal(side: &Side, authority: &Authority, args: &Args) -> anyhow::Result<()> {
    let Some(found) = side.secrets.get(PRINCIPAL_TLS).await? else { return Ok(()) };
    let called = side.secrets.called(PRINCIPAL_TLS);
    let leaf = Certificate::leaf(&called, &secret::text(&called, &found, crate::names::TLS_CRT)?)?;
    let host = args.principal_address.host();
    ensure!(
        leaf.server_names.iter().any(|name| is_named(name, host)),
        "the certificate in {called} is not for {host}, but for {}: issue it again with \
         `pki issue principal --upsert` and --dns or --ip, or give another --principal-address",
        leaf.server_names.join(", ")
    );
    ensure!(
        authority.signed(&leaf),
        "the certificate in {called} is not of the CA, by which agents that join know the principal: issue it again \
         with `pki issue principal --upsert`"
    );
    Ok(())
}

/// RFC 6125 section 6.4.3: a wildcard stands for the leftmost label.
fn is_named(name: &str, host: &str) -> bool {
    let rest = |text: &str| text.split_once('.').map(|(_, rest)| rest.to_ascii_lowercase());
    name.eq_ignore_ascii_case(host) || (name.starts_with("*.") && rest(name) == rest(host))
}

/// Nobody uses them any more, and nobody else takes them away.
async fn delete_expired(side: &Side) -> anyhow::Result<()> {
    for found in side.secrets.list(TOKEN_LABEL).await? {
        if JoinRecord::from_secret(&found).is_ok_and(|record| record.end < now()) {
            side.secrets.delete(&found).await?;
        }
    }
    Ok(())
}

/// In seconds. A token that lies about is one that gets into other hands.
const LONGEST: i64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        assert!(is_named("a.example", "A.example") && is_named("*.example", "a.example"));
        assert!(is_named("10.0.0.1", "10.0.0.1"));
        for host in ["a.b.example", "example", "b.other"] {
            assert!(!is_named("*.example", host), "{host}");
        }
        assert!(!is_named("a.example", "b.example"));
    }
}
