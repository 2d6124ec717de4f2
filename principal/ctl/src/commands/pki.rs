//! `argocd-agentctl pki`, but for `issue`.

use anyhow::{anyhow, bail, ensure};
use k8s_openapi::api::core::v1::Secret;
use serde::Serialize;

use super::{confirm, issue, roll_over, secret};
use crate::{
    cli::{BadUsage, Dump, Init, Pki, Propagate},
    kube::{Change, Places, Side, Written},
    names::{
        CA, CA_CRT, CA_ORGANIZATION, CLIENT_CA, PRINCIPAL_TLS, RESOURCE_PROXY_TLS, TLS_KEY, TYPE_OPAQUE, TYPE_TLS,
    },
    output::{Answer, fields},
    pki::{Authority, Certificate, now},
};

/// What `inspect` tells of one certificate; the keys are upstream's, and ours after them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    subject: String,
    key_type: &'static str,
    key_length: usize,
    not_before: String,
    not_after: String,
    /// In lower case.
    sha256: String,
    /// In the blocklist's spelling.
    fingerprint: String,
    serial: String,
    certificates: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pem: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summaries {
    ca: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ca: Option<Summary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_proxy: Option<Summary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<Summary>,
}

pub(super) async fn run(places: &Places, command: Pki) -> anyhow::Result<Answer> {
    if let Pki::Dump(args) = &command
        && !(args.all || args.key || args.cert)
    {
        return Err(BadUsage("One of --all, --key or --cert must be specified.".into()).into());
    }
    let principal = Side::at(places.principal()?).await?;
    match command {
        Pki::Init(args) => init(&principal, &args).await,
        Pki::Propagate(args) => propagate(&principal, &Side::at(places.agent()?).await?, &args).await,
        Pki::Inspect(args) => inspect(&principal, args.full).await,
        Pki::DropOld(args) => roll_over::drop_old(&principal, &args).await,
        Pki::Delete(args) => delete(&principal, args.force).await,
        Pki::Dump(args) => dump(&principal, &args).await,
        Pki::Issue(command) => issue::run(places, &principal, command).await,
    }
}

async fn init(side: &Side, args: &Init) -> anyhow::Result<Answer> {
    let name = if args.client_ca { CLIENT_CA } else { CA };
    let spec = args.key.spec()?;
    let refusal = || anyhow!("CA secret {} already exists: keep it, or replace it with --force", side.path(name));
    // Asked before the key is made, which takes seconds; asked again when it is written.
    ensure!(args.force || side.secrets.get(name).await?.is_none(), refusal());
    let pair = Authority::create(name, CA_ORGANIZATION, args.lifetime.days, spec)?;
    let called = side.secrets.called(name);
    let data = |before: Option<&Secret>| match before.filter(|_| args.keep_old) {
        Some(before) => roll_over::beside(&pair, &called, before),
        None => Ok(secret::tls_data(&pair)),
    };
    let written = secret::put(&side.secrets, name, TYPE_TLS, data, args.force, refusal).await?;
    let mut text = format!("Success. CA data stored in secret {}", side.path(name));
    if written == Written::Updated && args.keep_old {
        text += "\nThe old CA still counts: propagate both, issue all certificates again, then `pki drop-old`.";
    } else if written == Written::Updated {
        text += "\nNo certificate of the old CA counts any more: issue all of them again, and propagate the CA.";
    }
    Answer::said(text)
}

async fn propagate(principal: &Side, agent: &Side, args: &Propagate) -> anyhow::Result<Answer> {
    ensure!(!principal.is(agent), same_place(principal));
    let called = principal.secrets.called(CA);
    let found = principal.secrets.get(CA).await?;
    let found =
        found.ok_or_else(|| anyhow!("CA is not initialized: {called} does not exist: make it with `pki init`"))?;
    let roots = secret::roots(&called, &found)?;
    let _readable = Certificate::chain(&called, &roots)?;
    let written = put_roots(agent, &roots, args.force).await?;
    let done = match written {
        Written::Created => "created",
        Written::Updated => "updated",
        Written::Left => "is up to date",
    };
    Answer::said(format!("Agent CA secret {} {done}", agent.path(CA)))
}

/// Writes what an agent trusts. Never over an authority's key, which an agent in the principal's namespace would lose.
pub(super) async fn put_roots(agent: &Side, roots: &str, may_replace: bool) -> anyhow::Result<Written> {
    let called = agent.secrets.called(CA);
    let data = secret::data(&[(CA_CRT, roots)]);
    agent
        .secrets
        .change(CA, |before| match before {
            Some(there) if secret::has(&there, TLS_KEY) => {
                bail!("{called} holds the key of a CA and is left as it is: give --agent-context or --agent-namespace")
            }
            Some(there) if there.data.as_ref() == Some(&data) => Ok(Change::Leave),
            Some(_) if !may_replace => bail!("{called} already exists with another CA: replace it with --force"),
            Some(there) => Ok(Change::Write(Secret { data: Some(data.clone()), ..there })),
            None => {
                let mut new =
                    Secret { type_: Some(TYPE_OPAQUE.into()), data: Some(data.clone()), ..Default::default() };
                new.metadata.name = Some(CA.into());
                Ok(Change::Write(new))
            }
        })
        .await
}

