//! A caller that leaves, one that stalls, an answer that breaks.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;

use super::*;

/// An agent that tells when its work was cancelled. `headers` says whether it answers at all.
fn cancellable(headers: bool) -> (World, mpsc::Receiver<End>, mpsc::Receiver<oneshot::Receiver<()>>) {
    let (started, starts) = mpsc::channel(16);
    let (world, ends) = World::serving(move |_| {
        let (guard, cancelled) = oneshot::channel::<()>();
        started.try_send(cancelled).unwrap();
        async move {
            if headers {
                let (sender, body) = channel();
                let hold = async move {
                    sender.closed().await;
                    drop(guard);
                };
                #[expect(clippy::disallowed_methods, reason = "a test's server has no drain")]
                tokio::spawn(hold);
                return Response::new(body);
            }
            let _guard = guard;
            std::future::pending().await
        }
    });
    (world, ends, starts)
}

#[tokio::test]
async fn a_caller_that_leaves_before_the_answer_cancels_the_work() {
    let (world, mut ends, mut starts) = cancellable(false);
    let (mut h1, mut h2) = (world.h1().await, world.h2().await);
    for version in [1, 2] {
        let request = async {
            if version == 1 {
                h1.send_request(get("/x")).await.map(|_| ())
            } else {
                h2.send_request(get("http://h/x")).await.map(|_| ())
            }
        };
        let cancelled = tokio::select! {
            _ = request => panic!("never answered"),
            cancelled = starts.recv() => cancelled.unwrap(),
        };
        within(cancelled).await.unwrap_err();
        assert_eq!(within(ends.recv()).await, Some(End::Cut));
    }
    assert_eq!(world.agents.free_slots("agent"), 100);
}

#[tokio::test]
async fn a_caller_that_leaves_a_watch_cancels_it() {
    let (world, mut ends, mut starts) = cancellable(true);
    let (mut h1, mut h2) = (world.h1().await, world.h2().await);
    for version in [1, 2] {
        let response = if version == 1 {
            within(h1.send_request(get("/x"))).await.unwrap()
        } else {
            within(h2.send_request(get("http://h/x"))).await.unwrap()
        };
        let cancelled = starts.recv().await.unwrap();
        drop(response);
        within(cancelled).await.unwrap_err();
        assert_eq!(within(ends.recv()).await, Some(End::Cut));
    }
    // On the shared connection others go on.
    assert!(within(h2.send_request(get("http://h/x"))).await.is_ok());
}

#[tokio::test]
async fn a_caller_that_leaves_cuts_the_pipe_even_if_the_agent_reads_nothing() {
    let mut world = World::new();
    let (leave, callers) = drain::channel();
    let io = TokioIo::new(world.connect(Some("agent"), Some(b"h2")));
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    callers.spawn(Span::none(), async move { connection.await.unwrap_or_default() });
    let response = client.send_request(Request::post("http://h/x").body(full(vec![0; 4 * 1024 * 1024])).unwrap());
    let pipe = tokio::select! {
        _ = response => panic!("never answered"),
        pipe = world.pipes.recv() => pipe.unwrap(),
    };
    drop(leave);
    let start = tokio::time::Instant::now();
    assert_eq!(within(pipe.ended).await.unwrap(), End::Cut);
    assert!(start.elapsed() < Duration::from_secs(5), "not only when its answer is late");
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_looks_complete() {
    let handler = |request: Request<Incoming>| async move {
        let (sender, body) = channel();
        sender.try_send(data(b"begin")).unwrap();
        let cut = async move { sender.send(Err(io::Error::other("cut"))).await.unwrap_or_default() };
        #[expect(clippy::disallowed_methods, reason = "a test's server has no drain")]
        tokio::spawn(cut);
        let response = Response::builder();
        let response = if request.uri() == "/known" { response.header("content-length", "100") } else { response };
        response.body(body).unwrap()
    };
    let (world, _ends) = World::serving(handler);
    for path in ["/known", "/chunked"] {
        let mut h1 = world.h1().await;
        let response = within(h1.send_request(get(path))).await.unwrap();
        assert_eq!(response.status(), 200);
        within(read(response.into_body())).await.unwrap_err();
    }
    let raw = world.raw(Some("agent"), b"GET /chunked HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert!(raw.ends_with("begin\r\n"), "no last chunk: {raw}");

    let mut h2 = world.h2().await;
    for path in ["http://h/known", "http://h/chunked"] {
        let response = within(h2.send_request(get(path))).await.unwrap();
        within(read(response.into_body())).await.unwrap_err();
    }
    assert_eq!(world.agents.free_slots("agent"), 100);
}

#[tokio::test]
async fn a_caller_that_does_not_read_stalls_itself_alone() {
    let made = Arc::new(AtomicUsize::new(0));
    let made_by_agent = Arc::clone(&made);
    let (world, _ends) = World::serving(move |request| {
        let made = Arc::clone(&made_by_agent);
        async move {
            if request.uri().path() != "/big" {
                return Response::new(full("small"));
            }
            let chunks = futures_util::stream::repeat_with(move || {
                made.fetch_add(64 * 1024, Ordering::Relaxed);
                Ok(Frame::data(Bytes::from_static(&[0; 64 * 1024])))
            });
            Response::new(BoxBody::new(StreamBody::new(futures_util::StreamExt::take(chunks, 4096))))
        }
    });
    let mut h2 = world.h2().await;
    let mut h1 = world.h1().await;
    let mut stalled = Vec::new();
    for _ in 0..4 {
        stalled.push(within(h2.send_request(get("http://h/big"))).await.unwrap());
    }
    stalled.push(within(h1.send_request(get("/big"))).await.unwrap());
    for _ in 0..20 {
        let response = within(h2.send_request(get("http://h/small"))).await.unwrap();
        assert_eq!(within(read(response.into_body())).await.unwrap().0, "small");
    }
    let made = made.load(Ordering::Relaxed);
    assert!(made < 5 * 8 * 1024 * 1024, "{made} bytes were made for callers that read none of them");
}

#[tokio::test]
async fn an_answer_that_does_not_wait_for_the_upload_passes() {
    let (world, _ends) = World::serving(|_| async { Response::builder().status(413).body(full("too big")).unwrap() });
    let mut client = world.h2().await;
    let (sender, body) = channel();
    sender.try_send(data(b"x")).unwrap();
    let request = Request::post("http://h/x").body(body).unwrap();
    let response = within(client.send_request(request)).await.unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(within(read(response.into_body())).await.unwrap().0, "too big");
}
