//! What reads of agents' keys give.

use agent::config::Compression;

use super::*;

#[tokio::test]
async fn every_read_gives_what_redis_gives_under_the_name_of_this_side() {
    let redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let (mut direct, mut pipe) = (Pipe::direct(&redis).await, site.pipe());
    direct.set(LOCAL_TREE, b"\x1f\x8b\r\nvalue").await;
    assert_eq!(direct.ask(&["EXPIRE", LOCAL_TREE, "3600"]).await, r":1\r\n");
    for (words, local) in [
        (&["GET", TREE][..], &["GET", LOCAL_TREE][..]),
        (&["STRLEN", TREE], &["STRLEN", LOCAL_TREE]),
        (&["EXISTS", TREE, CHANNEL, TREE], &["EXISTS", LOCAL_TREE, LOCAL_TREE]),
        (&["TTL", TREE], &["TTL", LOCAL_TREE]),
        (&["GETRANGE", TREE, "2", "-3"], &["GETRANGE", LOCAL_TREE, "2", "-3"]),
        (&["GETRANGE", TREE, "5", "1"], &["GETRANGE", LOCAL_TREE, "5", "1"]),
    ] {
        assert_eq!(pipe.ask(words).await, direct.ask(local).await, "{words:?}");
    }
    let left = pipe.ask(&["PTTL", TREE]).await;
    let left: i64 = left.trim_start_matches(':').trim_end_matches(r"\r\n").parse().unwrap();
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");
    let missing = "app|resources-tree|agent-a_other|1.8.3.gz";
    for (words, expected) in [
        (&["GET", missing][..], r"$-1\r\n"),
        (&["EXISTS", missing], r":0\r\n"),
        (&["TTL", missing], r":-2\r\n"),
        (&["PTTL", missing], r":-2\r\n"),
        (&["STRLEN", missing], r":0\r\n"),
        (&["GETRANGE", missing, "0", "-1"], r"$0\r\n\r\n"),
        (&["PING"], r"+PONG\r\n"),
    ] {
        assert_eq!(pipe.ask(words).await, expected, "{words:?}");
    }
    assert_eq!(site.metric(r#"commands_total{command="get",outcome="answered"}"#), 2);
    assert_eq!(site.metric("connections_open"), 1);
}

#[tokio::test]
async fn prefix_database_and_mapping_are_those_of_this_side() {
    let redis = Redis::start(&[]).await;
    let mut direct = Pipe::direct(&redis).await;
    assert_eq!(direct.ask(&["SELECT", "5"]).await, r"+OK\r\n");
    direct.set("own:app|resources-tree|team_x|1.8.3.gz", b"in its namespace").await;
    direct.set("own:app|resources-tree|x|1.8.3.gz", b"in that of Argo CD").await;
    let site = Site::with(&redis, |options| {
        options.redis.database = 5;
        options.redis.key_prefix = "own:".into();
        options.destination_based_mapping = true;
    });
    let mut pipe = site.pipe();
    for (key, expected) in [
        ("theirs:app|resources-tree|team_x|1.8.3.gz", "$16\\r\\nin its namespace\\r\\n"),
        ("app|resources-tree|argocd_x|1.8.3.gz", "$18\\r\\nin that of Argo CD\\r\\n"),
        ("app|resources-tree|x|1.8.3.gz", "$18\\r\\nin that of Argo CD\\r\\n"),
    ] {
        assert_eq!(pipe.ask(&["GET", key]).await, expected);
    }
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_order_whatever_is_among_them() {
    let redis = Redis::start(&[]).await;
    let site = Site::with(&redis, |options| options.redis.compression = Compression::None);
    let (mut direct, mut pipe) = (Pipe::direct(&redis).await, site.pipe());
    let mut expected = Vec::new();
    for number in 0..300 {
        let key = |agent: &str| format!("app|resources-tree|{agent}app-{number}|1.8.3");
        match number % 5 {
            0 => {
                pipe.say(&["PING"]).await;
                expected.push(r"+PONG\r\n".to_owned());
            }
            1 => {
                pipe.say(&["GET", "secret"]).await;
                expected.push(r"-ERR the agent has no such key\r\n".to_owned());
            }
            2 => {
                pipe.say(&["GET", &key("agent-a_")]).await;
                expected.push(r"$-1\r\n".to_owned());
            }
            _ => {
                // Some of them larger than what is read at a time.
                let value = number.to_string().repeat(1 + number * 50);
                direct.set(&key(""), value.as_bytes()).await;
                pipe.say(&["GET", &key("agent-a_")]).await;
                expected.push(format!(r"${}\r\n{value}\r\n", value.len()));
            }
        }
        // What is answered has to be taken at some time.
        if number % 50 == 49 {
            for expected in expected.drain(..) {
                assert!(pipe.heard().await == expected, "{number}");
            }
        }
    }
}

#[tokio::test]
async fn a_command_may_come_byte_by_byte() {
    let redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let mut pipe = site.pipe();
    for command in [&["GET", TREE][..], &["EXISTS", TREE, CHANNEL], &["GETRANGE", TREE, "0", "-1"], &["SET", TREE, "x"]]
    {
        let words = command.iter().map(|word| word.as_bytes()).collect::<Vec<_>>();
        for byte in frames::command(&words) {
            pipe.write(&[byte]).await;
            tokio::task::yield_now().await;
        }
        let expected = match command[0] {
            "GET" => r"$-1\r\n",
            "EXISTS" => r":0\r\n",
            "SET" => r"-ERR the agent does not run this command\r\n",
            _ => r"$0\r\n\r\n",
        };
        assert_eq!(pipe.heard().await, expected);
    }
}

#[tokio::test]
async fn a_principal_that_says_no_more_gets_its_answers_and_a_clean_end() {
    let redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let mut pipe = site.pipe();
    for _ in 0..100 {
        pipe.say(&["GET", TREE]).await;
    }
    pipe.stream.shutdown().await.unwrap();
    for _ in 0..100 {
        assert_eq!(pipe.heard().await, r"$-1\r\n");
    }
    assert_eq!(pipe.reply().await, None);
}

#[tokio::test]
async fn a_drain_ends_pipes_that_wait_and_no_others() {
    let redis = Redis::start(&[]).await;
    let mut site = Site::new(&redis);
    Pipe::direct(&redis).await.set(LOCAL_TREE, &vec![b'x'; 1 << 20]).await;
    let (mut idle, mut busy, mut listens) = (site.pipe(), site.pipe(), site.pipe());
    assert_eq!(idle.ask(&["PING"]).await, r"+PONG\r\n");
    listens.ask(&["SUBSCRIBE", CHANNEL]).await;
    busy.say(&["GET", TREE]).await;
    let mut first = [0; 1];
    soon(busy.stream.read_exact(&mut first)).await.unwrap();
    busy.came.extend_from_slice(&first);
    let signal = site.signal.take().unwrap();
    let (drained, ()) = tokio::join!(signal.drain(Duration::from_secs(30)), async {
        assert!(idle.ends().await);
        assert!(listens.ends().await);
        assert_eq!(busy.reply().await.unwrap().len(), (1 << 20) + 12);
        assert!(busy.ends().await);
    });
    assert!(drained);
}
