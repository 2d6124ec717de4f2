//! Local traffic through the door is byte for byte what Redis itself says.
//!
//! Scripts (`alike/*.txt`) are said to a Redis, and to a door before another Redis: command by command, and in pipelines
//! that are cut anywhere. The cuts are a function of a seed, which a failure tells and `SEED` sets.
//!
//! A script is made of lines. `GET a` is said on connection 1, `2> GET a` on another. `=> 2` says that there are two replies,
//! and not one. `2< 1` is heard without anything said, `2! "GET a\r\n"` are bytes as they are, `2.` is a connection that the
//! other side has closed, and `? 1` waits until one client is blocked. Before a line, `~` says that numbers in it differ from run to run, and `=` that the order of its
//! lines does. Quotes are Redis's own.

use std::{net::SocketAddr, path::Path};

use harness::{
    World,
    redis::Redis,
    redis_scene::{RedisScene, door_to},
    resp::RespClient,
};
use principal::config::RedisDoorConfig;

use super::{
    RESOURCES, THEIR_TREE, TREE, bulk,
    order::Random,
    script::{Manner, Step, parse, say},
};

/// A Redis, and another behind a door.
pub(super) struct Pair {
    pub(super) direct: Redis,
    behind: Redis,
    world: World,
}

#[tokio::test]
async fn whatever_is_said_to_redis_is_answered_alike_through_the_door() {
    let pair = Pair::start(&["--enable-debug-command", "yes", "--slowlog-log-slower-than", "-1"]).await;
    let mut random = Random::seeded();
    let mut steps = 0;
    for (name, script) in scripts() {
        for manner in [Manner::Awaited, Manner::Pipelined, Manner::InPieces, Manner::InPieces, Manner::InPieces] {
            pair.empty().await;
            let direct = say(&script, pair.direct.address(), manner, &mut random).await;
            let silent = script.iter().zip(&direct).find(|(_, heard)| heard.ends_with("and silence"));
            assert!(silent.is_none(), "{name} expects too much: {silent:?}");
            let through = say(&script, pair.door(), manner, &mut random).await;
            for ((step, direct), through) in script.iter().zip(&direct).zip(&through) {
                let seed = random.seed();
                assert_eq!(through, direct, "{name}, {manner:?}, seed {seed}: {}", step.text);
            }
            assert_eq!(through.len(), direct.len());
        }
        steps += script.len();
    }
    // Else the rest says little.
    assert!(steps > 700, "{steps}");
}

/// Whatever is said between them, and however it is cut, agents' keys are keys that one Redis has.
#[tokio::test]
async fn a_redis_that_held_what_agents_hold_would_say_the_same() {
    let scene = RedisScene::start().await;
    let direct = Redis::start(&[]).await;
    scene.at_agent().await.ask(&["SET", THEIR_TREE, "a tree"]).await;
    let mut random = Random::seeded();
    for _ in 0..SCRIPTS {
        let script = mixture(&mut random);
        let text: Vec<_> = script.iter().map(|step| step.text.as_str()).collect();
        let mut heard = Vec::new();
        for (address, tree) in [(direct.address(), "a tree"), (scene.door(), "a stale copy")] {
            let mut client = RespClient::connect(address).await;
            client.ask(&["FLUSHALL"]).await;
            client.ask(&["SET", TREE, tree]).await;
            let manner = [Manner::Pipelined, Manner::InPieces][random.below(2)];
            heard.push(say(&script, address, manner, &mut random).await);
        }
        for (number, (through, direct)) in heard[1].iter().zip(&heard[0]).enumerate() {
            assert_eq!(through, direct, "seed {}, line {number} of {text:#?}", random.seed());
        }
    }
}

/// Some commands, those that read agents' keys among them.
fn mixture(random: &mut Random) -> Vec<Step> {
    let (mut lines, mut subscribed, mut queues) = (Vec::new(), 0_usize, false);
    for _ in 0..1 + random.below(60) {
        let line = match random.below(if queues { 6 } else { 30 }) {
            0 => "SET a 1".into(),
            1 => format!("MGET a b {}", ["c", "a"][random.below(2)]),
            2 => "NONSENSE".into(),
            3 => "LRANGE l 0 -1".into(),
            4 | 5 if queues => {
                queues = false;
                ["EXEC", "DISCARD"][random.below(2)].into()
            }
            4 => "RPUSH l subscribe a 1".into(),
            5 => "RPUSH l message a b".into(),
            6 => format!("MGET {TREE} a {RESOURCES} {TREE} l"),
            7 => format!("MGET {RESOURCES}"),
            8 => format!("EXISTS a {TREE} {TREE} b"),
            9 => format!("EXISTS {RESOURCES}"),
            10 => format!("STRLEN {TREE}"),
            11 => format!("GETRANGE {TREE} 2 -1"),
            12 => format!("TTL {}", [TREE, RESOURCES][random.below(2)]),
            13 => format!("GET {TREE} more"),
            14 => format!("PTTL {RESOURCES}"),
            15 if subscribed == 0 => "~ HELLO 3".into(),
            16 if subscribed == 0 => "~ HELLO 2".into(),
            17 if subscribed == 0 => {
                queues = true;
                "MULTI".into()
            }
            18 => {
                subscribed = 0;
                "RESET".into()
            }
            19 | 20 => {
                subscribed += 1;
                "SUBSCRIBE x x => 2".into()
            }
            21 => "UNSUBSCRIBE x".into(),
            22 => "PSUBSCRIBE y*".into(),
            23 => "PUNSUBSCRIBE => 1".into(),
            24 => "PING".into(),
            25 => "EVAL \"return {'message', 'x', 'y'}\" 0".into(),
            26 => format!("! \"get {TREE}\\r\\n\""),
            27 => format!("GET {RESOURCES}"),
            _ => format!("GET {TREE}"),
        };
        // Whoever has subscribed to patterns, too, is not asked for more than it may say.
        subscribed += usize::from(line.starts_with("PSUBSCRIBE"));
        lines.push(line);
    }
    parse(&lines.join("\n"))
}

