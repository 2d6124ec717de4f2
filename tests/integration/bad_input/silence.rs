//! Peers that say nothing, or never come to an end.

use std::time::Duration;

use futures_util::future::join_all;
use harness::{
    World,
    faulty::{AGENT, Rig},
    raw::{self, Caller, metric},
    redis::Redis,
};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, timeout},
};

use super::{POD, PREFACE, SETTINGS, SLACK, rig, still_answers};
use crate::coverage::Port;

/// How long a caller may be silent before it has said anything of use. The table: every port has a row.
fn patience(port: Port) -> Option<Duration> {
    match port {
        // A TLS handshake.
        Port::Grpc | Port::KubeDoor => Some(Duration::from_secs(10)),
        // The head of a request.
        Port::Metrics | Port::Healthz | Port::Admin => Some(Duration::from_secs(5)),
        // Redis waits for ever, unless its configuration says otherwise.
        Port::RedisDoor => None,
    }
}

#[tokio::test]
async fn a_caller_that_says_nothing_is_dropped_in_time_at_every_port() {
    let redis = Redis::start(&[]).await;
    let rig = rig(&redis).await;
    let hello = &[0x16, 3, 1, 2, 0, 1, 0][..];
    let (mut waits, mut patient) = (Vec::new(), Vec::new());
    for (port, address) in Port::all(&rig.world.principal) {
        for said in [&b""[..], hello, b"GET / HTTP/1.1\r\nX: "] {
            if port.speaks_tls() == said.starts_with(b"GET") {
                continue;
            }
            let Some(patience) = patience(port) else {
                let mut raw = raw::plain(address).await.unwrap();
                raw.send(b"*1\r\n").await.unwrap();
                patient.push(raw);
                continue;
            };
            waits.push(async move {
                let mut raw = raw::plain(address).await.unwrap();
                raw.send(said).await.unwrap();
                let began = Instant::now();
                let dropped = timeout(patience + SLACK, raw.rest()).await;
                assert!(dropped.is_ok(), "{port:?} after {said:?}: still open");
                // A hello is no HTTP: that is told at once.
                let at_once = !port.speaks_tls() && said == hello;
                assert!(at_once || began.elapsed() + SLACK > patience, "{port:?}: dropped early");
            });
        }
    }
    // A peer that shows an agent's certificate and then never attaches.
    let idle_agent = async {
        let mut raw = rig.caller.clone().alpn(&[b"h2"]).connect(rig.world.principal.grpc).await.unwrap();
        raw.send([PREFACE, SETTINGS].concat()).await.unwrap();
        let dropped = timeout(Duration::from_secs(10) + SLACK, raw.rest()).await;
        assert!(dropped.is_ok(), "an agent that never attaches: still open");
    };
    // And a caller who agrees on HTTP/2 and never speaks it.
    let idle_caller = async {
        let silences = [&b""[..], b"PRI * HTTP"].map(async |said| {
            let mut raw = rig.caller.clone().alpn(&[b"h2"]).connect(rig.world.door()).await.unwrap();
            raw.send(said).await.unwrap();
            let dropped = timeout(Duration::from_secs(10) + SLACK, raw.rest()).await;
            assert!(dropped.is_ok(), "HTTP/2 after {said:?}: still open");
        });
        join_all(silences).await;
    };
    let others = async {
        for _ in 0..20 {
            still_answers(&rig).await;
        }
    };
    tokio::join!(join_all(waits), idle_agent, idle_caller, others);
    for mut raw in patient {
        raw.send(b"$4\r\nPING\r\n").await.unwrap();
        assert_eq!(raw.exactly(7).await.unwrap(), b"+PONG\r\n");
    }
    let metrics = rig.world.principal.metrics.unwrap();
    for door in ["grpc", "kube"] {
        let labels = format!("door=\"{door}\",reason=\"timeout\"");
        assert_eq!(metric(metrics, "argocd_agent_listen_handshake_failures_total", &labels).await, 2.0, "{door}");
    }
}

#[tokio::test]
async fn a_head_that_never_ends_is_bounded_in_time() {
    let world = World::start().await;
    let mut raw = Caller::of(&world, AGENT).connect(world.door()).await.unwrap();
    raw.send("GET / HTTP/1.1\r\nX: ").await.unwrap();
    // From here on nothing but this connection goes on, and time goes by only while it waits.
    tokio::time::pause();
    let began = Instant::now();
    let closed = timeout(Duration::from_secs(90), async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if raw.io().write_all(b"x").await.is_err() || raw.io().flush().await.is_err() {
                break;
            }
        }
    });
    assert!(closed.await.is_ok(), "one byte a second keeps a connection");
    assert!(began.elapsed() < Duration::from_secs(75), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_body_that_never_comes_is_answered_in_time() {
    let rig = Rig::with(|config| {
        config.kube_door.as_mut().unwrap().response_timeout = Duration::from_millis(500);
    })
    .await;
    for framing in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let mut raw = rig.caller.connect(rig.world.door()).await.unwrap();
        raw.send(format!("POST {POD} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n5\r\nhello\r\n")).await.unwrap();
        let answer = raw.answer().await.unwrap();
        assert_eq!(answer.status, 504, "{}", answer.text());
        let (rest, _) = raw.rest().await;
        assert!(rest.is_empty(), "and closed, since the rest of that body may still come");
    }
    still_answers(&rig).await;
}
