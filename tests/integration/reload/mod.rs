//! Certificates, keys and authorities that change while requests run: none of them fails, and nothing is restarted.

mod files;
mod kubeconfig;
mod link;
mod refused;
mod secrets;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use common::tls::IdentitySource;
use harness::{
    World, eventually,
    pki::Leaf,
    raw::{Caller, get, metric},
};
use tokio::task::JoinSet;

/// Requests that run all the time, some on connections that are kept and some on new ones.
pub(crate) struct Load {
    done: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    runs: JoinSet<Result<(), String>>,
}

// === impl Load ===

impl Load {
    pub(crate) fn start(caller: &Caller, door: SocketAddr, path: &str) -> Self {
        let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let mut runs = JoinSet::new();
        for number in 0..4 {
            let (caller, path) = (caller.clone(), path.to_owned());
            let (done, stop) = (Arc::clone(&done), Arc::clone(&stop));
            runs.spawn(async move {
                let keeps = number % 2 == 0;
                let mut kept = None;
                while !stop.load(Ordering::Relaxed) {
                    let mut connection = match kept.take() {
                        Some(connection) => connection,
                        None => caller.connect(door).await.map_err(|error| format!("no connection: {error}"))?,
                    };
                    connection.send(get(&path)).await.map_err(|error| format!("not sent: {error}"))?;
                    let answer = connection.answer().await.map_err(|error| format!("no answer: {error}"))?;
                    if answer.status != 200 {
                        return Err(format!("{}: {}", answer.status, answer.text()));
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                    kept = keeps.then_some(connection);
                }
                Ok(())
            });
        }
        Self { done, stop, runs }
    }

    /// Waits until some more have been answered.
    pub(crate) async fn goes_on(&self) {
        let goal = self.done.load(Ordering::Relaxed) + 40;
        eventually("requests go on", async || (self.done.load(Ordering::Relaxed) >= goal).then_some(())).await;
    }

    /// Ends it; not one request may have failed.
    pub(crate) async fn end(mut self) {
        self.goes_on().await;
        self.stop.store(true, Ordering::Relaxed);
        while let Some(run) = self.runs.join_next().await {
            assert_eq!(run.unwrap(), Ok(()));
        }
    }
}

/// The certificate that a server shows, as it stands on the wire.
async fn shown(caller: &Caller, address: SocketAddr) -> Option<Vec<u8>> {
    let mut connection = caller.connect(address).await.ok()?;
    let (_, session) = connection.io().get_ref();
    session.peer_certificates().and_then(|chain| chain.first()).map(|leaf| leaf.to_vec())
}

async fn until_shown(caller: &Caller, address: SocketAddr, leaf: &Leaf) {
    let expected = leaf.der();
    eventually("the certificate is shown", async || {
        (shown(caller, address).await.as_ref() == Some(&expected)).then_some(())
    })
    .await;
}

/// A number of the principal's about one certificate or bundle.
async fn of(world: &World, name: &str, what: &str) -> f64 {
    metric(world.principal.metrics.unwrap(), name, &format!("what=\"{what}\"")).await
}

/// The paths of a certificate and its key.
fn paths(identity: &IdentitySource) -> (std::path::PathBuf, std::path::PathBuf) {
    match identity {
        IdentitySource::Files { certificate, key } => (certificate.clone(), key.clone()),
        other => panic!("not in files: {other:?}"),
    }
}

const RELOADS: &str = "argocd_agent_tls_reloads_total";
const FAILURES: &str = "argocd_agent_tls_reload_failures_total";
const EXPIRY: &str = "argocd_agent_tls_certificate_expiry_timestamp_seconds";
const POD: &str = "/api/v1/namespaces/a/pods/b";
