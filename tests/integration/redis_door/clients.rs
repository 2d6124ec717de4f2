//! Clients that others have written meet a Redis at the door.

use std::{net::SocketAddr, process::Stdio};

use common::{
    auth::Secret,
    redis::{Credentials, Login},
};
use futures_util::StreamExt;
use harness::{redis_scene::RedisScene, soon};
use principal::config::RedisDoorConfig;
use redis::{AsyncCommands, AsyncTypedCommands, ProtocolVersion, RedisConnectionInfo, Value};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

use super::{RESOURCES, THEIR_TREE, TREE};

const CHANNEL: &str = "app|managed-resources|agent-a_guestbook|1.8.3";
const THEIR_CHANNEL: &str = "app|managed-resources|guestbook|1.8.3";

#[tokio::test]
async fn redis_cli_finds_what_it_expects() {
    let scene = scene().await;
    let cli = Cli { address: scene.door() };
    for protocol in ["-2", "-3"] {
        assert_eq!(cli.run(&[protocol, "GET", TREE], "").await, "a tree\n");
        assert_eq!(cli.run(&[protocol, "--no-raw", "GET", RESOURCES], "").await, "(nil)\n");
        assert_eq!(cli.run(&[protocol, "--no-raw", "MGET", RESOURCES, TREE], "").await, "1) (nil)\n2) \"a tree\"\n");
        assert_eq!(cli.run(&[protocol, "SET", "a", "1", "EX", "100"], "").await, "OK\n");
        let said = format!("GET a\nMULTI\nINCR a\nEXEC\nMULTI\nSET a 9\nGET {TREE}\nEXEC\nGET a\nGET {TREE}\n");
        let heard = cli.run(&[protocol], &said).await;
        let refused = "ERR keys of agents cannot be read in a transaction\n\n";
        let aborted = "EXECABORT Transaction discarded because of previous errors.\n\n";
        assert_eq!(heard, format!("1\nOK\nQUEUED\n2\nOK\nQUEUED\n{refused}{aborted}2\na tree\n"));
    }
    let piped = format!("SET b 1\r\nGET {TREE}\r\n").repeat(1_000);
    let heard = cli.run(&["--pipe"], &piped).await;
    assert!(heard.ends_with("errors: 0, replies: 2000\n"), "{heard}");
    assert!(cli.run(&["--scan"], "").await.lines().count() == 2);
    let heard = cli.run(&["-a", "wrong", "GET", TREE], "").await;
    assert_eq!(heard, "NOAUTH Authentication required.\n\n");
}

#[tokio::test]
async fn redis_cli_hears_what_an_agent_publishes() {
    let scene = scene().await;
    for protocol in ["-2", "-3"] {
        let mut command = Cli { address: scene.door() }.command(&[protocol, "SUBSCRIBE", CHANNEL]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut heard = async |count| {
            let mut heard = Vec::new();
            for _ in 0..count {
                heard.push(soon(lines.next_line()).await.unwrap().unwrap());
            }
            heard
        };
        assert_eq!(heard(3).await, ["subscribe", CHANNEL, "1"]);
        scene.at_agent().await.ask(&["PUBLISH", THEIR_CHANNEL, "changed"]).await;
        assert_eq!(heard(3).await, ["message", CHANNEL, "changed"]);
    }
}

#[tokio::test]
async fn redis_rs_finds_what_it_expects() {
    let scene = scene().await;
    for protocol in [ProtocolVersion::RESP2, ProtocolVersion::RESP3] {
        let info = format!("redis://{}", scene.door()).parse::<redis::ConnectionInfo>().unwrap();
        let settings = RedisConnectionInfo::default().set_password("secret").set_protocol(protocol);
        let client = redis::Client::open(info.set_redis_settings(settings)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        assert_eq!(AsyncTypedCommands::get(&mut connection, TREE).await.unwrap().as_deref(), Some("a tree"));
        assert_eq!(AsyncTypedCommands::get(&mut connection, RESOURCES).await.unwrap(), None);
        let all: Vec<Option<String>> = AsyncCommands::mget(&mut connection, &["none", TREE]).await.unwrap();
        assert_eq!(all, [None, Some("a tree".into())]);
        // Many at once on one connection.
        let reads = (0..500).map(|number| {
            let mut connection = connection.clone();
            async move {
                let key = format!("key-{number}");
                AsyncTypedCommands::set(&mut connection, &key, number).await.unwrap();
                let tree: String = AsyncCommands::get(&mut connection, TREE).await.unwrap();
                let own: usize = AsyncCommands::get(&mut connection, &key).await.unwrap();
                (tree, own) == ("a tree".to_owned(), number)
            }
        });
        assert!(futures_util::future::join_all(reads).await.into_iter().all(|good| good));
        let mut pipeline = redis::pipe();
        pipeline.get(TREE).incr("n", 1).ignore().get(RESOURCES).get(TREE);
        let heard: Vec<Option<String>> = pipeline.query_async(&mut connection).await.unwrap();
        assert_eq!(heard, [Some("a tree".into()), None, Some("a tree".into())]);
        let mut transaction = redis::pipe();
        transaction.atomic().set("t", 1).incr("t", 1);
        let heard: (String, i64) = transaction.query_async(&mut connection).await.unwrap();
        assert_eq!(heard, ("OK".into(), 2));
        transaction.get(TREE);
        transaction.query_async::<Value>(&mut connection).await.unwrap_err();
        assert_eq!(AsyncTypedCommands::get(&mut connection, "t").await.unwrap().as_deref(), Some("2"));
        let mut subscriber = client.get_async_pubsub().await.unwrap();
        subscriber.subscribe(CHANNEL).await.unwrap();
        subscriber.psubscribe("own-*").await.unwrap();
        scene.at_agent().await.ask(&["PUBLISH", THEIR_CHANNEL, "changed"]).await;
        AsyncTypedCommands::publish(&mut connection, "own-channel", "mine").await.unwrap();
        let mut messages = Vec::new();
        for _ in 0..2 {
            let message = soon(subscriber.on_message().next()).await.unwrap();
            messages.push((message.get_channel_name().to_owned(), message.get_payload::<String>().unwrap()));
        }
        messages.sort();
        assert_eq!(messages, [(CHANNEL.into(), "changed".into()), ("own-channel".into(), "mine".into())]);
    }
}

/// A login is needed, and the agent has a tree.
async fn scene() -> RedisScene {
    let login = Login { user: None, password: Secret::new("secret") };
    let change = |door: &mut RedisDoorConfig| door.redis.credentials = Credentials::Given(login);
    let scene = RedisScene::start_where(&["--requirepass", "secret"], &[], change).await;
    scene.at_agent().await.ask(&["SET", THEIR_TREE, "a tree"]).await;
    scene
}

/// Redis's own client.
struct Cli {
    address: SocketAddr,
}

// === impl Cli ===

impl Cli {
    fn command(&self, args: &[&str]) -> Command {
        let (host, port) = (self.address.ip().to_string(), self.address.port().to_string());
        let mut command = Command::new("redis-cli");
        command.args(["-h", &host, "-p", &port, "--no-auth-warning"]).env("REDISCLI_AUTH", "secret");
        command.args(args).kill_on_drop(true);
        command
    }

    /// Runs it until it ends; what it wrote.
    async fn run(&self, args: &[&str], input: &str) -> String {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("redis-cli starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        let write = async move { stdin.write_all(input.as_bytes()).await.unwrap_or_default() };
        let (output, ()) = soon(async { tokio::join!(child.wait_with_output(), write) }).await;
        String::from_utf8(output.expect("redis-cli runs").stdout).expect("it writes text")
    }
}
