//! What the principal hears of channels.

use harness::eventually;
use tokio::time::{Instant, timeout};

use super::*;

const OTHER: &str = "app|managed-resources|agent-a_other|1.8.3";

fn confirmed(what: &str, channel: &str, count: usize) -> String {
    format!(r"*3\r\n${}\r\n{what}\r\n${}\r\n{channel}\r\n:{count}\r\n", what.len(), channel.len())
}

fn message(channel: &str, payload: &str) -> String {
    let length = payload.len();
    format!(r"*3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n${length}\r\n{payload}\r\n", channel.len())
}

/// A message of the agent's Argo CD; how many heard it.
async fn publish(direct: &mut Pipe<TcpStream>, channel: &str, payload: &str) -> String {
    direct.ask(&["PUBLISH", channel, payload]).await
}

/// Waits until so many listen.
async fn listened_to(direct: &mut Pipe<TcpStream>, channel: &str, count: usize) {
    let ending = format!(r":{count}\r\n");
    eventually("so many listen", async || {
        direct.ask(&["PUBSUB", "NUMSUB", channel]).await.ends_with(&ending).then_some(())
    })
    .await;
}

#[tokio::test]
async fn messages_come_under_the_principals_names_until_it_has_had_enough() {
    let redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let (mut direct, mut pipe) = (Pipe::direct(&redis).await, site.pipe());
    assert_eq!(pipe.ask(&["SUBSCRIBE", CHANNEL]).await, confirmed("subscribe", CHANNEL, 1));
    pipe.say(&["SUBSCRIBE", OTHER, CHANNEL]).await;
    assert_eq!(pipe.heard().await, confirmed("subscribe", OTHER, 2));
    assert_eq!(pipe.heard().await, confirmed("subscribe", CHANNEL, 2));
    assert_eq!(publish(&mut direct, LOCAL_CHANNEL, "").await, r":1\r\n");
    assert_eq!(pipe.heard().await, message(CHANNEL, ""));
    assert_eq!(publish(&mut direct, "app|managed-resources|other|1.8.3", "with text").await, r":1\r\n");
    assert_eq!(pipe.heard().await, message(OTHER, "with text"));
    // Reads go on beside it.
    assert_eq!(pipe.ask(&["GET", TREE]).await, r"$-1\r\n");
    assert_eq!(pipe.ask(&["PING"]).await, r"+PONG\r\n");
    assert_eq!(site.metric("channels_subscribed"), 2);

    assert_eq!(pipe.ask(&["UNSUBSCRIBE", CHANNEL]).await, confirmed("unsubscribe", CHANNEL, 1));
    assert_eq!(pipe.ask(&["UNSUBSCRIBE", CHANNEL]).await, confirmed("unsubscribe", CHANNEL, 1));
    listened_to(&mut direct, LOCAL_CHANNEL, 0).await;
    assert_eq!(publish(&mut direct, LOCAL_CHANNEL, "").await, r":0\r\n");
    assert_eq!(pipe.ask(&["UNSUBSCRIBE", OTHER]).await, confirmed("unsubscribe", OTHER, 0));
    // Its connection of its own is gone, and comes again.
    eventually("one connection is left", async || (site.metric("connections_open") == 1).then_some(())).await;
    assert_eq!(pipe.ask(&["SUBSCRIBE", CHANNEL]).await, confirmed("subscribe", CHANNEL, 1));
    publish(&mut direct, LOCAL_CHANNEL, "again").await;
    assert_eq!(pipe.heard().await, message(CHANNEL, "again"));
    assert_eq!(site.metric("messages_total"), 3);

    drop(pipe);
    listened_to(&mut direct, LOCAL_CHANNEL, 0).await;
    assert_eq!(site.metric("channels_subscribed"), 0);
}

