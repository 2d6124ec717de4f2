//! What is published at an agent's Redis is heard by whoever subscribes at the door.

use std::time::Duration;

use harness::{
    World,
    cluster::cluster,
    eventually, pki, process,
    redis::Redis,
    redis_scene::{RedisScene, attach, door_to},
    resp::RespClient,
};
use principal::config::KubeSource;
use tokio::time::timeout;

use super::{THEIR_TREE, TREE, bulk};

/// As the principal's Argo CD calls it, and as the agent's does.
const CHANNEL: &str = "app|managed-resources|agent-a_guestbook|1.8.3";
const THEIR_CHANNEL: &str = "app|managed-resources|guestbook|1.8.3";

/// A frame of three strings, or of two and a number.
fn frame(marker: char, kind: &str, channel: &str, last: &str) -> String {
    format!("{marker}3\r\n{}{}{last}", bulk(kind), bulk(channel))
}

async fn publish(scene: &RedisScene, payload: &str) {
    assert_eq!(scene.at_agent().await.ask(&["PUBLISH", THEIR_CHANNEL, payload]).await, ":1\r\n");
}

#[tokio::test]
async fn a_subscriber_hears_what_is_published_at_the_agent_in_its_own_protocol() {
    let scene = RedisScene::start().await;
    let (mut two, mut three) = (scene.client().await, scene.client().await);
    three.ask(&["HELLO", "3"]).await;
    assert_eq!(two.ask(&["SUBSCRIBE", CHANNEL]).await, frame('*', "subscribe", CHANNEL, ":1\r\n"));
    assert_eq!(three.ask(&["subscribe", CHANNEL]).await, frame('>', "subscribe", CHANNEL, ":1\r\n"));
    for payload in ["", "changed", "again"] {
        publish(&scene, payload).await;
        assert_eq!(two.reply().await, frame('*', "message", CHANNEL, &bulk(payload)));
        assert_eq!(three.reply().await, frame('>', "message", CHANNEL, &bulk(payload)));
    }
    // A client of RESP3 reads on the same connection.
    scene.at_agent().await.ask(&["SET", THEIR_TREE, "a tree"]).await;
    assert_eq!(three.ask(&["GET", TREE]).await, bulk("a tree"));
    assert_eq!(two.ask(&["PING"]).await, format!("*2\r\n{}{}", bulk("pong"), bulk("")));
    assert_eq!(two.ask(&["UNSUBSCRIBE"]).await, frame('*', "unsubscribe", CHANNEL, ":0\r\n"));
    assert_eq!(two.ask(&["GET", TREE]).await, bulk("a tree"));
    publish(&scene, "for one").await;
    assert_eq!(three.reply().await, frame('>', "message", CHANNEL, &bulk("for one")));
    assert_eq!(two.ask(&["PING"]).await, "+PONG\r\n");
}

#[tokio::test]
async fn many_subscribers_are_one_subscription_at_the_agent() {
    let scene = RedisScene::start().await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = scene.client().await;
        client.ask(&["SUBSCRIBE", "another", CHANNEL]).await;
        client.reply().await;
        clients.push(client);
    }
    publish(&scene, "changed").await;
    for client in &mut clients {
        assert_eq!(client.reply().await, frame('*', "message", CHANNEL, &bulk("changed")));
    }
}

#[tokio::test]
async fn an_agent_that_was_away_is_one_message_more() {
    let scene = RedisScene::start().await;
    let mut client = scene.client().await;
    client.ask(&["SUBSCRIBE", CHANNEL]).await;
    let RedisScene { world, local, remote, agent } = scene;
    agent.stop(Duration::ZERO).await;
    let agent = attach(&world, remote.address()).await;
    assert_eq!(client.reply().await, frame('*', "message", CHANNEL, &bulk("")));
    let scene = RedisScene { world, local, remote, agent };
    publish(&scene, "changed").await;
    assert_eq!(client.reply().await, frame('*', "message", CHANNEL, &bulk("changed")));
}

#[tokio::test]
async fn a_subscription_to_an_agent_that_is_away_is_confirmed_and_good_when_it_comes() {
    let scene = RedisScene::start().await;
    let RedisScene { world, local, remote, agent } = scene;
    agent.stop(Duration::ZERO).await;
    let mut client = RespClient::connect(world.principal.redis_door.unwrap()).await;
    let confirmation = timeout(Duration::from_secs(2), client.ask(&["SUBSCRIBE", CHANNEL])).await;
    assert_eq!(confirmation.unwrap(), frame('*', "subscribe", CHANNEL, ":1\r\n"));
    let agent = attach(&world, remote.address()).await;
    assert_eq!(client.reply().await, frame('*', "message", CHANNEL, &bulk("")));
    let scene = RedisScene { world, local, remote, agent };
    publish(&scene, "changed").await;
    assert_eq!(client.reply().await, frame('*', "message", CHANNEL, &bulk("changed")));
}

