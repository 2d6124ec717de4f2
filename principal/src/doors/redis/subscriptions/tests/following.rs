//! Whom an agent is asked for, how often, and how long anybody waits for it.

use super::*;

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
