//! What is read through the door is what the agent's Redis holds, if the principal's Redis allows it.

use harness::{eventually, raw, redis_scene::RedisScene};

use super::{RESOURCES, THEIR_RESOURCES, THEIR_TREE, TREE, bulk};

#[tokio::test]
async fn a_tree_is_read_from_the_agents_redis() {
    let scene = RedisScene::start().await;
    scene.at_agent().await.ask(&["SET", THEIR_TREE, "a tree"]).await;
    scene.at_principal().await.ask(&["SET", TREE, "a stale copy"]).await;
    let mut client = scene.client().await;
    assert_eq!(client.ask(&["get", TREE]).await, bulk("a tree"));
    // In any case, in a line, and again on the same pipe.
    client.raw(format!("gEt {TREE}\r\n").as_bytes()).await;
    assert_eq!(client.reply().await, bulk("a tree"));
    scene.at_agent().await.ask(&["SET", THEIR_TREE, ""]).await;
    assert_eq!(client.ask(&["GET", TREE]).await, bulk(""));
    // A part of a large tree.
    scene.at_agent().await.ask(&["SET", "app|resources-tree|guestbook|3|1.8.3.gz", "part 3"]).await;
    assert_eq!(client.ask(&["GET", "app|resources-tree|agent-a_guestbook|3|1.8.3.gz"]).await, bulk("part 3"));
}

#[tokio::test]
async fn what_the_agent_does_not_have_is_nil_in_the_clients_protocol() {
    let scene = RedisScene::start().await;
    scene.at_principal().await.ask(&["SET", TREE, "a stale copy"]).await;
    let mut client = scene.client().await;
    assert_eq!(client.ask(&["GET", TREE]).await, "$-1\r\n");
    assert_eq!(client.ask(&["GET", RESOURCES]).await, "$-1\r\n");
    client.ask(&["HELLO", "3"]).await;
    assert_eq!(client.ask(&["GET", TREE]).await, "_\r\n");
    assert_eq!(client.ask(&["GET", RESOURCES]).await, "_\r\n");
    client.ask(&["RESET"]).await;
    assert_eq!(client.ask(&["GET", TREE]).await, "$-1\r\n");
    client.ask(&["HELLO", "3"]).await;
    client.ask(&["HELLO", "2"]).await;
    assert_eq!(client.ask(&["GET", TREE]).await, "$-1\r\n");
}

#[tokio::test]
async fn keys_of_no_agent_are_the_principals_own() {
    let scene = RedisScene::start().await;
    let mut client = scene.client().await;
    for key in [
        "app|resources-tree|guestbook|1.8.3.gz",
        "app|resources-tree|argocd_guestbook|1.8.3.gz",
        "app|managed-resources|agent-b_guestbook|1.8.3",
        "cluster|info|https://agent-a|1.8.3",
        "mfst|app.kubernetes.io/instance|agent-a_guestbook|rev|ns|1|1.8.3",
        "git-refs|agent-a_guestbook|1.8.3",
    ] {
        assert_eq!(client.ask(&["SET", key, "local"]).await, "+OK\r\n");
        assert_eq!(client.ask(&["GET", key]).await, bulk("local"), "{key}");
        assert_eq!(scene.at_agent().await.ask(&["DBSIZE"]).await, ":0\r\n");
    }
}

#[tokio::test]
async fn the_other_reads_are_answered_by_the_agent_too() {
    let scene = RedisScene::start().await;
    let mut agent = scene.at_agent().await;
    agent.ask(&["SET", THEIR_TREE, "0123456789", "EX", "1000"]).await;
    scene.at_principal().await.ask(&["SET", TREE, "x"]).await;
    let mut client = scene.client().await;
    assert_eq!(client.ask(&["STRLEN", TREE]).await, ":10\r\n");
    assert_eq!(client.ask(&["GETRANGE", TREE, "2", "-3"]).await, bulk("234567"));
    assert_eq!(client.ask(&["substr", TREE, "0", "0"]).await, bulk("0"));
    assert_eq!(client.ask(&["GETRANGE", TREE, "a", "b"]).await, "-ERR value is not an integer or out of range\r\n");
    let ttl: u64 = client.ask(&["TTL", TREE]).await.trim()[1..].parse().unwrap();
    assert!((900..=1000).contains(&ttl), "{ttl}");
    let ttl: u64 = client.ask(&["PTTL", TREE]).await.trim()[1..].parse().unwrap();
    assert!((900_000..=1_000_000).contains(&ttl), "{ttl}");
    assert_eq!(client.ask(&["TTL", RESOURCES]).await, ":-2\r\n");
    assert_eq!(client.ask(&["EXISTS", TREE]).await, ":1\r\n");
    assert_eq!(client.ask(&["EXISTS", RESOURCES]).await, ":0\r\n");
    assert_eq!(client.ask(&["STRLEN", RESOURCES]).await, ":0\r\n");
    assert_eq!(client.ask(&["GETRANGE", RESOURCES, "0", "-1"]).await, bulk(""));
}

