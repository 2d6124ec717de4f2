//! Through a real tunnel, to an agent that serves Redis.

use std::{sync::Arc, time::Duration};

use common::{
    AgentKey, AgentName, drain,
    redis::{Credentials, Endpoint},
};
use harness::{
    World, eventually,
    faulty::{AGENT, Faulty, attach},
    redis::Redis,
    soon,
    world::Attached,
};
use principal::{
    agents::Dialer,
    doors::redis::subscriptions::{SubscriptionMetrics, Subscriptions},
};
use prometheus_client::registry::Registry;

use super::Client;

/// By the principal's name for it, and by the agent's.
const HERE: &str = "app|managed-resources|workload_guestbook|1.8.3";
const THERE: &str = "app|managed-resources|guestbook|1.8.3";

/// An agent in front of that Redis. It needs no API server.
async fn agent(world: &World, kube: &Faulty, redis: &Redis) -> Attached {
    let (address, kubeconfig) = (redis.address().to_string(), kube.kubeconfig(world.folder()));
    let change = |config: &mut agent::config::Config| {
        config.redis.address = address;
        config.kube.kubeconfig = Some(kubeconfig);
    };
    world.agent_with(AGENT, "argocd", change).await
}

/// How many heard it there.
async fn publish(redis: &Redis, payload: &str) -> String {
    Client::to(redis.address()).await.ask(&[b"PUBLISH", THERE.as_bytes(), payload.as_bytes()]).await
}

#[tokio::test]
async fn what_is_said_at_an_agent_is_heard_here_whatever_happens_between() {
    let (world, kube) = (World::start().await, Faulty::on_demand().await);
    let (here, mut there) = tokio::join!(Redis::start(&[]), Redis::start(&[]));
    let attached = agent(&world, &kube, &there).await;
    let (signal, drain) = drain::channel();
    let dialer: Arc<dyn Dialer> = Arc::clone(&world.principal.agents) as _;
    let endpoint = Endpoint::parse(&here.address().to_string(), None).unwrap();
    let metrics = SubscriptionMetrics::register(&mut Registry::default());
    let subscriptions = Subscriptions::start(dialer, endpoint, Credentials::None, metrics, &drain);

    let channel = AgentKey::parse(HERE.as_bytes()).unwrap();
    let mut listening = subscriptions.listen(&AgentName::parse(AGENT).unwrap(), &channel).unwrap();
    let mut client = Client::to(here.address()).await;
    client.ask(&[b"SUBSCRIBE", HERE.as_bytes()]).await;
    soon(listening.ready()).await;
    assert_eq!(publish(&there, "first").await, ":1\r\n");
    assert_eq!(client.hears(HERE).await, "first");

    // The agent's Redis restarts: the agent tells.
    there.kill();
    there.restart().await;
    assert_eq!(client.hears(HERE).await, "");
    assert_eq!(publish(&there, "second").await, ":1\r\n");
    assert_eq!(client.hears(HERE).await, "second");

    // The agent drains, and does not wait for us; then it is back.
    assert!(attached.stop(Duration::from_secs(5)).await, "nothing keeps it");
    let attached = agent(&world, &kube, &there).await;
    assert_eq!(client.hears(HERE).await, "");
    assert_eq!(publish(&there, "third").await, ":1\r\n");
    assert_eq!(client.hears(HERE).await, "third");

    // A newer one takes over, and the older one has nothing to wait for.
    let _newer = agent(&world, &kube, &there).await;
    assert_eq!(client.hears(HERE).await, "");
    assert!(attached.stop(Duration::from_secs(5)).await);
    eventually("one is left", async || {
        let mut client = Client::to(there.address()).await;
        let subscribed = client.ask(&[b"PUBSUB", b"NUMSUB", THERE.as_bytes()]).await;
        subscribed.ends_with(":1\r\n").then_some(())
    })
    .await;
    assert_eq!(publish(&there, "fourth").await, ":1\r\n");
    assert_eq!(client.hears(HERE).await, "fourth");
    assert!(signal.drain(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn whoever_follows_an_agent_is_told_when_it_attaches_moves_and_leaves() {
    let (world, server) = (World::start().await, Faulty::on_demand().await);
    let mut newest = world.principal.agents.newest(&AgentName::parse(AGENT).unwrap());
    assert_eq!(*newest.borrow_and_update(), None);
    let older = attach(&world, &server).await;
    let first = *soon(newest.wait_for(Option::is_some)).await.unwrap();
    let newer = attach(&world, &server).await;
    let second = *soon(newest.wait_for(|session| *session != first)).await.unwrap();
    assert!(second.is_some(), "there was one all the time");
    older.stop(Duration::from_secs(5)).await;
    assert_eq!(*newest.borrow(), second, "the older one's end changes nothing");
    newer.stop(Duration::from_secs(5)).await;
    soon(newest.wait_for(Option::is_none)).await.unwrap();
}