#[tokio::test]
async fn a_channel_that_has_two_names_is_heard_under_both() {
    let redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let (mut direct, mut pipe) = (Pipe::direct(&redis).await, site.pipe());
    pipe.say(&["SUBSCRIBE", CHANNEL, LOCAL_CHANNEL]).await;
    assert_eq!(pipe.heard().await, confirmed("subscribe", CHANNEL, 1));
    assert_eq!(pipe.heard().await, confirmed("subscribe", LOCAL_CHANNEL, 2));
    assert_eq!(publish(&mut direct, LOCAL_CHANNEL, "x").await, r":1\r\n");
    assert_eq!(pipe.heard().await, message(CHANNEL, "x"));
    assert_eq!(pipe.heard().await, message(LOCAL_CHANNEL, "x"));
    pipe.ask(&["UNSUBSCRIBE", CHANNEL]).await;
    publish(&mut direct, LOCAL_CHANNEL, "y").await;
    assert_eq!(pipe.heard().await, message(LOCAL_CHANNEL, "y"));
}

#[tokio::test]
async fn payloads_of_any_kind_pass_and_none_is_held_that_is_too_long() {
    let redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let (mut direct, mut pipe) = (Pipe::direct(&redis).await, site.pipe());
    pipe.ask(&["SUBSCRIBE", CHANNEL]).await;
    for payload in ["\r\n*3\r\n$7\r\n", "ä", &"x".repeat(10_000), &"x".repeat(60_000)] {
        publish(&mut direct, LOCAL_CHANNEL, payload).await;
        let expected = frames::command(&[b"message", CHANNEL.as_bytes(), payload.as_bytes()]);
        assert!(pipe.reply().await.unwrap() == expected);
    }
    publish(&mut direct, LOCAL_CHANNEL, &"x".repeat(5_000_000)).await;
    assert_eq!(pipe.heard().await, message(CHANNEL, ""));
    publish(&mut direct, LOCAL_CHANNEL, "next").await;
    assert_eq!(pipe.heard().await, message(CHANNEL, "next"));
}

#[tokio::test]
async fn after_a_restart_of_redis_each_channel_is_told_once_and_heard_again() {
    let mut redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let mut pipe = site.pipe();
    // More than are in one command, so that all of them have to come back.
    let channels =
        (0..600).map(|number| format!("app|managed-resources|agent-a_app-{number}|1.8.3")).collect::<Vec<_>>();
    for some in channels.chunks(100) {
        let some = some.iter().map(String::as_str).collect::<Vec<_>>();
        pipe.say(&[&["SUBSCRIBE"], &some[..]].concat()).await;
        for _ in some {
            assert!(pipe.heard().await.starts_with(r"*3\r\n$9\r\nsubscribe"));
        }
    }
    for round in 0..2 {
        redis.restart().await;
        let mut told = Vec::new();
        for _ in &channels {
            told.push(pipe.heard().await);
        }
        told.sort();
        let mut expected = channels.iter().map(|channel| message(channel, "")).collect::<Vec<_>>();
        expected.sort();
        assert_eq!(told, expected, "{round}");
        let mut direct = Pipe::direct(&redis).await;
        assert_eq!(publish(&mut direct, "app|managed-resources|app-599|1.8.3", "x").await, r":1\r\n");
        assert_eq!(pipe.heard().await, message(&channels[599], "x"));
    }
    assert_eq!(site.metric("subscription_gaps_total"), 2);
}

#[tokio::test]
async fn while_redis_is_away_what_is_new_is_refused_and_what_was_comes_back() {
    let mut redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let mut pipe = site.pipe();
    pipe.ask(&["SUBSCRIBE", CHANNEL]).await;
    redis.kill();
    let told = timeout(AT_ONCE, pipe.ask(&["SUBSCRIBE", OTHER, "app|managed-resources|agent-a_third|1.8.3"])).await;
    assert_eq!(told.unwrap(), r"-ERR cannot reach Redis: connection refused\r\n");
    assert_eq!(pipe.ask(&["PING"]).await, r"+PONG\r\n");
    redis.restart().await;
    assert_eq!(pipe.heard().await, message(CHANNEL, ""));
    let mut direct = Pipe::direct(&redis).await;
    assert_eq!(publish(&mut direct, "app|managed-resources|other|1.8.3", "x").await, r":0\r\n");
    assert_eq!(pipe.ask(&["SUBSCRIBE", OTHER]).await, confirmed("subscribe", OTHER, 2));

    // What is ended while Redis is away does not come back.
    redis.kill();
    assert_eq!(pipe.ask(&["UNSUBSCRIBE", CHANNEL]).await, confirmed("unsubscribe", CHANNEL, 1));
    redis.restart().await;
    assert_eq!(pipe.heard().await, message(OTHER, ""));
    let mut direct = Pipe::direct(&redis).await;
    listened_to(&mut direct, LOCAL_CHANNEL, 0).await;
}

