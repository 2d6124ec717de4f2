//! `agent create`.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow, ensure};
use common::AgentName;
use k8s_openapi::api::core::v1::Secret;

use crate::{
    cli::{
        BadUsage, Create,
        values::{labels, secret_ref},
    },
    cluster_secret::{
        AGENT_LABEL, Cluster, MANAGED_BY, SECRET_TYPE_LABEL, SKIP_RECONCILE, authority, secret_name, server_url,
    },
    commands::{authority as authorities, secret},
    kube::{Change, Side},
    names::{CA_CRT, TYPE_OPAQUE},
    output::Answer,
    pki::{Certificate, KeySpec, Order, Pair, Usage, now},
};

pub(super) async fn create(side: &Side, args: &Create) -> anyhow::Result<Answer> {
    let agent = &args.name;
    let spec = args.certificate.key.spec()?;
    authority(&args.resource_proxy_server).map_err(|error| BadUsage(format!("--resource-proxy-server: {error}")))?;
    ensure!(
        agent.as_str() != side.place.namespace,
        "no agent may be called {agent}, which is the principal's namespace: give it another name"
    );
    let exists = || {
        anyhow!("Agent {agent} exists. Change it with `agent reconfigure {agent}`, or `agent delete {agent}` first.")
    };
    ensure!(side.secrets.get(&secret_name(agent)).await?.is_none(), exists());
    let (pair, ca) = match (&args.tls_from_secret, &args.ca_from_secret) {
        (None, None) => {
            let signer = authorities::load(side, args.certificate.client_ca).await?;
            // Whom the caller trusts is who signed the door's certificate, whoever signs the caller's.
            let trusted = if args.certificate.client_ca { door_roots(side).await? } else { signer.roots().to_owned() };
            let order = caller(agent, args.certificate.lifetime.days, spec);
            (signer.issue(&order)?, trusted)
        }
        (Some(tls), Some(ca)) => copied(side, agent, tls, ca).await?,
        _ => return Err(BadUsage("--tls-from-secret and --ca-from-secret must be given together".into()).into()),
    };
    let mut cluster = Cluster::new(agent, server_url(&args.resource_proxy_server, agent)?);
    cluster.set_credentials(&pair, &ca);
    let mut new = Secret { type_: Some(TYPE_OPAQUE.into()), ..Secret::default() };
    new.metadata.name = Some(secret_name(agent));
    let mut all_labels = labels(&args.label);
    all_labels.insert(SECRET_TYPE_LABEL.into(), "cluster".into());
    all_labels.insert(AGENT_LABEL.into(), agent.to_string());
    new.metadata.labels = Some(all_labels);
    let annotations = [(MANAGED_BY, "argocd-agent"), (SKIP_RECONCILE, "true")];
    let annotations = annotations.map(|(key, value)| (key.to_owned(), value.to_owned()));
    new.metadata.annotations = Some(BTreeMap::from(annotations));
    cluster.write(&mut new)?;
    let name = secret_name(agent);
    let write = side.secrets.change(&name, |before| match before {
        Some(_) => Err(exists()),
        None => Ok(Change::Write(new.clone())),
    });
    write.await?;
    Answer::said(format!("Agent {agent} created"))
}

/// The certificate of whoever calls the door as this agent.
pub(super) fn caller(agent: &AgentName, days: u32, key: KeySpec) -> Order {
    Order { common_name: agent.to_string(), usage: Usage::Client, days, key }
}

/// Whom callers of the door have to trust.
pub(crate) async fn door_roots(side: &Side) -> anyhow::Result<String> {
    Ok(authorities::load(side, false).await?.roots().to_owned())
}

async fn copied(side: &Side, agent: &AgentName, tls: &str, ca: &str) -> anyhow::Result<(Pair, String)> {
    let get = async |reference: &str| -> anyhow::Result<(String, Secret)> {
        let (namespace, name) = secret_ref(reference, &side.place.namespace);
        let secrets = side.secrets_in(namespace).await?;
        let called = secrets.called(name);
        let found = secrets.get(name).await?;
        found.map(|found| (called.clone(), found)).ok_or_else(|| anyhow!("{called} does not exist: give another"))
    };
    let (called, found) = get(tls).await?;
    let pair = secret::pair(&called, &found).context("--tls-from-secret cannot be used")?;
    let leaf = Certificate::leaf(&called, &pair.certificate)?;
    if let Some(why) = leaf.out_of_time(now()) {
        return Err(anyhow!("the certificate in {called} {why}: renew it first"));
    }
    let name = leaf.common_name.as_deref().unwrap_or_default();
    ensure!(
        name == agent.as_str(),
        "the certificate in {called} is of {name:?}, and the door would lead there: its common name must be {agent}"
    );
    let (called, found) = get(ca).await?;
    let ca = secret::text(&called, &found, CA_CRT)?;
    let _readable = Certificate::chain(&format!("key {CA_CRT} of {called}"), &ca)?;
    Ok((pair, ca))
}
