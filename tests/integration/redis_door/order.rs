//! Replies come in the order of the commands, whatever mix of them a pipeline holds, and however its bytes are cut.

use harness::{redis_scene::RedisScene, resp::RespClient, soon};

use super::{THEIR_TREE, TREE, bulk};

#[tokio::test]
async fn replies_have_the_order_of_the_commands() {
    let scene = RedisScene::start().await;
    scene.at_agent().await.ask(&["SET", THEIR_TREE, "a tree"]).await;
    let mut random = Random::seeded();
    for _ in 0..PIPELINES {
        let mut client = scene.client().await;
        client.ask(&["HELLO", if random.below(2) == 0 { "2" } else { "3" }]).await;
        let (mut bytes, mut wanted) = (Vec::new(), Vec::new());
        for number in 0..1 + random.below(200) {
            let (words, reply) = random.command(number);
            let words: Vec<_> = words.iter().map(String::as_bytes).collect();
            bytes.extend_from_slice(&common::resp::frames::command(&words));
            wanted.push(reply);
        }
        let heard = pipeline(client, &bytes, wanted.len(), &mut random).await;
        assert_eq!(heard, wanted, "seed {}", random.seed);
    }
}

/// Says the bytes in pieces, and takes so many replies.
async fn pipeline(mut client: RespClient, bytes: &[u8], count: usize, random: &mut Random) -> Vec<String> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, further) = rest.split_at(1 + random.below(rest.len().min(700)));
        client.raw(piece).await;
        rest = further;
    }
    let mut heard = Vec::new();
    for _ in 0..count {
        heard.push(client.reply().await);
    }
    heard
}

#[tokio::test]
async fn a_hundred_thousand_commands_may_be_said_before_any_reply_is_read() {
    let scene = RedisScene::start().await;
    scene.at_agent().await.ask(&["SET", THEIR_TREE, "a tree"]).await;
    let mut client = scene.client().await;
    client.raw(&b"*1\r\n$4\r\nPING\r\n".repeat(100_000)).await;
    client.say(&["GET", TREE]).await;
    for _ in 0..100_000 {
        assert_eq!(client.reply().await, "+PONG\r\n");
    }
    assert_eq!(client.reply().await, bulk("a tree"));
}

#[tokio::test]
async fn a_client_that_does_not_read_slows_nobody_else() {
    let scene = RedisScene::start().await;
    let large = "x".repeat(8 << 20);
    scene.at_agent().await.ask(&["SET", THEIR_TREE, &large]).await;
    let mut stalled = Vec::new();
    for _ in 0..8 {
        let mut client = scene.client().await;
        for _ in 0..4 {
            client.say(&["GET", TREE]).await;
        }
        stalled.push(client);
    }
    let mut other = scene.client().await;
    assert_eq!(soon(other.ask(&["GET", TREE])).await.len(), bulk(&large).len());
    for client in &mut stalled {
        for _ in 0..4 {
            assert_eq!(client.reply().await.len(), bulk(&large).len());
        }
    }
}

/// Numbers that a seed decides, which a failure tells.
pub(super) struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    pub(super) fn seeded() -> Self {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) * 0x9E37_79B9 + 1);
        Self { seed, state: seed }
    }

    /// What a failure tells.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Below `limit`, by xorshift.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    /// A command whose reply is the same in both protocols, and that reply.
    fn command(&mut self, number: usize) -> (Vec<String>, String) {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let tree = bulk("a tree");
        match self.below(9) {
            0 | 1 => (words(&["GET", TREE]), tree),
            2 => (words(&["EXISTS", TREE, TREE]), ":2\r\n".into()),
            3 => (words(&["MGET", TREE, TREE]), format!("*2\r\n{tree}{tree}")),
            4 => (words(&["STRLEN", TREE]), ":6\r\n".into()),
            5 => (words(&["GET"]), "-ERR wrong number of arguments for 'get' command\r\n".into()),
            6 => (
                words(&["CLIENT", "REPLY", "OFF"]),
                "-ERR the redis proxy needs replies: CLIENT REPLY OFF and SKIP are not supported\r\n".into(),
            ),
            7 => {
                let text = "y".repeat(self.below(20_000));
                let reply = bulk(&text);
                (vec!["ECHO".into(), text], reply)
            }
            _ => (words(&["ECHO", &number.to_string()]), bulk(&number.to_string())),
        }
    }
}

/// So many are tried.
const PIPELINES: usize = 60;
