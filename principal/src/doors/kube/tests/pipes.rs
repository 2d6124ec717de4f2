//! Which pipes are used again, and which never.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::sleep;

use super::*;

async fn exchange(client: &mut http1::SendRequest<TestBody>, request: Request<TestBody>) -> (u16, String) {
    client.ready().await.unwrap();
    let response = within(client.send_request(request)).await.unwrap();
    let status = response.status().as_u16();
    (status, within(read(response.into_body())).await.unwrap().0)
}

/// An agent that numbers its pipes in its answers.
fn numbering() -> (World, mpsc::Receiver<End>) {
    let mut world = World::new();
    let mut pipes = std::mem::replace(&mut world.pipes, mpsc::channel(1).1);
    let watch = world.others.clone();
    let (ends, ended) = mpsc::channel(1024);
    world.others.spawn(Span::none(), async move {
        let mut number = 0;
        while let Some(AgentPipe { io, ended, session }) = pipes.recv().await {
            number += 1;
            let ends = ends.clone();
            watch.spawn(Span::none(), async move { ends.send(ended.await.unwrap()).await.unwrap_or_default() });
            watch.spawn(
                Span::none(),
                serve_pipe(io, move |request: Request<Incoming>| async move {
                    if request.uri() == "/early" {
                        return Response::new(full(format!("{number} {session}")));
                    }
                    read(request.into_body()).await.map(|_| ()).unwrap_or_default();
                    Response::new(full(format!("{number} {session}")))
                }),
            );
        }
    });
    (world, ended)
}

#[tokio::test]
async fn a_pipe_carries_one_exchange_after_another() {
    let (world, mut ends) = numbering();
    let mut client = world.h1().await;
    let first = exchange(&mut client, get("/")).await.1;
    for _ in 0..20 {
        assert_eq!(exchange(&mut client, get("/")).await.1, first);
        let post = Request::post("/").header("host", "h").body(full("body")).unwrap();
        assert_eq!(exchange(&mut client, post).await.1, first);
    }
    ends.try_recv().unwrap_err();
}

#[tokio::test]
async fn exchanges_at_the_same_time_have_pipes_of_their_own() {
    let (world, _ends) = numbering();
    let client = world.h2().await;
    let requests = (0..10).map(|_| {
        let mut client = client.clone();
        async move {
            let response = within(client.send_request(get("http://h/"))).await.unwrap();
            within(read(response.into_body())).await.unwrap().0
        }
    });
    let answers = futures_util::future::join_all(requests).await;
    assert_eq!(answers.len(), 10);
    assert_eq!(world.agents.free_slots("agent"), 100);
}

#[tokio::test]
async fn a_pipe_of_a_replaced_session_is_never_used() {
    let (world, _ends) = numbering();
    let mut client = world.h1().await;
    let old = exchange(&mut client, get("/")).await.1;
    let session = world.agents.attach("agent", 1);
    assert_eq!(exchange(&mut client, get("/")).await.1, format!("2 {session}"));
    world.agents.detach("agent");
    assert_eq!(exchange(&mut client, get("/")).await.0, 502);
    assert!(!old.ends_with(&session.to_string()));
}

#[tokio::test]
async fn a_pipe_whose_answer_was_dropped_is_never_used() {
    let (world, mut ends, _) = {
        let (world, ends) = World::serving(|_| async {
            let (sender, body) = channel();
            sender.try_send(data(b"begin")).unwrap();
            let hold = async move { sender.closed().await };
            #[expect(clippy::disallowed_methods, reason = "a test's server has no drain")]
            tokio::spawn(hold);
            Response::new(body)
        });
        (world, ends, ())
    };
    let mut client = world.h2().await;
    drop(within(client.send_request(get("http://h/"))).await.unwrap());
    assert_eq!(within(ends.recv()).await, Some(End::Cut));
}

#[tokio::test]
async fn a_pipe_with_the_rest_of_an_upload_is_never_used() {
    let (world, mut ends) = numbering();
    let mut client = world.h2().await;
    let (sender, body) = channel();
    sender.try_send(data(b"x")).unwrap();
    let response = within(client.send_request(Request::post("http://h/early").body(body).unwrap())).await.unwrap();
    assert!(within(read(response.into_body())).await.unwrap().0.starts_with("1 "));
    assert_eq!(within(ends.recv()).await, Some(End::Cut));
    let response = within(client.send_request(get("http://h/"))).await.unwrap();
    assert!(within(read(response.into_body())).await.unwrap().0.starts_with("2 "));
}

