//! The cluster that everybody asks: a real kube-apiserver on a real etcd, with nothing that writes by itself.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use envtest::{Assets, Cluster, ClusterOptions, Extent};
use http::StatusCode;
use tokio::task::JoinSet;

use crate::{
    accounting::Part,
    contestants::ARGOCD_NAMESPACE,
    load::{Connection, Endpoint, Protocol, next_data},
    objects::{self, ConfigMap},
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
    /// Starts it; `dir` is for the administrator's credentials and logs.
    pub(crate) async fn start(dir: &Path) -> Result<Self> {
        let assets = Assets::locate_or_build(|line| eprintln!("{line}")).await?;
        let options = ClusterOptions {
            extent: Extent::ApiServer,
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
        for namespace in [ARGOCD_NAMESPACE, objects::NAMESPACE, objects::ELSEWHERE] {
            let body = objects::namespace(namespace);
            post(&mut server.connect().await?, "/api/v1/namespaces", body).await?;
        }
        server.create(vec![objects::ready(), objects::unmanaged()]).await?;
        Ok(server)
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

    /// Creates objects, a few at a time.
    pub(crate) async fn create(&self, objects: Vec<ConfigMap>) -> Result<()> {
        let mut shares = vec![Vec::new(); WRITERS];
        for (share, object) in (0..WRITERS).cycle().zip(objects) {
            shares.get_mut(share).context("no such share")?.push(object);
        }
        let mut writers = JoinSet::new();
        for share in shares.into_iter().filter(|share| !share.is_empty()) {
            let mut connection = self.connect().await?;
            writers.spawn(async move {
                for object in share {
                    post(&mut connection, &object.collection(), object.body()).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(written) = writers.join_next().await {
            written.context("a writer")??;
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Connection> {
        self.endpoint.connect(Protocol::Http1).await
    }
}

/// Creates one object, and reads the answer to its end, so that the connection can be used again.
async fn post(connection: &mut Connection, path: &str, body: Bytes) -> Result<()> {
    let (head, mut body) = connection.post(path, body).await?.into_parts();
    let mut said = Vec::new();
    while let Some(data) = next_data(&mut body).await? {
        said.extend_from_slice(&data);
    }
    if head.status != StatusCode::CREATED {
        bail!("POST {path} was answered {}: {}", head.status, String::from_utf8_lossy(&said));
    }
    Ok(())
}

/// What the API server's part is called.
pub(crate) const API_SERVER: &str = "kube-apiserver";

const WRITERS: usize = 8;
