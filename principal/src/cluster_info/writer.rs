//! Writes what the book says into the principal's Redis, on one connection, and keeps that connection.
//!
//! Always true: each value is put together when there is room to say it, so it is true then; and nothing counts as
//! written once the connection is lost. All is written anew on the next one.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use common::{
    ClusterInfoKey, Report,
    redis::Compression,
    resp::{frames, replies::Marker},
};
use jiff::Timestamp;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep, sleep_until},
};
use tracing::{debug, info, warn};

use super::{
    book::{self, Book},
    desk::Desk,
    metrics::{ClusterInfoMetrics, Connected, Save},
};
use crate::redis::{Backoff, Frame, OwnRedis, Trouble, Wire};

/// The task.
pub(super) struct Writer {
    redis: OwnRedis,
    compression: Compression,
    desk: Arc<Desk>,
    metrics: ClusterInfoMetrics,
    backoff: Backoff,
    /// The trouble that was told last, so that it is told once and not as often as it is met.
    told: Option<String>,
}

/// What Redis was told and has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Save,
    Ping,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(redis: OwnRedis, compression: Compression, desk: Arc<Desk>, metrics: ClusterInfoMetrics) -> Self {
        Self { redis, compression, desk, metrics, backoff: Backoff::default(), told: None }
    }

    /// Writes for ever.
    pub(super) async fn run(mut self) {
        loop {
            let trouble = match self.redis.connect(LONGEST, SILENCE).await {
                Ok(wire) => {
                    self.metrics.connection(Connected::Up);
                    let began = Instant::now();
                    let trouble = self.serve(wire).await;
                    self.backoff.worked(began.elapsed());
                    trouble
                }
                Err(trouble) => {
                    self.metrics.connection(Connected::Failed);
                    trouble
                }
            };
            self.tell(&trouble);
            sleep(self.backoff.fail()).await;
        }
    }

    fn tell(&mut self, trouble: &Trouble) {
        let error = Report(trouble).to_string();
        if self.told.as_ref() == Some(&error) {
            debug!(redis = %self.redis, error, "still cannot write how it stands with the agents' clusters");
            return;
        }
        let cure = cure(trouble);
        warn!(redis = %self.redis, error, cure, "cannot write how it stands with the agents' clusters, trying again");
        self.told = Some(error);
    }

    /// Writes until that does not work any more.
    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&mut self, mut wire: Wire<S>) -> Trouble {
        self.desk.with(Book::save_all);
        let mut told = VecDeque::new();
        let mut ping_at = Instant::now() + PING;
        let mut waits_since: Option<Instant> = None;
        let trouble = loop {
            while wire.has_room()
                && told.len() < UNANSWERED
                && let Some(save) = self.desk.with(Book::next_save)
            {
                wire.say(&self.command(&save));
                told.push_back(Told::Save);
                waits_since.get_or_insert_with(Instant::now);
            }
            let silent_at = waits_since.map(|since| since + SILENCE);
            let wake_at = silent_at.map_or(ping_at, |silent| silent.min(ping_at));
            tokio::select! {
                frame = wire.next() => {
                    let heard = frame.map_err(Trouble::Wire).and_then(|frame| self.hear(&frame, told.pop_front()));
                    if let Err(trouble) = heard {
                        break trouble;
                    }
                    waits_since = if told.is_empty() { None } else { Some(Instant::now()) };
                }
                // Where there is no room, an answer comes first.
                () = self.desk.unsaved(), if wire.has_room() && told.len() < UNANSWERED => {}
                () = sleep_until(wake_at) => {
                    let now = Instant::now();
                    if silent_at.is_some_and(|silent| silent <= now) {
                        break Trouble::Silent;
                    }
                    ping_at = now + PING;
                    wire.say(&frames::ping());
                    told.push_back(Told::Ping);
                    waits_since.get_or_insert(now);
                }
            }
        };
        for _save in told.iter().filter(|told| **told == Told::Save) {
            self.metrics.save(Save::Lost);
        }
        trouble
    }

    /// `SET key value EX seconds`
    fn command(&self, save: &book::Save) -> bytes::Bytes {
        let key = ClusterInfoKey::new(Arc::clone(&save.server), self.compression == Compression::Gzip).to_string();
        let value = save.standing().value(&save.agent, Timestamp::now(), self.compression);
        frames::command(&[b"SET", key.as_bytes(), &value, b"EX", LASTS.as_secs().to_string().as_bytes()])
    }

    fn hear(&mut self, frame: &Frame, told: Option<Told>) -> Result<(), Trouble> {
        match told.ok_or(Trouble::Unasked)? {
            Told::Save if frame.head.is_error() => {
                self.metrics.save(Save::Refused);
                Err(Trouble::Refused(frame.words()))
            }
            Told::Save if frame.head.marker() == Marker::Simple => {
                self.metrics.save(Save::Saved);
                if self.told.take().is_some() {
                    info!(redis = %self.redis, "how it stands with the agents' clusters is written again");
                }
                Ok(())
            }
            // Redis is there, whatever it thinks of us: if it writes no more it says so to the next value.
            Told::Ping if frame.head.is_error() || frame.head.marker() == Marker::Simple => Ok(()),
            Told::Save | Told::Ping => Err(Trouble::Unasked),
        }
    }
}