pub(super) fn same_place(side: &Side) -> anyhow::Error {
    let namespace = &side.place.namespace;
    anyhow!(
        "principal and agent are both namespace {namespace} of {}: give --agent-context or --agent-namespace",
        side.server
    )
}

async fn inspect(side: &Side, full: bool) -> anyhow::Result<Answer> {
    let one = async |name: &str, is_ca: bool| -> anyhow::Result<Option<Summary>> {
        let called = side.secrets.called(name);
        let Some(found) = side.secrets.get(name).await? else { return Ok(None) };
        let pem = secret::roots(&called, &found)?;
        let problem = secret::pair(&called, &found).err().map(|error| format!("{error:#}"));
        Ok(Some(Summary::of(&called, &pem, is_ca, problem, full)?))
    };
    let ca = one(CA, true).await?;
    let ca = ca.ok_or_else(|| {
        anyhow!("CA not configured: {} does not exist: make it with `pki init`", side.secrets.called(CA))
    })?;
    let all = Summaries {
        ca,
        client_ca: one(CLIENT_CA, true).await?,
        resource_proxy: one(RESOURCE_PROXY_TLS, false).await?,
        principal: one(PRINCIPAL_TLS, false).await?,
    };
    let sections = [
        ("CA", Some(&all.ca)),
        ("Client CA", all.client_ca.as_ref()),
        ("Resource proxy", all.resource_proxy.as_ref()),
        ("Principal", all.principal.as_ref()),
    ];
    let section = |(title, summary): (&str, Option<&Summary>)| match summary {
        Some(summary) => format!("{title}\n{}", summary.text()),
        None => format!("{title}\nnot there\n"),
    };
    let text = sections.into_iter().filter(|(title, summary)| *title != "Client CA" || summary.is_some());
    let text = text.map(section).collect::<Vec<_>>().join("\n");
    Ok(Answer::of(&all, text)?.json_by_default())
}

async fn delete(side: &Side, force: bool) -> anyhow::Result<Answer> {
    let Some(found) = side.secrets.get(CA).await? else {
        bail!("CA not configured: {} does not exist: nothing is to delete", side.secrets.called(CA));
    };
    let answer =
        if force { Some("YES".to_owned()) } else { confirm::ask("Really delete CA (use uppercase YES to delete)?")? };
    if answer.as_deref() != Some("YES") {
        return Ok(Answer::said("Aborted.")?.failing(true));
    }
    ensure!(
        side.secrets.delete(&found).await?,
        "the CA is another one now: look at it with `pki inspect`, then try again"
    );
    Answer::said("CA successfully deleted.")
}

async fn dump(side: &Side, args: &Dump) -> anyhow::Result<Answer> {
    let called = side.secrets.called(CA);
    let found = side.secrets.get(CA).await?;
    let found = found.ok_or_else(|| anyhow!("CA not configured: {called} does not exist: make it with `pki init`"))?;
    let mut text = String::new();
    if args.cert || args.all {
        text += &secret::roots(&called, &found)?;
    }
    if args.key || args.all {
        text += &secret::text(&called, &found, TLS_KEY)?;
    }
    Answer::pem(&text)
}

// === impl Summary ===

impl Summary {
    fn of(called: &str, pem: &str, is_ca: bool, problem: Option<String>, full: bool) -> anyhow::Result<Self> {
        let chain = Certificate::chain(called, pem)?;
        let certificates = chain.len();
        let leaf = chain.into_iter().next().ok_or_else(|| anyhow!("no certificate in {called}"))?;
        let mut warnings: Vec<String> = problem.into_iter().collect();
        if is_ca && !leaf.is_ca {
            warnings.push("Is not a CA certificate".into());
        }
        warnings.extend(leaf.out_of_time(now()).or_else(|| leaf.ends_soon(now())));
        Ok(Self {
            not_before: leaf.not_before_text(),
            not_after: leaf.not_after_text(),
            sha256: leaf.fingerprint.as_str().to_lowercase(),
            fingerprint: leaf.fingerprint.to_string(),
            subject: leaf.subject,
            key_type: leaf.key_type,
            key_length: leaf.key_length,
            serial: leaf.serial,
            certificates,
            names: leaf.server_names,
            warnings,
            pem: full.then(|| pem.to_owned()),
        })
    }

    fn text(&self) -> String {
        let mut lines = vec![
            ("Subject", self.subject.clone()),
            ("Key type", self.key_type.to_owned()),
            ("Key length", self.key_length.to_string()),
            ("Not valid before", self.not_before.clone()),
            ("Not valid after", self.not_after.clone()),
            ("Checksum", self.sha256.clone()),
            ("Serial", self.serial.clone()),
        ];
        if !self.names.is_empty() {
            lines.push(("Names", self.names.join(", ")));
        }
        lines.extend(self.warnings.iter().map(|warning| ("Warning", warning.clone())));
        fields(&lines) + self.pem.as_deref().unwrap_or_default()
    }
}
