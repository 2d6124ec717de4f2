//! Subscriptions at agents, between real Redis servers: whoever listens in the principal's Redis hears what is published
//! in the agent's, each message once, and after a gap an empty one.

mod client;
mod pipes;
mod tunnel;

use std::{sync::Arc, time::Duration};

use common::{
    AgentKey, AgentName,
    auth::Secret,
    drain,
    redis::{Credentials, Endpoint, Login},
};
use harness::{eventually, redis::Redis, soon};
use principal::{
    agents::Dialer,
    doors::redis::subscriptions::{Listening, SubscriptionMetrics, Subscriptions, Timing},
};
use prometheus_client::{encoding::text, registry::Registry};

use self::{client::Client, pipes::Pipes};

/// Both sides, and what is between.
struct Rig {
    agents: Arc<Pipes>,
    agent: AgentName,
    /// The principal's Redis.
    here: Redis,
    /// The agent's.
    there: Redis,
    subscriptions: Subscriptions,
    metrics: Registry,
    _signal: drain::Signal,
}

/// A client of the door: its connection to the principal's Redis, and what the door holds for it.
struct Subscriber {
    client: Client,
    _listening: Listening,
}

// === impl Rig ===

impl Rig {
    async fn start() -> Self {
        Self::start_with(&[], Credentials::None, Timing::default()).await
    }

    /// With a principal's Redis of that configuration.
    async fn start_with(config: &[&str], credentials: Credentials, timing: Timing) -> Self {
        let (here, there) = tokio::join!(Redis::start(config), Redis::start(&[]));
        let (signal, drain) = drain::channel();
        let agents = Pipes::new(drain.clone());
        let agent = AgentName::parse("agent").unwrap();
        agents.attach(&agent, there.address());
        let endpoint = Endpoint::parse(&here.address().to_string(), None).unwrap();
        let mut metrics = Registry::default();
        let counts = SubscriptionMetrics::register(&mut metrics);
        let dialer: Arc<dyn Dialer> = Arc::clone(&agents) as _;
        let subscriptions = Subscriptions::start_with(dialer, endpoint, credentials, counts, timing, &drain);
        Self { agents, agent, here, there, subscriptions, metrics, _signal: signal }
    }

    fn listen(&self) -> Listening {
        self.subscriptions.listen(&self.agent, &AgentKey::parse(CHANNEL.as_bytes()).unwrap()).unwrap()
    }

    /// A client that subscribes as the door has it done.
    async fn subscriber(&self) -> Subscriber {
        self.subscriber_as(None).await
    }

    async fn subscriber_as(&self, password: Option<&'static str>) -> Subscriber {
        let mut listening = self.listen();
        let mut client = Client::to(self.here.address()).await;
        client.password = password;
        client.log_in().await;
        client.ask(&[b"SUBSCRIBE", CHANNEL.as_bytes()]).await;
        soon(listening.ready()).await;
        Subscriber { client, _listening: listening }
    }

    /// Publishes in the agent's Redis; how many heard it there.
    async fn publish(&self, payload: &str) -> String {
        let mut client = Client::to(self.there.address()).await;
        client.ask(&[b"PUBLISH", CHANNEL.as_bytes(), payload.as_bytes()]).await
    }

    /// How many subscribe in the agent's Redis.
    async fn subscribed(&self) -> String {
        let mut client = Client::to(self.there.address()).await;
        let answer = client.ask(&[b"PUBSUB", b"NUMSUB", CHANNEL.as_bytes()]).await;
        answer.trim_end().rsplit(':').next().unwrap().to_owned()
    }

    fn metric(&self, line: &str) -> u64 {
        let mut page = String::new();
        text::encode(&mut page, &self.metrics).unwrap();
        let value = page.lines().find_map(|found| found.strip_prefix(line));
        value.map_or(0, |value| value.trim().parse().unwrap())
    }

