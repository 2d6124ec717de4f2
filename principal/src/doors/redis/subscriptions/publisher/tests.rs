use std::time::Duration;

use common::redis::{Credentials, Endpoint};
use prometheus_client::registry::Registry;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::timeout,
};

use super::*;
use crate::redis::WireError;

fn task() -> (Publisher, Task) {
    let (publisher, inbox) = Publisher::channel();
    let task = Task {
        redis: OwnRedis::new(Endpoint::parse("127.0.0.1:1", None).unwrap(), Credentials::None),
        timing: Timing::default(),
        metrics: SubscriptionMetrics::register(&mut Registry::default()),
        inbox,
        backoff: Backoff::default(),
        connections: 1,
    };
    (publisher, task)
}

async fn publish(publisher: &Publisher, connection: u64, channel: &str, payload: &[u8]) {
    let what = if payload.is_empty() { What::Gap } else { What::Message };
    let message = Message { channel: channel.into(), payload: Bytes::copy_from_slice(payload), what };
    let room = publisher.room(&message).await;
    publisher.publish(connection, message, room);
}

async fn expect(redis: &mut DuplexStream, text: &str) {
    let mut heard = vec![0; text.len()];
    redis.read_exact(&mut heard).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&heard), text);
}

#[tokio::test(start_paused = true)]
async fn messages_are_pipelined_in_order_and_those_of_an_earlier_connection_are_not_published() {
    let (publisher, mut task) = task();
    let (near, mut redis) = duplex(1 << 20);
    for number in 0..1_000 {
        publish(&publisher, 1, "c", number.to_string().as_bytes()).await;
        publish(&publisher, 0, "c", b"old").await;
    }
    assert_eq!(publisher.room.available_permits(), ROOM - 2_000 * COST - 2_890 - 3_000);
    let talk = async {
        for number in 0..1_000 {
            let number = number.to_string();
            expect(&mut redis, &format!("*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n${}\r\n{number}\r\n", number.len())).await;
        }
        redis.write_all(":0\r\n".repeat(999).as_bytes()).await.unwrap();
        drop(redis);
    };
    let (trouble, ()) = tokio::join!(task.serve(Wire::new(near, LONGEST)), talk);
    assert!(matches!(trouble, Trouble::Wire(WireError::Closed)), "{trouble:?}");
    assert_eq!(task.metrics.counted(What::Message, Outcome::Published), 999);
    assert_eq!(task.metrics.counted(What::Message, Outcome::Lost), 1_001);
    assert_eq!(publisher.room.available_permits(), ROOM, "what is over holds no room");
}

#[tokio::test(start_paused = true)]
async fn a_redis_that_does_not_answer_is_given_up() {
    let (publisher, mut task) = task();
    let (near, mut redis) = duplex(1 << 20);
    let began = Instant::now();
    let talk = async {
        expect(&mut redis, "*1\r\n$4\r\nPING\r\n").await;
        assert_eq!(began.elapsed().as_secs(), 10);
        redis.write_all(b"+PONG\r\n").await.unwrap();
        publish(&publisher, 1, "c", b"").await;
        expect(&mut redis, "*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$0\r\n\r\n").await;
        std::future::pending::<()>().await;
    };
    let trouble = tokio::select! {
        trouble = task.serve(Wire::new(near, LONGEST)) => trouble,
        () = talk => unreachable!("it waits"),
    };
    assert!(matches!(trouble, Trouble::Silent), "{trouble:?}");
    assert_eq!(began.elapsed().as_secs(), 15);
    assert_eq!(task.metrics.counted(What::Gap, Outcome::Lost), 1);
}

#[tokio::test(start_paused = true)]
async fn a_redis_that_does_not_publish_says_so_in_its_own_words() {
    for (answer, told) in [
        ("-NOPERM this user has no permissions\r\n", "Redis refuses: NOPERM this user has no permissions"),
        ("+OK\r\n", "Redis answered what nobody asked"),
        (":0\r\n:0\r\n", "Redis answered what nobody asked"),
        ("HTTP/1.1 400\r\n", "the conversation broke off"),
    ] {
        let (publisher, mut task) = task();
        let (near, mut redis) = duplex(1 << 20);
        publish(&publisher, 1, "c", b"x").await;
        let talk = async {
            expect(&mut redis, "*3\r\n").await;
            redis.write_all(answer.as_bytes()).await.unwrap();
            redis
        };
        let (trouble, _redis) = tokio::join!(task.serve(Wire::new(near, LONGEST)), talk);
        assert_eq!(trouble.to_string(), told);
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_has_a_bound() {
    let (publisher, _task) = task();
    let payload = vec![b'x'; 1 << 20];
    for _ in 0..3 {
        publish(&publisher, 1, "c", &payload).await;
    }
    let more = timeout(Duration::from_secs(60), publish(&publisher, 1, "c", &payload)).await;
    assert!(more.is_err(), "there is no room");
    // Small ones wait behind nobody who has gone.
    publish(&publisher, 1, "c", b"").await;
}
