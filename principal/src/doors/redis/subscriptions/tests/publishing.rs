//! What is published of what agents say, what is a gap, and who waits for a publisher.

use super::*;

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
