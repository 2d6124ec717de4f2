//! Local traffic through the door is byte for byte what Redis itself says.
//!
//! Scripts (`alike/*.txt`) are said to a Redis, and to a door before another Redis: command by command, and in pipelines
//! that are cut anywhere. The cuts are a function of a seed, which a failure tells and `SEED` sets.
//!
//! A script is made of lines. `GET a` is said on connection 1, `2> GET a` on another. `=> 2` says that there are two replies,
//! and not one. `2< 1` is heard without anything said, `2! "GET a\r\n"` are bytes as they are, `2.` is a connection that the
//! other side has closed, and `? 1` waits until one client is blocked. Before a line, `~` says that numbers in it differ from run to run, and `=` that the order of its
//! lines does. Quotes are Redis's own.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use common::resp::frames;
use harness::{
    World, eventually,
    redis::Redis,
    redis_scene::{RedisScene, door_to},
    resp::RespClient,
};
use principal::config::RedisDoorConfig;
use tokio::time::timeout;

use super::{RESOURCES, THEIR_TREE, TREE, bulk, order::Random};

/// A Redis, and another behind a door.
pub(super) struct Pair {
    pub(super) direct: Redis,
    behind: Redis,
    world: World,
}

/// One line of a script.
#[derive(Debug)]
struct Step {
    text: String,
    connection: u32,
    says: Vec<u8>,
    replies: usize,
    is_closed: bool,
    /// So many clients are waited for that are blocked.
    blocked: Option<String>,
    likeness: Likeness,
}

/// What of replies must be the same.
#[derive(Debug, Clone, Copy)]
enum Likeness {
    Bytes,
    /// All but numbers, whose lengths are numbers, too.
    Form,
    /// The bytes, in any order of lines.
    Lines,
}

/// How a script is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Each command when those before are answered.
    Awaited,
    /// All at once, as far as they are said on one connection.
    Pipelined,
    /// The same, cut into pieces.
    InPieces,
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

fn parse(script: &str) -> Vec<Step> {
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(Step::parse).collect()
}

/// Says a script, and returns what was heard at each of its lines.
async fn say(script: &[Step], address: SocketAddr, manner: Manner, random: &mut Random) -> Vec<String> {
    let mut connections = BTreeMap::new();
    for step in script {
        if let Entry::Vacant(vacant) = connections.entry(step.connection) {
            vacant.insert(Some(RespClient::connect(address).await));
        }
    }
    let mut heard = Vec::new();
    let mut rest = script;
    while let Some(first) = rest.first() {
        let together = match manner {
            Manner::Awaited => 1,
            _ if first.stands_alone() => 1,
            // What others are to hear is said when all before is done.
            _ => rest.iter().take_while(|step| step.connection == first.connection && !step.stands_alone()).count(),
        };
        let (steps, further) = rest.split_at(together);
        let client = connections.get_mut(&first.connection).unwrap();
        if first.is_closed {
            let rest = timeout(SILENCE, client.take().expect("closed once").rest()).await;
            heard.push(rest.map_or_else(|_| "and silence".into(), |rest| rest.escape_ascii().to_string()));
        } else if let Some(count) = &first.blocked {
            eventually("so many wait", async || {
                let clients = RespClient::connect(address).await.ask(&["INFO", "clients"]).await;
                clients.contains(&format!("blocked_clients:{count}\r\n")).then_some(())
            })
            .await;
            heard.push(String::new());
        } else {
            let bytes: Vec<u8> = steps.iter().flat_map(|step| step.says.iter().copied()).collect();
            let client = client.as_mut().expect("not closed");
            in_pieces(client, &bytes, manner, random).await;
            for step in steps {
                heard.push(step.hear(client).await);
            }
        }
        rest = further;
    }
    // Nothing else was said.
    for (number, client) in connections {
        if let Some(mut client) = client {
            client.finish().await;
            let rest = client.rest().await;
            assert!(rest.is_empty(), "connection {number}: {:?}", String::from_utf8_lossy(&rest));
        }
    }
    heard
}

