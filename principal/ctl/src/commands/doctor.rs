//! `argocd-agentctl doctor`: one agent's chain, link by link, as far as it holds.

use std::time::Duration;

use anyhow::{anyhow, ensure};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::{
    checks::{self, Roots},
    kubeconfig::{self, Door},
    secret_names::{SecretNames, operators_spec},
    validate::{Check, answer},
};
use crate::{
    cli::Doctor,
    cluster_secret::{Cluster, authority, secret_name},
    kube::{Places, Side},
    output::Answer,
    pki::Certificate,
};

pub(super) async fn run(places: &Places, args: &Doctor) -> anyhow::Result<Answer> {
    let mut walk = Vec::new();
    // Each link stands on those before it: what comes after the first broken one would only repeat it.
    let _first_broken = links(places, args, &mut walk).await;
    answer(&walk)
}

async fn links(places: &Places, args: &Doctor, walk: &mut Vec<Check>) -> Option<()> {
    let agent = &args.name;
    let principal = async { Side::at(places.principal()?).await }.await;
    let principal = link(walk, "Access to the principal's cluster", principal)?;
    let names = SecretNames::of_principal(&operators_spec(&principal).await.unwrap_or_default());
    let roots: Roots = link(walk, "CA", checks::authority(&principal, &names).await)?;
    certificate(walk, "Principal TLS certificate", checks::principal_tls(&principal, &names, &roots).await)?;
    let door = checks::door_tls(&principal, &names, &roots).await;
    let door = certificate(walk, "Resource proxy TLS certificate", door)?;
    let cluster = link(walk, "Cluster secret", checks::cluster_of(&principal, agent, &roots).await)?;
    let server = args.server.as_deref().unwrap_or(&cluster.server);
    let name = args.tls_server_name.as_deref();
    link(walk, "Name of the resource proxy", is_named(&door, server, name))?;

    let side = async { Side::at(places.agent()?).await }.await;
    let side = link(walk, "Access to the agent's cluster", side)?;
    let names = SecretNames::of_agent(&operators_spec(&side).await.unwrap_or_default());
    if principal.is(&side) && side.secrets.get(&names.own_tls).await.is_ok_and(|found| found.is_none()) {
        // An agent may be beside the principal; more likely nobody said where it is.
        let where_it_is = "no agent is beside the principal: give --agent-context or --agent-namespace";
        link::<()>(walk, "Secrets of the agent", Err(anyhow!(where_it_is)))?;
    }
    link(walk, "CA of the agent", checks::agent_ca(&side, &names, &roots).await)?;
    let blocked = link(walk, "Blocklist", checks::blocklist(&principal).await)?;
    let leaf = checks::agent_tls(&side, &names, &roots, &blocked).await;
    let own = leaf.and_then(|leaf| {
        let name = leaf.common_name.as_deref().unwrap_or_default();
        let place = side.path(&names.own_tls);
        ensure!(name == agent.as_str(), "Secret {place} is of agent {name}: `pki issue agent {agent} --upsert`");
        Ok(leaf)
    });
    certificate(walk, "Client certificate of the agent", own)?;
    if args.server.is_some() {
        let called = principal.secrets.called(&secret_name(agent));
        link(walk, "Request through the resource proxy", ask(&called, &cluster, server, name).await)?;
    }
    Some(())
}

/// As [`link`], with a warning where the certificate ends soon.
fn certificate(walk: &mut Vec<Check>, name: &str, result: anyhow::Result<Certificate>) -> Option<Certificate> {
    let found = link(walk, name, result)?;
    if let Some(check) = walk.pop() {
        walk.push(check.ending(Some(&found)));
    }
    Some(found)
}

fn link<T>(walk: &mut Vec<Check>, name: &str, result: anyhow::Result<T>) -> Option<T> {
    let (value, result) = match result {
        Ok(value) => (Some(value), Ok(())),
        Err(error) => (None, Err(error)),
    };
    walk.push(Check::of(name, result));
    value
}

/// Whether the door's certificate has the name by which it is called.
fn is_named(door: &Certificate, server: &str, name: Option<&str>) -> anyhow::Result<()> {
    let address = authority(server)?;
    let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
    let host = name.unwrap_or(host).trim_start_matches('[').trim_end_matches(']');
    ensure!(
        door.is_for(host),
        "callers know it as {host}, and its certificate is for {}: `pki issue resource-proxy --upsert --dns={host}`",
        door.server_names.join(", ")
    );
    Ok(())
}

/// One request, as Argo CD would make it: it goes to the agent and back.
async fn ask(called: &str, cluster: &Cluster, server: &str, name: Option<&str>) -> anyhow::Result<()> {
    let door = Door { address: authority(server)?, tls_server_name: name.map(str::to_owned) };
    let document = kubeconfig::stored(called, cluster, &door)?;
    let parsed: Kubeconfig = serde_json::from_value(document)?;
    let mut config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await?;
    config.proxy_url = None;
    config.connect_timeout = Some(PATIENCE);
    config.read_timeout = Some(PATIENCE);
    config.default_retry = false;
    let asked = Client::try_from(config)?.apiserver_version().await;
    asked.map(drop).map_err(|error| match error {
        kube::Error::Api(status) => anyhow!(
            "the door says {} ({}): see the log and `/readyz` of the agent, and whether it reaches the principal",
            status.code,
            status.message.trim()
        ),
        error => anyhow!("{server} cannot be asked: {}: see that the principal runs there", innermost(&error)),
    })
}

fn innermost(error: &kube::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

/// Longer than the door waits for an agent by default.
const PATIENCE: Duration = Duration::from_secs(15);