#[tokio::test]
async fn what_a_login_is_needed_for_is_answered_alike() {
    let pair = Pair::start(&["--requirepass", "secret"]).await;
    let mut random = Random::seeded();
    let script = parse(
        r#"
        GET a
        PING
        MULTI
        EXEC
        DISCARD
        SUBSCRIBE a
        UNSUBSCRIBE
        MONITOR
        MGET a b c
        EXISTS a
        NONSENSE
        HELLO
        HELLO 3
        HELLO 3 AUTH default wrong
        CLIENT SETNAME x
        AUTH wrong
        AUTH nobody secret
        RESET
        AUTH secret
        PING
        SET a 1
        RESET
        GET a
        ~ HELLO 3 AUTH default secret
        GET a
        GET missing
        RESET
        GET missing
        AUTH default secret
        GET missing
        QUIT
        1.
        2! "*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n" => 2
        3! "*11\r\n$4\r\nPING\r\n" => 1
        3.
        5! "*1\r\n$-1\r\n" => 1
        5.
        6! "PING a b c d e f g h i j k l m n\r\n" => 1
        "#,
    );
    for manner in [Manner::Awaited, Manner::Pipelined, Manner::InPieces, Manner::InPieces] {
        let direct = say(&script, pair.direct.address(), manner, &mut random).await;
        let through = say(&script, pair.door(), manner, &mut random).await;
        for ((step, direct), through) in script.iter().zip(&direct).zip(&through) {
            assert_eq!(through, direct, "{manner:?}, seed {}: {}", random.seed(), step.text);
        }
    }
}

#[tokio::test]
async fn what_is_large_is_answered_alike() {
    let pair = Pair::start(&["--client-output-buffer-limit", "normal 0 0 0"]).await;
    let large = "0123456789abcdef".repeat(2 << 20);
    let many: Vec<_> = (0..100_000).map(|number| format!("element-{number}")).collect();
    let names: Vec<_> = (0..10_000).map(|number| format!("key-{number}")).collect();
    for protocol in ["2", "3"] {
        let mut heard = Vec::new();
        for address in [pair.direct.address(), pair.door()] {
            let mut client = RespClient::connect(address).await;
            client.ask(&["HELLO", protocol]).await;
            client.ask(&["FLUSHALL"]).await;
            let mut replies = vec![client.ask(&["SET", "large", &large]).await, client.ask(&["GET", "large"]).await];
            for pieces in many.chunks(50_000) {
                let words = ["RPUSH", "many"].into_iter().chain(pieces.iter().map(String::as_str));
                replies.push(client.ask(&words.collect::<Vec<_>>()).await);
            }
            replies.push(client.ask(&["LRANGE", "many", "0", "-1"]).await);
            let pairs = names.iter().flat_map(|name| [name.as_str(), "a value"]);
            replies.push(client.ask(&std::iter::once("MSET").chain(pairs).collect::<Vec<_>>()).await);
            let keys = ["MGET", "missing"].into_iter().chain(names.iter().map(String::as_str));
            let keys: Vec<_> = keys.collect();
            replies.push(client.ask(&keys).await);
            replies.push(client.ask(&std::iter::once("EXISTS").chain(keys).collect::<Vec<_>>()).await);
            // Many large ones at once.
            for _ in 0..4 {
                client.say(&["ECHO", &large]).await;
            }
            client.say(&["STRLEN", "large"]).await;
            for _ in 0..5 {
                replies.push(client.reply().await);
            }
            heard.push(replies);
        }
        assert_eq!(heard[0][1], bulk(&large));
        // The texts are too long to be shown.
        assert!(heard[0] == heard[1], "RESP{protocol}");
    }
}

// === impl Pair ===

impl Pair {
    /// With this command line of both Redis servers.
    pub(super) async fn start(config: &[&str]) -> Self {
        Self::start_with(config, |_door| {}).await
    }

    /// And with other settings of the door.
    pub(super) async fn start_with(config: &[&str], change: impl FnOnce(&mut RedisDoorConfig)) -> Self {
        let (direct, behind) = (Redis::start(config).await, Redis::start(config).await);
        let mut door = door_to(behind.address());
        change(&mut door);
        let world = World::start_with(|config| config.redis_door = Some(door)).await;
        Self { direct, behind, world }
    }

    pub(super) fn door(&self) -> SocketAddr {
        self.world.principal.redis_door.expect("the Redis door is open")
    }

    /// Nothing is in either Redis.
    async fn empty(&self) {
        for redis in [&self.direct, &self.behind] {
            let mut client = RespClient::connect(redis.address()).await;
            assert_eq!(client.ask(&["FLUSHALL"]).await, "+OK\r\n");
        }
    }
}

/// All scripts with their names.
fn scripts() -> Vec<(String, Vec<Step>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("integration/redis_door/alike");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let named = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (named(path), parse(&std::fs::read_to_string(path).unwrap()))).collect()
}
/// So many scripts are tried.
const SCRIPTS: usize = 100;