#[tokio::test]
async fn an_idle_pipe_that_the_agent_closed_is_replaced_unnoticed() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let (world, mut ends) = World::serving(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Response::builder().header("connection", "close").body(full("x")).unwrap() }
    });
    let mut client = world.h1().await;
    for number in 1..=5 {
        assert_eq!(exchange(&mut client, get("/")).await, (200, "x".to_owned()));
        assert_eq!(count.load(Ordering::Relaxed), number);
    }
    for _ in 0..4 {
        within(ends.recv()).await.unwrap();
    }
}

#[tokio::test]
async fn a_request_that_may_have_reached_the_agent_is_never_sent_again() {
    let mut world = World::new();
    let mut pipes = std::mem::replace(&mut world.pipes, mpsc::channel(1).1);
    let heads = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&heads);
    world.others.spawn(Span::none(), async move {
        while let Some(AgentPipe { mut io, .. }) = pipes.recv().await {
            // The first exchange of a pipe is answered; the pipe breaks in the second.
            for answer in [&b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..], b""] {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(io.read_u8().await.unwrap());
                }
                seen.fetch_add(1, Ordering::Relaxed);
                io.write_all(answer).await.unwrap();
                io.flush().await.unwrap();
            }
        }
    });
    let mut client = world.h1().await;
    assert_eq!(exchange(&mut client, get("/")).await.0, 200);
    assert_eq!(exchange(&mut client, get("/")).await.0, 502, "also a GET, also on a pipe that was idle");
    assert_eq!(heads.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn an_idle_pipe_goes_after_a_minute() {
    let (world, mut ends) = numbering();
    let mut client = world.h2().await;
    for wait in [59, 59, 1] {
        let response = client.send_request(get("http://h/")).await.unwrap();
        assert!(read(response.into_body()).await.unwrap().0.starts_with("1 "));
        sleep(Duration::from_secs(wait)).await;
    }
    ends.try_recv().unwrap_err();
    let start = tokio::time::Instant::now();
    ends.recv().await.unwrap();
    assert!((58..62).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test]
async fn no_more_than_a_few_idle_pipes_are_kept() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let entered = Arc::new(tokio::sync::Semaphore::new(0));
    let (waiting, arrived) = (Arc::clone(&gate), Arc::clone(&entered));
    let (world, mut ends) = World::serving(move |_| {
        let (gate, entered) = (Arc::clone(&waiting), Arc::clone(&arrived));
        async move {
            entered.add_permits(1);
            gate.acquire().await.unwrap().forget();
            Response::new(full("x"))
        }
    });
    let client = world.h2().await;
    let requests = (0..40).map(|_| {
        let mut client = client.clone();
        async move { read(client.send_request(get("http://h/")).await.unwrap().into_body()).await.unwrap() }
    });
    let open_the_gate = async {
        entered.acquire_many(40).await.unwrap().forget();
        gate.add_permits(40);
    };
    within(async { tokio::join!(futures_util::future::join_all(requests), open_the_gate) }).await;
    for _ in 0..8 {
        within(ends.recv()).await.unwrap();
    }
    ends.try_recv().unwrap_err();
}

#[tokio::test]
async fn a_drain_finishes_what_runs_and_waits_for_nothing_idle() {
    let (go, gate) = tokio::sync::watch::channel(false);
    let (world, _ends) = World::serving(move |request| {
        let mut gate = gate.clone();
        async move {
            if request.uri() == "/slow" {
                gate.wait_for(|open| *open).await.unwrap();
            }
            Response::new(full("done"))
        }
    });
    let (mut idle, mut h1, mut h2) = (world.h1().await, world.h1().await, world.h2().await);
    assert_eq!(exchange(&mut idle, get("/")).await.1, "done");
    let slow = async {
        let (a, b) = tokio::join!(h1.send_request(get("/slow")), h2.send_request(get("http://h/slow")));
        (read(a.unwrap().into_body()).await.unwrap().0, read(b.unwrap().into_body()).await.unwrap().0)
    };
    let World { signal, watch, agents, door, _others, .. } = world;
    let slow = async {
        tokio::pin!(slow);
        let begun = async {
            while agents.free_slots("agent") > 98 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! { _ = &mut slow => panic!("too early"), () = begun => {} }
        let (drained, answers) = tokio::join!(signal.drain(Duration::from_secs(15)), async {
            watch.draining().await;
            tokio::task::yield_now().await;
            go.send(true).unwrap();
            slow.await
        });
        (drained, answers)
    };
    let (drained, answers) = within(slow).await;
    assert_eq!(answers, ("done".to_owned(), "done".to_owned()));
    assert!(drained, "idle connections, idle pipes and the door's own tasks have ended");
    drop(door);
}