    /// Redis has published so many of these, and no more.
    async fn assert_published(&self, what: &str, count: u64) {
        let published = || self.metric(&format!(r#"messages_total{{what="{what}",outcome="published"}}"#));
        // Whoever subscribes may hear of it before we do.
        eventually("it is published", async || (published() >= count).then_some(())).await;
        assert_eq!(published(), count);
    }
}

// === impl Subscriber ===

impl Subscriber {
    /// The payload of the next message.
    async fn hears(&mut self) -> String {
        self.client.hears(CHANNEL).await
    }
}

const CHANNEL: &str = "app|managed-resources|agent_guestbook|1.8.3";

async fn fan_out(subscribers: usize) {
    let rig = Rig::start().await;
    let mut all = Vec::new();
    for _ in 0..subscribers {
        all.push(rig.subscriber().await);
    }
    assert_eq!(rig.subscribed().await, "1", "one subscription at the agent");
    for payload in ["", "one", "two\r\n"] {
        assert_eq!(rig.publish(payload).await, ":1\r\n");
    }
    for subscriber in &mut all {
        for payload in ["", "one", "two\r\n"] {
            assert_eq!(subscriber.hears().await, payload);
        }
    }
    assert_eq!((rig.metric("subscriptions "), rig.metric("listeners ")), (1, subscribers as u64));
    rig.assert_published("message", 3).await;
    rig.assert_published("gap", 0).await;
}

#[tokio::test]
async fn fifty_subscribers_hear_each_message_once_by_one_subscription() {
    fan_out(50).await;
}

#[tokio::test]
async fn a_thousand_subscribers_hear_each_message_once_by_one_subscription() {
    fan_out(1_000).await;
}

#[tokio::test]
async fn a_message_behind_the_confirmation_is_not_missed() {
    let rig = Rig::start_with(&[], Credentials::None, Timing { linger: Duration::ZERO, ..Timing::default() }).await;
    // From the beginning each time: the pipe, and the connection for publishing.
    for _ in 0..20 {
        let mut subscriber = rig.subscriber().await;
        assert_eq!(rig.publish("first").await, ":1\r\n");
        assert_eq!(subscriber.hears().await, "first");
        drop(subscriber);
        eventually("nobody subscribes", async || (rig.subscribed().await == "0").then_some(())).await;
    }
    rig.assert_published("gap", 0).await;
}

#[tokio::test]
async fn a_pipe_that_is_cut_is_one_empty_message() {
    let rig = Rig::start().await;
    let mut subscribers = [rig.subscriber().await, rig.subscriber().await];
    for round in 1..4 {
        rig.agents.cut(&rig.agent);
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.hears().await, "");
        }
        // One of Redis's may not have noticed yet that the cut one is gone.
        rig.publish("after").await;
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.hears().await, "after");
        }
        rig.assert_published("gap", round).await;
    }
}

#[tokio::test]
async fn an_agent_that_comes_back_is_one_empty_message() {
    let rig = Rig::start().await;
    let mut early = rig.subscriber().await;
    rig.agents.detach(&rig.agent);
    eventually("it is noticed", async || (rig.metric("subscriptions ") == 0).then_some(())).await;
    // Nobody is kept waiting for an agent that is away.
    let mut late = rig.subscriber().await;
    rig.agents.attach(&rig.agent, rig.there.address());
    for subscriber in [&mut early, &mut late] {
        assert_eq!(subscriber.hears().await, "");
    }
    // A newer session beside the older one, as when an agent restarts faster than anybody notices.
    rig.agents.attach(&rig.agent, rig.there.address());
    for subscriber in [&mut early, &mut late] {
        assert_eq!(subscriber.hears().await, "");
    }
    eventually("the older one is left", async || (rig.subscribed().await == "1").then_some(())).await;
    rig.publish("after").await;
    for subscriber in [&mut early, &mut late] {
        assert_eq!(subscriber.hears().await, "after");
    }
}

#[tokio::test]
async fn an_agents_redis_that_restarts_is_one_empty_message() {
    let mut rig = Rig::start().await;
    let mut subscriber = rig.subscriber().await;
    rig.there.kill();
    eventually("it is noticed", async || (rig.metric("subscriptions ") == 0).then_some(())).await;
    rig.there.restart().await;
    assert_eq!(subscriber.hears().await, "");
    assert_eq!(rig.publish("after").await, ":1\r\n");
    assert_eq!(subscriber.hears().await, "after");
    rig.assert_published("gap", 1).await;
}

