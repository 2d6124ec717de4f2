//! What passes, and that it passes unchanged.

use http::{Method, StatusCode, Version};

use super::*;

/// Answers with what came: request line, headers in order of name, body.
async fn mirror(request: Request<Incoming>) -> Response<TestBody> {
    let (head, body) = request.into_parts();
    let mut lines: Vec<String> =
        head.headers.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap())).collect();
    lines.sort_by_key(|line| line.split(':').next().unwrap().to_owned());
    let (body, trailers) = read(body).await.unwrap();
    let trailers = trailers.map(|trailers| format!("\n{trailers:?}")).unwrap_or_default();
    let text = format!("{} {} {:?}\n{}\n{body}{trailers}", head.method, head.uri, head.version, lines.concat());
    Response::new(full(text))
}

#[tokio::test]
async fn the_request_line_passes_byte_by_byte() {
    let (world, _ends) = World::serving(mirror);
    for target in [
        "/api/v1/namespaces/a/pods/b?x=%7E&y=~&z=a+b%20c&&=&q",
        "/apis/rbac.authorization.k8s.io/v1/roles/read%20er+x%3a",
        "/a/../b//c/./d%2f%2F/",
        "/?",
        "/x?watch=1?y",
        "*",
    ] {
        let request = format!("OPTIONS {target} HTTP/1.1\r\nhost: p:9090\r\nconnection: close\r\n\r\n");
        let answer = world.raw(Some("agent"), request.as_bytes()).await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, format!("OPTIONS {target} HTTP/1.1\nhost: p:9090\n\n"), "{target}");
    }
}

#[tokio::test]
async fn headers_pass_but_for_those_of_this_hop_and_credentials() {
    let (world, _ends) = World::serving(mirror);
    let answer = world
        .raw(
            Some("agent"),
            b"PATCH /p HTTP/1.1\r\nHost: p:9090\r\nAccept: a;g=b;v=c, d\r\nAccept: e\r\nAuthorization: Basic YTpi\r\n\
              Content-Type: application/apply-patch+yaml; charset=x\r\nCookie: a=1\r\nCookie: b=2\r\n\
              Impersonate-User: jane\r\nImpersonate-Group: g1\r\nImpersonate-Group: g2\r\nX-Hop: 1\r\n\
              Keep-Alive: timeout=5\r\nProxy-Authorization: Basic x\r\nTE: trailers, gzip\r\nUpgrade: websocket\r\n\
              argocd-agent-refusal: not_managed\r\nX-Forwarded-For: 1.2.3.4\r\n\
              Connection: close, X-Hop, Impersonate-User, Host, Content-Length\r\nContent-Length: 2\r\n\r\n{}",
        )
        .await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(
        body,
        "PATCH /p HTTP/1.1\naccept: a;g=b;v=c, d\naccept: e\ncontent-length: 2\n\
         content-type: application/apply-patch+yaml; charset=x\ncookie: a=1\ncookie: b=2\nhost: p:9090\n\
         impersonate-group: g1\nimpersonate-group: g2\nimpersonate-user: jane\nte: trailers\nx-forwarded-for: 1.2.3.4\n\n{}"
    );
}

#[tokio::test]
async fn an_absolute_target_names_the_host() {
    let (world, _ends) = World::serving(mirror);
    let request = b"GET https://u:p@real:1/a?b HTTP/1.1\r\nhost: other\r\nconnection: close\r\n\r\n";
    let answer = world.raw(Some("agent"), request).await;
    assert!(answer.ends_with("\r\n\r\nGET /a?b HTTP/1.1\nhost: real:1\n\n"), "{answer}");
}

#[tokio::test]
async fn http2_becomes_http1_and_back() {
    let (world, _ends) = World::serving(mirror);
    let mut client = world.h2().await;
    let request = Request::post("https://principal:9090/api?x=%20")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("host", "ignored")
        .header("te", "trailers")
        .body(full("body"))
        .unwrap();
    let response = within(client.send_request(request)).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(
        within(read(response.into_body())).await.unwrap().0,
        "POST /api?x=%20 HTTP/1.1\ncontent-length: 4\ncookie: a=1; b=2\nhost: principal:9090\nte: trailers\n\nbody"
    );
}

#[tokio::test]
async fn bodies_of_any_framing_pass_also_with_a_get() {
    let (world, _ends) = World::serving(mirror);
    for method in [Method::GET, Method::POST, Method::DELETE] {
        let answer = world
            .raw(
                Some("agent"),
                format!(
                    "{method} /x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
                     5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
                )
                .as_bytes(),
            )
            .await;
        let expected = format!("{method} /x HTTP/1.1\nhost: h\ntransfer-encoding: chunked\n\nhello world");
        assert!(answer.ends_with(&expected), "{answer}");
    }
    let mut client = world.h2().await;
    let (sender, body) = channel();
    let response = client.send_request(Request::get("http://h/x").body(body).unwrap());
    let send = async {
        sender.send(data(b"one")).await.unwrap();
        sender.send(data(b"two")).await.unwrap();
        drop(sender);
    };
    let (response, ()) = within(async { tokio::join!(response, send) }).await;
    let (text, _) = within(read(response.unwrap().into_body())).await.unwrap();
    assert_eq!(text, "GET /x HTTP/1.1\nhost: h\ntransfer-encoding: chunked\n\nonetwo");
}

