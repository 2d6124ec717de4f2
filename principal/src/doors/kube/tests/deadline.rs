//! When an answer is late, and when it is not.

use tokio::time::{Instant, sleep};

use super::*;

#[tokio::test(start_paused = true)]
async fn an_upload_that_moves_is_never_late() {
    let (world, _ends) = World::serving(|request| async move {
        let (body, _) = read(request.into_body()).await.unwrap();
        sleep(Duration::from_secs(9)).await;
        Response::new(full(body))
    });
    let mut client = world.h1().await;
    let (sender, body) = channel();
    let request = Request::post("/x").header("host", "h").body(body).unwrap();
    let start = Instant::now();
    let send = async move {
        for _ in 0..6 {
            sleep(Duration::from_secs(9)).await;
            sender.send(data(b"x")).await.unwrap();
        }
    };
    let (response, ()) = tokio::join!(client.send_request(request), send);
    let response = response.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(read(response.into_body()).await.unwrap().0, "xxxxxx");
    assert_eq!(start.elapsed().as_secs(), 63);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_stalls_is_504() {
    let (world, mut ends) = World::serving(|request| async move {
        read(request.into_body()).await.map(|_| ()).unwrap_or_default();
        Response::new(empty())
    });
    let mut client = world.h1().await;
    let (sender, body) = channel();
    let request = Request::post("/x").header("host", "h").body(body).unwrap();
    sender.send(data(b"x")).await.unwrap();
    let start = Instant::now();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), 504);
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(within(ends.recv()).await.unwrap(), End::Cut, "the agent's work is cancelled");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_stops_reading_is_504_and_its_pipe_is_cut() {
    let mut world = World::new();
    let mut client = world.h1().await;
    let request = Request::post("/x").header("host", "h").body(full(vec![0; 4 * 1024 * 1024])).unwrap();
    let (response, pipe) = tokio::join!(client.send_request(request), world.pipes.recv());
    assert_eq!(response.unwrap().status(), 504);
    let AgentPipe { ended, io, .. } = pipe.unwrap();
    assert_eq!(within(ended).await.unwrap(), End::Cut);
    drop(io);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_late_once_the_head_is_through() {
    let (world, _ends) = World::serving(|_| async {
        let (sender, body) = channel();
        let stream = async move {
            sleep(Duration::from_secs(3600)).await;
            sender.send(data(b"event")).await.unwrap();
        };
        #[expect(clippy::disallowed_methods, reason = "a test's server has no drain")]
        tokio::spawn(stream);
        Response::new(body)
    });
    let mut client = world.h1().await;
    let response = client.send_request(get("/api/v1/pods?watch=1")).await.unwrap();
    assert_eq!(read(response.into_body()).await.unwrap().0, "event");
}
