//! What is no request, or a treacherous one.

use super::*;

const CLOSE: &str = "connection: close";

#[tokio::test]
async fn what_is_no_http_is_answered_and_closed() {
    let (world, _ends) = World::serving(|_| async { Response::new(empty()) });
    let long_uri = format!("GET /{} HTTP/1.1\r\nhost: h\r\n\r\n", "x".repeat(70_000));
    let long_header = format!("GET / HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "x".repeat(200_000));
    let many_headers = format!("GET / HTTP/1.1\r\nhost: h\r\n{}\r\n", "x: 1\r\n".repeat(200));
    for (request, status) in [
        (&b"G@T / HTTP/1.1\r\nhost: h\r\n\r\n"[..], 400),
        (b"GET / HTTP/1.1\r\nhost : h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nx y: h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: h\r\nx: a\r\n b\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\nhost: h\r\n\r\n", 400),
        (b"GET /\x01 HTTP/1.1\r\nhost: h\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1, 1\r\n\r\nx", 400),
        (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx", 400),
        (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (long_uri.as_bytes(), 414),
        (long_header.as_bytes(), 431),
        (many_headers.as_bytes(), 431),
    ] {
        let mut io = world.connect(Some("agent"), None);
        // The door may close before it has taken all.
        within(io.write_all(request)).await.unwrap_or_default();
        let mut answer = Vec::new();
        within(io.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let request = String::from_utf8_lossy(&request[..request.len().min(60)]).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        assert!(answer.contains(CLOSE), "{request:?}: {answer}");
    }
    let metrics = world.metrics();
    assert!(metrics.contains(r#"connection_errors_total{door="kube",reason="malformed"} 15"#), "{metrics}");
}

#[tokio::test]
async fn a_body_whose_length_is_said_twice_is_refused_and_the_connection_closed() {
    let (world, _ends) = World::serving(|_| async { Response::new(full("reached the agent")) });
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n";
    for request in [
        format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello{smuggled}"),
        format!(
            "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!(
            "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!("GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\ncontent-length: 0\r\n\r\n{smuggled}"),
        format!(
            "POST / HTTP/1.1\r\nhost: h\r\nTransfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
        ),
    ] {
        let answer = world.raw(Some("agent"), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(answer.contains(CLOSE), "{answer}");
        assert!(answer.contains("the request says the length of its body twice"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
}

#[tokio::test]
async fn later_requests_of_a_connection_are_guarded_like_the_first() {
    let (world, _ends) = World::serving(|request| async move {
        read(request.into_body()).await.unwrap();
        Response::new(full("ok"))
    });
    let mut io = world.connect(Some("agent"), None);
    for request in [
        &b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"[..],
        b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 40\r\n\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ] {
        io.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok") {
            answer.push(within(io.read_u8()).await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", answer.escape_ascii());
    }
    io.write_all(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx").await.unwrap();
    let mut answer = String::new();
    within(io.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn pipelined_requests_are_framed_and_answered_in_order() {
    let (world, _ends) = World::serving(|request| async move {
        let path = request.uri().path().to_owned();
        read(request.into_body()).await.unwrap();
        Response::new(full(path))
    });
    let answer = world
        .raw(
            Some("agent"),
            b"POST /1 HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nhiGET /2 HTTP/1.1\r\nhost: h\r\n\r\n\
              POST /3 HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi",
        )
        .await;
    let at = |path| answer.find(&format!("\r\n\r\n{path}")).unwrap_or_else(|| panic!("{path} in {answer}"));
    assert!(at("/1") < at("/2") && at("/2") < at("/3"), "{answer}");
}

#[tokio::test]
async fn requests_that_cannot_be_carried_are_refused() {
    let (world, _ends) = World::serving(|_| async { Response::new(full("reached the agent")) });
    for (request, text) in [
        (&b"CONNECT h:443 HTTP/1.1\r\nhost: h:443\r\nconnection: close\r\n\r\n"[..], "CONNECT and TRACE"),
        (b"TRACE / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", "CONNECT and TRACE"),
        (b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n", "names no host"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n", "names no host, or several"),
        (
            b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip, chunked\r\nconnection: close\r\n\r\n0\r\n\r\n",
            "transfer encoding",
        ),
        (
            b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\nconnection: upgrade, close\r\nupgrade: x\r\n\r\nhi",
            "has a body",
        ),
    ] {
        let answer = world.raw(Some("agent"), request).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(answer.contains(text), "{answer}");
        assert!(answer.contains(r#""reason":"BadRequest""#), "{answer}");
    }
}

#[tokio::test]
async fn a_broken_chunk_is_the_callers_fault() {
    let (world, _ends) = World::serving(|request| async move {
        read(request.into_body()).await.map(|_| ()).unwrap_or_default();
        std::future::pending().await
    });
    let request = b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n";
    let answer = world.raw(Some("agent"), request).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("the request's body cannot be read"), "{answer}");
}

#[tokio::test]
async fn http2_without_alpn_is_closed() {
    let world = World::new();
    let mut io = world.connect(Some("agent"), None);
    io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    within(io.read_to_end(&mut answer)).await.unwrap();
    assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", answer.escape_ascii());
}

#[tokio::test]
async fn http1_on_an_http2_connection_is_closed() {
    let world = World::new();
    let mut io = world.connect(Some("agent"), Some(b"h2"));
    io.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    within(io.read_to_end(&mut answer)).await.unwrap();
}

#[tokio::test]
async fn a_header_list_too_long_for_http2_is_431() {
    let world = World::new();
    let mut client = world.h2().await;
    let request = Request::get("http://h/").header("x", "x".repeat(70_000)).body(empty()).unwrap();
    let response = within(client.send_request(request)).await.unwrap();
    assert_eq!(response.status(), 431);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_closed_after_a_minute() {
    let world = World::new();
    let start = tokio::time::Instant::now();
    let mut io = world.connect(Some("agent"), None);
    io.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nx: ").await.unwrap();
    let mut answer = Vec::new();
    io.read_to_end(&mut answer).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 60);
    assert!(world.metrics().contains(r#"connection_errors_total{door="kube",reason="idle"} 1"#));
}
