//! Every failure has an answer, in time, and nothing else on the connection suffers.

use std::time::Duration;

use harness::{
    World, eventually,
    redis::Redis,
    redis_scene::{RedisScene, attach, door_to},
    resp::RespClient,
    soon,
};
use tokio::time::{Instant, timeout};

use super::{THEIR_TREE, TREE, bulk};

/// What a failure that can be known may take.
const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn an_agent_that_is_away_is_an_error_at_once_and_nothing_else_is() {
    let scene = RedisScene::start().await;
    let RedisScene { world, local, remote, agent } = scene;
    let mut client = RespClient::connect(world.principal.redis_door.unwrap()).await;
    assert_eq!(client.ask(&["GET", TREE]).await, "$-1\r\n");
    agent.stop(Duration::ZERO).await;
    let away = "-ERR agent is not connected: agent-a\r\n";
    let began = Instant::now();
    client.say(&["SET", "a", "1"]).await;
    client.say(&["GET", TREE]).await;
    client.say(&["MGET", "a", TREE]).await;
    client.say(&["EXISTS", "a", TREE]).await;
    client.say(&["GET", "a"]).await;
    assert_eq!(client.reply().await, "+OK\r\n");
    assert_eq!(client.reply().await, away);
    assert_eq!(client.reply().await, away);
    assert_eq!(client.reply().await, away);
    assert_eq!(client.reply().await, bulk("1"));
    assert!(began.elapsed() < AT_ONCE);
    // It comes back, and the same connection has it.
    let _agent = attach(&world, remote.address()).await;
    RespClient::connect(remote.address()).await.ask(&["SET", THEIR_TREE, "a tree"]).await;
    assert_eq!(client.ask(&["GET", TREE]).await, bulk("a tree"));
    drop(local);
}

#[tokio::test]
async fn an_agent_whose_redis_is_away_says_so_and_recovers() {
    let mut scene = RedisScene::start().await;
    let mut client = scene.client().await;
    assert_eq!(client.ask(&["GET", TREE]).await, "$-1\r\n");
    scene.remote.kill();
    for _ in 0..3 {
        let began = Instant::now();
        let reply = client.ask(&["GET", TREE]).await;
        assert!(reply.starts_with("-ERR ") && reply.ends_with(": agent-a\r\n"), "{reply}");
        assert!(began.elapsed() < AT_ONCE);
    }
    assert_eq!(client.ask(&["PING"]).await, "+PONG\r\n");
    scene.remote.restart().await;
    scene.at_agent().await.ask(&["SET", THEIR_TREE, "a tree"]).await;
    eventually("the tree", async || (client.ask(&["GET", TREE]).await == bulk("a tree")).then_some(())).await;
}

#[tokio::test]
async fn an_agent_whose_redis_is_silent_is_an_error_in_time() {
    let scene = RedisScene::start().await;
    let mut client = scene.client().await;
    assert_eq!(client.ask(&["GET", TREE]).await, "$-1\r\n");
    scene.remote.pause();
    let began = Instant::now();
    client.say(&["GET", TREE]).await;
    client.say(&["GET", "a"]).await;
    client.say(&["GET", TREE]).await;
    client.say(&["MGET", "a", TREE]).await;
    let reply = client.reply().await;
    assert!(reply.starts_with("-ERR ") && reply.ends_with(": agent-a\r\n"), "{reply}");
    assert_eq!(client.reply().await, "$-1\r\n");
    assert!(client.reply().await.starts_with("-ERR "));
    assert!(client.reply().await.starts_with("-ERR "));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // Others do not wait meanwhile.
    let mut other = scene.client().await;
    other.say(&["GET", TREE]).await;
    assert_eq!(timeout(AT_ONCE, scene.client().await.ask(&["PING"])).await.unwrap(), "+PONG\r\n");
    scene.remote.go_on();
    soon(other.frame()).await.unwrap();
    assert_eq!(client.ask(&["GET", TREE]).await, "$-1\r\n");
}

#[tokio::test]
async fn wrong_credentials_at_the_agent_are_told() {
    let scene = RedisScene::start_with(&[], &["--requirepass", "secret"]).await;
    let mut client = scene.client().await;
    let reply = client.ask(&["GET", TREE]).await;
    assert!(reply.starts_with("-ERR ") && reply.contains("NOAUTH") && reply.ends_with(": agent-a\r\n"), "{reply}");
    assert_eq!(client.ask(&["PING"]).await, "+PONG\r\n");
}

#[tokio::test]
async fn a_client_is_told_that_the_principals_redis_is_away() {
    let mut redis = Redis::start(&[]).await;
    let world = World::start_with(|config| config.redis_door = Some(door_to(redis.address()))).await;
    let door = world.principal.redis_door.unwrap();
    let mut client = RespClient::connect(door).await;
    assert_eq!(client.ask(&["PING"]).await, "+PONG\r\n");
    redis.kill();
    assert_eq!(client.frame().await, None);
    let mut client = RespClient::connect(door).await;
    client.say(&["HELLO", "3"]).await;
    let rest = String::from_utf8(soon(client.rest()).await).unwrap();
    assert_eq!(rest, "-ERR the redis proxy cannot reach the principal's Redis: connection refused\r\n");
    redis.restart().await;
    let mut client = RespClient::connect(door).await;
    assert_eq!(client.ask(&["PING"]).await, "+PONG\r\n");
}

#[tokio::test]
async fn a_principal_that_restarts_serves_again() {
    let mut scene = RedisScene::start().await;
    let door = scene.door();
    let mut client = scene.client().await;
    assert_eq!(client.ask(&["GET", TREE]).await, "$-1\r\n");
    scene.world.restart_principal().await;
    assert_eq!(client.frame().await, None);
    let mut connected = scene.agent.agent.connected.clone();
    soon(connected.wait_for(|connected| !*connected)).await.unwrap();
    soon(connected.wait_for(|connected| *connected)).await.unwrap();
    scene.at_agent().await.ask(&["SET", THEIR_TREE, "a tree"]).await;
    assert_eq!(RespClient::connect(door).await.ask(&["GET", TREE]).await, bulk("a tree"));
}