#[tokio::test]
async fn a_principals_redis_that_restarts_is_one_empty_message() {
    let mut rig = Rig::start().await;
    let subscriber = rig.subscriber().await;
    rig.here.kill();
    // Its clients lose their connections; this one's door has not noticed yet.
    let Subscriber { client, _listening } = subscriber;
    drop(client);
    let lost = || rig.metric(r#"messages_total{what="message",outcome="lost"}"#);
    eventually("a message is lost", async || {
        rig.publish("lost").await;
        (lost() > 0).then_some(())
    })
    .await;
    rig.here.restart().await;
    rig.assert_published("gap", 1).await;
    let mut again = rig.subscriber().await;
    assert_eq!(rig.publish("after").await, ":1\r\n");
    assert_eq!(again.hears().await, "after");
    rig.assert_published("gap", 1).await;
}

#[tokio::test]
async fn a_principals_redis_that_hangs_is_one_empty_message() {
    let timing = Timing { silence: Duration::from_millis(500), ..Timing::default() };
    let rig = Rig::start_with(&[], Credentials::None, timing).await;
    let mut subscriber = rig.subscriber().await;
    rig.here.pause();
    assert_eq!(rig.publish("it will say this when it goes on").await, ":1\r\n");
    let failed = || rig.metric(r#"publisher_connections_total{outcome="failed"}"#);
    eventually("it is given up and tried again", async || (failed() > 1).then_some(())).await;
    // It answers nobody, but everybody can connect: nobody is kept waiting.
    soon(rig.listen().ready()).await;
    rig.publish("lost").await;
    let lost = || rig.metric(r#"messages_total{what="message",outcome="lost"}"#);
    eventually("neither is on its way any more", async || (lost() == 2).then_some(())).await;
    rig.here.go_on();
    assert_eq!(subscriber.hears().await, "it will say this when it goes on");
    assert_eq!(subscriber.hears().await, "");
    assert_eq!(rig.publish("after").await, ":1\r\n");
    assert_eq!(subscriber.hears().await, "after");
    rig.assert_published("gap", 1).await;
}

#[tokio::test]
async fn a_publisher_that_is_thrown_out_is_one_empty_message() {
    let rig = Rig::start().await;
    let mut subscriber = rig.subscriber().await;
    let mut admin = Client::to(rig.here.address()).await;
    // Who subscribes is of another type.
    assert_eq!(admin.ask(&[b"CLIENT", b"KILL", b"TYPE", b"normal"]).await, ":1\r\n");
    assert_eq!(subscriber.hears().await, "");
    assert_eq!(rig.publish("after").await, ":1\r\n");
    assert_eq!(subscriber.hears().await, "after");
    rig.assert_published("gap", 1).await;
}

#[tokio::test]
async fn a_subscription_ends_when_nobody_has_listened_for_a_while() {
    let timing = Timing { linger: Duration::from_millis(100), ..Timing::default() };
    let rig = Rig::start_with(&[], Credentials::None, timing).await;
    let (one, mut two) = (rig.subscriber().await, rig.subscriber().await);
    drop(one);
    assert_eq!(rig.publish("still").await, ":1\r\n");
    assert_eq!(two.hears().await, "still");
    drop(two);
    eventually("nobody subscribes", async || (rig.subscribed().await == "0").then_some(())).await;
    // Neither side has a connection of ours any more but the one that asks.
    for redis in [&rig.here, &rig.there] {
        eventually("nobody is connected", async || {
            let mut client = Client::to(redis.address()).await;
            let clients = client.ask(&[b"CLIENT", b"LIST"]).await;
            (clients.matches("id=").count() == 1).then_some(())
        })
        .await;
    }
    let mut again = rig.subscriber().await;
    assert_eq!(rig.publish("again").await, ":1\r\n");
    assert_eq!(again.hears().await, "again");
    rig.assert_published("gap", 0).await;
}

#[tokio::test]
async fn a_password_that_becomes_right_is_found_and_what_was_missed_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth");
    std::fs::write(&file, "wrong").unwrap();
    let credentials = Credentials::Directory(folder.path().to_owned());
    let rig = Rig::start_with(&["--requirepass", "secret"], credentials, Timing::default()).await;
    let mut subscriber = rig.subscriber_as(Some("secret")).await;
    eventually("it subscribes all the same", async || (rig.subscribed().await == "1").then_some(())).await;
    rig.publish("lost").await;
    let failed = || rig.metric(r#"publisher_connections_total{outcome="failed"}"#);
    eventually("it is tried again", async || (failed() > 2).then_some(())).await;
    std::fs::write(&file, "secret\n").unwrap();
    assert_eq!(subscriber.hears().await, "");
    assert_eq!(rig.publish("after").await, ":1\r\n");
    assert_eq!(subscriber.hears().await, "after");
    rig.assert_published("gap", 1).await;
}

#[tokio::test]
async fn a_user_who_may_not_publish_is_told_of_and_tried_again() {
    let login = Login { user: Some("argocd".into()), password: Secret::new("secret") };
    let rig = Rig::start_with(&[], Credentials::Given(login), Timing::default()).await;
    let mut admin = Client::to(rig.here.address()).await;
    assert_eq!(admin.ask(&[b"ACL", b"SETUSER", b"argocd", b"on", b">secret", b"&*"]).await, "+OK\r\n");
    let mut subscriber = rig.subscriber().await;
    eventually("it subscribes", async || (rig.subscribed().await == "1").then_some(())).await;
    let refused = |what: &str| rig.metric(&format!(r#"messages_total{{what="{what}",outcome="refused"}}"#));
    rig.publish("lost").await;
    eventually("it is refused", async || (refused("message") + refused("gap") > 0).then_some(())).await;
    assert_eq!(admin.ask(&[b"ACL", b"SETUSER", b"argocd", b"+publish"]).await, "+OK\r\n");
    assert_eq!(subscriber.hears().await, "");
    rig.publish("after").await;
    assert_eq!(subscriber.hears().await, "after");
}
