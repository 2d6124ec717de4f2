//! HTTP/1.1 that is none, or that is made to deceive.

use harness::{
    World, eventually,
    faulty::Rig,
    raw::{self, get, metric},
};
use serde_json::Value;
use tokio::time::timeout;

use super::{POD, SLACK, still_answers};
use crate::coverage::Port;

/// What a row of bad requests gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The connection goes on: what was wrong concerned one request.
    GoesOn,
    /// The connection is closed: where the next request would begin is anybody's guess.
    Closes,
}

#[tokio::test]
async fn what_is_no_request_is_answered_and_reaches_nobody() {
    use Then::{Closes, GoesOn};
    let rig = Rig::start().await;
    let post = |headers: &str| format!("POST {POD} HTTP/1.1\r\nHost: a\r\n{headers}\r\n0\r\n\r\n").into_bytes();
    let head = |headers: &str| format!("GET {POD} HTTP/1.1\r\n{headers}\r\n").into_bytes();
    let rows: Vec<(&str, Vec<u8>, u16, Then)> = vec![
        ("header too long", head(&format!("Host: a\r\nX: {}\r\n", "x".repeat(400 << 10))), 431, Closes),
        ("too many headers", head(&format!("Host: a\r\n{}", "X: y\r\n".repeat(300))), 431, Closes),
        ("URI too long", get(&format!("/{}", "x".repeat(70 << 10))).into(), 414, Closes),
        ("line too long", format!("GET {}", "x".repeat(400 << 10)).into(), 431, Closes),
        ("garbage", b"\0\x01\x02garbage\r\n\r\n".to_vec(), 400, Closes),
        ("half a line", b"GET\r\n\r\n".to_vec(), 400, Closes),
        ("no method", b" / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 400, Closes),
        ("bad method", b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 400, Closes),
        ("bad version", b"GET / HTTP/3.7\r\nHost: a\r\n\r\n".to_vec(), 400, Closes),
        ("HTTP/0.9", b"GET /\r\n\r\n".to_vec(), 400, Closes),
        ("control character in the path", b"GET /a\x01b HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 400, Closes),
        ("space in the path", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 400, Closes),
        ("folded header", head("Host: a\r\nX: y\r\n z\r\n"), 400, Closes),
        ("NUL in a header", head("Host: a\r\nX: y\0z\r\n"), 400, Closes),
        ("line feed in a name", head("Host: a\r\nX\n: y\r\n"), 400, Closes),
        ("space before the colon", post("Content-Length : 5\r\n"), 400, Closes),
        ("no colon", head("Host: a\r\nX\r\n"), 400, Closes),
        ("two equal lengths", post("Content-Length: 5\r\nContent-Length: 5\r\n"), 400, Closes),
        ("two lengths", post("Content-Length: 5\r\nContent-Length: 6\r\n"), 400, Closes),
        ("two lengths in a line", post("Content-Length: 5, 6\r\n"), 400, Closes),
        ("length with a sign", post("Content-Length: +5\r\n"), 400, Closes),
        ("negative length", post("Content-Length: -5\r\n"), 400, Closes),
        ("hexadecimal length", post("Content-Length: 0x5\r\n"), 400, Closes),
        ("length beyond all bounds", post("Content-Length: 99999999999999999999\r\n"), 400, Closes),
        ("length, then encoding", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400, Closes),
        ("encoding, then length", post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400, Closes),
        ("encoding twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400, Closes),
        ("encoding that is not chunked", post("Transfer-Encoding: gzip\r\n"), 400, Closes),
        ("encoding that ends otherwise", post("Transfer-Encoding: chunked, gzip\r\n"), 400, Closes),
        ("encoding before chunked", post("Transfer-Encoding: gzip, chunked\r\n"), 400, GoesOn),
        ("encoding like chunked", post("Transfer-Encoding: xchunked\r\n"), 400, Closes),
        (
            "encoding in HTTP/1.0",
            format!("POST {POD} HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").into(),
            400,
            Closes,
        ),
        ("no host", head(""), 400, GoesOn),
        ("two hosts", head("Host: a\r\nHost: b\r\n"), 400, GoesOn),
        ("tunnel", b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 400, GoesOn),
        ("trace", b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 400, GoesOn),
        (
            "upgrade with a body",
            post("Connection: upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n"),
            400,
            GoesOn,
        ),
    ];
    let mut wrong = Vec::new();
    for (what, bytes, status, then) in &rows {
        let mut raw = rig.caller.connect(rig.world.door()).await.unwrap();
        raw.send(bytes).await.unwrap_or_default();
        match raw.answer().await {
            Ok(answer) if answer.status == *status => {}
            other => wrong.push(format!("{what}: {other:?}")),
        }
        if *then == GoesOn {
            raw.send(get("/version")).await.unwrap_or_default();
            if !raw.answer().await.is_ok_and(|answer| answer.status == 200) {
                wrong.push(format!("{what}: does not go on"));
            }
        } else {
            match timeout(SLACK, raw.rest()).await {
                Ok((rest, _)) if rest.is_empty() => {}
                other => wrong.push(format!("{what}: then {other:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let passed = rows.iter().filter(|(.., then)| *then == GoesOn).count();
    assert_eq!(rig.server.seen(), vec!["GET /version"; passed], "nothing else got through");
    let metrics = rig.world.principal.metrics.unwrap();
    eventually("malformed requests are counted", async || {
        let counted = metric(metrics, "argocd_agent_door_connection_errors_total", "malformed").await;
        (counted >= 20.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_pages_of_operators_refuse_as_much() {
    let world = World::start().await;
    for (port, address) in Port::all(&world.principal).into_iter().filter(|(port, _)| !port.speaks_tls()) {
        for (request, status) in [
            (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(64 << 10)), 431),
            (get(&format!("/{}", "x".repeat(64 << 10))), 431),
            (get(&format!("/{}", "x".repeat(8 << 10))), 404),
            ("\0garbage\r\n\r\n".into(), 400),
            ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n".into(), 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n".into(), 400),
            ("DELETE /metrics HTTP/1.1\r\nHost: a\r\n\r\n".into(), if port == Port::Metrics { 405 } else { 404 }),
            ("POST /readyz HTTP/1.1\r\nHost: a\r\n\r\n".into(), if port == Port::Healthz { 405 } else { 404 }),
        ] {
            let mut raw = raw::plain(address).await.unwrap();
            raw.send(&request).await.unwrap_or_default();
            let answer = raw.answer().await.unwrap();
            let request: String = request.chars().take(40).collect();
            assert_eq!(answer.status, status, "{request:?} at {port:?}");
        }
        // A body is not waited for.
        let mut raw = raw::plain(address).await.unwrap();
        raw.send("GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n").await.unwrap();
        assert_eq!(raw.answer().await.unwrap().status, if port == Port::Healthz { 200 } else { 404 });
    }
}

#[tokio::test]
async fn a_broken_body_is_refused_and_never_passed_on_as_a_whole_one() {
    let rig = Rig::start().await;
    for (what, body) in [
        ("no number", &b"5\r\nhello\r\nZZZ\r\nhello\r\n0\r\n\r\n"[..]),
        ("overflow", b"5\r\nhello\r\nfffffffffffffffff\r\nx"),
        ("negative", b"5\r\nhello\r\n-5\r\nhello\r\n0\r\n\r\n"),
        ("no line end after the data", b"5\r\nhelloworld\r\n0\r\n\r\n"),
        ("endless extension", &[b"5;", &[b'x'; 64 << 10][..]].concat()),
    ] {
        let mut raw = rig.caller.connect(rig.world.door()).await.unwrap();
        let head = format!("POST {POD} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        raw.send(head).await.unwrap();
        raw.send(body).await.unwrap_or_default();
        let answer = raw.answer().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        assert!(answer.text().contains("the request's body cannot be read"), "{what}: {}", answer.text());
        assert!(raw.rest().await.0.is_empty(), "{what}");
    }
    still_answers(&rig).await;
}

#[tokio::test]
async fn a_caller_that_leaves_within_its_body_cancels_the_request() {
    let rig = Rig::start().await;
    for framing in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let mut raw = rig.caller.connect(rig.world.door()).await.unwrap();
        raw.send(format!("POST {POD} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n5\r\nhello\r\n")).await.unwrap();
        let before = rig.server.seen().len();
        eventually("it is there", async || (rig.server.seen().len() > before || before > 0).then_some(())).await;
        drop(raw);
    }
    let metrics = rig.world.principal.metrics.unwrap();
    eventually("nothing is in flight", async || {
        (metric(metrics, "argocd_agent_door_requests_in_flight", "kube").await == 0.0).then_some(())
    })
    .await;
    still_answers(&rig).await;
}

#[tokio::test]
async fn no_header_that_decides_who_asks_is_lost_by_being_listed_in_connection() {
    let rig = Rig::start().await;
    let listed = "Connection: close, Impersonate-User, impersonate-group, Host, X-Hop\r\n\
                  Impersonate-User: jane\r\nImpersonate-Group: a\r\nImpersonate-Group: b\r\nX-Hop: 1\r\n\
                  Keep-Alive: timeout=5\r\nProxy-Authorization: Basic eA==\r\nTE: trailers, gzip\r\nX-End: 2\r\n";
    let answer = rig.ask(get(POD).replacen("\r\n\r\n", &format!("\r\n{listed}\r\n"), 1)).await;
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    let headers = told["headers"].as_object().unwrap();
    assert_eq!(headers["impersonate-user"], serde_json::json!(["jane"]));
    assert_eq!(headers["impersonate-group"], serde_json::json!(["a", "b"]));
    assert_eq!(headers["x-end"], serde_json::json!(["2"]));
    for gone in ["connection", "x-hop", "keep-alive", "proxy-authorization", "transfer-encoding"] {
        assert!(!headers.contains_key(gone), "{gone}: {told}");
    }
    // The length stays the body's, whatever is said about it.
    let body = "hello";
    let listed =
        format!("POST {POD} HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\n{body}");
    let told: Value = serde_json::from_slice(&rig.ask(&listed).await.body).unwrap();
    assert_eq!(told["body"], body);
}

#[tokio::test]
async fn pipelined_requests_are_answered_one_by_one_and_in_order() {
    let rig = Rig::start().await;
    let mut raw = rig.caller.connect(rig.world.door()).await.unwrap();
    let inner = "GET /c HTTP/1.1\r\nHost: a\r\n\r\n";
    let post = format!("POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}", inner.len());
    raw.send([get("/a"), post, get("/d")].concat()).await.unwrap();
    for (method, target, body) in [("GET", "/a", ""), ("POST", "/b", inner), ("GET", "/d", "")] {
        let told: Value = serde_json::from_slice(&raw.answer().await.unwrap().body).unwrap();
        assert_eq!((&told["method"], &told["target"], &told["body"]), (&method.into(), &target.into(), &body.into()));
    }
    assert_eq!(rig.server.seen(), ["GET /a", "POST /b", "GET /d"], "a body is no request");
}
