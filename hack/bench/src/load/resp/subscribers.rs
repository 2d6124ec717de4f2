//! Subscribers of one channel, and who publishes on it.
//!
//! What is published are numbers, so that a subscriber knows which message is due. Messages without any payload are
//! passed over: the principal says so that there was a gap, for instance before it had subscribed at the agent.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{Connection, Endpoint, Reply};

/// Some subscribers, each on its own connection.
#[derive(Debug)]
pub(crate) struct Subscribers {
    subscribers: Vec<Connection>,
    channel: String,
}

/// Who publishes one number after the other.
#[derive(Debug)]
pub(crate) struct Publisher {
    connection: Connection,
    channel: String,
    /// The number of the last message.
    last: u64,
}

// === impl Subscribers ===

impl Subscribers {
    /// Subscribes, and has every subscription confirmed.
    pub(crate) async fn open(endpoint: &Endpoint, channel: String, count: usize) -> Result<Self> {
        let mut subscribers = Vec::with_capacity(count);
        for _ in 0..count {
            let mut connection = endpoint.connect().await?;
            let said = connection.ask(&["subscribe", &channel]).await?.words();
            if said != ["subscribe", channel.as_str(), "1"] {
                bail!("SUBSCRIBE was answered {said:?}");
            }
            subscribers.push(connection);
        }
        Ok(Self { subscribers, channel })
    }

    /// Waits until each subscriber has got so many messages, the first of which has this number, and says when each got
    /// each.
    pub(crate) async fn hear(&mut self, first: u64, count: usize) -> Result<Vec<Vec<Instant>>> {
        let mut tasks = JoinSet::new();
        for connection in self.subscribers.drain(..) {
            tasks.spawn(subscriber(connection, self.channel.clone(), first, count));
        }
        let mut all = Vec::new();
        while let Some(subscriber) = tasks.join_next().await {
            let (connection, heard) = subscriber.context("a subscriber")??;
            self.subscribers.push(connection);
            all.push(heard);
        }
        Ok(all)
    }
}

// === impl Publisher ===

impl Publisher {
    pub(crate) async fn connect(endpoint: &Endpoint, channel: String) -> Result<Self> {
        Ok(Self { connection: endpoint.connect().await?, channel, last: 0 })
    }

    /// The number that comes next.
    pub(crate) fn due(&self) -> u64 {
        self.last + 1
    }

    /// Publishes so many numbers at a steady rate, and says when it began to send each. A PUBLISH that takes longer than
    /// the pause delays those behind it.
    pub(crate) async fn publish(&mut self, count: usize, pause: Duration) -> Result<Vec<Instant>> {
        let mut ticks = interval(pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sent = Vec::with_capacity(count);
        for _ in 0..count {
            ticks.tick().await;
            self.last += 1;
            let number = self.last.to_string();
            sent.push(Instant::now());
            self.connection.ask(&["publish", &self.channel, &number]).await?;
        }
        Ok(sent)
    }

    /// How many subscriptions to the channel its Redis has.
    pub(crate) async fn subscriptions(&mut self) -> Result<u64> {
        let said = self.connection.ask(&["pubsub", "numsub", &self.channel]).await?.words();
        said.last().and_then(|count| count.parse().ok()).with_context(|| format!("PUBSUB NUMSUB said {said:?}"))
    }
}

async fn subscriber(
    mut connection: Connection,
    channel: String,
    first: u64,
    count: usize,
) -> Result<(Connection, Vec<Instant>)> {
    let mut heard = Vec::with_capacity(count);
    let mut due = first;
    while heard.len() < count {
        let (message, at) = connection.next().await?;
        if number(&message, &channel)?.is_some_and(|number| number == due.to_string()) {
            heard.push(at);
            due += 1;
        } else if number(&message, &channel)?.is_some() {
            bail!("{:?} where the message {due} was due", message.words());
        }
    }
    Ok((connection, heard))
}

/// The payload of a message on that channel, unless it is empty.
fn number(message: &Reply, channel: &str) -> Result<Option<String>> {
    match message.words().as_slice() {
        [kind, on, payload] if kind == "message" && on == channel => {
            Ok(Some(payload.clone()).filter(|p| !p.is_empty()))
        }
        other => bail!("{other:?} where a message was due"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_message_on_the_channel_is_one() {
        let message = |words: &[&str]| Reply::Many(words.iter().map(|word| Reply::Text((*word).into())).collect());
        assert_eq!(number(&message(&["message", "c", "7"]), "c").unwrap().as_deref(), Some("7"));
        assert_eq!(number(&message(&["message", "c", ""]), "c").unwrap(), None);
        for bad in [&["message", "d", "7"][..], &["subscribe", "c", "1"], &["pong"]] {
            assert!(number(&message(bad), "c").is_err(), "{bad:?}");
        }
    }
}
