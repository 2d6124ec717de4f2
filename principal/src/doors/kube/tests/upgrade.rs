//! exec, attach and port-forward: whatever the protocol is after 101.

use hyper::upgrade::OnUpgrade;
use tokio::sync::oneshot;

use super::*;

const EXEC: &[u8] = b"POST /api/v1/namespaces/a/pods/b/exec?command=x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\
    Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v5.channel.k8s.io\r\n\
    X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n";

/// An agent that switches, and hands over what it switched.
fn switching() -> (World, mpsc::Receiver<End>, mpsc::Receiver<OnUpgrade>) {
    let (upgrades, switched) = mpsc::channel(16);
    let (world, ends) = World::serving(move |mut request| {
        assert_eq!(request.headers()["connection"], "upgrade");
        assert_eq!(request.headers()["upgrade"], "SPDY/3.1");
        assert_eq!(request.headers().get_all("x-stream-protocol-version").iter().count(), 2);
        upgrades.try_send(hyper::upgrade::on(&mut request)).unwrap();
        async {
            let response =
                Response::builder().status(101).header("connection", "Upgrade").header("upgrade", "SPDY/3.1");
            response.header("x-stream-protocol-version", "v5.channel.k8s.io").body(empty()).unwrap()
        }
    });
    (world, ends, switched)
}

async fn read_head(io: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(io.read_u8()).await.unwrap());
    }
    without_date(&String::from_utf8(head).unwrap())
}

#[tokio::test]
async fn bytes_pass_both_ways_and_half_close_is_carried() {
    let (world, mut ends, mut switched) = switching();
    let mut client = world.connect(Some("agent"), None);
    client.write_all(EXEC).await.unwrap();
    assert_eq!(
        read_head(&mut client).await,
        "HTTP/1.1 101 Switching Protocols\r\nx-stream-protocol-version: v5.channel.k8s.io\r\nconnection: upgrade\r\n\
         upgrade: SPDY/3.1\r\n\r\n"
    );
    let mut agent = TokioIo::new(within(switched.recv().await.unwrap()).await.unwrap());
    assert_eq!(world.agents.free_slots("agent"), 99, "the place is held while the session runs");

    client.write_all(b"stdin\x00\xff").await.unwrap();
    let mut bytes = [0; 7];
    within(agent.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(&bytes, b"stdin\x00\xff");

    client.shutdown().await.unwrap();
    assert_eq!(within(agent.read(&mut bytes)).await.unwrap(), 0, "the end of stdin is seen");
    agent.write_all(b"still stdout").await.unwrap();
    agent.shutdown().await.unwrap();
    let mut rest = Vec::new();
    within(client.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"still stdout");
    drop(agent);
    assert_eq!(within(ends.recv()).await, Some(End::Clean));
    assert_eq!(world.agents.free_slots("agent"), 100);
}

#[tokio::test]
async fn bytes_that_follow_the_heads_at_once_are_not_lost() {
    let (world, _ends, mut switched) = switching();
    let mut client = world.connect(Some("agent"), None);
    client.write_all(&[EXEC, b"early"].concat()).await.unwrap();
    let mut agent = TokioIo::new(within(switched.recv().await.unwrap()).await.unwrap());
    let mut bytes = [0; 5];
    within(agent.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(&bytes, b"early");
    drop(client);
}

#[tokio::test]
async fn a_caller_that_leaves_ends_the_session_at_the_agent() {
    let (world, mut ends, mut switched) = switching();
    let mut client = world.connect(Some("agent"), None);
    client.write_all(EXEC).await.unwrap();
    read_head(&mut client).await;
    let mut agent = TokioIo::new(within(switched.recv().await.unwrap()).await.unwrap());
    drop(client);
    let mut bytes = [0; 1];
    within(agent.read(&mut bytes)).await.unwrap_or_default();
    // Somebody who writes on finds out.
    let write_on = async {
        while agent.write_all(&[0; 1024]).await.is_ok() && agent.flush().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within(write_on).await;
    assert_eq!(within(ends.recv()).await, Some(End::Cut));
}

#[tokio::test]
async fn an_agent_that_breaks_ends_the_callers_connection() {
    let (world, _ends, mut switched) = switching();
    let mut client = world.connect(Some("agent"), None);
    client.write_all(EXEC).await.unwrap();
    read_head(&mut client).await;
    drop(within(switched.recv().await.unwrap()).await.unwrap());
    let mut rest = Vec::new();
    within(client.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn an_answer_that_does_not_switch_passes_and_the_connection_goes_on() {
    let (world, _ends) = World::serving(|request| async move {
        assert_eq!(request.headers()["upgrade"], "websocket");
        Response::builder().status(403).body(full("no exec for you")).unwrap()
    });
    let mut client = world.h1().await;
    for _ in 0..2 {
        let mut request = get("/api/v1/namespaces/a/pods/b/exec");
        request.headers_mut().insert("connection", "upgrade".parse().unwrap());
        request.headers_mut().insert("upgrade", "websocket".parse().unwrap());
        client.ready().await.unwrap();
        let response = within(client.send_request(request)).await.unwrap();
        assert_eq!(response.status(), 403);
        assert_eq!(within(read(response.into_body())).await.unwrap().0, "no exec for you");
    }
}

#[tokio::test]
async fn a_drain_lets_a_session_finish_and_resets_it_after_the_grace_period() {
    for finishes in [true, false] {
        let (world, _ends, mut switched) = switching();
        let mut client = world.connect(Some("agent"), None);
        client.write_all(EXEC).await.unwrap();
        read_head(&mut client).await;
        let agent = within(switched.recv().await.unwrap()).await.unwrap();
        let World { signal, watch, _others, .. } = world;
        let (left, leaves) = oneshot::channel::<()>();
        let session = async move {
            watch.draining().await;
            if finishes {
                drop((client, agent));
                left.send(()).unwrap();
            } else {
                let mut rest = Vec::new();
                within(client.read_to_end(&mut rest)).await.unwrap();
                drop(agent);
            }
        };
        let grace = if finishes { Duration::from_secs(15) } else { Duration::from_millis(200) };
        let (drained, ()) = within(async { tokio::join!(signal.drain(grace), session) }).await;
        assert_eq!(drained, finishes);
        drop(leaves);
    }
}
