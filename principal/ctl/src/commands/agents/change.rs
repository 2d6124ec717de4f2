//! `agent reconfigure` and `agent rotate`.

use anyhow::{anyhow, bail};
use common::AgentName;
use k8s_openapi::api::core::v1::Secret;

use super::{
    create::{caller, door_roots},
    load, unknown,
};
use crate::{
    cli::{BadUsage, CallerArgs, Reconfigure, Rotate},
    cluster_secret::{Cluster, is_self_registered, secret_name, server_url},
    commands::{authority as authorities, blocklist},
    kube::{Change, Side, Written},
    output::Answer,
    pki::{Certificate, Pair},
};

/// A new certificate for a cluster Secret, and whom its owner trusts.
struct Reissued {
    pair: Pair,
    ca: String,
    old: Option<Certificate>,
}

pub(super) async fn reconfigure(side: &Side, args: &Reconfigure) -> anyhow::Result<Answer> {
    let agent = &args.name;
    let server = args.resource_proxy_server.as_deref();
    let server = server.map(|address| server_url(address, agent)).transpose();
    let server = server.map_err(|error| BadUsage(format!("--resource-proxy-server: {error}")))?;
    if args.certificate.client_ca && !args.reissue_client_cert {
        return Err(BadUsage("--client-ca is for --reissue-client-cert: give both".into()).into());
    }
    let new = if args.reissue_client_cert { Some(reissue(side, agent, args.certificate).await?) } else { None };
    let mut done = Vec::new();
    let written = write(side, agent, |cluster| {
        // Asked again where somebody else wrote meanwhile.
        done.clear();
        if let Some(server) = server.as_ref().filter(|server| **server != cluster.server) {
            cluster.server.clone_from(server);
            done.push("Setting new server address");
        }
        let username = args.resource_proxy_username.as_deref().filter(|name| !name.is_empty());
        if username.is_some_and(|name| cluster.set_text("username", name)) {
            done.push("Setting new username");
        }
        let password = args.resource_proxy_password.as_ref().map(common::auth::Secret::reveal);
        let password = password.filter(|password| !password.is_empty());
        if password.is_some_and(|password| cluster.set_text("password", password)) {
            done.push("Setting new password");
        }
        if let Some(new) = &new {
            cluster.set_credentials(&new.pair, &new.ca);
        }
        !done.is_empty() || new.is_some()
    })
    .await?;
    done.push(if written == Written::Left { "Nothing to change" } else { "Cluster configuration saved" });
    Answer::said(done.join("\n"))
}

pub(super) async fn rotate(side: &Side, args: &Rotate) -> anyhow::Result<Answer> {
    let agent = &args.name;
    let new = reissue(side, agent, args.certificate).await?;
    write(side, agent, |cluster| {
        cluster.set_credentials(&new.pair, &new.ca);
        true
    })
    .await?;
    let mut text = format!("Agent {agent} has a new certificate");
    if let Some(old) = new.old.filter(|_| args.revoke) {
        text += &format!("\n{}", blocklist::added(side, &old.fingerprint).await?);
    }
    Answer::said(text)
}

async fn reissue(side: &Side, agent: &AgentName, asked: CallerArgs) -> anyhow::Result<Reissued> {
    let spec = asked.key.spec()?;
    let (secret, cluster) = load(side, agent).await?;
    let name = secret_name(agent);
    if is_self_registered(&secret) {
        bail!(
            "Secret {} registered itself, and all such agents share a certificate: change the Secret that the principal \
             has from --self-registration-client-cert-secret",
            side.path(&name)
        );
    }
    // What is there may be broken: that is a reason to reissue it.
    let credentials = cluster.credentials(&name).ok();
    let old = credentials.and_then(|credentials| Certificate::leaf(&name, &credentials.certificate).ok());
    let signer = authorities::successor(side, old.as_ref(), asked.client_ca).await?;
    let pair = signer.issue(&caller(agent, asked.lifetime.days, spec))?;
    Ok(Reissued { pair, ca: door_roots(side).await?, old })
}

async fn write(
    side: &Side,
    agent: &AgentName,
    mut change: impl FnMut(&mut Cluster) -> bool,
) -> anyhow::Result<Written> {
    let name = secret_name(agent);
    let called = side.secrets.called(&name);
    side.secrets
        .change(&name, |before: Option<Secret>| {
            let mut secret = before.ok_or_else(|| unknown(side, agent))?;
            let mut cluster = Cluster::read(&called, &secret)?;
            if !change(&mut cluster) {
                return Ok(Change::Leave);
            }
            cluster.write(&mut secret).map_err(|error| anyhow!("{called}: {error}"))?;
            Ok(Change::Write(secret))
        })
        .await
}
