//! Watches, event by event: when each came, and of what.

use std::hash::{DefaultHasher, Hash, Hasher};

use anyhow::{Context, Result, bail};
use hyper::body::Incoming;
use tokio::{task::JoinSet, time::Instant};

use super::{
    connection::{Connection, Encoding, Endpoint, Protocol},
    fetch::{next_data, open},
};

/// Some watches of the same, each on its own connection.
#[derive(Debug)]
pub(crate) struct Watchers {
    watches: Vec<Watch>,
}

/// One open watch.
#[derive(Debug)]
struct Watch {
    body: Incoming,
    /// What has come of events that have not been taken.
    text: Vec<u8>,
    /// When the last of it came.
    at: Instant,
    /// Kept, so that it runs.
    _connection: Connection,
}

/// An event as a watch saw it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sight {
    pub(crate) at: Instant,
    pub(crate) state: State,
}

/// One state of one object, byte for byte: all that a watch has to tell. Of what hundreds of watches saw only this is
/// kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State(u64);

// === impl Watchers ===

impl Watchers {
    /// Opens watches. What happens once this has returned is seen by all of them.
    pub(crate) async fn open(endpoint: &Endpoint, protocol: Protocol, path: &str, watches: usize) -> Result<Self> {
        let mut watchers = Self { watches: Vec::with_capacity(watches) };
        for _ in 0..watches {
            let mut connection = endpoint.connect(protocol).await?;
            let body = open(&mut connection, path, Encoding::Json).await?;
            let watch = Watch { body, text: Vec::new(), at: Instant::now(), _connection: connection };
            watchers.watches.push(watch);
        }
        Ok(watchers)
    }

    /// Waits until each watch has seen so many events more, and says what each saw.
    pub(crate) async fn see(&mut self, events: usize) -> Result<Vec<Vec<Sight>>> {
        let mut tasks = JoinSet::new();
        for mut watch in self.watches.drain(..) {
            tasks.spawn(async move {
                let mut seen = Vec::with_capacity(events);
                while seen.len() < events {
                    seen.push(watch.next().await?);
                }
                anyhow::Ok((watch, seen))
            });
        }
        let mut all = Vec::new();
        while let Some(watch) = tasks.join_next().await {
            let (watch, seen) = watch.context("a watch")??;
            self.watches.push(watch);
            all.push(seen);
        }
        Ok(all)
    }
}

// === impl Watch ===

impl Watch {
    async fn next(&mut self) -> Result<Sight> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.text.iter().skip(searched).position(|byte| *byte == b'\n') {
                let rest = self.text.split_off(searched + end + 1);
                let line = std::mem::replace(&mut self.text, rest);
                return Ok(Sight { at: self.at, state: state(&line)? });
            }
            searched = self.text.len();
            let data = next_data(&mut self.body).await?.context("the watch ended")?;
            self.at = Instant::now();
            self.text.extend_from_slice(&data);
        }
    }
}

// === impl State ===

impl State {
    /// Of the text of an object.
    pub(crate) fn of(object: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        object.trim_ascii_end().hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// The state that an event tells of.
fn state(line: &[u8]) -> Result<State> {
    // To a watch that was not there from the beginning a changed object may well be a new one.
    let object = [MODIFIED, ADDED].into_iter().find_map(|head| line.strip_prefix(head));
    match object.and_then(|object| object.trim_ascii_end().strip_suffix(b"}")) {
        Some(object) => Ok(State::of(object)),
        None => bail!("an event that no change makes: {}", String::from_utf8_lossy(line.get(..200).unwrap_or(line))),
    }
}

const MODIFIED: &[u8] = br#"{"type":"MODIFIED","object":"#;
const ADDED: &[u8] = br#"{"type":"ADDED","object":"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_tells_of_the_state_that_the_change_was_answered_with() {
        let answer = State::of(b"{\"a\":{\"b\":1}}\n");
        for event in ["MODIFIED", "ADDED"] {
            let line = format!("{{\"type\":\"{event}\",\"object\":{{\"a\":{{\"b\":1}}}}}}\n");
            assert_eq!(state(line.as_bytes()).unwrap(), answer);
        }
        assert_ne!(state(b"{\"type\":\"ADDED\",\"object\":{\"a\":{\"b\":2}}}\n").unwrap(), answer);
        for bad in
            ["{\"type\":\"ERROR\",\"object\":{}}\n", "{\"type\":\"DELETED\",\"object\":{\"a\":{\"b\":1}}}\n", "\n"]
        {
            assert!(state(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
