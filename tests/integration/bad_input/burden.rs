//! Callers that take much and give nothing.

use std::time::Duration;

use futures_util::future::join_all;
use harness::{
    eventually,
    faulty::Rig,
    raw::{self, Raw, get, metric},
};
use tokio::time::timeout;

use super::still_answers;

#[tokio::test]
async fn callers_that_never_read_hold_little_and_hold_up_nobody() {
    let rig = Rig::start().await;
    let mut stalled = Vec::new();
    for _ in 0..4 {
        let mut raw = rig.caller.connect(rig.world.door()).await.unwrap();
        raw.send(get("/api/v1/pods?fault=endless")).await.unwrap();
        assert_eq!(raw.head().await.unwrap().status, 200);
        stalled.push(raw);
    }
    let taken = || rig.server.sent.load(std::sync::atomic::Ordering::SeqCst);
    let mut last = (0, 0);
    eventually("nothing more is taken", async || {
        // Others are answered meanwhile.
        still_answers(&rig).await;
        let now = taken();
        last = if now == last.0 { (now, last.1 + 1) } else { (now, 0) };
        (last.1 == 10).then_some(())
    })
    .await;
    // What sockets of the kernel take on three hops, and the windows of HTTP/2: about 12 MiB each, if nothing more.
    assert!(taken() < 4 * (32 << 20), "{} bytes are held for four callers", taken());
    drop(stalled);
    let metrics = rig.world.principal.metrics.unwrap();
    eventually("their requests have ended", async || {
        (metric(metrics, "argocd_agent_door_requests_in_flight", "kube").await == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn two_thousand_idle_connections_are_no_burden() {
    let rig = Rig::start().await;
    let config = rig.caller.config();
    let door = rig.world.door();
    let mut idle = Vec::new();
    for _ in 0..20 {
        let batch = (0..100).map(async |_| {
            let tcp = tokio::net::TcpStream::connect(door).await.unwrap();
            raw::handshake(config.clone(), tcp).await.unwrap()
        });
        idle.extend(join_all(batch).await);
    }
    still_answers(&rig).await;
    // Each of them still works.
    let (first, last) = (idle.remove(0), idle.pop().unwrap());
    for io in [first, last] {
        let mut raw = Raw::new(io);
        raw.send(get("/version")).await.unwrap();
        assert_eq!(raw.answer().await.unwrap().status, 200);
    }
    drop(idle);
    let metrics = rig.world.principal.metrics.unwrap();
    eventually("all are closed", async || {
        let opened = metric(metrics, "argocd_agent_listen_connections_opened_total", "kube").await;
        let closed = metric(metrics, "argocd_agent_listen_connections_closed_total", "kube").await;
        (opened >= 2000.0 && opened == closed).then_some(())
    })
    .await;
}

#[tokio::test]
async fn callers_beyond_the_limit_on_connections_wait_for_a_place() {
    let rig = Rig::with(|config| config.max_connections = 3).await;
    let door = rig.world.door();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(rig.caller.connect(door).await.unwrap());
    }
    let metrics = rig.world.principal.metrics.unwrap();
    eventually("the limit is reached", async || {
        (metric(metrics, "argocd_agent_listen_limit_reached_total", "kube").await >= 1.0).then_some(())
    })
    .await;
    let mut late = raw::plain(door).await.unwrap();
    assert!(timeout(Duration::from_millis(200), late.rest()).await.is_err(), "it waits");
    drop(late);
    let waiting = rig.caller.ask(door, get("/version"));
    let leave = async { drop(held.pop()) };
    let (answer, ()) = tokio::join!(waiting, leave);
    assert_eq!(answer.status, 200);
}
