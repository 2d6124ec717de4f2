//! Scripts: what is said to Redis, line by line, and how it is said. Their language is described in `alike`.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::SocketAddr,
    time::Duration,
};

use common::resp::frames;
use harness::{eventually, resp::RespClient};
use tokio::time::timeout;

use super::order::Random;

/// One line of a script.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) text: String,
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
pub(super) enum Likeness {
    Bytes,
    /// All but numbers, whose lengths are numbers, too.
    Form,
    /// The bytes, in any order of lines.
    Lines,
}

/// How a script is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Each command when those before are answered.
    Awaited,
    /// All at once, as far as they are said on one connection.
    Pipelined,
    /// The same, cut into pieces.
    InPieces,
}

pub(super) fn parse(script: &str) -> Vec<Step> {
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(Step::parse).collect()
}

/// Says a script, and returns what was heard at each of its lines.
pub(super) async fn say(script: &[Step], address: SocketAddr, manner: Manner, random: &mut Random) -> Vec<String> {
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
    pub(super) fn parse(line: &str) -> Self {
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

pub(super) fn refs(words: &[Vec<u8>]) -> Vec<&[u8]> {
    words.iter().map(Vec::as_slice).collect()
}

/// Words, in quotes where they need them.
pub(super) fn words(text: &str) -> Vec<Vec<u8>> {
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

/// So long is waited for a reply: many times what it takes.
const SILENCE: Duration = Duration::from_secs(10);
