//! Who listens to which channel of one agent, and what is to be done about it. Pure: it decides, others act.
//!
//! Always true:
//! - A channel has one subscription, however many listen to it, and none when nobody has listened for a while.
//! - Whoever may have missed something is owed one gap: a channel owes it from the moment at which something was missed,
//!   or a listener let go before its subscription stood, until it is [taken](Book::next_gap), which it is not before the
//!   subscription stands and Redis is there to publish it.
//! - It holds a bounded number of channels, and of each a bounded number of notes.

mod channel;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Semaphore, futures::OwnedNotified},
    time::Instant,
};

use self::channel::{Channel, Standing};
use super::{dialogue::Ask, metrics::Limit};

/// The channels of one agent.
#[derive(Debug)]
pub(super) struct Book {
    channels: HashMap<Arc<str>, Channel>,
    /// Those to be asked for. Empty while the agent is away.
    unasked: BTreeSet<Arc<str>>,
    /// Those that the agent refused, to be asked for again.
    refused: BTreeSet<Arc<str>>,
    /// Those to which nobody listens, with the time since when.
    lonely: BTreeSet<(Instant, Arc<str>)>,
    /// Those that stand and owe a gap.
    gaps: BTreeSet<Arc<str>>,
    agent: Presence,
    publisher: Presence,
    linger: Duration,
    listeners: usize,
    held: usize,
}

/// Whether somebody is there that a message must pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It is not known yet.
    Hoped,
    /// Yes.
    Here,
    /// No.
    Away,
}

/// What a new listener gets.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) channel: Arc<str>,
    /// Resolves when it is known how the subscription does. None where it is known already.
    pub(super) settled: Option<OwnedNotified>,
}

/// What a channel is worth to somebody who listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// What is said there arrives here.
    Good,
    /// It does not.
    Bad,
    /// It is not known yet.
    Open,
}

// === impl Book ===

impl Book {
    /// An empty book; channels to which nobody listens stay in it for `linger`.
    pub(super) fn new(linger: Duration) -> Self {
        Self {
            channels: HashMap::new(),
            unasked: BTreeSet::new(),
            refused: BTreeSet::new(),
            lonely: BTreeSet::new(),
            gaps: BTreeSet::new(),
            agent: Presence::Hoped,
            publisher: Presence::Hoped,
            linger,
            listeners: 0,
            held: 0,
        }
    }

    /// Somebody listens. A channel that is new takes one of `places`.
    ///
    /// # Errors
    /// When a limit is reached.
    pub(super) fn listen(&mut self, channel: Arc<str>, places: &Arc<Semaphore>) -> Result<Joined, Limit> {
        // The name that is there already, so that each is held once.
        let channel = match self.channels.get_key_value(&channel) {
            Some((known, _)) => Arc::clone(known),
            None => {
                if self.channels.len() >= CHANNELS {
                    return Err(Limit::ChannelsOfAgent);
                }
                let place = Arc::clone(places).try_acquire_owned().map_err(|_full| Limit::Channels)?;
                self.channels.insert(Arc::clone(&channel), Channel::new(place));
                if self.agent != Presence::Away {
                    self.unasked.insert(Arc::clone(&channel));
                }
                channel
            }
        };
        self.listeners += 1;
        let mut settled = None;
        if let Some(listened) = self.channels.get_mut(&channel) {
            listened.listeners += 1;
            if let Some(since) = listened.lonely_since.take() {
                self.lonely.remove(&(since, Arc::clone(&channel)));
            }
            settled = Some(Arc::clone(&listened.settled).notified_owned());
        }
        let open = self.verdict(&channel) == Verdict::Open;
        if !open {
            self.let_go(&channel);
        }
        Ok(Joined { channel, settled: settled.filter(|_| open) })
    }

    /// Somebody listens no more. Whether there is something to be done about it.
    pub(super) fn leave(&mut self, channel: &Arc<str>, now: Instant) -> bool {
        let Some(left) = self.channels.get_mut(channel) else { return false };
        self.listeners -= 1;
        left.listeners -= 1;
        if left.listeners > 0 {
            return false;
        }
        left.missed = false;
        self.gaps.remove(channel);
        if self.agent == Presence::Away {
            self.channels.remove(channel);
        } else {
            self.lonely_since(channel, now);
        }
        true
    }

    /// A listener waits no longer. It may have missed something unless all is well.
    pub(super) fn let_go(&mut self, channel: &Arc<str>) {
        if self.verdict(channel) != Verdict::Good {
            self.miss(channel);
        }
    }

    /// What was said there did not get to Redis.
    pub(super) fn miss(&mut self, channel: &Arc<str>) {
        let Some(missed) = self.channels.get_mut(channel).filter(|channel| channel.listeners > 0) else { return };
        missed.missed = true;
        if missed.standing == Standing::Stands {
            self.gaps.insert(Arc::clone(channel));
        }
    }

    /// There is a pipe to the agent, on which nothing was asked.
    pub(super) fn found(&mut self) {
        self.agent = Presence::Here;
        self.unasked.extend(self.channels.keys().cloned());
    }

    /// There is no pipe to the agent. Channels to which nobody listens are forgotten.
    pub(super) fn lost(&mut self) {
        self.agent = Presence::Away;
        self.held = 0;
        self.unasked.clear();
        self.refused.clear();
        self.gaps.clear();
        self.lonely.clear();
        self.channels.retain(|_, channel| channel.listeners > 0);
        for channel in self.channels.values_mut() {
            channel.standing = Standing::Unasked;
            channel.missed = true;
            channel.settled.notify_waiters();
        }
    }

