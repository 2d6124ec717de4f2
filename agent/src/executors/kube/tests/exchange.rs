//! What passes, and how, without a filter in the way.

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::upgrade;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    time::timeout,
};

use super::{
    server::{marked, pieces, pod, raw},
    world::{LONG, Plan, World, read, request, with_body},
};

#[tokio::test]
async fn everything_passes_byte_for_byte_but_what_belongs_to_the_connection() {
    let mut plan = Plan::open();
    plan.prefix = "/clusters/a%20b/";
    let mut world = plan.build(|_| {}).await;
    let target = "/api/v1/namespaces/shop/pods/read%20er+x%3Ay?a=%2F&watch=1&&b=c;d";
    let mut call = with_body("POST", target, "application/json; q=\"x\"", "body");
    for (name, value) in [
        ("authorization", "Bearer of-the-client"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("expect", "100-continue"),
        ("impersonate-user", "jane"),
        ("impersonate-extra-scopes%2fx", "view"),
        ("accept-encoding", "gzip"),
        ("x-kept", "1"),
    ] {
        call.headers_mut().append(name, value.parse().unwrap());
    }
    call.headers_mut().append("x-kept", "2".parse().unwrap());
    let read = world.send(call).await;
    assert_eq!(read.status, 201);
    let [seen] = &world.server.take()[..] else { panic!("one request") };
    assert_eq!(seen.line(), format!("POST /clusters/a%20b{target}"));
    let mut names: Vec<&str> = seen.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    let kept = [
        "accept-encoding",
        "authorization",
        "content-length",
        "content-type",
        "host",
        "impersonate-extra-scopes%2fx",
        "impersonate-user",
        "te",
        "x-kept",
    ];
    assert_eq!(names, kept);
    assert_eq!(seen.headers["authorization"], "Bearer agents-own");
    assert_eq!(seen.headers["host"], world.server.address.to_string());
    assert_eq!(seen.headers["content-type"], "application/json; q=\"x\"");
    assert_eq!(seen.headers.get_all("x-kept").iter().count(), 2);
    assert_eq!(&seen.body[..], b"body");
}

#[tokio::test]
async fn an_answer_passes_verbatim_and_cannot_pass_for_a_refusal() {
    let mut world = World::open().await;
    world.server.special(|_| async {
        let mut answer = raw(429, "application/json;g=apidiscovery.k8s.io;v=v2;as=X", "{}");
        for (name, value) in [
            ("argocd-agent-refusal", "not_managed"),
            ("retry-after", "1"),
            ("warning", "299 - \"a\""),
            ("keep-alive", "timeout=1"),
            ("etag", "\"x\""),
        ] {
            answer.headers_mut().append(name, value.parse().unwrap());
        }
        Ok(answer)
    });
    let read = world.get("/api/v1/nodes?watch=1").await;
    assert_eq!((read.status.as_u16(), &read.body[..]), (429, &b"{}"[..]));
    let mut names: Vec<&str> = read.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "content-type", "date", "etag", "retry-after", "warning"]);
    assert_eq!(read.headers["content-type"], "application/json;g=apidiscovery.k8s.io;v=v2;as=X");
}

#[tokio::test]
async fn a_stream_is_flushed_piece_by_piece_and_ends_upstream_when_the_caller_leaves() {
    for plan in [Plan::open(), Plan::filtered()] {
        let mut world = plan.build(|server| server.put(&pod("web"), marked("web"))).await;
        let (sender, receiver) = mpsc::channel(1);
        let receiver = std::sync::Mutex::new(Some(receiver));
        world.server.special(move |request| {
            let log = request.uri().path().ends_with("/log");
            let receiver = log.then(|| receiver.lock().unwrap().take().unwrap());
            async move {
                match receiver {
                    Some(receiver) => Ok(pieces(receiver)),
                    None => Err(request),
                }
            }
        });
        // The head is here before the first byte of the body.
        let answer = world.begin(request("GET", &format!("{}/log?follow=true", pod("web")))).await;
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        for line in ["one\n", "two\n"] {
            sender.send(Bytes::from(line)).await.unwrap();
            let frame = timeout(LONG, body.frame()).await.unwrap().unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), line);
        }
        drop(body);
        drop(world.pipe);
        timeout(LONG, sender.closed()).await.unwrap();
    }
}