/// What an operator can do about it.
fn cure(trouble: &Trouble) -> &'static str {
    let words = match trouble {
        Trouble::Login(_) => return "look at --redis-password, or at the files in --redis-creds-dir-path",
        Trouble::Refused(words) => words,
        Trouble::Connect(_) | Trouble::Wire(_) | Trouble::Unasked | Trouble::Silent => {
            return "look at --redis-server-address, and at that Redis";
        }
    };
    match words.split(' ').next() {
        Some("NOAUTH") => "give --redis-password or --redis-creds-dir-path",
        Some("NOPERM") => "allow this user to SET cluster|info|*",
        Some("OOM") => "give that Redis more memory",
        _ => "look at that Redis",
    }
}

/// As Argo CD's own (`clusterInfoCacheExpiration`). It outlives two times that nothing could be written.
const LASTS: Duration = Duration::from_secs(600);

/// So many values are under way at a time. Redis has them in its memory or its socket then, and not we.
const UNANSWERED: usize = 128;

/// A silent Redis is asked so often whether it is there.
const PING: Duration = Duration::from_secs(10);

/// A Redis that does not answer for so long is given up.
const SILENCE: Duration = Duration::from_secs(5);

/// Answers are `OK`, and errors of a line.
const LONGEST: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use common::{
        AgentName,
        redis::{Credentials, Endpoint},
    };
    use prometheus_client::registry::Registry;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::timeout,
    };

    use super::*;
    use crate::redis::WireError;

    /// A writer for these agents, each of which has its name as its address.
    fn writer(agents: &[&str]) -> Writer {
        let redis = OwnRedis::new(Endpoint::parse("127.0.0.1:1", None).unwrap(), Credentials::None);
        let desk = Arc::new(Desk::default());
        let servers = agents.iter().map(|name| (AgentName::parse(name).unwrap(), [Arc::from(*name)].into()));
        desk.with(|book| book.registered(servers.collect(), Instant::now()));
        Writer::new(redis, Compression::None, desk, ClusterInfoMetrics::register(&mut Registry::default()))
    }

    async fn expect(redis: &mut DuplexStream, text: &str) {
        let mut heard = vec![0; text.len()];
        redis.read_exact(&mut heard).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&heard), text);
    }

    /// Hears so many values.
    async fn take(redis: &mut DuplexStream, agents: usize) -> String {
        let (mut heard, mut values) = (String::new(), 0);
        while values < agents {
            heard.push(redis.read_u8().await.unwrap().into());
            values += usize::from(heard.ends_with("$2\r\nEX\r\n$3\r\n600\r\n"));
        }
        heard
    }

    #[tokio::test(start_paused = true)]
    async fn all_is_written_on_each_connection_and_what_is_new_at_once() {
        let mut writer = writer(&["a", "b"]);
        let desk = Arc::clone(&writer.desk);
        for _ in 0..2 {
            let (near, mut redis) = duplex(1 << 20);
            let talk = async {
                let heard = take(&mut redis, 2).await;
                assert!(heard.contains("*5\r\n$3\r\nSET\r\n$20\r\ncluster|info|a|1.8.3\r\n$"), "{heard}");
                assert!(heard.contains("'b' is disconnected"), "{heard}");
                redis.write_all(b"+OK\r\n+OK\r\n").await.unwrap();
                let b = AgentName::parse("b").unwrap();
                let session = Some(common::tunnel::SessionId::random());
                desk.with(|book| book.attached(&b, session));
                assert!(take(&mut redis, 1).await.contains("'b' is connected"));
                desk.with(|book| book.attached(&b, None));
                drop(redis);
            };
            let (trouble, ()) = tokio::join!(writer.serve(Wire::new(near, LONGEST)), talk);
            assert!(matches!(trouble, Trouble::Wire(WireError::Closed | WireError::Lost(_))), "{trouble:?}");
        }
        assert_eq!(writer.metrics.saved(Save::Saved), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_redis_that_is_slow_has_only_so_much_under_way() {
        let names: Vec<_> = (0..1_000).map(|number| format!("agent-{number}")).collect();
        let mut writer = writer(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let metrics = writer.metrics.clone();
        let (near, mut redis) = duplex(8 << 20);
        let talk = async {
            let mut all = 0;
            while all < 1_000 {
                let mut unanswered = 0;
                while timeout(SILENCE / 10, take(&mut redis, 1)).await.is_ok() {
                    unanswered += 1;
                }
                assert!((1..=UNANSWERED).contains(&unanswered), "{unanswered} under way");
                redis.write_all("+OK\r\n".repeat(unanswered).as_bytes()).await.unwrap();
                all += unanswered;
            }
            while metrics.saved(Save::Saved) < 1_000 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            trouble = writer.serve(Wire::new(near, LONGEST)) => panic!("{trouble:?}"),
            () = talk => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_redis_that_does_not_answer_is_given_up() {
        let mut writer = writer(&[]);
        let (near, mut redis) = duplex(1 << 20);
        let began = Instant::now();
        let talk = async {
            expect(&mut redis, "*1\r\n$4\r\nPING\r\n").await;
            assert_eq!(began.elapsed(), PING);
            redis.write_all(b"+PONG\r\n").await.unwrap();
            expect(&mut redis, "*1\r\n$4\r\nPING\r\n").await;
            std::future::pending::<()>().await;
        };
        let trouble = tokio::select! {
            trouble = writer.serve(Wire::new(near, LONGEST)) => trouble,
            () = talk => unreachable!("it waits"),
        };
        assert!(matches!(trouble, Trouble::Silent), "{trouble:?}");
        assert_eq!(began.elapsed(), 2 * PING + SILENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_redis_that_does_not_take_it_says_so_in_its_own_words() {
        for (answer, told, cured_by) in [
            ("-NOPERM no permissions\r\n", "Redis refuses: NOPERM no permissions", "SET cluster|info|*"),
            ("-NOAUTH no\r\n", "Redis refuses: NOAUTH no", "--redis-password"),
            ("-OOM command not allowed\r\n", "Redis refuses: OOM command not allowed", "memory"),
            (":1\r\n", "Redis answered what nobody asked", "--redis-server-address"),
            ("+OK\r\n+OK\r\n", "Redis answered what nobody asked", "--redis-server-address"),
        ] {
            let mut writer = writer(&["a"]);
            let (near, mut redis) = duplex(1 << 20);
            let talk = async {
                take(&mut redis, 1).await;
                redis.write_all(answer.as_bytes()).await.unwrap();
                redis
            };
            let (trouble, _redis) = tokio::join!(writer.serve(Wire::new(near, LONGEST)), talk);
            assert_eq!(trouble.to_string(), told);
            assert!(cure(&trouble).contains(cured_by), "{trouble}");
        }
    }
}
