//! What the principal may not have.

use super::*;

#[tokio::test]
async fn what_may_not_run_is_refused_and_the_pipe_goes_on() {
    let redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let mut direct = Pipe::direct(&redis).await;
    direct.set("secret", b"1").await;
    direct.set(LOCAL_TREE, b"2").await;
    let mut pipe = site.pipe();
    for words in [
        &["SET", TREE, "x"][..],
        &["DEL", TREE],
        &["GETDEL", TREE],
        &["EXPIRE", TREE, "1"],
        &["MGET", TREE],
        &["KEYS", "*"],
        &["SCAN", "0"],
        &["EVAL", "return redis.call('flushall')", "0"],
        &["MULTI"],
        &["CONFIG", "GET", "*"],
        &["AUTH", "x"],
        &["HELLO", "3"],
        &["SELECT", "1"],
        &["PUBLISH", CHANNEL, "x"],
        &["PSUBSCRIBE", "*"],
        &["CLIENT", "REPLY", "OFF"],
        &["MONITOR"],
        &["DEBUG", "SLEEP", "100"],
        &["FLUSHALL"],
        &["SHUTDOWN"],
        &["QUIT"],
    ] {
        assert_eq!(pipe.ask(words).await, r"-ERR the agent does not run this command\r\n", "{words:?}");
    }
    for key in ["secret", "cluster|info|https://a|1.8.3.gz", "app|resources-tree|a_b_c|1.8.3", "\r\n", ""] {
        assert_eq!(pipe.ask(&["GET", key]).await, r"-ERR the agent has no such key\r\n", "{key:?}");
    }
    for channel in ["new-revoked-token", "*", "__keyspace@0__:*"] {
        assert_eq!(pipe.ask(&["SUBSCRIBE", channel]).await, r"-ERR the agent has no such channel\r\n", "{channel:?}");
    }
    let long = "x".repeat(500_000);
    assert_eq!(pipe.ask(&["SET", TREE, &long]).await, r"-ERR the agent does not run this command\r\n");
    assert_eq!(pipe.ask(&["GET", &long]).await, r"-ERR the agent has no such key\r\n");
    let many = vec![TREE; 5_000];
    assert_eq!(pipe.ask(&[&["EXISTS"], &many[..]].concat()).await, r"-ERR the command is too long\r\n");
    assert_eq!(pipe.ask(&["GET", TREE]).await, r"$1\r\n2\r\n");
    assert_eq!(direct.ask(&["DBSIZE"]).await, r":2\r\n");
    // Nothing of all that was even asked of Redis.
    assert_eq!(site.metric(r#"connects_total{outcome="connected"}"#), 1);
    assert_eq!(site.metric(r#"commands_total{command="other",outcome="refused"}"#), 22);
}

#[tokio::test]
async fn what_is_no_resp_cuts_the_pipe_and_no_other() {
    let redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let mut other = site.pipe();
    let nested = b"*1\r\n".repeat(100_000);
    let line = vec![b'x'; 100_000];
    for garbage in [
        b"*1\r\n$9223372036854775807\r\n".as_slice(),
        b"*1\r\n$-5\r\n",
        b"*2147483648\r\n",
        b"*1\r\n:1\r\n",
        b"*1\r\n$2000000\r\n",
        b"\x16\x03\x01\x02\xff\"\n",
        &nested,
        &line,
    ] {
        let mut pipe = site.pipe();
        // It may be cut before all is written.
        let written = soon(pipe.stream.write_all(garbage)).await;
        drop(written);
        assert!(pipe.ends().await, "{}", garbage[..20.min(garbage.len())].escape_ascii());
        assert_eq!(other.ask(&["GET", TREE]).await, r"$-1\r\n");
    }
    // A command that ends in the middle is none.
    let mut pipe = site.pipe();
    pipe.write(b"*2\r\n$3\r\nGET\r\n$40\r\napp|").await;
    pipe.stream.shutdown().await.unwrap();
    assert!(pipe.ends().await);
}
