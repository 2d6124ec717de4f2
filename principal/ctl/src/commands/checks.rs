//! What `validate` and `doctor` look at: each check tells the first thing that is wrong, and what to do about it.

use std::collections::BTreeSet;

use anyhow::{Context, anyhow, bail, ensure};
use common::AgentName;
use k8s_openapi::api::core::v1::Secret;

use super::{agents, secret, secret_names::SecretNames};
use crate::{
    cluster_secret::{self, AGENT_LABEL, Cluster, SKIP_RECONCILE, agent_of, is_self_registered, secret_name},
    kube::Side,
    names::{BLOCKLIST, CLIENT_CA, JWT_KEY},
    pki::{Certificate, Fingerprint, kind_of_der, now, public_key},
};

/// The certificates of the authorities whose word counts on the principal's side.
#[derive(Debug, Clone, Default)]
pub(super) struct Roots {
    /// Of agents, of principal and door.
    pub(super) ca: Vec<Certificate>,
    /// Of the doors' callers; the same, unless there is another.
    pub(super) callers: Vec<Certificate>,
}

/// The authority is there, is one, and is in its time.
pub(super) async fn authority(side: &Side, names: &SecretNames) -> anyhow::Result<Roots> {
    let ca = roots(side, &names.ca, "pki init").await?.ok_or_else(|| missing(side, &names.ca, "pki init"))?;
    let clients = roots(side, CLIENT_CA, "pki init --client-ca").await?;
    let callers = clients.iter().flatten().chain(&ca).cloned().collect();
    Ok(Roots { ca, callers })
}

async fn roots(side: &Side, name: &str, cure: &str) -> anyhow::Result<Option<Vec<Certificate>>> {
    let called = side.secrets.called(name);
    let Some(found) = side.secrets.get(name).await? else { return Ok(None) };
    let chain = Certificate::chain(&called, &secret::roots(&called, &found)?)?;
    if let Some(first) = chain.first() {
        ensure!(first.is_ca, "the certificate in {called} is not one of a CA: put the CA's own into it");
        in_time(&called, first, &format!("{cure} --force"))?;
    }
    Ok(Some(chain))
}

/// What the principal shows to agents.
pub(super) async fn principal_tls(side: &Side, names: &SecretNames, roots: &Roots) -> anyhow::Result<Certificate> {
    server_tls(side, &names.own_tls, "pki issue principal", roots).await
}

/// What the Kubernetes door shows to its callers.
pub(super) async fn door_tls(side: &Side, names: &SecretNames, roots: &Roots) -> anyhow::Result<Certificate> {
    server_tls(side, &names.door_tls, "pki issue resource-proxy", roots).await
}

async fn server_tls(side: &Side, name: &str, cure: &str, roots: &Roots) -> anyhow::Result<Certificate> {
    let called = side.secrets.called(name);
    let found = side.secrets.get(name).await?.ok_or_else(|| missing(side, name, cure))?;
    let leaf = own_pair(&called, &found, cure)?;
    ensure!(
        !leaf.server_names.is_empty(),
        "the certificate in {called} has no DNS name and no address: issue it with them (`{cure} --upsert`)"
    );
    signed(&called, &found, &leaf, &roots.ca, &format!("{cure} --upsert"))?;
    Ok(leaf)
}

/// The key that tokens are signed with.
pub(super) async fn jwt_key(side: &Side, names: &SecretNames) -> anyhow::Result<()> {
    let called = side.secrets.called(&names.jwt);
    let found = side.secrets.get(&names.jwt).await?.ok_or_else(|| missing(side, &names.jwt, "jwt create-key"))?;
    let public = public_key(&format!("key {JWT_KEY} of {called}"), &secret::text(&called, &found, JWT_KEY)?)
        .context("make another with `jwt create-key --upsert`")?;
    let (kind, bits) = kind_of_der(&public);
    ensure!(
        kind == "RSA" && bits >= 2048,
        "the key in {called} is {kind} with {bits} bits: make another with `jwt create-key --upsert`"
    );
    Ok(())
}

