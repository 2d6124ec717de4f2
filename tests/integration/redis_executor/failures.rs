//! A Redis that is away, silent, or none.

use harness::eventually;
use tokio::{
    net::{TcpListener, TcpSocket},
    time::{Instant, timeout},
};

use super::*;

#[tokio::test]
async fn a_redis_that_is_away_is_told_at_once_and_found_when_it_is_back() {
    let mut redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let mut pipe = site.pipe();
    assert_eq!(pipe.ask(&["GET", TREE]).await, r"$-1\r\n");
    redis.kill();
    for words in [&["GET", TREE][..], &["EXISTS", TREE, TREE], &["GET", PLAIN_TREE], &["SUBSCRIBE", CHANNEL]] {
        let told = timeout(AT_ONCE, pipe.ask(words)).await.unwrap();
        assert_eq!(told, r"-ERR cannot reach Redis: connection refused\r\n", "{words:?}");
    }
    assert_eq!(pipe.ask(&["PING"]).await, r"+PONG\r\n");
    redis.restart().await;
    eventually("Redis is found", async || (pipe.ask(&["GET", TREE]).await == r"$-1\r\n").then_some(())).await;
    assert!(pipe.ask(&["SUBSCRIBE", CHANNEL]).await.starts_with(r"*3\r\n$9\r\nsubscribe"));
}

#[tokio::test]
async fn connections_that_a_restart_closed_are_not_noticed() {
    let mut redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let mut pipes = (0..8).map(|_| site.pipe()).collect::<Vec<_>>();
    for round in 0..3 {
        for pipe in &mut pipes {
            pipe.say(&["GET", TREE]).await;
        }
        for pipe in &mut pipes {
            assert_eq!(pipe.heard().await, r"$-1\r\n", "{round}");
        }
        redis.restart().await;
    }
}

#[tokio::test]
async fn a_connection_that_redis_closed_while_nobody_looked_is_not_noticed() {
    let redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let (mut direct, mut pipe) = (Pipe::direct(&redis).await, site.pipe());
    for _ in 0..50 {
        assert_eq!(pipe.ask(&["GET", TREE]).await, r"$-1\r\n");
        direct.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    }
}

#[tokio::test]
async fn a_redis_that_ends_while_it_owes_an_answer_is_told() {
    let mut redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let mut pipe = site.pipe();
    assert_eq!(pipe.ask(&["GET", TREE]).await, r"$-1\r\n");
    redis.pause();
    for _ in 0..3 {
        pipe.say(&["GET", TREE]).await;
    }
    // It is on its way, as far as can be seen from here.
    assert!(timeout(Duration::from_millis(200), pipe.reply()).await.is_err());
    redis.kill();
    for _ in 0..3 {
        assert_eq!(pipe.heard().await, r"-ERR cannot reach Redis: connection refused\r\n");
    }
}

#[tokio::test]
async fn a_silent_redis_is_told_after_five_seconds_for_all_that_waits() {
    let redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let (mut known, mut new) = (site.pipe(), site.pipe());
    assert_eq!(known.ask(&["GET", TREE]).await, r"$-1\r\n");
    redis.pause();
    let since = Instant::now();
    // One on a connection that there is, one on a connection that is made now; and what is behind them.
    for pipe in [&mut known, &mut new] {
        pipe.say(&["GET", TREE]).await;
        pipe.say(&["TTL", TREE]).await;
    }
    for pipe in [&mut known, &mut new] {
        for _ in 0..2 {
            assert_eq!(pipe.heard().await, r"-ERR Redis did not answer in time\r\n");
        }
    }
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(4_900) && took < Duration::from_secs(7), "{took:?}");
    redis.go_on();
    for pipe in [&mut known, &mut new] {
        assert_eq!(pipe.ask(&["GET", TREE]).await, r"$-1\r\n");
    }
}

#[tokio::test]
async fn a_value_that_breaks_off_cuts_its_pipe_and_no_other() {
    let mut redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    Pipe::direct(&redis).await.set(LOCAL_TREE, &vec![b'x'; 32 << 20]).await;
    let (mut broken, mut other) = (site.pipe(), site.pipe());
    broken.say(&["GET", TREE]).await;
    let mut first = [0; 1000];
    soon(broken.stream.read_exact(&mut first)).await.unwrap();
    assert!(first.starts_with(b"$33554432\r\nxxx"));
    redis.kill();
    let mut rest = Vec::new();
    soon(broken.stream.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.len() < 32 << 20, "it was not broken off");
    assert_eq!(other.ask(&["GET", TREE]).await, r"-ERR cannot reach Redis: connection refused\r\n");
    assert_eq!(site.metric(r#"commands_total{command="get",outcome="cut"}"#), 1);
    eventually("the connection is closed", async || (site.metric("connections_open") == 0).then_some(())).await;
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_is_not_waited_for_long() {
    // Nobody takes what waits there, and no more may wait.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(connected) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        waiting.push(connected.unwrap());
    }
    let site = Site::at(&address.to_string(), |_options| {});
    let (mut one, mut other) = (site.pipe(), site.pipe());
    let both = async {
        assert_eq!(one.ask(&["GET", TREE]).await, r"-ERR cannot reach Redis: no connection within 800 ms\r\n");
        assert_eq!(other.ask(&["GET", TREE]).await, r"-ERR cannot reach Redis: no connection within 800 ms\r\n");
    };
    timeout(AT_ONCE, both).await.unwrap();
}

#[tokio::test]
async fn a_name_that_leads_nowhere_is_told() {
    let site = Site::at("no-such-host.invalid:6379", |_options| {});
    let told = site.pipe().ask(&["GET", TREE]).await;
    assert!(told.starts_with("-ERR cannot reach Redis: "), "{told}");
}

#[tokio::test]
async fn what_is_no_redis_is_told() {
    for (says, told) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".as_slice(), r"-ERR what answers is no Redis\r\n"),
        (b":1\r\n", r"-ERR what answers is no Redis\r\n"),
        (b"+OK\r\n", r"-ERR what answers is no Redis\r\n"),
        (b"", r"-ERR the connection to Redis was lost\r\n"),
        (
            b"-ERR max number of clients reached\r\n",
            r"-ERR Redis refused the command: ERR max number of clients reached\r\n",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let site = Site::at(&listener.local_addr().unwrap().to_string(), |_options| {});
        site.watch.spawn(Span::none(), async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut heard = [0; 512];
                if stream.read(&mut heard).await.is_ok() {
                    stream.write_all(says).await.unwrap_or_default();
                }
            }
        });
        let mut pipe = site.pipe();
        for _ in 0..3 {
            assert_eq!(pipe.ask(&["GET", TREE]).await, told);
        }
        // It fails, or is not more than the listener can hear; but it does not hang.
        assert!(pipe.ask(&["SUBSCRIBE", CHANNEL]).await.starts_with("-ERR "));
    }
}