#[tokio::test]
async fn a_reader_that_stalls_stalls_the_api_server() {
    let mut world = World::open().await;
    let (sender, receiver) = mpsc::channel(1);
    let receiver = std::sync::Mutex::new(Some(receiver));
    world.server.special(move |_| {
        let receiver = receiver.lock().unwrap().take().unwrap();
        async move { Ok(pieces(receiver)) }
    });
    let answer = world.begin(request("GET", "/api/v1/pods")).await;
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    let mut sent = 0;
    while let Ok(result) = timeout(std::time::Duration::from_millis(500), sender.send(piece.clone())).await {
        result.unwrap();
        sent += piece.len();
        assert!(sent < 64 << 20, "nobody reads, yet all is taken");
    }
    drop(sender);
    let mut read = 0;
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        read += frame.unwrap().into_data().unwrap().len();
    }
    // The piece that did not go out is not lost with the sender, since it was never taken.
    assert_eq!(read, sent);
}

#[tokio::test]
async fn a_request_whose_caller_leaves_before_the_answer_is_cancelled() {
    let mut world = World::open().await;
    let (arrived, mut arrives) = mpsc::channel::<mpsc::Sender<()>>(1);
    world.server.special(move |_| {
        let arrived = arrived.clone();
        async move {
            let (alive, mut gone) = mpsc::channel(1);
            arrived.send(alive).await.unwrap();
            gone.recv().await;
            Ok(raw(200, "text/plain", ""))
        }
    });
    let sending = world.pipe.send_request(request("POST", "/api/v1/namespaces/shop/pods"));
    let mut sending = Box::pin(sending);
    let alive = tokio::select! {
        _ = sending.as_mut() => panic!("never answered"),
        alive = arrives.recv() => alive.unwrap(),
    };
    drop(sending);
    drop(world.pipe);
    timeout(LONG, alive.closed()).await.unwrap();
}

#[tokio::test]
async fn upgrades_are_joined_with_half_close_and_nothing_is_lost() {
    for protocol in ["websocket", "SPDY/3.1"] {
        let mut world = World::filtered().await;
        world.server.put(&pod("web"), marked("web"));
        world.server.special(move |mut request| async move {
            if !request.uri().path().ends_with("/exec") {
                return Err(request);
            }
            assert_eq!(request.headers()["upgrade"], protocol);
            assert_eq!(request.headers()["connection"], "upgrade");
            let upgrade = upgrade::on(&mut request);
            let watch = common::drain::channel();
            watch.1.spawn(tracing::Span::none(), async move {
                let mut io = TokioIo::new(upgrade.await.unwrap());
                let mut all = Vec::new();
                io.read_to_end(&mut all).await.unwrap();
                all.reverse();
                io.write_all(&all).await.unwrap();
                io.shutdown().await.unwrap();
            });
            std::mem::forget(watch.0);
            Ok(Response::builder()
                .status(101)
                .header("connection", "Upgrade")
                .header("upgrade", protocol)
                .header("sec-websocket-protocol", "v5.channel.k8s.io")
                .body(Full::default().boxed_unsync())
                .unwrap())
        });
        let method = if protocol == "websocket" { "GET" } else { "POST" };
        let mut call = request(method, &format!("{}/exec?command=cat", pod("web")));
        call.headers_mut().insert("connection", "Upgrade".parse().unwrap());
        call.headers_mut().insert("upgrade", protocol.parse().unwrap());
        let answer = world.begin(call).await;
        assert_eq!(answer.status(), 101);
        assert_eq!(answer.headers()["upgrade"], protocol);
        assert_eq!(answer.headers()["sec-websocket-protocol"], "v5.channel.k8s.io");
        let mut io = TokioIo::new(upgrade::on(answer).await.unwrap());
        io.write_all(b"stdin, then its end").await.unwrap();
        io.shutdown().await.unwrap();
        let mut all = String::new();
        timeout(LONG, io.read_to_string(&mut all)).await.unwrap().unwrap();
        assert_eq!(all, "dne sti neht ,nidts");
    }
}

