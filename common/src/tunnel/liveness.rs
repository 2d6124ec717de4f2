//! Whether the peer is alive: when to ping, what the round trip took, and from when on silence means death.
//!
//! Pure: it is told the time and decides; the session's driver does the waiting and the sending.

use std::time::Duration;

use tokio::time::Instant;

/// ```text
///           ping_due              heard                     deadline
/// hear ──────────┬──────────────────┬──────── … ───────────────┬──► dead
///                └─ send Ping(n) ───┘ (any event, Pong or not)
/// ```
#[derive(Debug)]
pub struct Liveness {
    interval: Duration,
    silence: Duration,
    heard: Instant,
    next_ping: Instant,
    sent: Option<(u64, Instant)>,
    nonce: u64,
}

// === impl Liveness ===

impl Liveness {
    /// Starts at `now`, when the peer was just heard.
    #[must_use]
    pub fn new(interval: Duration, silence: Duration, now: Instant) -> Self {
        Self { interval, silence, heard: now, next_ping: now + interval, sent: None, nonce: 0 }
    }

    /// Something came from the peer.
    pub fn hear(&mut self, now: Instant) {
        self.heard = self.heard.max(now);
    }

    /// A Pong came: the round-trip time, when it answers the latest Ping.
    pub fn pong(&mut self, nonce: u64, now: Instant) -> Option<Duration> {
        self.hear(now);
        let (_, at) = self.sent.take_if(|(sent, _)| *sent == nonce)?;
        Some(now.saturating_duration_since(at))
    }

    /// The nonce of a Ping that is due now.
    pub fn ping_due(&mut self, now: Instant) -> Option<u64> {
        (now >= self.next_ping).then(|| self.ping(now))
    }

    /// The nonce of a Ping that goes along with a Pong which is sent now: one that would be due soon costs nothing beside
    /// it, and by itself a packet and a wake-up at either end. Two ends that ping equally often send three packets and
    /// not four.
    pub fn ping_along(&mut self, now: Instant) -> Option<u64> {
        (now + self.interval / 2 >= self.next_ping).then(|| self.ping(now))
    }

    /// The peer has sent a Ping, which it goes on to do: as long as its Pings come, ours would tell neither end anything
    /// that they and our Pongs do not. For the end that need not know what a round trip takes: two packets and not three.
    /// The little more than an interval is for the peer's next Ping to be on its way.
    pub fn pinged(&mut self, now: Instant) {
        self.next_ping = self.next_ping.max(now + self.interval + self.interval / 8);
    }

    /// The nonce of a Ping that is sent now.
    pub fn ping(&mut self, now: Instant) -> u64 {
        self.next_ping = now + self.interval;
        self.nonce += 1;
        self.sent = Some((self.nonce, now));
        self.nonce
    }

    /// Whether the peer has been silent for too long.
    #[must_use]
    pub fn is_dead(&self, now: Instant) -> bool {
        now >= self.heard + self.silence
    }

    /// When to ask again.
    #[must_use]
    pub fn wake_at(&self) -> Instant {
        self.next_ping.min(self.heard + self.silence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);
    const SILENCE: Duration = Duration::from_secs(20);

    #[tokio::test(start_paused = true)]
    async fn pings_measures_and_declares_death() {
        let start = Instant::now();
        let mut liveness = Liveness::new(INTERVAL, SILENCE, start);
        assert_eq!(liveness.ping_due(start), None);
        let due = start + INTERVAL;
        assert_eq!(liveness.wake_at(), due);
        let nonce = liveness.ping_due(due).unwrap();
        assert_eq!(liveness.pong(nonce + 1, due), None, "not the ping that was sent");
        let answered = due + Duration::from_millis(7);
        assert_eq!(liveness.pong(nonce, answered), Some(Duration::from_millis(7)));
        assert_eq!(liveness.pong(nonce, answered), None, "answered twice");
        assert!(!liveness.is_dead(answered + SILENCE - Duration::from_millis(1)));
        assert!(liveness.is_dead(answered + SILENCE));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_pinged_does_not_ping_until_that_ends() {
        let mut now = Instant::now();
        let mut liveness = Liveness::new(INTERVAL, SILENCE, now);
        for _ in 0..10 {
            now += INTERVAL - Duration::from_millis(1);
            assert_eq!(liveness.ping_due(now), None);
            liveness.hear(now);
            liveness.pinged(now);
        }
        let due = now + INTERVAL + INTERVAL / 8;
        assert_eq!(liveness.wake_at(), due);
        assert!(!liveness.is_dead(due));
        assert!(liveness.ping_due(due).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_ping_that_is_due_soon_goes_along_with_a_pong() {
        let start = Instant::now();
        let mut liveness = Liveness::new(INTERVAL, SILENCE, start);
        assert_eq!(liveness.ping_along(start + INTERVAL / 4), None);
        let along = start + INTERVAL / 2;
        let nonce = liveness.ping_along(along).unwrap();
        assert_eq!(liveness.wake_at(), along + INTERVAL);
        assert_eq!(liveness.pong(nonce, along), Some(Duration::ZERO));
        assert_eq!(liveness.ping_along(along), None, "a peer that pings all the time gets no Ping each time");
    }
}