#[tokio::test]
async fn keys_of_agents_and_others_may_be_read_at_once() {
    let scene = RedisScene::start().await;
    let mut agent = scene.at_agent().await;
    agent.ask(&["SET", THEIR_TREE, "a tree"]).await;
    let mut client = scene.client().await;
    client.ask(&["SET", "a", "1"]).await;
    // The principal's own copies are not what is counted or read.
    client.ask(&["SET", TREE, "stale"]).await;
    client.ask(&["SET", RESOURCES, "stale"]).await;
    let elements = [bulk("1"), bulk("a tree"), "$-1\r\n".into(), bulk("a tree"), "$-1\r\n".into()];
    let mget = ["MGET", "a", TREE, "b", TREE, RESOURCES];
    assert_eq!(client.ask(&mget).await, format!("*5\r\n{}", elements.concat()));
    assert_eq!(client.ask(&["EXISTS", "a", "a", "b", TREE, TREE, RESOURCES]).await, ":4\r\n");
    agent.ask(&["SET", THEIR_RESOURCES, "resources"]).await;
    client.ask(&["HELLO", "3"]).await;
    let elements = [bulk("1"), bulk("a tree"), "_\r\n".into(), bulk("a tree"), bulk("resources")];
    assert_eq!(client.ask(&mget).await, format!("*5\r\n{}", elements.concat()));
    assert_eq!(client.ask(&["EXISTS", RESOURCES, "a"]).await, ":2\r\n");
    assert_eq!(client.ask(&["MGET"]).await, "-ERR wrong number of arguments for 'mget' command\r\n");
}

#[tokio::test]
async fn a_read_of_very_many_keys_is_read_locally_unless_an_agents_is_among_them() {
    let scene = RedisScene::start().await;
    let mut client = scene.client().await;
    client.ask(&["SET", "key-09999", "the last"]).await;
    let many: Vec<_> = (0..10_000).map(|number| format!("key-{number:05}")).collect();
    let mut words = vec!["MGET"];
    words.extend(many.iter().map(String::as_str));
    let reply = client.ask(&words).await;
    assert!(reply.starts_with("*10000\r\n") && reply.ends_with(&bulk("the last")), "{}", reply.len());
    words.push(TREE);
    let reply = client.ask(&words).await;
    assert_eq!(reply, "-ERR the redis proxy reads at most 64 KiB of keys in one command\r\n");
    assert_eq!(client.ask(&["PING"]).await, "+PONG\r\n");
}

#[tokio::test]
async fn nothing_of_an_agent_leaves_before_redis_allows_it() {
    let scene = RedisScene::start_with(&["--requirepass", "secret"], &[]).await;
    scene.at_agent().await.ask(&["SET", THEIR_TREE, "a tree"]).await;
    let mut client = scene.client().await;
    let noauth = "-NOAUTH Authentication required.\r\n";
    assert_eq!(client.ask(&["GET", TREE]).await, noauth);
    assert_eq!(client.ask(&["MGET", TREE, TREE]).await, noauth);
    assert_eq!(client.ask(&["EXISTS", TREE]).await, noauth);
    assert!(client.ask(&["AUTH", "wrong"]).await.starts_with("-WRONGPASS"));
    // All at once: what was asked before the login stays unsaid.
    client.say(&["GET", TREE]).await;
    client.say(&["AUTH", "secret"]).await;
    client.say(&["GET", TREE]).await;
    assert_eq!(client.reply().await, noauth);
    assert_eq!(client.reply().await, "+OK\r\n");
    assert_eq!(client.reply().await, bulk("a tree"));
    // A user who may read some keys only, and then none.
    client.ask(&["ACL", "SETUSER", "bob", "on", ">pw", "~app|managed-resources|*", "+@all"]).await;
    let mut bob = scene.client().await;
    assert_eq!(bob.ask(&["AUTH", "bob", "pw"]).await, "+OK\r\n");
    assert!(bob.ask(&["GET", TREE]).await.starts_with("-NOPERM"));
    assert!(bob.ask(&["MGET", RESOURCES, TREE]).await.starts_with("-NOPERM"));
    assert_eq!(bob.ask(&["GET", RESOURCES]).await, "$-1\r\n");
    assert_eq!(client.ask(&["ACL", "DELUSER", "bob"]).await, ":1\r\n");
    // Redis closes the connections of a user that is gone.
    assert_eq!(bob.frame().await, None);
}