#[tokio::test]
async fn a_silent_redis_does_not_keep_a_subscriber_waiting_and_is_noticed() {
    let redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let (mut new, mut listens) = (site.pipe(), site.pipe());
    listens.ask(&["SUBSCRIBE", CHANNEL]).await;
    redis.pause();
    let since = Instant::now();
    assert_eq!(new.ask(&["SUBSCRIBE", CHANNEL]).await, r"-ERR Redis did not answer in time\r\n");
    let took = since.elapsed();
    assert!(took < Duration::from_millis(1_800), "{took:?}");
    // Nobody says anything to the other, so it takes a question that is not answered.
    eventually("it is noticed", async || {
        (site.metric("subscription_gaps_total") == 0 && since.elapsed() > SILENT).then_some(())
    })
    .await;
    redis.go_on();
    assert_eq!(listens.heard().await, message(CHANNEL, ""));
    let mut direct = Pipe::direct(&redis).await;
    listened_to(&mut direct, LOCAL_CHANNEL, 1).await;
    publish(&mut direct, LOCAL_CHANNEL, "x").await;
    assert_eq!(listens.heard().await, message(CHANNEL, "x"));
}

/// 10 s until Redis is asked, 5 s for its answer, and some.
const SILENT: Duration = Duration::from_secs(17);

#[tokio::test]
async fn a_principal_that_takes_no_messages_is_told_that_some_are_lost() {
    let redis = Redis::start(&["--client-output-buffer-limit", "pubsub 1mb 1mb 1"]).await;
    let site = Site::new(&redis);
    let (mut direct, mut stalled, mut other) = (Pipe::direct(&redis).await, site.pipe(), site.pipe());
    stalled.ask(&["SUBSCRIBE", CHANNEL]).await;
    other.ask(&["SUBSCRIBE", CHANNEL]).await;
    let payload = "x".repeat(10_000);
    eventually("Redis has had enough", async || {
        let heard = publish(&mut direct, LOCAL_CHANNEL, &payload).await;
        // The other takes all of them.
        other.reply().await.unwrap();
        (heard == r":1\r\n").then_some(())
    })
    .await;
    eventually("a gap is told", async || (stalled.heard().await == message(CHANNEL, "")).then_some(())).await;
    listened_to(&mut direct, LOCAL_CHANNEL, 2).await;
    publish(&mut direct, LOCAL_CHANNEL, "after it").await;
    assert_eq!(stalled.heard().await, message(CHANNEL, "after it"));
}

#[tokio::test]
async fn what_one_principal_may_listen_to_has_an_end() {
    let redis = Redis::start(&[]).await;
    let site = Site::new(&redis);
    let mut pipe = site.pipe();
    let channels =
        (0..10_200).map(|number| format!("app|managed-resources|agent-a_app-{number}|1.8.3")).collect::<Vec<_>>();
    let mut refused = 0;
    for some in channels.chunks(200) {
        let some = some.iter().map(String::as_str).collect::<Vec<_>>();
        pipe.say(&[&["SUBSCRIBE"], &some[..]].concat()).await;
        let first = pipe.heard().await;
        if first == r"-ERR there are too many channels\r\n" {
            refused += 1;
            continue;
        }
        for _ in &some[1..] {
            pipe.heard().await;
        }
    }
    assert_eq!((refused, site.metric("channels_subscribed")), (1, 10_000));

    let mut pipes = Vec::new();
    for number in 1..=65 {
        let mut pipe = site.pipe();
        let told = pipe.ask(&["SUBSCRIBE", CHANNEL]).await;
        let expected = if number < 64 {
            confirmed("subscribe", CHANNEL, 1)
        } else {
            r"-ERR there are too many pipes that subscribe\r\n".into()
        };
        assert_eq!(told, expected, "{number}");
        pipes.push(pipe);
    }
    pipes.truncate(10);
    eventually("places are free again", async || {
        let mut pipe = site.pipe();
        let told = pipe.ask(&["SUBSCRIBE", CHANNEL]).await;
        pipes.push(pipe);
        (told == confirmed("subscribe", CHANNEL, 1)).then_some(())
    })
    .await;
}
