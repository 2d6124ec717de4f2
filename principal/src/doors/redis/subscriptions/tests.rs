//! Subscriptions over real pipes, with scripted agents, a publisher's inbox instead of Redis, and a clock that is paused.

use common::tunnel::{PipeError, SessionId, TunnelStream, error::RefusedReason};
use prometheus_client::registry::Registry;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    time::{Instant, advance, timeout},
};

use super::{
    metrics::{Outcome, What},
    publisher::{Inbox, Publishing},
    *,
};
use crate::doors::http::test_agent::{AgentPipe, TestAgents};

struct Rig {
    agents: Arc<TestAgents>,
    pipes: mpsc::Receiver<AgentPipe>,
    inbox: Inbox,
    subscriptions: Subscriptions,
    metrics: SubscriptionMetrics,
    signal: drain::Signal,
}

/// An agent's end of a pipe.
struct Agent {
    io: TunnelStream,
    session: SessionId,
    came: Vec<u8>,
}

// === impl Rig ===

impl Rig {
    /// The publisher is there, on its first connection.
    fn new() -> Self {
        let rig = Self::without_publisher();
        rig.inbox.publishing.send_replace(Publishing::Up(1));
        rig
    }

    fn without_publisher() -> Self {
        let (signal, drain) = drain::channel();
        let (agents, pipes) = TestAgents::new(drain.clone());
        let metrics = SubscriptionMetrics::register(&mut Registry::default());
        let (publisher, inbox) = Publisher::channel();
        let dialer: Arc<dyn Dialer> = Arc::clone(&agents) as _;
        let subscriptions = Subscriptions::with(dialer, publisher, metrics.clone(), Timing::default(), &drain);
        Self { agents, pipes, inbox, subscriptions, metrics, signal }
    }

    fn listen(&self, app: &str) -> Listening {
        self.subscriptions.listen(&agent(), &key(app)).unwrap()
    }

    /// The next pipe that is opened.
    async fn pipe(&mut self) -> Agent {
        let AgentPipe { io, session, .. } = soon(self.pipes.recv()).await.unwrap();
        Agent { io, session, came: Vec::new() }
    }

    /// A listener to each of these, whose subscriptions stand.
    async fn standing<const N: usize>(&mut self, apps: [&str; N]) -> (Agent, [Listening; N]) {
        self.agents.attach("agent", 10);
        let mut listening = apps.map(|app| self.listen(app));
        let mut agent = self.pipe().await;
        agent.subscribed(&apps).await;
        for listening in &mut listening {
            soon(listening.ready()).await;
        }
        (agent, listening)
    }

    /// The next that is published.
    async fn published(&mut self) -> (String, Vec<u8>) {
        let item = soon(self.inbox.queue.recv()).await.unwrap();
        assert_eq!(Publishing::Up(item.connection), *self.inbox.publishing.borrow());
        (item.message.channel.to_string(), item.message.payload.to_vec())
    }

    async fn assert_gaps(&mut self, apps: &[&str]) {
        for app in apps {
            assert_eq!(self.published().await, (channel(app), vec![]));
        }
        self.assert_quiet().await;
    }

    /// Nothing is published, and whatever can happen without the time going by has happened.
    async fn assert_quiet(&mut self) {
        let quiet = timeout(Duration::from_millis(1), self.inbox.queue.recv()).await;
        assert!(quiet.is_err(), "{quiet:?}");
    }
}

// === impl Agent ===

impl Agent {
    /// The next command but PING, which is answered, with a space between its words; empty at the end.
    async fn asked(&mut self) -> String {
        loop {
            match self.heard().await.as_str() {
                "PING" => self.say("+PONG\r\n").await,
                asked => return asked.to_owned(),
            }
        }
    }

    async fn heard(&mut self) -> String {
        loop {
            if let Some((command, length)) = command(&self.came) {
                self.came.drain(..length);
                return command;
            }
            match soon(self.io.read_buf(&mut self.came)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return String::new(),
            }
        }
    }

    async fn say(&mut self, text: &str) {
        self.io.write_all(text.as_bytes()).await.unwrap();
        self.io.flush().await.unwrap();
    }

    async fn confirm(&mut self, kind: &str, app: &str) {
        let channel = channel(app);
        let text = format!("*3\r\n${}\r\n{kind}\r\n${}\r\n{channel}\r\n:1\r\n", kind.len(), channel.len());
        self.say(&text).await;
    }

