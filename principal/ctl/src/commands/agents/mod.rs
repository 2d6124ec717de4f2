//! `argocd-agentctl agent`: the cluster Secrets of agents, and how agents join.

mod change;
mod create;
mod join;
mod join_token;
mod standing;

use std::io::IsTerminal;

use anyhow::{anyhow, bail};
use common::AgentName;
use k8s_openapi::api::core::v1::Secret;
use serde::Serialize;

use self::standing::Standing;
use crate::{
    cli::{Agent, AgentDelete, List, PrintTls, TlsPart},
    cluster_secret::{AGENT_LABEL, Cluster, agent_of, is_self_registered, secret_name},
    commands::{blocklist, confirm},
    kube::{Attached, Places, Side},
    output::{Answer, Format, fields, table},
    pki::{Certificate, DAY, now},
};

/// What `inspect` tells; the keys are upstream's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Inspected {
    server: String,
    name: String,
    not_valid_before: String,
    not_valid_after: String,
    fingerprint: String,
    self_registered: bool,
}

/// A row of `list`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    name: String,
    server: Option<String>,
    not_valid_after: Option<String>,
    fingerprint: Option<String>,
    #[serde(flatten)]
    standing: Standing,
    #[serde(skip)]
    days_left: Option<i64>,
}

pub(super) async fn run(places: &Places, command: Agent, format: Option<Format>) -> anyhow::Result<Answer> {
    let side = async || Side::at(places.principal()?).await;
    match command {
        Agent::Create(args) => create::create(&side().await?, &args).await,
        Agent::List(args) => list(&side().await?, &args, format).await,
        Agent::Inspect(args) => inspect(&side().await?, &args.name).await,
        Agent::PrintTls(args) => print_tls(&side().await?, &args).await,
        Agent::Reconfigure(args) => change::reconfigure(&side().await?, &args).await,
        Agent::Rotate(args) => change::rotate(&side().await?, &args).await,
        Agent::Delete(args) => delete(&side().await?, &args).await,
        Agent::JoinToken(args) => join_token::join_token(&side().await?, &args).await,
        // On the agent's side alone: who joins need not reach the control plane's API server.
        Agent::Join(args) => join::join(places, &args).await,
    }
}

/// The Secret of an agent, and what it holds.
///
/// # Errors
/// When it is not there, or is none.
pub(super) async fn load(side: &Side, agent: &AgentName) -> anyhow::Result<(Secret, Cluster)> {
    let name = secret_name(agent);
    let secret = side.secrets.get(&name).await?.ok_or_else(|| unknown(side, agent))?;
    let cluster = Cluster::read(&side.secrets.called(&name), &secret)?;
    Ok((secret, cluster))
}

fn unknown(side: &Side, agent: &AgentName) -> anyhow::Error {
    let namespace = &side.place.namespace;
    anyhow!(
        "Agent '{agent}' is not configured. See `agent list` for those in namespace {namespace}, or `agent create`."
    )
}

async fn list(side: &Side, args: &List, format: Option<Format>) -> anyhow::Result<Answer> {
    let labels = args.label.iter().map(String::as_str).chain(std::iter::once(AGENT_LABEL));
    let found = side.secrets.list(&labels.collect::<Vec<_>>().join(",")).await?;
    let table_wanted = args.wide || std::io::stdout().is_terminal();
    // Who asks for names alone need not wait for a principal.
    let attached = match (table_wanted || format.is_some_and(|format| format != Format::Text)) && !found.is_empty() {
        true => Some(Attached::ask(side, args.admin_address.as_ref(), args.admin_port).await),
        false => None,
    };
    let mut agents: Vec<Listed> = found.iter().map(|secret| Listed::of(secret, attached.as_ref())).collect();
    agents.sort_by(|one, other| one.name.cmp(&other.name));
    let text = if agents.is_empty() {
        "No agents found.".to_owned()
    } else if table_wanted {
        let rows: Vec<_> = agents.iter().map(Listed::row).collect();
        table(&["NAME", "STATE", "VERSION", "MODE", "RTT", "SINCE", "SERVER", "CERTIFICATE"], &rows)
    } else {
        agents.iter().map(|agent| agent.name.as_str()).collect::<Vec<_>>().join("\n")
    };
    let none = agents.is_empty();
    let warning = attached.and_then(|attached| attached.trouble);
    let warning = warning.map(|trouble| format!("the state of agents is not known: {trouble}"));
    Ok(Answer::of(&agents, text)?.failing(none).warning(warning))
}