#[tokio::test]
async fn an_upgrade_that_is_declined_passes_verbatim_and_the_pipe_goes_on() {
    let mut world = World::open().await;
    let exec = format!("{}/exec", pod("web"));
    world.server.fail(&exec, 403);
    for _ in 0..2 {
        let mut call = request("POST", &exec);
        call.headers_mut().insert("connection", "Upgrade".parse().unwrap());
        call.headers_mut().insert("upgrade", "SPDY/3.1".parse().unwrap());
        let read = world.send(call).await;
        assert_eq!((read.status.as_u16(), read.refusal()), (403, None));
        assert!(read.message().ends_with("/exec is not for you"));
    }
}

#[tokio::test]
async fn a_request_body_streams() {
    let world = World::open().await;
    let (seen, mut saw) = mpsc::channel(4);
    world.server.special(move |request| {
        let seen = seen.clone();
        async move {
            let mut body = request.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                seen.send(frame.into_data().unwrap()).await.unwrap();
            }
            Ok(raw(200, "text/plain", "done"))
        }
    });
    let (near, far) = tokio::io::duplex(1024);
    let executor = world.executor.clone();
    let inner = world.watch.clone();
    world.watch.spawn(tracing::Span::none(), async move { executor.serve_stream(far, &inner).await });
    let mut near = near;
    near.write_all(b"PUT /x HTTP/1.1\r\nhost: w\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n").await.unwrap();
    assert_eq!(timeout(LONG, saw.recv()).await.unwrap().unwrap(), "half", "the end of the body is not waited for");
    near.write_all(b"4\r\nrest\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(timeout(LONG, saw.recv()).await.unwrap().unwrap(), "rest");
    let mut answer = vec![0; 12];
    near.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn an_agent_whose_proxy_is_off_says_so_and_needs_no_credentials() {
    let mut plan = Plan::filtered();
    plan.enabled = false;
    plan.user = json!({"tokenFile": "/does/not/exist"});
    let mut world = plan.build(|_| {}).await;
    let read = world.get_pod("web").await;
    assert_eq!((read.status.as_u16(), read.refusal()), (403, Some("proxy_disabled")));
    assert_eq!(world.server.connections(), 0);
}

#[tokio::test]
async fn an_agent_that_impersonates_somebody_lets_nobody_impersonate_further() {
    let mut plan = Plan::open();
    plan.user = json!({"token": "t", "as": "robot", "as-groups": ["a", "b"]});
    let mut world = plan.build(|_| {}).await;
    world.get_pod("web").await;
    let [seen] = &world.server.take()[..] else { panic!("one request") };
    assert_eq!(seen.headers["impersonate-user"], "robot");
    assert_eq!(seen.headers.get_all("impersonate-group").iter().count(), 2);
    let mut call = request("GET", &pod("web"));
    call.headers_mut().insert("impersonate-user", "admin".parse().unwrap());
    let read = world.send(call).await;
    assert_eq!((read.status.as_u16(), read.refusal()), (400, Some("bad_request")));
    assert_eq!(world.server.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn pipes_run_beside_each_other() {
    let mut world = World::open().await;
    world.server.special(|request| async move {
        if request.uri().path() == "/slow" { Ok(super::server::pending()) } else { Err(request) }
    });
    let slow = world.begin(request("GET", "/slow")).await;
    let mut other = world.another_pipe().await;
    let answer = timeout(LONG, other.send_request(request("GET", "/api/v1"))).await.unwrap().unwrap();
    assert_eq!(read(answer).await.status, 200);
    drop(slow);
}
