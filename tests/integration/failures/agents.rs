//! Agents that die, freeze, or are replaced.

use std::{sync::Arc, time::Duration};

use harness::{
    World, eventually,
    faulty::{self, Faulty, Rig, attach},
    raw::get,
    soon,
};
use tokio::{sync::Notify, time::Instant};

use super::{
    POD,
    processes::{Callers, Without},
};

#[tokio::test]
async fn an_agent_that_is_killed_breaks_off_what_runs_at_once() {
    // Nothing of what is asserted can come from a timeout.
    let rig = Without::agent(Duration::from_secs(40), Duration::from_secs(50)).await;
    let mut agent = rig.agent_process(&[]).await;
    let Callers { mut get, mut watch, mut watch2, mut exec } = rig.callers().await;
    agent.process.kill().await;
    // The kernel has closed its connection by now.
    let began = Instant::now();
    let answer = get.answer().await.unwrap();
    assert_eq!((answer.status, answer.text().contains("Connection to the agent was lost")), (502, true));
    assert!(watch.chunk().await.is_err(), "a watch that ends cleanly would be started again from its end");
    assert!(soon(watch2.frame()).await.unwrap().is_err(), "over HTTP/2, too");
    let (rest, ended) = exec.rest().await;
    assert!(rest.is_empty() && ended.is_err(), "an exec that ends cleanly would look done: {rest:?} {ended:?}");
    assert!(began.elapsed() < PROMISED, "{:?}", began.elapsed());
    rig.nothing_is_left().await;
    assert_eq!(rig.ask(POD).await, 502);
    let _again = rig.agent_process(&[]).await;
    assert_eq!(rig.ask(POD).await, 200);
}

#[tokio::test]
async fn an_agent_that_freezes_times_out_is_detached_and_comes_back() {
    let rig = Without::agent(Duration::from_secs(3), Duration::from_secs(6)).await;
    let agent = rig.agent_process(&[]).await;
    let Callers { get: _, mut watch, mut exec, .. } = rig.callers().await;
    agent.process.signal("STOP");
    let began = Instant::now();
    assert_eq!(rig.ask(POD).await, 504, "it is attached still, but does not answer");
    assert!(began.elapsed() >= rig.response_timeout);
    eventually("it is detached", async || (rig.ask(POD).await == 502).then_some(())).await;
    assert!(watch.chunk().await.is_err());
    assert!(exec.rest().await.1.is_err());
    rig.nothing_is_left().await;
    agent.process.signal("CONT");
    eventually("it is back", async || (rig.ask(POD).await == 200).then_some(())).await;
}

#[tokio::test]
async fn a_newer_agent_takes_over_and_the_older_one_finishes() {
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    let older = Faulty::http(move |_request| {
        let gate = Arc::clone(&opened);
        async move {
            gate.notified().await;
            Ok(faulty::answer(200, "text/plain", "older"))
        }
    })
    .await;
    let rig = Rig::around(World::start().await, older).await;
    let mut running = rig.caller.connect(rig.world.door()).await.unwrap();
    running.send(get(POD)).await.unwrap();
    eventually("it is there", async || (rig.server.seen().len() == 1).then_some(())).await;
    let newer = Faulty::http(async |_request| Ok(faulty::answer(200, "text/plain", "newer"))).await;
    let _newer_agent = attach(&rig.world, &newer).await;
    assert_eq!(rig.get(POD).await.text(), "newer");
    let mut connected = rig.agent.as_ref().unwrap().agent.connected.clone();
    soon(connected.wait_for(|connected| !connected)).await.unwrap();
    gate.notify_one();
    assert_eq!(running.answer().await.unwrap().text(), "older");
    assert_eq!(rig.get(POD).await.text(), "newer");
}

#[tokio::test]
async fn nothing_is_sent_twice_whatever_breaks() {
    let mut rig = Rig::start().await;
    let post = |path: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    // A connection of the agent's pool, closed by the API server under the next request.
    for (method, request) in [("POST", post("/a?fault=close")), ("GET", get("/a?fault=close"))] {
        assert_eq!(rig.get("/version").await.status, 200);
        let answer = rig.ask(request).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(rig.server.count(&format!("{method} /a?fault=close")), 1);
    }
    // A pipe that breaks under it.
    let mut raw = rig.caller.connect(rig.world.door()).await.unwrap();
    raw.send(post("/b?fault=hang")).await.unwrap();
    eventually("it is there", async || (rig.server.count("POST /b?fault=hang") == 1).then_some(())).await;
    drop(rig.agent.take());
    assert_eq!(raw.answer().await.unwrap().status, 502);
    rig.agent = Some(attach(&rig.world, &rig.server).await);
    assert_eq!(rig.get(POD).await.status, 200, "a new session");
    assert_eq!(rig.server.count("POST /b?fault=hang"), 1);
    // Idle pipes of the old session, which the principal still had: the next request takes a new one.
    for _ in 0..3 {
        let status = rig.ask(post("/c")).await.status;
        drop(rig.agent.take());
        rig.agent = Some(attach(&rig.world, &rig.server).await);
        assert_eq!(status, 200);
    }
    assert_eq!(rig.server.count("POST /c"), 3);
}

/// How soon callers hear that their agent is gone.
const PROMISED: Duration = Duration::from_secs(1);
