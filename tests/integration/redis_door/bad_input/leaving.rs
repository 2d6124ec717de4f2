//! Clients that vanish: what was under way for them ends, everywhere.

use std::time::Duration;

use harness::{eventually, resp::RespClient, soon};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{RESOURCES, Stage, THEIR_RESOURCES, TREE};

#[tokio::test]
async fn what_is_under_way_for_a_client_that_vanishes_ends_everywhere() {
    let stage = Stage::start(&["--client-output-buffer-limit", "normal 0 0 0"]).await;
    let large = "x".repeat(8 << 20);
    RespClient::connect(stage.local.address()).await.ask(&["SET", "large", &large]).await;
    RespClient::connect(stage.remote.address()).await.ask(&["SET", THEIR_RESOURCES, &large]).await;
    stage.still_answers().await;
    eventually("nobody is there", async || (stage.open_for_clients().await == [0.0; 2]).then_some(())).await;
    // A subscription outlives who listens, and its publisher with it, for half a minute. This one is there all the time.
    let channel = RESOURCES.trim_end_matches(".gz");
    let mut listener = stage.client().await;
    listener.ask(&["SUBSCRIBE", channel]).await;
    let mut remote = RespClient::connect(stage.remote.address()).await;
    remote.ask(&["PUBLISH", THEIR_RESOURCES.trim_end_matches(".gz"), "published"]).await;
    assert!(listener.reply().await.contains("message"), "the publisher is there");
    // One of them may be leaving.
    let others = stage.clients_of_redis().await;
    let of_agent = format!("GET {RESOURCES}\r\n");
    let mixed = format!("GET large\r\nGET {TREE}\r\nGET {RESOURCES}\r\nMGET large {TREE} {RESOURCES}\r\n").repeat(5);
    for (said, heard) in [
        ("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\nxxxx", 0),
        ("*3\r\n$4\r\nMGET\r\n$1\r\nk\r\n", 0),
        ("*2\r\n$3\r\nGET\r\n$40\r\napp|resources-tree|agent-a_", 0),
        ("GET large\r\n", 0),
        ("GET large\r\n", 1),
        ("GET large\r\n", 5 << 20),
        (of_agent.as_str(), 0),
        (&of_agent, 1),
        (&of_agent, 5 << 20),
        (&format!("MGET large {RESOURCES} large\r\n"), 10 << 20),
        (&mixed, 0),
        (&mixed, 12 << 20),
        ("BLPOP none 0\r\n", 0),
        (&format!("BLPOP none 0\r\n{of_agent}"), 0),
        ("MULTI\r\nSET a 1\r\n", 5),
        ("MONITOR\r\n", 5),
        (&format!("SUBSCRIBE {channel}\r\n"), 20),
    ] {
        for graceful in [true, false] {
            let mut stream = TcpStream::connect(stage.door).await.unwrap();
            stream.write_all(said.as_bytes()).await.unwrap();
            soon(stream.read_exact(&mut vec![0; heard])).await.unwrap();
            if heard == 0 {
                // Something of it may have begun, or not.
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            if graceful {
                stream.shutdown().await.unwrap();
            }
            drop(stream);
            eventually(said, async || (stage.open_for_clients().await == [0.0, 1.0]).then_some(())).await;
            eventually(said, async || (stage.clients_of_redis().await <= others).then_some(())).await;
            eventually(said, async || (stage.listeners().await == 1.0).then_some(())).await;
        }
    }
    stage.still_answers().await;
    // The agent's connections to its Redis are none that still has to say 8 MB.
    eventually("the agent's connections are at rest", async || {
        let text = remote.ask(&["CLIENT", "LIST"]).await;
        text.lines().filter(|line| line.contains(" omem=")).all(|line| line.contains(" omem=0 ")).then_some(())
    })
    .await;
}