#[tokio::test]
async fn a_transaction_that_reads_an_agents_key_is_aborted() {
    let scene = RedisScene::start().await;
    scene.at_agent().await.ask(&["SET", THEIR_TREE, "a tree"]).await;
    let mut client = scene.client().await;
    for words in [["GET", TREE], ["EXISTS", TREE], ["MGET", TREE]] {
        client.say(&["MULTI"]).await;
        client.say(&["SET", "a", "1"]).await;
        client.say(&words).await;
        client.say(&["EXEC"]).await;
        client.say(&["GET", TREE]).await;
        assert_eq!(client.reply().await, "+OK\r\n");
        assert_eq!(client.reply().await, "+QUEUED\r\n");
        assert_eq!(client.reply().await, "-ERR keys of agents cannot be read in a transaction\r\n");
        assert!(client.reply().await.starts_with("-EXECABORT"));
        assert_eq!(client.reply().await, bulk("a tree"));
    }
    assert_eq!(client.ask(&["GET", "a"]).await, "$-1\r\n");
    // Any other goes through.
    client.ask(&["MULTI"]).await;
    assert_eq!(client.ask(&["SET", "a", "1"]).await, "+QUEUED\r\n");
    assert_eq!(client.ask(&["GET", "a"]).await, "+QUEUED\r\n");
    assert_eq!(client.ask(&["EXEC"]).await, format!("*2\r\n+OK\r\n{}", bulk("1")));
    client.ask(&["MULTI"]).await;
    client.ask(&["GET", TREE]).await;
    assert_eq!(client.ask(&["DISCARD"]).await, "+OK\r\n");
    assert_eq!(client.ask(&["GET", TREE]).await, bulk("a tree"));
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused_and_the_rest_goes_on() {
    let scene = RedisScene::start().await;
    let mut client = scene.client().await;
    client.say(&["SET", "a", "1"]).await;
    client.say(&["CLIENT", "REPLY", "OFF"]).await;
    client.say(&["client", "reply", "skip"]).await;
    client.say(&["PSYNC", "?", "-1"]).await;
    client.say(&["GET", "a"]).await;
    assert_eq!(client.reply().await, "+OK\r\n");
    assert!(client.reply().await.starts_with("-ERR the redis proxy needs replies"));
    assert!(client.reply().await.starts_with("-ERR the redis proxy needs replies"));
    assert_eq!(client.reply().await, "-ERR the redis proxy does not support replication\r\n");
    assert_eq!(client.reply().await, bulk("1"));
    assert_eq!(client.ask(&["CLIENT", "REPLY", "ON"]).await, "+OK\r\n");
}

#[tokio::test]
async fn a_write_goes_to_the_principals_redis_and_is_counted() {
    let scene = RedisScene::start().await;
    let mut client = scene.client().await;
    assert_eq!(client.ask(&["SET", TREE, "x", "EX", "100"]).await, "+OK\r\n");
    assert_eq!(scene.at_principal().await.ask(&["GET", TREE]).await, bulk("x"));
    assert_eq!(scene.at_agent().await.ask(&["DBSIZE"]).await, ":0\r\n");
    assert_eq!(client.ask(&["DEL", TREE]).await, ":1\r\n");
    let writes = r#"argocd_agent_redis_door_commands_total{class="write",side="agent"}"#;
    assert_eq!(raw::metric(scene.world.principal.metrics.unwrap(), writes, "").await, 2.0);
}

#[tokio::test]
async fn a_client_that_says_no_more_gets_all_replies() {
    let scene = RedisScene::start().await;
    scene.at_agent().await.ask(&["SET", THEIR_TREE, "a tree"]).await;
    let mut client = scene.client().await;
    client.raw(format!("GET {TREE}\r\nGET a\r\nGET {TREE}\r\n").as_bytes()).await;
    client.finish().await;
    let rest = String::from_utf8(client.rest().await).unwrap();
    assert_eq!(rest, format!("{tree}$-1\r\n{tree}", tree = bulk("a tree")));
    let mut client = scene.client().await;
    client.raw(format!("GET {TREE}\r\nQUIT\r\nGET {TREE}\r\n").as_bytes()).await;
    let rest = String::from_utf8(client.rest().await).unwrap();
    assert_eq!(rest, format!("{}+OK\r\n", bulk("a tree")));
}

#[tokio::test]
async fn an_agent_that_drains_is_not_held_up_by_clients_that_have_read() {
    let scene = RedisScene::start().await;
    scene.at_agent().await.ask(&["SET", THEIR_TREE, "a tree"]).await;
    let mut client = scene.client().await;
    assert_eq!(client.ask(&["GET", TREE]).await, bulk("a tree"));
    let began = tokio::time::Instant::now();
    assert!(scene.agent.stop(std::time::Duration::from_secs(30)).await);
    // Pipes that nobody uses are kept for 10 s.
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(client.ask(&["GET", TREE]).await, "-ERR agent is not connected: agent-a\r\n");
}

#[tokio::test]
async fn a_drain_ends_connections_between_two_commands() {
    let mut scene = RedisScene::start().await;
    let mut idle = scene.client().await;
    assert_eq!(idle.ask(&["PING"]).await, "+PONG\r\n");
    let mut subscriber = scene.client().await;
    subscriber.ask(&["SUBSCRIBE", "a"]).await;
    let unused = scene.client().await;
    assert!(scene.world.stop_principal(std::time::Duration::from_secs(30)).await);
    assert_eq!(idle.frame().await, None);
    assert_eq!(subscriber.frame().await, None);
    assert!(unused.rest().await.is_empty());
    eventually("the port is free", async || tokio::net::TcpListener::bind(scene.door()).await.ok()).await;
}
