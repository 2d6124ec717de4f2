//! Large values, readers that stall, many pipes: what others notice of them, and what they cost.

use std::process::Command;

use agent::config::Compression;
use harness::eventually;
use tokio::time::timeout;

use super::*;

/// A value of so many zeros, of which only a word goes over the wire.
async fn zeros(direct: &mut Pipe<TcpStream>, key: &str, length: usize) {
    let told = direct.ask(&["SETRANGE", key, &(length - 1).to_string(), "\0"]).await;
    assert_eq!(told, format!(r":{length}\r\n"));
}

/// Takes one reply and keeps nothing of it; how long it was.
async fn thrown_away(pipe: &mut Pipe) -> usize {
    let mut length = 0;
    loop {
        let part = match pipe.scanner.next(&mut pipe.came).unwrap() {
            Some(ReplyEvent::Reply(reply)) => reply.into_part(),
            Some(ReplyEvent::Part(part)) => part,
            None => {
                pipe.came.reserve(16 << 10);
                assert!(soon(pipe.stream.read_buf(&mut pipe.came)).await.unwrap() > 0);
                continue;
            }
        };
        length += part.bytes().len();
        if part.is_last() {
            return length;
        }
    }
}

/// Runs `test`, which is the one that calls this, in a process of its own; whether this is that process.
fn is_alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this).args(["--exact", test, "--nocapture"]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    print!("{said}");
    false
}

const ALONE: &str = "REDIS_EXECUTOR_TEST_ALONE";

/// The most memory that this process has had since the last call, in KiB.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak = line.trim().trim_end_matches(" kB").parse().unwrap();
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    peak
}

#[tokio::test]
async fn a_large_value_is_never_held_whole_in_whatever_form() {
    if !is_alone("redis_executor::load::a_large_value_is_never_held_whole_in_whatever_form") {
        return;
    }
    const LARGE: usize = 32 << 20;
    let redis = Redis::start(&[]).await;
    let (compressing, plain) =
        (Site::new(&redis), Site::with(&redis, |options| options.redis.compression = Compression::None));
    let mut direct = Pipe::direct(&redis).await;
    zeros(&mut direct, LOCAL_PLAIN_TREE, LARGE).await;
    direct.set(LOCAL_TREE, &gzip(&vec![0; LARGE])).await;
    // What is needed anyway, for a value of a megabyte: code, threads, buffers.
    let small = "app|resources-tree|agent-a_small|1.8.3";
    zeros(&mut direct, "app|resources-tree|small|1.8.3", 1 << 20).await;
    direct.set("app|resources-tree|small|1.8.3.gz", &gzip(&vec![0; 1 << 20])).await;
    let small_gz = format!("{small}.gz");
    for (site, key, small) in
        [(&plain, PLAIN_TREE, small), (&plain, TREE, &small_gz), (&compressing, PLAIN_TREE, small)]
    {
        let mut pipe = site.pipe();
        pipe.say(&["GET", small]).await;
        thrown_away(&mut pipe).await;
        peak();
        let before = peak();
        pipe.say(&["GET", key]).await;
        let length = thrown_away(&mut pipe).await;
        assert!(length >= LARGE, "{length}");
        let grown = peak() - before;
        println!("{key}: {grown} KiB for {length} bytes");
        assert!(grown < 2 << 10, "{key}: {grown} KiB");
    }
}

#[tokio::test]
async fn readers_that_stall_hold_up_nobody_however_many_they_are() {
    let redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let mut direct = Pipe::direct(&redis).await;
    zeros(&mut direct, LOCAL_TREE, 4 << 20).await;
    let mut other = site.pipe();
    let mut stalled = Vec::new();
    // More than there are connections that work at a time.
    for number in 0..100 {
        let mut pipe = site.pipe();
        pipe.say(&["GET", TREE]).await;
        let mut first = [0; 12];
        soon(pipe.stream.read_exact(&mut first)).await.unwrap();
        stalled.push(pipe);
        let told = timeout(AT_ONCE, other.ask(&["GET", "app|resources-tree|agent-a_x|1.8.3.gz"])).await;
        assert_eq!(told.unwrap_or_else(|_| panic!("beside {number}")), r"$-1\r\n");
    }
    // They get all of it when they take it.
    for mut pipe in stalled {
        let mut rest = vec![0; 4 << 20];
        soon(pipe.stream.read_exact(&mut rest)).await.unwrap();
        assert!(rest.ends_with(b"\0\r\n"));
        assert_eq!(pipe.ask(&["PING"]).await, r"+PONG\r\n");
    }
    // And of the connections only some are kept.
    eventually("connections are closed", async || (site.metric("connections_open") <= 64).then_some(())).await;
}

#[tokio::test]
async fn a_reader_that_stalls_stops_redis_and_not_the_memory_of_the_agent() {
    let redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let mut direct = Pipe::direct(&redis).await;
    zeros(&mut direct, LOCAL_TREE, 64 << 20).await;
    let mut pipe = site.pipe();
    pipe.say(&["GET", TREE]).await;
    let mut first = [0; 12];
    soon(pipe.stream.read_exact(&mut first)).await.unwrap();
    // Redis still has nearly all of it.
    let list = eventually("Redis waits", async || {
        let list = direct.ask(&["CLIENT", "LIST"]).await;
        list.contains("cmd=get").then_some(list)
    })
    .await;
    let omem = list.split("omem=").filter_map(|rest| rest.split(' ').next()?.parse::<usize>().ok()).max().unwrap();
    assert!(omem > 50 << 20, "{omem}");
    drop(pipe);
    eventually("the connection is closed", async || (site.metric("connections_open") == 0).then_some(())).await;
}

#[tokio::test]
async fn a_pipe_that_waits_costs_little() {
    if !is_alone("redis_executor::load::a_pipe_that_waits_costs_little") {
        return;
    }
    let redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let mut pipes = Vec::new();
    let mut before = 0;
    for number in 0..2_200 {
        // What is needed anyway is there with the first of them.
        if number == 200 {
            peak();
            before = peak();
        }
        let mut pipe = site.pipe();
        assert_eq!(pipe.ask(&["GET", TREE]).await, r"$-1\r\n");
        pipe.came = BytesMut::new();
        pipes.push(pipe);
    }
    let each = (peak() - before) as f64 / 2_000.0;
    println!("{each} KiB");
    // With both of its ends, and without optimisation.
    assert!(each < 24.0, "{each} KiB");
}

#[tokio::test]
async fn many_pipes_share_few_connections() {
    let redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let mut pipes = (0..500).map(|_| site.pipe()).collect::<Vec<_>>();
    for _ in 0..3 {
        for pipe in &mut pipes {
            pipe.say(&["GET", TREE]).await;
        }
        for pipe in &mut pipes {
            assert_eq!(pipe.heard().await, r"$-1\r\n");
        }
    }
    assert!(site.metric(r#"connects_total{outcome="connected"}"#) <= 64);
}