    /// Is asked for these, in order, and confirms them.
    async fn subscribed(&mut self, apps: &[&str]) {
        for app in apps {
            assert_eq!(self.asked().await, format!("SUBSCRIBE {}", channel(app)));
        }
        for app in apps {
            self.confirm("subscribe", app).await;
        }
    }

    async fn message(&mut self, app: &str, payload: &str) {
        let channel = channel(app);
        let start = format!("*3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n", channel.len());
        self.say(&format!("{start}${}\r\n{payload}\r\n", payload.len())).await;
    }
}

fn command(bytes: &[u8]) -> Option<(String, usize)> {
    let text = std::str::from_utf8(bytes).unwrap();
    let mut lines = text.split_inclusive("\r\n");
    let first = lines.next().filter(|line| line.ends_with("\r\n"))?;
    let words: usize = first.trim_end().strip_prefix('*').unwrap().parse().unwrap();
    let lines: Vec<_> = lines.take(words * 2).filter(|line| line.ends_with("\r\n")).collect();
    let length = first.len() + lines.iter().map(|line| line.len()).sum::<usize>();
    let command = lines.iter().skip(1).step_by(2).map(|line| line.trim_end()).collect::<Vec<_>>().join(" ");
    (lines.len() == words * 2).then_some((command, length))
}

fn agent() -> AgentName {
    AgentName::parse("agent").unwrap()
}

fn channel(app: &str) -> String {
    format!("app|managed-resources|agent_{app}|1.8.3")
}

fn key(app: &str) -> AgentKey {
    AgentKey::parse(channel(app).as_bytes()).unwrap()
}

/// The clock is paused: this is over at once where nothing else happens.
async fn soon<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(3_600), future).await.expect("within an hour")
}

/// How long the client is kept waiting.
async fn waits(listening: &mut Listening) -> Duration {
    let began = Instant::now();
    listening.ready().await;
    began.elapsed()
}