async fn in_pieces(client: &mut RespClient, bytes: &[u8], manner: Manner, random: &mut Random) {
    let mut rest = bytes;
    while manner == Manner::InPieces && !rest.is_empty() {
        let longest = [1, 7, 100, 3_000][random.below(4)];
        let (piece, further) = rest.split_at(1 + random.below(rest.len().min(longest)));
        // Either side may have closed for what it heard already.
        client.try_raw(piece).await.unwrap_or_default();
        tokio::task::yield_now().await;
        rest = further;
    }
    client.try_raw(rest).await.unwrap_or_default();
}

// === impl Step ===

impl Step {
    fn parse(line: &str) -> Self {
        let (text, replies) = match line.rsplit_once(" => ") {
            Some((text, replies)) => (text, replies.parse().unwrap()),
            None => (line, 1),
        };
        let (likeness, text) = match text.split_once(' ') {
            Some(("~", rest)) => (Likeness::Form, rest),
            Some(("=", rest)) => (Likeness::Lines, rest),
            _ => (Likeness::Bytes, text),
        };
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        let step = Self {
            text: line.into(),
            connection: 1,
            says: Vec::new(),
            replies,
            is_closed: false,
            blocked: None,
            likeness,
        };
        let mark = first.trim_start_matches(|digit: char| digit.is_ascii_digit());
        let connection = first.strip_suffix(mark).unwrap().parse().unwrap_or(1);
        let step = Self { connection, ..step };
        match mark {
            ">" => Self { says: frames::command(&refs(&words(rest))).to_vec(), ..step },
            "!" => Self { says: words(rest).concat(), ..step },
            "<" => Self { replies: rest.parse().unwrap(), ..step },
            "." => Self { is_closed: true, ..step },
            "?" => Self { blocked: Some(rest.into()), replies: 0, ..step },
            _ => Self { says: frames::command(&refs(&words(text))).to_vec(), connection: 1, ..step },
        }
    }

    fn stands_alone(&self) -> bool {
        self.is_closed || self.blocked.is_some()
    }

    async fn hear(&self, client: &mut RespClient) -> String {
        let mut heard = Vec::new();
        for _ in 0..self.replies {
            match timeout(SILENCE, client.frame()).await {
                Ok(Some(frame)) => heard.extend(frame),
                Ok(None) => return self.likeness.of(&heard) + "and the end",
                Err(_) => return self.likeness.of(&heard) + "and silence",
            }
        }
        self.likeness.of(&heard)
    }
}

// === impl Likeness ===

impl Likeness {
    fn of(self, heard: &[u8]) -> String {
        let text = heard.escape_ascii().to_string();
        match self {
            Self::Bytes => text,
            Self::Form => {
                let parts = text.split(|digit: char| digit.is_ascii_digit());
                parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("0")
            }
            Self::Lines => {
                let mut lines: Vec<_> = text.split("\\r\\n").collect();
                lines.sort_unstable();
                lines.join("\\r\\n")
            }
        }
    }
}

fn refs(words: &[Vec<u8>]) -> Vec<&[u8]> {
    words.iter().map(Vec::as_slice).collect()
}

/// Words, in quotes where they need them.
fn words(text: &str) -> Vec<Vec<u8>> {
    let (mut words, mut rest) = (Vec::new(), text.trim_start());
    while !rest.is_empty() {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (word, further) = rest.split_once(' ').unwrap_or((rest, ""));
            words.push(word.as_bytes().to_vec());
            rest = further.trim_start();
            continue;
        };
        let (mut word, mut characters) = (Vec::new(), quoted.chars());
        loop {
            match characters.next().expect("a quote that ends") {
                '"' => break,
                '\\' => match characters.next().unwrap() {
                    'r' => word.push(b'\r'),
                    'n' => word.push(b'\n'),
                    't' => word.push(b'\t'),
                    'x' => {
                        let digits: String = characters.by_ref().take(2).collect();
                        word.push(u8::from_str_radix(&digits, 16).unwrap());
                    }
                    other => word.extend_from_slice(other.to_string().as_bytes()),
                },
                other => word.extend_from_slice(other.to_string().as_bytes()),
            }
        }
        words.push(word);
        rest = characters.as_str().trim_start();
    }
    words
}

/// So many scripts are tried.
const SCRIPTS: usize = 100;

/// So long is waited for a reply: many times what it takes.
const SILENCE: Duration = Duration::from_secs(10);