async fn inspect(side: &Side, agent: &AgentName) -> anyhow::Result<Answer> {
    let (secret, cluster) = load(side, agent).await?;
    let called = side.secrets.called(&secret_name(agent));
    let credentials = cluster.credentials(&called)?;
    let leaf = Certificate::leaf(&format!("tlsClientConfig.certData of {called}"), &credentials.certificate)?;
    let time = |seconds| jiff::Timestamp::from_second(seconds).map_or_else(|_| String::new(), |time| time.to_string());
    let facts = Inspected {
        not_valid_before: time(leaf.not_before),
        not_valid_after: time(leaf.not_after),
        fingerprint: leaf.fingerprint.to_string(),
        self_registered: is_self_registered(&secret),
        server: cluster.server,
        name: cluster.name,
    };
    let text = fields(&[
        ("Server address", facts.server.clone()),
        ("Server name", facts.name.clone()),
        ("Not valid before", facts.not_valid_before.clone()),
        ("Not valid after", facts.not_valid_after.clone()),
        ("Fingerprint", facts.fingerprint.clone()),
    ]);
    Ok(Answer::of(&facts, text)?.json_by_default())
}

async fn print_tls(side: &Side, args: &PrintTls) -> anyhow::Result<Answer> {
    let (_, cluster) = load(side, &args.name).await?;
    let called = side.secrets.called(&secret_name(&args.name));
    let credentials = cluster.credentials(&called)?;
    let pem = match args.part {
        TlsPart::Cert => credentials.certificate.as_str(),
        TlsPart::Key => credentials.key.reveal(),
        TlsPart::Ca => credentials.ca.as_str(),
    };
    if pem.is_empty() {
        bail!("{called} has no such part: reissue it with `agent rotate {}`", args.name);
    }
    Answer::pem(pem)
}

async fn delete(side: &Side, args: &AgentDelete) -> anyhow::Result<Answer> {
    let agent = &args.name;
    let name = secret_name(agent);
    let secret = side.secrets.get(&name).await?.ok_or_else(|| unknown(side, agent))?;
    if agent_of(&secret).is_none() {
        bail!("Secret {} is of no agent and is left as it is: it has no label {AGENT_LABEL}", side.path(&name));
    }
    if !args.force && !confirm::yes(&format!("Are you sure you want to delete agent {agent}? [y/N]:"))? {
        return Ok(Answer::said("Aborted.")?.failing(true));
    }
    let mut text = String::new();
    if args.revoke {
        // Before the Secret goes: nothing else tells the fingerprint.
        let called = side.secrets.called(&name);
        let credentials = Cluster::read(&called, &secret)?.credentials(&called)?;
        let leaf = Certificate::leaf(&called, &credentials.certificate)?;
        text = blocklist::added(side, &leaf.fingerprint).await? + "\n";
    }
    if !side.secrets.delete(&secret).await? {
        bail!("agent {agent} is another one now, or gone: look at it with `agent inspect {agent}`, then try again");
    }
    Answer::said(format!("{text}Agent {agent} deleted"))
}

/// To the nearest day; what is over is below nothing.
fn days_left(seconds: i64) -> i64 {
    if seconds < 0 { -1 } else { (seconds + DAY / 2) / DAY }
}

// === impl Listed ===

impl Listed {
    /// A Secret that cannot be read is listed all the same, by its name.
    fn of(secret: &Secret, attached: Option<&Attached>) -> Self {
        let name = secret.metadata.name.as_deref().unwrap_or_default();
        let cluster = Cluster::read(name, secret).ok();
        let credentials = cluster.as_ref().and_then(|cluster| cluster.credentials(name).ok());
        let leaf = credentials.and_then(|credentials| Certificate::leaf(name, &credentials.certificate).ok());
        let agent = name.strip_prefix("cluster-").unwrap_or(name);
        Self {
            name: agent.to_owned(),
            standing: Standing::of(agent, attached),
            server: cluster.map(|cluster| cluster.server),
            not_valid_after: leaf.as_ref().map(Certificate::not_after_text),
            fingerprint: leaf.as_ref().map(|leaf| leaf.fingerprint.to_string()),
            days_left: leaf.as_ref().map(|leaf| days_left(leaf.not_after - now())),
        }
    }

    fn row(&self) -> Vec<String> {
        let certificate = match self.days_left {
            None => "cannot be read".to_owned(),
            Some(days) if days < 0 => "expired".to_owned(),
            Some(days) => format!("valid for {days} days"),
        };
        let mut row = vec![self.name.clone()];
        row.extend(self.standing.cells());
        row.extend([self.server.clone().unwrap_or_else(|| "cannot be read".into()), certificate]);
        row
    }
}
