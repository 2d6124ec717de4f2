//! Bytes that mean nothing, at every port.

use std::time::Duration;

use harness::{
    eventually,
    raw::{self, get, metric},
    redis::Redis,
};
use tokio::{io::AsyncWriteExt, time::timeout};

use super::{random, rig, still_answers};
use crate::coverage::Port;

#[tokio::test]
async fn garbage_at_any_port_ends_in_a_closed_connection_and_a_counter() {
    let redis = Redis::start(&[]).await;
    let rig = rig(&redis).await;
    let plain_http = get("/").into_bytes();
    for bytes in [random(64 << 10), plain_http, b"\x16\x03\x01\x40\0\x01".repeat(4096), b"\0".repeat(64 << 10)] {
        for (port, address) in Port::all(&rig.world.principal) {
            let mut raw = raw::plain(address).await.unwrap();
            raw.send(&bytes).await.unwrap_or_default();
            // Whatever is closed for it is closed soon, and not for a timeout.
            raw.io().shutdown().await.unwrap_or_default();
            let ended = timeout(Duration::from_secs(4), raw.rest()).await;
            assert!(ended.is_ok(), "{port:?}: still open");
        }
    }
    for (port, address) in Port::all(&rig.world.principal) {
        if port.speaks_tls() {
            let mut raw = rig.caller.clone().connect(address).await.unwrap();
            raw.send(random(64 << 10)).await.unwrap_or_default();
            assert!(timeout(Duration::from_secs(4), raw.rest()).await.is_ok(), "{port:?}: still open");
        }
    }
    let metrics = rig.world.principal.metrics.unwrap();
    for door in ["grpc", "kube"] {
        let labels = format!("door=\"{door}\",reason=\"tls\"");
        eventually("failures are counted", async || {
            let counted = metric(metrics, "argocd_agent_listen_handshake_failures_total", &labels).await;
            (counted >= 3.0).then_some(())
        })
        .await;
    }
    still_answers(&rig).await;
}
