//! `argocd-agentctl pki issue`.

use anyhow::{anyhow, ensure};

use super::{authority, pki, secret};
use crate::{
    cli::{BadUsage, Issue, IssueAgent, IssueArgs},
    kube::{Place, Places, Role, Side, Written},
    names::{CA, CLIENT_TLS, PRINCIPAL_CN, PRINCIPAL_TLS, RESOURCE_PROXY_CN, RESOURCE_PROXY_TLS, TLS_KEY},
    output::Answer,
    pki::{Order, Usage},
};

pub(super) async fn run(places: &Places, principal: &Side, command: Issue) -> anyhow::Result<Answer> {
    match command {
        Issue::Principal(args) => {
            let usage = Usage::Server { dns: names(args.dns), ips: args.ip };
            server(principal, PRINCIPAL_TLS, PRINCIPAL_CN, usage, args.common).await
        }
        Issue::ResourceProxy(args) => {
            let dns = names(args.dns);
            let is_named = !(dns.is_empty() && args.ip.is_empty());
            if is_named == args.no_san {
                let text = "give --dns or --ip, as callers dial the door, or --no-san alone";
                return Err(BadUsage(text.into()).into());
            }
            let usage = Usage::Server { dns, ips: args.ip };
            server(principal, RESOURCE_PROXY_TLS, RESOURCE_PROXY_CN, usage, args.common).await
        }
        Issue::Agent(args) => agent(places, principal, &args).await,
    }
}

async fn server(side: &Side, name: &str, common_name: &str, usage: Usage, args: IssueArgs) -> anyhow::Result<Answer> {
    let spec = args.key.spec()?;
    let refusal = || exists(side, name);
    // Asked before the key is made, which takes seconds; asked again when it is written.
    ensure!(args.upsert || side.secrets.get(name).await?.is_none(), refusal());
    let authority = authority::load(side, false).await?;
    let order = Order { common_name: common_name.to_owned(), usage, days: args.lifetime.days, key: spec };
    let pair = authority.issue(&order)?;
    let written = secret::put_tls(&side.secrets, name, &pair, args.upsert, refusal).await?;
    Answer::said(done(side, name, written))
}

async fn agent(places: &Places, principal: &Side, args: &IssueAgent) -> anyhow::Result<Answer> {
    let IssueArgs { upsert, lifetime, key } = args.common;
    let spec = key.spec()?;
    ensure!(
        args.name.as_str() != principal.place.namespace,
        "no agent may be called {}, which is the principal's namespace: give it another name",
        args.name
    );
    let mut place = places.agent()?;
    if args.same_context {
        place = Place { role: Role::Agent, context: principal.place.context.clone(), ..place };
    }
    let agent = Side::at(place).await?;
    ensure!(args.same_context || !principal.is(&agent), pki::same_place(principal));
    let refusal = || exists(&agent, CLIENT_TLS);
    ensure!(upsert || agent.secrets.get(CLIENT_TLS).await?.is_none(), refusal());
    let authority = authority::load(principal, false).await?;
    // The authority first: a certificate without it is of no use, and this may be refused.
    let held = agent.secrets.get(CA).await?;
    let ca = if held.is_some_and(|held| secret::has(&held, TLS_KEY)) {
        format!("Secret {} holds the CA itself and is left as it is", agent.path(CA))
    } else {
        match pki::put_roots(&agent, authority.roots(), upsert).await? {
            Written::Left => format!("Secret {} is up to date", agent.path(CA)),
            written => done(&agent, CA, written),
        }
    };
    let order = Order { common_name: args.name.to_string(), usage: Usage::Client, days: lifetime.days, key: spec };
    let pair = authority.issue(&order)?;
    let written = secret::put_tls(&agent.secrets, CLIENT_TLS, &pair, upsert, refusal).await?;
    Answer::said(format!("{}\n{ca}", done(&agent, CLIENT_TLS, written)))
}

fn exists(side: &Side, name: &str) -> anyhow::Error {
    anyhow!("Certificate exists in secret {}, please use --upsert to reissue.", side.path(name))
}

fn done(side: &Side, name: &str, written: Written) -> String {
    let what = if written == Written::Created { "created" } else { "updated." };
    format!("Secret {} {what}", side.path(name))
}

/// Less the empty ones: `--dns=` means none.
fn names(given: Vec<String>) -> Vec<String> {
    given.into_iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}
