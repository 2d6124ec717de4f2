//! Clients that say much: what they cost has a bound, and nobody else waits.

use std::time::Duration;

use common::resp::frames;
use futures_util::{StreamExt, stream};
use harness::eventually;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use super::Stage;
use crate::redis_door::{RESOURCES, TREE};

/// What a client says: first this, then another many times. It reads nothing.
struct Burden {
    name: &'static str,
    beginning: Vec<u8>,
    piece: Vec<u8>,
    times: usize,
}

#[tokio::test]
async fn whatever_a_client_says_costs_a_bounded_room_and_nobody_else_waits() {
    let stage = Stage::start(&["--client-output-buffer-limit", "normal 0 0 0"]).await;
    for _ in 0..50 {
        stage.still_answers().await;
    }
    let first = stage.resident().await;
    for burden in burdens() {
        let mut stream = TcpStream::connect(stage.door).await.unwrap();
        let say = async {
            stream.write_all(&burden.beginning).await.unwrap();
            for _ in 0..burden.times {
                // It is taken, or not any more: nobody reads the replies.
                let Ok(Ok(())) = timeout(UNTAKEN, stream.write_all(&burden.piece)).await else { break };
            }
            // What was taken is on its way, too.
            tokio::time::sleep(UNTAKEN).await;
        };
        let others = async {
            loop {
                let began = Instant::now();
                stage.still_answers().await;
                assert!(began.elapsed() < WAIT, "{}: others wait {:?}", burden.name, began.elapsed());
                for (now, first) in stage.resident().await.into_iter().zip(first) {
                    assert!(now - first < MOST, "{}: {} bytes more", burden.name, now - first);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! { () = say => {}, () = others => {} }
        drop(stream);
        stage.release().await;
        eventually(burden.name, async || (stage.open().await == [0.0; 3]).then_some(())).await;
    }
}

#[tokio::test]
async fn ten_thousand_connections_that_come_and_go_leave_nothing_behind() {
    let stage = Stage::start(&[]).await;
    stage.still_answers().await;
    let first = stage.resident().await;
    let door = stage.door;
    let get = frames::get(TREE.as_bytes());
    stream::iter(0..10_000)
        .for_each_concurrent(100, async |number| {
            let mut stream = TcpStream::connect(door).await.unwrap();
            let (said, heard): (&[u8], usize) = match number % 20 {
                0 => (b"PING\r\n", 7),
                1 => (b"PING\r\n", 0),
                2 => (&get, 12),
                3 => (&get, 1),
                4 => (b"*2\r\n$3\r\nGET\r\n", 0),
                5 => (b"SUBSCRIBE a\r\n", 20),
                6 => (b"*1\r\n$x\r\n", 20),
                _ => (b"", 0),
            };
            stream.write_all(said).await.unwrap();
            stream.read_exact(&mut vec![0; heard]).await.unwrap();
        })
        .await;
    eventually("all are gone", async || (stage.open().await == [0.0; 3]).then_some(())).await;
    stage.still_answers().await;
    for (now, first) in stage.resident().await.into_iter().zip(first) {
        assert!(now - first < MOST, "{} bytes more", now - first);
    }
}

fn burdens() -> Vec<Burden> {
    let long_key = format!("{}{TREE}", "p".repeat(4_000));
    let away = TREE.replace("agent-a", "agent-b");
    let get = |key: &str, times| frames::get(key.as_bytes()).repeat(times);
    let many = |word: &str, key: &str| {
        let words = std::iter::once(word.as_bytes()).chain(std::iter::repeat_n(key.as_bytes(), 1_000));
        frames::command(&words.collect::<Vec<_>>()).to_vec()
    };
    let waits = "BLPOP none 0\r\n";
    [
        ("a value of 200 MB that never ends", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$209715200\r\n", vec![b'x'; 1 << 20], 199),
        ("a word of 200 MB", "*1\r\n$209715200\r\n", vec![b'x'; 1 << 20], 199),
        ("a key of 64 MB", "*2\r\n$3\r\nGET\r\n$67108864\r\n", vec![b'|'; 1 << 20], 64),
        ("an element of 64 MB", "*3\r\n$4\r\nMGET\r\n$67108864\r\n", vec![b'|'; 1 << 20], 64),
        ("a channel of 64 MB", "*2\r\n$9\r\nSUBSCRIBE\r\n$67108864\r\n", vec![b'|'; 1 << 20], 64),
        ("many keys in one command", "*1000000\r\n$4\r\nMGET\r\n", b"$1\r\nk\r\n".repeat(50_000), 19),
        ("many channels in one command", "*1000000\r\n$9\r\nSUBSCRIBE\r\n", b"$1\r\nk\r\n".repeat(50_000), 19),
        ("100,000 commands", "", b"*1\r\n$4\r\nPING\r\n".repeat(10_000), 10),
        ("100,000 errors", "", b"*1\r\n$4\r\nNONE\r\n".repeat(10_000), 10),
        ("100,000 refusals", "", b"CLIENT REPLY OFF\r\n".repeat(10_000), 10),
        ("100,000 commands with large replies", "", b"*1\r\n$6\r\nLOLWUT\r\n".repeat(10_000), 10),
        ("transactions", "", b"MULTI\r\nSET a 1\r\nEXEC\r\n".repeat(10_000), 10),
        ("a transaction without an end", "MULTI\r\n", b"SET a 1\r\n".repeat(10_000), 10),
        ("100,000 reads of an agent's key", "", get(TREE, 10_000), 10),
        ("reads of an agent's long key", "", get(&long_key, 100), 50),
        ("100,000 reads of a key of an agent that is away", "", get(&away, 10_000), 10),
        ("reads of 1,000 keys of an agent", "", many("MGET", RESOURCES), 50),
        ("counts of 1,000 keys of an agent", "", many("EXISTS", RESOURCES), 50),
        ("reads of 1,000 keys of an agent that is away", "", many("MGET", &away), 300),
        ("reads behind what waits", waits, get(&long_key, 100), 50),
        ("reads of 1,000 keys behind what waits", waits, many("MGET", RESOURCES), 300),
        ("reads of 1,000 keys of an agent that is away behind what waits", waits, many("MGET", &away), 300),
    ]
    .map(|(name, beginning, piece, times)| Burden { name, beginning: beginning.into(), piece, times })
    .into()
}

/// What is not taken in this time is not taken at all.
const UNTAKEN: Duration = Duration::from_millis(500);

/// What others may have to wait on a machine that is busy, if a client costs no more than its share.
const WAIT: Duration = Duration::from_secs(5);

/// By so much may a process grow. Half of it is what an allocator keeps of small things.
const MOST: f64 = (16 << 20) as f64;
