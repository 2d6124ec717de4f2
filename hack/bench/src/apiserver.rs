//! The cluster that everybody asks: a real kube-apiserver on a real etcd, with nothing that writes by itself.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use envtest::{Assets, Cluster, ClusterOptions, Extent, sample};
use http::StatusCode;
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::{
    accounting::Part,
    contestants::ARGOCD_NAMESPACE,
    load::{Connection, Encoding, Endpoint, Protocol, fetch_whole, next_data},
    objects::{self, Object},
    pki::{ClientFiles, write_private},
};

/// A running API server with its administrator's credentials.
#[derive(Debug)]
pub(crate) struct ApiServer {
    cluster: Cluster,
    credentials: ClientFiles,
    endpoint: Endpoint,
}

// === impl ApiServer ===

impl ApiServer {
    /// Starts it, and as much of a cluster as is wanted; `dir` is for the administrator's credentials.
    pub(crate) async fn start(dir: &Path, extent: Extent) -> Result<Self> {
        let assets = Assets::locate_or_build(|line| eprintln!("{line}")).await?;
        let options = ClusterOptions {
            extent,
            // Its queues must not decide who wins.
            apiserver_args: [
                "--max-requests-inflight=0",
                "--max-mutating-requests-inflight=0",
                "--enable-priority-and-fairness=false",
            ]
            .map(str::to_owned)
            .to_vec(),
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(&assets, options).await?;

        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let credentials =
            ClientFiles { ca: dir.join("ca.crt"), cert: dir.join("client.crt"), key: dir.join("client.key") };
        write_private(&credentials.ca, cluster.ca_pem())?;
        write_private(&credentials.cert, &cluster.admin().cert_pem)?;
        write_private(&credentials.key, &cluster.admin().key_pem)?;
        let url = cluster.api_server_url();
        let address = url.strip_prefix("https://").and_then(|address| address.parse::<SocketAddr>().ok());
        let endpoint = Endpoint::new(address.with_context(|| format!("an odd address: {url}"))?, &credentials)?;

        let server = Self { cluster, credentials, endpoint };
        for namespace in [ARGOCD_NAMESPACE, objects::NAMESPACE, objects::ELSEWHERE, objects::MIXED] {
            let body = objects::namespace(namespace);
            post(&mut server.connect().await?, "/api/v1/namespaces", body).await?;
        }
        server.create([objects::ready(), objects::unmanaged()]).await?;
        Ok(server)
    }

    /// Makes it one that Argo CD could run in: with its resource types, and the ConfigMap of its settings.
    pub(crate) async fn accept_applications(&self) -> Result<()> {
        sample::apply_crds(&self.cluster).await?;
        self.create([objects::argocd_settings()]).await.map(drop)
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.cluster.kubeconfig_path()
    }

    /// The administrator's credentials.
    pub(crate) fn credentials(&self) -> &ClientFiles {
        &self.credentials
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Its process, and that of the etcd that it keeps its objects in.
    pub(crate) fn parts(&self) -> Result<Vec<Part>> {
        let etcd = Part::client().child("etcd")?;
        Ok(vec![Part::of(API_SERVER, self.cluster.api_server_pid())?, etcd])
    }

    /// Creates objects, a few at a time, and returns their uids in the same order.
    pub(crate) async fn create<O>(&self, objects: impl IntoIterator<Item = O>) -> Result<Vec<String>>
    where
        O: Into<Object> + Send + 'static,
    {
        let mut shares = std::iter::repeat_with(Vec::new).take(WRITERS).collect::<Vec<_>>();
        for (share, object) in (0..WRITERS).cycle().zip(objects.into_iter().enumerate()) {
            shares.get_mut(share).context("no such share")?.push(object);
        }
        let mut writers = JoinSet::new();
        for share in shares.into_iter().filter(|share| !share.is_empty()) {
            let mut connection = self.connect().await?;
            writers.spawn(async move {
                let mut created = Vec::with_capacity(share.len());
                for (place, object) in share {
                    let Object { collection, body } = object.into();
                    created.push((place, post(&mut connection, &collection, body).await?));
                }
                anyhow::Ok(created)
            });
        }
        let mut uids = BTreeMap::new();
        while let Some(written) = writers.join_next().await {
            uids.extend(written.context("a writer")??);
        }
        Ok(uids.into_values().collect())
    }

    /// How many requests for these resources it has answered since it started, by its own count. Watches are not in it:
    /// they are counted when they end.
    pub(crate) async fn answered(&self, resources: &[&str]) -> Result<f64> {
        let metrics = fetch_whole(&mut self.connect().await?, "/metrics", Encoding::Json).await?;
        let counted = String::from_utf8_lossy(&metrics).lines().filter_map(|line| requests(line, resources)).sum();
        Ok(counted)
    }

    /// The file that is the log of a Pod's container.
    pub(crate) fn log_file(&self, pod: &str) -> PathBuf {
        self.cluster.kubelet_dir().join(format!("{}_{pod}_{}.log", objects::NAMESPACE, objects::CONTAINER))
    }

    async fn connect(&self) -> Result<Connection> {
        self.endpoint.connect(Protocol::Http1).await
    }
}

/// Creates one object, and returns its uid. The answer is read to its end, so that the connection can be used again.
async fn post(connection: &mut Connection, path: &str, body: Bytes) -> Result<String> {
    let (head, mut body) = connection.post(path, body).await?.into_parts();
    let mut said = Vec::new();
    while let Some(data) = next_data(&mut body).await? {
        said.extend_from_slice(&data);
    }
    if head.status != StatusCode::CREATED {
        bail!("POST {path} was answered {}: {}", head.status, String::from_utf8_lossy(&said));
    }
    let created = serde_json::from_slice::<Created>(&said).with_context(|| format!("the answer to POST {path}"))?;
    Ok(created.metadata.uid)
}

/// Of what was created, what cannot be known before.
#[derive(Deserialize)]
struct Created {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    uid: String,
}

/// The figure of a line of metrics that counts requests for one of these resources.
fn requests(line: &str, resources: &[&str]) -> Option<f64> {
    let (labels, figure) = line.strip_prefix("apiserver_request_total{")?.rsplit_once("} ")?;
    let label = |name: &str| Some(labels.split_once(&format!("{name}=\""))?.1.split_once('"')?.0);
    let counts = label("verb") != Some("WATCH") && resources.contains(&label(",resource")?);
    figure.trim().parse().ok().filter(|_| counts)
}

/// What the API server's part is called.
pub(crate) const API_SERVER: &str = "kube-apiserver";

const WRITERS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_resource_and_without_watches() {
        let line = |verb: &str, resource: &str| {
            format!(
                r#"apiserver_request_total{{code="200",group="",resource="{resource}",scope="resource",subresource="",verb="{verb}",version="v1"}} 12"#
            )
        };
        assert_eq!(requests(&line("GET", "pods"), &["pods", "replicasets"]), Some(12.0));
        assert_eq!(requests(&line("GET", "podsx"), &["pods"]), None);
        assert_eq!(requests(&line("WATCH", "pods"), &["pods"]), None);
        assert_eq!(requests("# TYPE apiserver_request_total counter", &["pods"]), None);
    }
}