#[tokio::test]
async fn status_reason_headers_and_body_of_an_answer_pass() {
    let (world, _ends) = World::serving(|_| async {
        let mut response = Response::builder()
            .status(StatusCode::CONFLICT)
            .header("content-type", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
            .header("warning", "299 - \"a\"")
            .header("warning", "299 - \"b\"")
            .header("retry-after", "1")
            .header("audit-id", "x")
            .header("keep-alive", "timeout=9")
            .header("date", "Sun, 06 Nov 1994 08:49:37 GMT")
            .header("x-hop", "1")
            .header("connection", "x-hop")
            .body(full("{}"))
            .unwrap();
        response.extensions_mut().insert(hyper::ext::ReasonPhrase::from_static(b"So It Is"));
        response
    });
    let request = b"GET /x HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    assert_eq!(
        world.raw(Some("agent"), request).await,
        "HTTP/1.1 409 So It Is\r\n\
         content-type: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList\r\n\
         warning: 299 - \"a\"\r\nwarning: 299 - \"b\"\r\nretry-after: 1\r\naudit-id: x\r\n\
         content-length: 2\r\nconnection: close\r\n\r\n{}"
    );
}

#[tokio::test]
async fn answers_without_a_body_pass() {
    let (world, _ends) = World::serving(|request| async move {
        match request.uri().path() {
            "/204" => Response::builder().status(204).body(empty()).unwrap(),
            "/304" => Response::builder().status(304).header("etag", "x").body(empty()).unwrap(),
            _ => Response::builder().header("content-length", "1234").body(empty()).unwrap(),
        }
    });
    let mut client = world.h1().await;
    for (method, path, status, length) in [
        (Method::GET, "/204", 204, None),
        (Method::GET, "/304", 304, None),
        (Method::HEAD, "/x", 200, Some("1234")),
        (Method::GET, "/204", 204, None),
    ] {
        let mut request = get(path);
        *request.method_mut() = method;
        client.ready().await.unwrap();
        let response = within(client.send_request(request)).await.unwrap();
        assert_eq!(response.status(), status);
        let said = response.headers().get("content-length").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(said.as_deref(), length, "{path}");
        assert_eq!(within(read(response.into_body())).await.unwrap().0, "");
    }
    assert_eq!(world.agents.free_slots("agent"), 100);
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let (world, _ends) = World::serving(|request| async move {
        let (_, trailers) = read(request.into_body()).await.unwrap();
        let (sender, body) = channel();
        sender.try_send(Ok(Frame::trailers(trailers.unwrap()))).unwrap();
        Response::builder().header("trailer", "x-sum").body(body).unwrap()
    });
    let sum = || {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "42".parse().unwrap());
        let (sender, body) = channel();
        sender.try_send(Ok(Frame::trailers(trailers))).unwrap();
        let request = Request::post("http://h/x").header("te", "trailers").header("trailer", "x-sum");
        request.header("host", "h").body(body).unwrap()
    };
    let (mut h1, mut h2) = (world.h1().await, world.h2().await);
    for response in [within(h1.send_request(sum())).await.unwrap(), within(h2.send_request(sum())).await.unwrap()] {
        let (_, trailers) = within(read(response.into_body())).await.unwrap();
        assert_eq!(trailers.unwrap()["x-sum"], "42");
    }
}

#[tokio::test]
async fn expect_100_continue_is_answered() {
    let (world, _ends) = World::serving(mirror);
    let mut io = world.connect(Some("agent"), None);
    io.write_all(b"POST /x HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n").await.unwrap();
    let mut go = [0; 25];
    within(io.read_exact(&mut go)).await.unwrap();
    assert_eq!(&go, b"HTTP/1.1 100 Continue\r\n\r\n");
    io.write_all(b"hi").await.unwrap();
    let mut answer = vec![0; 15];
    within(io.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn the_head_of_an_answer_passes_before_its_first_byte_and_each_event_as_it_comes() {
    let (events, body) = channel();
    let body = Arc::new(std::sync::Mutex::new(Some(body)));
    let (world, _ends) = World::serving(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Response::new(body) }
    });
    let mut client = world.h1().await;
    let response = within(client.send_request(get("/api/v1/pods?watch=1"))).await.unwrap();
    let mut body = response.into_body();
    for event in [&b"{\"type\":\"ADDED\"}\n"[..], b"{\"type\":\"DELETED\"}\n"] {
        events.send(data(event)).await.unwrap();
        assert_eq!(within(body.frame()).await.unwrap().unwrap().into_data().unwrap(), event);
    }
    drop(events);
    assert!(within(body.frame()).await.is_none());
}

#[tokio::test]
async fn http_1_0_is_answered_in_kind() {
    let (world, _ends) = World::serving(mirror);
    let answer = world.raw(Some("agent"), b"GET /x HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("GET /x HTTP/1.1\n\n"), "{answer}");
}

#[tokio::test]
async fn a_thousand_watches_on_one_connection_leave_room_for_a_request() {
    let (watching, mut watches) = mpsc::channel(2_000);
    let (world, _ends) = World::serving(move |request| {
        let watching = watching.clone();
        async move {
            if request.uri().query() != Some("watch=1") {
                return Response::new(full("got"));
            }
            let (sender, body) = channel();
            watching.send(sender).await.unwrap();
            Response::new(body)
        }
    });
    world.agents.attach("agent", 2_000);
    let client = world.h2().await;
    let open = (0..1_001).map(|_| {
        let mut client = client.clone();
        async move { client.send_request(get("http://h/api/v1/pods?watch=1")).await.unwrap() }
    });
    let open = within(futures_util::future::join_all(open)).await;
    let response = within(client.clone().send_request(get("http://h/x"))).await.unwrap();
    assert_eq!(within(read(response.into_body())).await.unwrap().0, "got");
    assert_eq!(world.agents.free_slots("agent"), 2_000 - 1_001);
    for response in open {
        watches.recv().await.unwrap().send(data(b"event")).await.unwrap();
        drop(response);
    }
}
