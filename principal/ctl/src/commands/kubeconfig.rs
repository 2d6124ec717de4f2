//! `argocd-agentctl kubeconfig`.

use std::{io::Write, path::Path};

use anyhow::{Context, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{agents, authority};
use crate::{
    cli::{BadUsage, Kubeconfig},
    cluster_secret::{self, Cluster, secret_name},
    kube::{Places, Side},
    output::{Answer, yaml},
    pki::{Certificate, Order, Usage},
};

/// Where a caller finds the Kubernetes door.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) address: String,
    /// What its certificate is checked for, where that is not the address.
    pub(super) tls_server_name: Option<String>,
}

pub(super) async fn run(places: &Places, args: &Kubeconfig) -> anyhow::Result<Answer> {
    let agent = &args.name;
    let spec = args.certificate.key.spec()?;
    let typed = args.server.as_deref().map(cluster_secret::authority).transpose();
    let typed = typed.map_err(|error| BadUsage(format!("--server: {error}")))?;
    let side = Side::at(places.principal()?).await?;
    let (_, cluster) = agents::load(&side, agent).await?;
    let called = side.secrets.called(&secret_name(agent));
    // Without the query: clients of Kubernetes drop it, and the door does not look at it.
    let door = match typed {
        Some(typed) => typed,
        None => cluster_secret::authority(&cluster.server)
            .with_context(|| format!("key server of {called} cannot be used: give --server"))?,
    };
    let door = Door { address: door, tls_server_name: args.tls_server_name.clone() };
    let kubeconfig = if args.issue {
        // Of the authority that signed the stored one, which the door trusts.
        let held = cluster.credentials(&called)?;
        let held = Certificate::leaf(&called, &held.certificate).ok();
        let signer = authority::successor(&side, held.as_ref(), args.certificate.client_ca).await?;
        let order = Order {
            common_name: agent.to_string(),
            usage: Usage::Client,
            days: args.certificate.lifetime.days,
            key: spec,
        };
        let pair = signer.issue(&order)?;
        let user = json!({
            "client-certificate-data": STANDARD.encode(&pair.certificate),
            "client-key-data": STANDARD.encode(pair.key.reveal()),
        });
        document(agent.as_str(), &door, &cluster.credentials(&called)?.ca, &user)
    } else {
        stored(&called, &cluster, &door)?
    };
    match &args.output_path {
        Some(path) => {
            write_private(path, &yaml(&kubeconfig)?)?;
            Answer::said(format!("Kubeconfig of agent {agent} written to {}", path.display()))
        }
        None => Ok(Answer::of(&kubeconfig, yaml(&kubeconfig)?)?.yaml_by_default()),
    }
}

/// A kubeconfig with what a cluster Secret holds.
///
/// # Errors
/// When it holds no certificate.
pub(super) fn stored(called: &str, cluster: &Cluster, door: &Door) -> anyhow::Result<Value> {
    let held = cluster.credentials(called)?;
    if held.certificate.is_empty() || held.key.reveal().is_empty() {
        bail!("{called} holds no certificate: give --issue, or reissue it with `agent rotate {}`", cluster.name);
    }
    let mut user = json!({
        "client-certificate-data": STANDARD.encode(&held.certificate),
        "client-key-data": STANDARD.encode(held.key.reveal()),
    });
    if let Some((token, user)) = cluster.bearer_token().zip(user.as_object_mut()) {
        // The certificate of a self-registered agent is shared by all: its token says which one it is.
        user.insert("token".into(), token.into());
    }
    Ok(document(&cluster.name, door, &held.ca, &user))
}

fn document(name: &str, door: &Door, ca: &str, user: &Value) -> Value {
    let mut target = Map::new();
    target.insert("server".into(), format!("https://{}", door.address).into());
    if let Some(name) = &door.tls_server_name {
        target.insert("tls-server-name".into(), name.as_str().into());
    }
    target.insert("certificate-authority-data".into(), STANDARD.encode(ca).into());
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": target}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    })
}

/// Beside itself first, by a file that nobody else may read: it holds a key.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
    file.write_all(text.as_bytes()).with_context(failed)?;
    file.persist(path).with_context(failed)?;
    Ok(())
}
