//! Subscriptions over real pipes, with scripted agents, a publisher's inbox instead of Redis, and a clock that is paused.

mod following;
mod publishing;

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