/// go-redis takes an error in place of a confirmation for nothing, and listens on the same connection for ever; where the
/// connection ends it comes back and subscribes again. Argo CD's server does so when the principal is restarted.
#[tokio::test]
async fn a_subscription_to_nobody_knows_whom_ends_the_connection_so_that_clients_come_again() {
    let (local, remote) = (Redis::start(&[]).await, Redis::start(&[]).await);
    let nowhere = format!("https://127.0.0.1:{}", process::port());
    let kubeconfig = cluster().admin_kubeconfig_yaml().replace(cluster().api_server_url(), &nowhere);
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = pki::write(folder.path(), "control-plane", &kubeconfig);
    let world = World::start_with(|config| {
        config.redis_door = Some(door_to(local.address()));
        config.kube = Some(KubeSource::Kubeconfig { file: Some(kubeconfig), context: None });
    })
    .await;
    let door = world.principal.redis_door.unwrap();
    let mut client = RespClient::connect(door).await;
    assert_eq!(client.ask(&["SUBSCRIBE", "another"]).await, frame('*', "subscribe", "another", ":1\r\n"));
    client.say(&["SUBSCRIBE", CHANNEL]).await;
    client.say(&["PING"]).await;
    let rest = String::from_utf8(client.rest().await).unwrap();
    assert_eq!(rest, "-ERR the redis proxy does not know yet which agent the channel belongs to\r\n");
    // A read is asked again by whoever wants to know.
    let mut client = RespClient::connect(door).await;
    assert_eq!(client.ask(&["GET", TREE]).await, "-ERR cluster secrets are not known yet\r\n");
    assert_eq!(client.ask(&["MULTI"]).await, "+OK\r\n");
    assert!(client.ask(&["SUBSCRIBE", CHANNEL]).await.starts_with("-ERR "));
    assert!(client.ask(&["EXEC"]).await.starts_with("-EXECABORT "));
    let _agent = attach(&world, remote.address()).await;
    assert_eq!(client.ask(&["SUBSCRIBE", CHANNEL]).await, frame('*', "subscribe", CHANNEL, ":1\r\n"));
}

#[tokio::test]
async fn a_client_that_leaves_listens_no_longer() {
    let scene = RedisScene::start().await;
    let listeners = async || {
        let metrics = scene.world.principal.metrics.unwrap();
        harness::raw::metric(metrics, "argocd_agent_redis_door_listeners", "").await
    };
    let mut client = scene.client().await;
    client.ask(&["SUBSCRIBE", CHANNEL]).await;
    let mut reset = scene.client().await;
    reset.ask(&["SUBSCRIBE", CHANNEL]).await;
    assert_eq!(listeners().await, 2.0);
    assert_eq!(reset.ask(&["RESET"]).await, "+RESET\r\n");
    assert_eq!(listeners().await, 1.0);
    drop(client);
    eventually("nobody listens", async || (listeners().await == 0.0).then_some(())).await;
}

#[tokio::test]
async fn a_subscription_is_good_for_an_agent_that_nobody_knew_yet() {
    let (local, remote) = (Redis::start(&[]).await, Redis::start(&[]).await);
    let world = World::start_with(|config| config.redis_door = Some(door_to(local.address()))).await;
    let mut client = RespClient::connect(world.principal.redis_door.unwrap()).await;
    assert_eq!(client.ask(&["SUBSCRIBE", CHANNEL]).await, frame('*', "subscribe", CHANNEL, ":1\r\n"));
    let agent = attach(&world, remote.address()).await;
    assert_eq!(client.reply().await, frame('*', "message", CHANNEL, &bulk("")));
    let mut scene = RedisScene { world, local, remote, agent };
    publish(&scene, "changed").await;
    assert_eq!(client.reply().await, frame('*', "message", CHANNEL, &bulk("changed")));
    // A client that subscribes again as soon as it can is back before the agent is.
    scene.world.restart_principal().await;
    assert_eq!(client.frame().await, None);
    let mut client = scene.client().await;
    assert_eq!(client.ask(&["SUBSCRIBE", CHANNEL]).await, frame('*', "subscribe", CHANNEL, ":1\r\n"));
    assert_eq!(client.reply().await, frame('*', "message", CHANNEL, &bulk("")));
    publish(&scene, "changed again").await;
    assert_eq!(client.reply().await, frame('*', "message", CHANNEL, &bulk("changed again")));
}