    /// Whether there is somebody to publish.
    pub(super) fn publisher_is(&mut self, publisher: Presence) {
        self.publisher = publisher;
        for (name, channel) in &mut self.channels {
            let stands = channel.standing == Standing::Stands;
            if publisher == Presence::Away && channel.listeners > 0 {
                channel.missed = true;
                if stands {
                    self.gaps.insert(Arc::clone(name));
                }
            }
            if publisher == Presence::Away || (publisher == Presence::Here && stands) {
                channel.settled.notify_waiters();
            }
        }
    }

    /// What the agent is to be asked next.
    pub(super) fn next_ask(&mut self, now: Instant) -> Option<Ask> {
        while self.next_expiry().is_some_and(|expiry| expiry <= now) {
            let (_, name) = self.lonely.pop_first()?;
            let Some(channel) = self.channels.get_mut(&name) else { continue };
            channel.lonely_since = None;
            match channel.standing {
                Standing::Stands => {
                    channel.standing = Standing::Leaving;
                    self.held -= 1;
                    return Some(Ask::Unsubscribe(name));
                }
                Standing::Unasked | Standing::Refused => self.remove(&name),
                // Seen to when there is an answer.
                Standing::Asked | Standing::Leaving => {}
            }
        }
        let name = self.unasked.pop_first()?;
        if let Some(channel) = self.channels.get_mut(&name) {
            channel.standing = Standing::Asked;
        }
        Some(Ask::Subscribe(name))
    }

    /// When something is to be done about a channel to which nobody listens.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.lonely.first().map(|(since, _)| *since + self.linger)
    }

    /// The subscription stands.
    pub(super) fn stands(&mut self, name: &Arc<str>, now: Instant) {
        let Some(channel) = self.channels.get_mut(name).filter(|channel| channel.standing == Standing::Asked) else {
            return;
        };
        channel.standing = Standing::Stands;
        self.held += 1;
        if channel.missed {
            self.gaps.insert(Arc::clone(name));
        }
        if self.publisher != Presence::Hoped {
            channel.settled.notify_waiters();
        }
        if channel.listeners == 0 && channel.lonely_since.is_none() {
            self.lonely_since(name, now);
        }
    }

    /// The agent does not subscribe.
    pub(super) fn refused(&mut self, name: &Arc<str>) {
        let Some(channel) = self.channels.get_mut(name).filter(|channel| channel.standing == Standing::Asked) else {
            return;
        };
        if channel.listeners == 0 {
            return self.remove(name);
        }
        channel.standing = Standing::Refused;
        channel.missed = true;
        channel.settled.notify_waiters();
        self.refused.insert(Arc::clone(name));
    }

    /// The agent has unsubscribed.
    pub(super) fn left(&mut self, name: &Arc<str>) {
        let Some(channel) = self.channels.get_mut(name).filter(|channel| channel.standing == Standing::Leaving) else {
            return;
        };
        if channel.listeners == 0 {
            return self.remove(name);
        }
        // Somebody came meanwhile.
        channel.standing = Standing::Unasked;
        self.unasked.insert(Arc::clone(name));
    }

    /// What was refused is to be asked for again.
    pub(super) fn retry(&mut self) {
        for name in std::mem::take(&mut self.refused) {
            if let Some(channel) = self.channels.get_mut(&name) {
                channel.standing = Standing::Unasked;
                self.unasked.insert(name);
            }
        }
    }

    /// The channel of that name, if it is one whose messages were asked for.
    pub(super) fn subscribed(&self, name: &[u8]) -> Option<Arc<str>> {
        let name = std::str::from_utf8(name).ok()?;
        let (name, channel) = self.channels.get_key_value(name)?;
        (channel.standing == Standing::Stands).then(|| Arc::clone(name))
    }

    /// A channel that owes a gap, which it can have now. It owes none any more.
    pub(super) fn next_gap(&mut self) -> Option<Arc<str>> {
        if self.publisher != Presence::Here {
            return None;
        }
        let name = self.gaps.pop_first()?;
        if let Some(channel) = self.channels.get_mut(&name) {
            channel.missed = false;
        }
        Some(name)
    }

    /// Whether nobody needs any of it.
    pub(super) fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// How many subscriptions stand, and how many listen.
    pub(super) fn levels(&self) -> (usize, usize) {
        (self.held, self.listeners)
    }

    fn verdict(&self, name: &Arc<str>) -> Verdict {
        let Some(channel) = self.channels.get(name) else { return Verdict::Bad };
        match (channel.standing, self.agent, self.publisher) {
            (_, Presence::Away, _) | (_, _, Presence::Away) | (Standing::Refused, _, _) => Verdict::Bad,
            (Standing::Stands, _, Presence::Here) => Verdict::Good,
            _ => Verdict::Open,
        }
    }

    fn lonely_since(&mut self, name: &Arc<str>, now: Instant) {
        if let Some(channel) = self.channels.get_mut(name) {
            channel.lonely_since = Some(now);
            self.lonely.insert((now, Arc::clone(name)));
        }
    }

    fn remove(&mut self, name: &Arc<str>) {
        let lonely_since = self.channels.remove(name).and_then(|channel| channel.lonely_since);
        if let Some(since) = lonely_since {
            self.lonely.remove(&(since, Arc::clone(name)));
        }
        self.unasked.remove(name);
        self.refused.remove(name);
    }
}

/// Channels of one agent: ten times the applications that one Argo CD is known to bear. Each costs half a kilobyte here,
/// and the agent's Redis as much.
pub(super) const CHANNELS: usize = 10_000;

#[cfg(test)]
mod tests;