fn is_ready(listening: &mut Listening) -> bool {
    listening.poll_ready(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_listeners_of_a_channel_are_one_subscription() {
    let mut rig = Rig::new();
    rig.agents.attach("agent", 10);
    let mut listening: Vec<_> = (0..1_000).map(|_| rig.listen("a")).collect();
    let mut agent = rig.pipe().await;
    assert_eq!(agent.asked().await, format!("SUBSCRIBE {}", channel("a")));
    assert!(!listening.iter_mut().any(is_ready));
    agent.confirm("subscribe", "a").await;
    for listening in &mut listening {
        assert!(waits(listening).await < Duration::from_millis(10));
    }
    assert!(is_ready(&mut rig.listen("a")), "it stands already");
    assert_eq!((rig.metrics.held.get(), rig.metrics.listeners.get()), (1, 1_000));
    agent.message("a", "hello\r\n").await;
    assert_eq!(rig.published().await, (channel("a"), b"hello\r\n".to_vec()));
    rig.assert_quiet().await;
    assert_eq!(agent.came, b"");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_outlives_its_last_listener_for_a_while() {
    let mut rig = Rig::new();
    let (mut agent, [a, b]) = rig.standing(["a", "b"]).await;
    drop(a);
    advance(Duration::from_secs(29)).await;
    let a = rig.listen("a");
    rig.assert_quiet().await;
    let began = Instant::now();
    drop((a, b));
    assert_eq!(agent.asked().await, format!("UNSUBSCRIBE {}", channel("a")));
    assert_eq!(agent.asked().await, format!("UNSUBSCRIBE {}", channel("b")));
    assert_eq!(began.elapsed().as_secs(), 30);
    agent.confirm("unsubscribe", "a").await;
    assert!(!rig.subscriptions.0.desks().is_empty());
    agent.confirm("unsubscribe", "b").await;
    assert_eq!(agent.asked().await, "", "the pipe ends");
    assert!(rig.subscriptions.0.desks().is_empty());
    assert_eq!((rig.metrics.held.get(), rig.metrics.listeners.get()), (0, 0));
    assert_eq!(soon(rig.inbox.wanted.wait_for(|wanted| *wanted == 0)).await.map(|wanted| *wanted).unwrap(), 0);
    // And from the beginning.
    let mut a = rig.listen("a");
    let mut agent = rig.pipe().await;
    agent.subscribed(&["a"]).await;
    soon(a.ready()).await;
    rig.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_waits_a_second_at_most_and_is_told_what_it_may_have_missed() {
    let mut rig = Rig::new();
    rig.agents.attach("agent", 10);
    let (mut a, mut b) = (rig.listen("a"), rig.listen("b"));
    let mut agent = rig.pipe().await;
    assert_eq!(waits(&mut a).await.as_millis(), 1_000);
    agent.subscribed(&["a", "b"]).await;
    rig.assert_gaps(&["a"]).await;
    assert!(is_ready(&mut b), "it was not let go before");
    rig.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_away_keeps_nobody_waiting_and_is_not_asked_for_again_and_again() {
    let mut rig = Rig::new();
    let mut listening = rig.listen("a");
    assert_eq!(waits(&mut listening).await, Duration::ZERO);
    assert!(is_ready(&mut rig.listen("a")));
    advance(Duration::from_secs(24 * 3_600)).await;
    rig.assert_quiet().await;
    rig.agents.attach("agent", 10);
    let began = Instant::now();
    let mut agent = rig.pipe().await;
    agent.subscribed(&["a"]).await;
    rig.assert_gaps(&["a"]).await;
    assert!(began.elapsed() < Duration::from_millis(10), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_when_the_last_listener_of_an_agent_that_is_away_leaves() {
    let mut rig = Rig::new();
    drop(rig.listen("a"));
    drop(rig.listen("b"));
    rig.assert_quiet().await;
    assert!(rig.subscriptions.0.desks().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pipe_that_is_cut_is_one_gap_for_each_channel() {
    let mut rig = Rig::new();
    let (agent, listening) = rig.standing(["a", "b"]).await;
    let _more = [rig.listen("a"), rig.listen("a")];
    drop(agent);
    let began = Instant::now();
    let mut agent = rig.pipe().await;
    assert!(began.elapsed() < Duration::from_millis(50), "{:?}", began.elapsed());
    agent.subscribed(&["a", "b"]).await;
    rig.assert_gaps(&["a", "b"]).await;
    drop(listening);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_throws_us_out_again_and_again_is_not_stormed() {
    let mut rig = Rig::new();
    let (agent, _listening) = rig.standing(["a"]).await;
    drop(agent);
    let began = Instant::now();
    for _ in 0..100 {
        rig.pipe().await.subscribed(&["a"]).await;
    }
    assert!(began.elapsed() > Duration::from_secs(60), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_newer_session_takes_the_subscriptions_over_at_once() {
    let mut rig = Rig::new();
    let (mut older, _listening) = rig.standing(["a"]).await;
    let began = Instant::now();
    let session = rig.agents.attach("agent", 10);
    let mut newer = rig.pipe().await;
    assert_eq!((newer.session, began.elapsed()), (session, Duration::ZERO));
    assert_eq!(older.asked().await, "", "nothing keeps the older one");
    newer.subscribed(&["a"]).await;
    rig.assert_gaps(&["a"]).await;
    rig.agents.detach("agent");
    assert_eq!(newer.asked().await, "", "nothing keeps one that says good-bye");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_holds_no_place_among_the_exchanges() {
    let mut rig = Rig::new();
    rig.agents.attach("agent", 10);
    let _listening = [rig.listen("a"), rig.listen("b")];
    let mut agent = rig.pipe().await;
    assert_eq!(agent.asked().await, format!("SUBSCRIBE {}", channel("a")));
    assert_eq!(rig.agents.free_slots("agent"), 9);
    agent.confirm("subscribe", "a").await;
    rig.assert_quiet().await;
    assert_eq!(rig.agents.free_slots("agent"), 10);
}

#[tokio::test(start_paused = true)]
async fn an_agent_without_a_place_is_tried_again() {
    let mut rig = Rig::new();
    rig.agents.attach("agent", 0);
    let mut listening = rig.listen("a");
    assert_eq!(waits(&mut listening).await, Duration::ZERO);
    rig.agents.attach("agent", 1);
    rig.pipe().await.subscribed(&["a"]).await;
    rig.assert_gaps(&["a"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_answer_is_left_and_tried_again() {
    let mut rig = Rig::new();
    let (mut agent, _listening) = rig.standing(["a"]).await;
    let began = Instant::now();
    assert_eq!(agent.heard().await, "PING");
    agent.say("+PONG\r\n").await;
    assert_eq!(agent.heard().await, "PING");
    // Messages are no answers.
    advance(Duration::from_secs(3)).await;
    agent.message("a", "").await;
    rig.assert_gaps(&["a"]).await;
    assert_eq!(agent.asked().await, "");
    assert_eq!(began.elapsed().as_secs(), 25);
    rig.pipe().await.subscribed(&["a"]).await;
    rig.assert_gaps(&["a"]).await;
    // One that is silent from the beginning.
    let mut silent = rig.listen("b");
    assert_eq!(waits(&mut silent).await.as_secs(), 0, "the pipe has ended");
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_refuses_is_asked_for_again() {
    let mut rig = Rig::new();
    rig.agents.attach("agent", 10);
    let (mut a, mut b) = (rig.listen("a"), rig.listen("b"));
    let mut agent = rig.pipe().await;
    for app in ["a", "b"] {
        assert_eq!(agent.asked().await, format!("SUBSCRIBE {}", channel(app)));
    }
    agent.say("-ERR cannot reach Redis\r\n").await;
    agent.confirm("subscribe", "b").await;
    assert!(waits(&mut a).await < Duration::from_millis(10));
    assert!(waits(&mut b).await < Duration::from_millis(10));
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(agent.asked().await, format!("SUBSCRIBE {}", channel("a")));
        agent.say("-ERR cannot reach Redis\r\n").await;
    }
    assert!(began.elapsed() > Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(agent.asked().await, format!("SUBSCRIBE {}", channel("a")));
    agent.confirm("subscribe", "a").await;
    rig.assert_gaps(&["a"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_serves_no_redis_is_tried_when_it_attaches_again() {
    let mut rig = Rig::new();
    rig.agents.attach_refusing("agent", PipeError::Refused(RefusedReason::Target));
    let mut listening = rig.listen("a");
    assert_eq!(waits(&mut listening).await, Duration::ZERO);
    advance(Duration::from_secs(24 * 3_600)).await;
    rig.assert_quiet().await;
    rig.agents.attach("agent", 10);
    rig.pipe().await.subscribed(&["a"]).await;
    rig.assert_gaps(&["a"]).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_published_but_what_was_asked_for() {
    let mut rig = Rig::new();
    let (mut agent, _listening) = rig.standing(["a"]).await;
    agent.message("b", "").await;
    agent.message("a", "yes").await;
    assert_eq!(rig.published().await, (channel("a"), b"yes".to_vec()));
    assert_eq!(rig.metrics.counted(What::Message, Outcome::Unasked), 1);
    agent.say("+OK\r\n").await;
    assert_eq!(agent.asked().await, "", "it talks nonsense");
    rig.pipe().await.subscribed(&["a"]).await;
    rig.assert_gaps(&["a"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_too_long_is_published_empty() {
    let mut rig = Rig::new();
    let (mut agent, _listening) = rig.standing(["a"]).await;
    for (length, published) in [(MAX_PAYLOAD, MAX_PAYLOAD), (MAX_PAYLOAD + 1, 0), (5 * MAX_PAYLOAD, 0)] {
        let payload = "x".repeat(length);
        let (_, (_, heard)) = tokio::join!(agent.message("a", &payload), rig.published());
        assert_eq!(heard.len(), published, "{length}");
    }
    assert_eq!(rig.metrics.counted(What::Message, Outcome::TooLong), 2);
    agent.message("a", "").await;
    assert_eq!(rig.published().await, (channel("a"), vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_is_late_is_waited_for_and_is_no_gap() {
    let mut rig = Rig::without_publisher();
    rig.agents.attach("agent", 10);
    let mut listening = rig.listen("a");
    let mut agent = rig.pipe().await;
    agent.subscribed(&["a"]).await;
    rig.assert_quiet().await;
    assert!(!is_ready(&mut listening));
    assert_eq!(*rig.inbox.wanted.borrow(), 1);
    rig.inbox.publishing.send_replace(Publishing::Up(1));
    rig.assert_quiet().await;
    assert!(is_ready(&mut listening));
    agent.message("a", "hi").await;
    assert_eq!(rig.published().await, (channel("a"), b"hi".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_published_is_one_gap_for_each_channel() {
    let mut rig = Rig::new();
    let (mut agent, _listening) = rig.standing(["a", "b"]).await;
    rig.inbox.publishing.send_replace(Publishing::Down);
    rig.assert_quiet().await;
    for _ in 0..3 {
        agent.message("a", "lost").await;
    }
    rig.assert_quiet().await;
    assert_eq!(rig.metrics.counted(What::Message, Outcome::Lost), 3);
    let mut late = rig.listen("c");
    assert!(is_ready(&mut late), "it is known that nothing can be published");
    agent.subscribed(&["c"]).await;
    rig.inbox.publishing.send_replace(Publishing::Up(2));
    rig.assert_gaps(&["a", "b", "c"]).await;
    // Away for so short a time that nobody saw it.
    rig.inbox.publishing.send_replace(Publishing::Down);
    rig.inbox.publishing.send_replace(Publishing::Up(3));
    rig.assert_gaps(&["a", "b", "c"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_read_no_faster_than_is_published() {
    let mut rig = Rig::new();
    let (mut agent, _listening) = rig.standing(["a"]).await;
    let payload = "x".repeat(MAX_PAYLOAD);
    let talk = async {
        for _ in 0..100 {
            agent.message("a", &payload).await;
        }
    };
    // Nobody publishes anything. A minute is longer than an agent may be silent.
    assert!(timeout(Duration::from_secs(60), talk).await.is_err(), "somebody must wait");
    let held = rig.inbox.queue.len();
    assert!((1..5).contains(&held), "{held}");
    let mut heard = 0;
    while rig.published().await.1.len() == MAX_PAYLOAD {
        heard += 1;
        if heard > held {
            break;
        }
    }
    assert_eq!(heard, held + 1, "it goes on where it waited");
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_not_given_up_for_a_publisher_that_is() {
    let mut rig = Rig::new();
    let (mut agent, _listening) = rig.standing(["a"]).await;
    let payload = "x".repeat(MAX_PAYLOAD);
    let talk = async {
        loop {
            agent.message("a", &payload).await;
        }
    };
    assert!(timeout(Duration::from_secs(60), talk).await.is_err());
    rig.inbox.publishing.send_replace(Publishing::Down);
    // Its follower hears of it before there is room again.
    tokio::time::sleep(Duration::from_millis(1)).await;
    while rig.inbox.queue.try_recv().is_ok() {}
    // What it was saying when it was stopped is still to be said.
    rig.assert_quiet().await;
    assert!(rig.pipes.try_recv().is_err(), "it is the same pipe");
    assert_eq!(rig.metrics.held.get(), 1);
    rig.inbox.publishing.send_replace(Publishing::Up(2));
    rig.assert_gaps(&["a"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_agent_does_not_keep_gaps_of_another_waiting() {
    let mut rig = Rig::new();
    let (mut busy, _listening) = rig.standing(["a"]).await;
    let payload = "x".repeat(MAX_PAYLOAD);
    let talk = async {
        loop {
            busy.message("a", &payload).await;
        }
    };
    assert!(timeout(Duration::from_secs(1), talk).await.is_err());
    let other = AgentName::parse("other").unwrap();
    let mut listening = rig.subscriptions.listen(&other, &key("other")).unwrap();
    soon(listening.ready()).await;
    rig.agents.attach("other", 10);
    let mut quiet = rig.pipe().await;
    quiet.subscribed(&["other"]).await;
    let mut published = 0;
    while rig.published().await.0 != channel("other") {
        published += 1;
        assert!(published < 10, "it has its turn");
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_channels_are_subscribed_and_no_more() {
    let mut rig = Rig::new();
    rig.agents.attach("agent", 10);
    let mut listening: Vec<_> = (0..book::CHANNELS).map(|number| rig.listen(&format!("a{number:05}"))).collect();
    assert!(rig.subscriptions.listen(&agent(), &key("more")).is_none());
    assert!(rig.subscriptions.listen(&AgentName::parse("other").unwrap(), &key("more")).is_some());
    let mut agent = rig.pipe().await;
    for number in 0..book::CHANNELS {
        assert_eq!(agent.asked().await, format!("SUBSCRIBE {}", channel(&format!("a{number:05}"))));
        agent.confirm("subscribe", &format!("a{number:05}")).await;
    }
    for listening in &mut listening {
        soon(listening.ready()).await;
    }
    assert_eq!(rig.metrics.held.get(), 10_000);
    rig.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_subscriptions_and_lets_everybody_go() {
    let mut rig = Rig::new();
    let (mut agent, _listening) = rig.standing(["a"]).await;
    let mut waiting = rig.listen("b");
    assert_eq!(agent.asked().await, format!("SUBSCRIBE {}", channel("b")));
    rig.signal.begin();
    assert_eq!(waits(&mut waiting).await, Duration::ZERO);
    assert_eq!(agent.asked().await, "");
    assert!(waits(&mut rig.listen("c")).await < Duration::from_millis(10));
    let other = AgentName::parse("other").unwrap();
    let mut late = rig.subscriptions.listen(&other, &key("a")).unwrap();
    assert!(waits(&mut late).await < Duration::from_millis(10));
    assert!(rig.signal.drain(Duration::from_secs(1)).await);
}
