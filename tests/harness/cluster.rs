//! One real workload cluster for the whole test run; each test has namespaces of its own in it.

use std::{
    io::Write,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use envtest::{Assets, Cluster, ClusterOptions, Extent, sample};
use serde_json::{Value, json};

use crate::audit;

/// The cluster, started by the first test that asks.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        // On a thread with a runtime that lives as long as the run: each test's own runtime ends with the test, and
        // the processes of the cluster end with the thread that started them.
        let (started, cluster) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                started.send(start().await).expect("the test that asked waits");
                std::future::pending::<()>().await;
            });
        });
        cluster.recv().expect("the thread answers").expect("the cluster starts")
    })
}

/// Another cluster, empty, of which no other test knows.
///
/// # Panics
/// When it cannot be started.
pub async fn another(extent: Extent) -> Cluster {
    let assets = Assets::locate_or_build(|line| eprintln!("{line}")).await.expect("the programs are there");
    let options = ClusterOptions { extent, ..ClusterOptions::default() };
    Cluster::start(&assets, options).await.expect("the cluster starts")
}

/// A kubeconfig with a context for the admin of each of these, by its name; the first is the current one.
#[must_use]
pub fn kubeconfig(contexts: &[(&str, &Cluster)]) -> Value {
    let encode = |text: &str| STANDARD.encode(text);
    let clusters = contexts.iter().map(|(name, cluster)| {
        let (server, ca) = (cluster.api_server_url(), encode(cluster.ca_pem()));
        json!({"name": name, "cluster": {"server": server, "certificate-authority-data": ca}})
    });
    let users = contexts.iter().map(|(name, cluster)| {
        let (certificate, key) = (encode(&cluster.admin().cert_pem), encode(&cluster.admin().key_pem));
        json!({"name": name, "user": {"client-certificate-data": certificate, "client-key-data": key}})
    });
    let named = contexts.iter().map(|(name, _)| json!({"name": name, "context": {"cluster": name, "user": name}}));
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": contexts.first().map(|(name, _)| name),
        "clusters": clusters.collect::<Vec<_>>(), "users": users.collect::<Vec<_>>(),
        "contexts": named.collect::<Vec<_>>(),
    })
}

/// A namespace that no other test has, made and ready.
///
/// # Panics
/// When it cannot be made.
pub async fn namespace(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("{prefix}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    cluster().kubectl().run(["create", "namespace", &name]).await.expect("a namespace can be made");
    name
}

/// Applies a manifest as the cluster's admin.
///
/// # Panics
/// When the API server refuses it.
pub async fn apply(manifest: &str) {
    cluster().kubectl().apply(manifest).await.expect("the manifest is applied");
}

async fn start() -> anyhow::Result<Cluster> {
    let assets = Assets::locate_or_build(|line| eprintln!("{line}")).await?;
    let mut policy = tempfile::NamedTempFile::new()?;
    policy.write_all(audit::POLICY.as_bytes())?;
    let apiserver_args =
        vec![format!("--audit-policy-file={}", policy.path().display()), "--audit-log-path=-".to_owned()];
    let cluster = Cluster::start(&assets, ClusterOptions { apiserver_args, ..ClusterOptions::default() }).await?;
    sample::apply_crds(&cluster).await?;
    Ok(cluster)
}
