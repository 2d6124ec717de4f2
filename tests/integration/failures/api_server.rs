//! API servers that are slow, cut what they say, or talk nonsense.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use harness::{
    World,
    client::{self, Endpoint, Protocol},
    eventually,
    faulty::{self, AGENT, Faulty, Rig},
    raw::get,
    soon,
};
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
};

use super::POD;

#[tokio::test]
async fn an_api_server_that_is_slow_times_out_and_hears_that_nobody_waits() {
    let (server, left) = hanging().await;
    let world = World::start_with(|config| {
        config.kube_door.as_mut().unwrap().response_timeout = Duration::from_millis(500);
    })
    .await;
    let rig = Rig::around(world, server).await;
    let answer = rig.get(POD).await;
    assert_eq!(answer.status, 504, "{}", answer.text());
    soon(left.notified()).await;
    // And so when it is the caller who has had enough.
    let mut caller = rig.caller.connect(rig.world.door()).await.unwrap();
    caller.send(get("/version")).await.unwrap();
    eventually("it is there", async || (rig.server.count("GET /version") == 1).then_some(())).await;
    drop(caller);
    soon(left.notified()).await;
}

#[tokio::test]
async fn an_answer_that_is_cut_is_cut_for_the_caller_too() {
    let rig = Rig::start().await;
    let path = "/api/v1/pods?fault=cut";
    let mut raw = rig.caller.connect(rig.world.door()).await.unwrap();
    raw.send(get(path)).await.unwrap();
    assert_eq!(raw.head().await.unwrap().status, 200);
    assert!(raw.chunk().await.is_err() || raw.chunk().await.is_err(), "no clean end");
    let mut connection = Endpoint::door(&rig.world, AGENT).connect(Protocol::Http2).await;
    let mut body = connection.send(client::get(path)).await.into_body();
    let end = loop {
        match soon(body.frame()).await {
            Some(Ok(_)) => {}
            end => break end,
        }
    };
    assert!(end.is_some_and(|end| end.is_err()), "no clean end");
    assert_eq!(connection.send(client::get(POD)).await.status(), 200, "only that stream is concerned");
}

#[tokio::test]
async fn what_an_api_server_says_that_makes_no_sense_is_told() {
    for (said, status, text) in [
        (&b"\0\x01\x02garbage\r\n\r\n"[..], 503, "its answer is not HTTP"),
        (b"HTTP/9.9 200 OK\r\n\r\n", 503, "its answer is not HTTP"),
        (b"HTTP/1.1 20 OK\r\n\r\n", 503, "its answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 503, "its answer is not HTTP"),
        (b"", 503, "the connection was lost before the answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", 503, "the connection was lost before the answer"),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", 503, "cannot reach"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"),
        (b"HTTP/1.1 299 Whatever You Say\r\nContent-Length: 5\r\n\r\nhello", 299, "hello"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, "until the end"),
    ] {
        let server = Faulty::raw(move |mut tcp| async move {
            let mut request = [0; 4096];
            // Whatever it is.
            if tcp.read(&mut request).await.is_ok() {
                tcp.write_all(said).await.unwrap_or_default();
            }
        })
        .await;
        let rig = Rig::around(World::start().await, server).await;
        let answer = rig.get(POD).await;
        let said = said.escape_ascii();
        assert_eq!(answer.status, status, "{said}: {}", answer.text());
        assert!(answer.text().contains(text), "{said}: {}", answer.text());
        assert!(answer.header("retry-after").is_none() && answer.header("argocd-agent-refusal").is_none());
    }
}

#[tokio::test]
async fn an_api_server_cannot_pretend_to_be_us() {
    let server = Faulty::http(async |_request| {
        let mut answer = faulty::answer(503, "application/json", "{}");
        let headers = answer.headers_mut();
        headers.insert("argocd-agent-refusal", "not_managed".parse().unwrap());
        headers.insert("retry-after", "1".parse().unwrap());
        headers.insert("x-hop", "1".parse().unwrap());
        headers.insert("connection", "x-hop".parse().unwrap());
        Ok(answer)
    })
    .await;
    let rig = Rig::around(World::start().await, server).await;
    let answer = rig.get(POD).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "its own words pass");
    assert_eq!((answer.header("argocd-agent-refusal"), answer.header("x-hop")), (None, None));
}

#[tokio::test]
async fn an_answer_that_does_not_wait_for_its_request_arrives() {
    let server = Faulty::raw(async |mut tcp| {
        // The head and whatever comes with it.
        let mut request = [0; 4096];
        if tcp.read(&mut request).await.is_ok() {
            let answer = b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nno, I";
            tcp.write_all(answer).await.unwrap_or_default();
            // Closed only when the other end has heard it.
            tcp.shutdown().await.unwrap_or_default();
            while tcp.read(&mut request).await.is_ok_and(|count| count > 0) {}
        }
    })
    .await;
    let rig = Rig::around(World::start().await, server).await;
    for _ in 0..20 {
        let mut raw = rig.caller.connect(rig.world.door()).await.unwrap();
        raw.send(format!("PUT {POD} HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n")).await.unwrap();
        raw.send([b'x'; 100 << 10]).await.unwrap();
        let answer = raw.answer().await.unwrap();
        assert_eq!((answer.status, answer.text().as_ref()), (413, "no, I"));
    }
}

#[tokio::test]
async fn a_caller_that_leaves_a_flood_stops_it_at_its_source() {
    let rig = Rig::start().await;
    let mut raw = rig.caller.connect(rig.world.door()).await.unwrap();
    raw.send(get("/api/v1/pods?fault=endless")).await.unwrap();
    assert_eq!(raw.head().await.unwrap().status, 200);
    raw.exactly(8 << 20).await.unwrap();
    drop(raw);
    let mut last = (0, 0);
    eventually("the flood has ended", async || {
        let now = rig.server.sent.load(Ordering::SeqCst);
        last = if now == last.0 { (now, last.1 + 1) } else { (now, 0) };
        (last.1 == 10).then_some(())
    })
    .await;
    assert_eq!(rig.get(POD).await.status, 200);
}

/// An API server that never answers, and what is notified when a request is cancelled.
async fn hanging() -> (Faulty, Arc<Notify>) {
    let left = Arc::new(Notify::new());
    let guard = Arc::clone(&left);
    let server = Faulty::http(move |_request| {
        let guard = Guard(Arc::clone(&guard));
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    })
    .await;
    (server, left)
}

struct Guard(Arc<Notify>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}