/// Every cluster Secret of an agent leads to the door, as that agent.
pub(super) async fn clusters(side: &Side, roots: &Roots) -> anyhow::Result<()> {
    let blocked = blocklist(side).await?;
    let mut wrong = Vec::new();
    for found in side.secrets.list(AGENT_LABEL).await? {
        let agent = agent_of(&found).unwrap_or_default();
        let checked = match AgentName::parse(agent) {
            Ok(agent) => cluster(side, &agent, &found, roots, &blocked).map(drop),
            Err(error) => Err(anyhow!(error)),
        };
        wrong.extend(checked.err().map(|error| format!("{error:#}")));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    Ok(())
}

/// The cluster Secret of one agent.
pub(super) async fn cluster_of(side: &Side, agent: &AgentName, roots: &Roots) -> anyhow::Result<Cluster> {
    let (found, _) = agents::load(side, agent).await?;
    cluster(side, agent, &found, roots, &blocklist(side).await?)
}

fn cluster(
    side: &Side,
    agent: &AgentName,
    found: &Secret,
    roots: &Roots,
    blocked: &BTreeSet<Fingerprint>,
) -> anyhow::Result<Cluster> {
    let called = side.secrets.called(found.metadata.name.as_deref().unwrap_or_default());
    let rotate = format!("agent rotate {agent}");
    let read = Cluster::read(&called, found)?;
    let annotation = found.metadata.annotations.as_ref().and_then(|all| all.get(SKIP_RECONCILE));
    ensure!(
        annotation.is_some_and(|value| value == "true"),
        "{called} has no annotation {SKIP_RECONCILE}: \"true\": Argo CD would reconcile the cluster twice: annotate it"
    );
    let meant = cluster_secret::server_url(&read.server, agent);
    ensure!(
        meant.is_ok_and(|meant| meant == read.server),
        "key server of {called} is {:?}: set it with `agent reconfigure {agent} --resource-proxy-server=<host>:<port>`",
        read.server
    );
    let credentials = read.credentials(&called)?;
    let part = format!("tlsClientConfig.certData of {called}");
    let leaf =
        Certificate::leaf(&part, &credentials.certificate).with_context(|| format!("reissue it with `{rotate}`"))?;
    let pair = crate::pki::Pair::read((&part, &credentials.certificate), ("its key", credentials.key.reveal()));
    pair.with_context(|| format!("reissue it with `{rotate}`"))?;
    in_time(&part, &leaf, &rotate)?;
    if !is_self_registered(found) {
        let name = leaf.common_name.as_deref().unwrap_or_default();
        ensure!(name == agent.as_str(), "{part} is of {name:?} and leads there: reissue it with `{rotate}`");
    }
    if !roots.callers.is_empty() {
        let chain = Certificate::chain(&part, &credentials.certificate)?;
        ensure!(
            is_trusted(&chain, &roots.callers),
            "{part} is signed by no authority in namespace {}: reissue it with `{rotate}`",
            side.place.namespace
        );
    }
    not_blocked(&part, &leaf, blocked, &rotate)?;
    Ok(read)
}

/// What an agent trusts, and what it shows.
pub(super) async fn agent_ca(agent: &Side, names: &SecretNames, roots: &Roots) -> anyhow::Result<()> {
    let called = agent.secrets.called(&names.ca);
    let cure = "pki propagate";
    let found = agent.secrets.get(&names.ca).await?.ok_or_else(|| missing(agent, &names.ca, cure))?;
    let held = secret::roots(&called, &found).with_context(|| format!("write it with `{cure} --force`"))?;
    let held = Certificate::chain(&called, &held)?;
    if let Some(signer) = roots.ca.first() {
        ensure!(
            held.iter().any(|one| one.fingerprint == signer.fingerprint),
            "{called} does not hold the principal's CA: write it with `{cure} --force`"
        );
    }
    Ok(())
}

/// What an agent shows to the principal.
pub(super) async fn agent_tls(
    agent: &Side,
    names: &SecretNames,
    roots: &Roots,
    blocked: &BTreeSet<Fingerprint>,
) -> anyhow::Result<Certificate> {
    let called = agent.secrets.called(&names.own_tls);
    let cure = "pki issue agent <agent> --upsert";
    let found = agent.secrets.get(&names.own_tls).await?.ok_or_else(|| missing(agent, &names.own_tls, cure))?;
    let leaf = own_pair(&called, &found, cure)?;
    let name = leaf.common_name.as_deref().unwrap_or_default();
    if AgentName::parse(name).is_err() {
        bail!("the common name of the certificate in {called} is {name:?}, which no agent can have: `{cure}`");
    }
    signed(&called, &found, &leaf, &roots.ca, cure)?;
    not_blocked(&called, &leaf, blocked, cure)?;
    Ok(leaf)
}

/// There is a cluster Secret for whom the agent's certificate names.
pub(super) async fn known(principal: &Side, agent: &AgentName) -> anyhow::Result<()> {
    let found = principal.secrets.get(&secret_name(agent)).await?;
    ensure!(found.is_some(), "the principal does not know agent {agent}: create it with `agent create {agent}`");
    Ok(())
}

/// The fingerprints that are kept out.
pub(super) async fn blocklist(side: &Side) -> anyhow::Result<BTreeSet<Fingerprint>> {
    let found = side.config_maps.get(BLOCKLIST).await?.and_then(|list| list.data).unwrap_or_default();
    Ok(found.keys().filter_map(|entry| entry.parse().ok()).collect())
}

fn own_pair(called: &str, found: &Secret, cure: &str) -> anyhow::Result<Certificate> {
    let pair = secret::pair(called, found).with_context(|| format!("issue it again with `{cure}`"))?;
    let leaf = Certificate::leaf(called, &pair.certificate)?;
    in_time(called, &leaf, cure)?;
    Ok(leaf)
}

fn signed(called: &str, found: &Secret, leaf: &Certificate, roots: &[Certificate], cure: &str) -> anyhow::Result<()> {
    let chain = Certificate::chain(called, &secret::roots(called, found)?)?;
    let name = &leaf.subject;
    ensure!(
        roots.is_empty() || is_trusted(&chain, roots),
        "the certificate in {called} ({name}) is not signed by the principal's CA: issue it again with `{cure}`"
    );
    Ok(())
}

/// Whether each certificate of a chain is signed by the next, up to one of the roots.
fn is_trusted(chain: &[Certificate], roots: &[Certificate]) -> bool {
    let mut rest = chain.iter();
    let Some(mut current) = rest.next() else { return false };
    loop {
        if roots.iter().any(|root| current.is_signed_by(root)) {
            return true;
        }
        match rest.next() {
            Some(next) if current.is_signed_by(next) => current = next,
            _ => return false,
        }
    }
}

fn in_time(called: &str, certificate: &Certificate, cure: &str) -> anyhow::Result<()> {
    match certificate.out_of_time(now()) {
        Some(why) => bail!("the certificate in {called} {why}: `{cure}`"),
        None => Ok(()),
    }
}

fn not_blocked(called: &str, leaf: &Certificate, blocked: &BTreeSet<Fingerprint>, cure: &str) -> anyhow::Result<()> {
    let fingerprint = &leaf.fingerprint;
    ensure!(
        !blocked.contains(fingerprint),
        "the certificate in {called} is on the blocklist: `{cure}`, or `blocklist tls remove {fingerprint}`"
    );
    Ok(())
}

fn missing(side: &Side, name: &str, cure: &str) -> anyhow::Error {
    anyhow!("{} does not exist: `{cure}`", side.secrets.called(name))
}
