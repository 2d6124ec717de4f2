//! How often a request goes back and forth: through the tunnel, and to the API server.
//!
//! A long line is put between principal and agent. What takes as long as the line and back, and less than that twice,
//! is one round trip. A machine that is busy can only make it look like more, so the quickest of a few attempts counts.

use std::time::Duration;

use harness::{
    World,
    audit::Audit,
    client::{self, Protocol},
    eventually,
    faulty::Rig,
    link::Link,
    raw::get,
    scene::Scene,
};
use tokio::time::Instant;

#[tokio::test]
async fn a_get_is_one_round_trip_on_a_new_pipe_and_on_a_warm_one_and_so_is_the_start_of_a_stream() {
    let (rig, _link) = distant().await;
    let (mut warm, mut new, mut began) = (Vec::new(), Vec::new(), Vec::new());
    let mut caller = rig.caller.connect(rig.world.door()).await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..ATTEMPTS {
        // Takes the pipe that is idle, so that the next request needs a new one.
        let mut stream = rig.caller.connect(rig.world.door()).await.unwrap();
        let sent = Instant::now();
        stream.send(get(&format!("{OBJECT}?fault=silent"))).await.unwrap();
        assert_eq!(stream.head().await.unwrap().status, 200);
        assert_eq!(stream.chunk().await.unwrap().unwrap(), b"first");
        began.push(sent.elapsed());
        streams.push(stream);
        for times in [&mut new, &mut warm] {
            let sent = Instant::now();
            caller.send(get(OBJECT)).await.unwrap();
            assert_eq!(caller.answer().await.unwrap().status, 200);
            times.push(sent.elapsed());
        }
    }
    let counts = [&new, &warm, &began].map(|times| round_trips(times));
    assert_eq!(counts, [1, 1, 1], "new: {new:?}, warm: {warm:?}, streams: {began:?}");
    let opened = rig.metric("argocd_agent_tunnel_pipes_open", "").await;
    assert_eq!(opened, f64::from(ATTEMPTS) + 1.0, "each stream has a pipe, and the caller had a new one each time");
    assert_eq!(rig.server.count(&format!("GET {OBJECT}")), 2 * ATTEMPTS as usize, "one request is one request");
}

#[tokio::test]
async fn an_upgrade_is_one_round_trip_and_so_is_an_echo_in_it() {
    let (rig, _link) = distant().await;
    let (mut upgrades, mut echoes) = (Vec::new(), Vec::new());
    for _ in 0..ATTEMPTS {
        let mut exec = rig.caller.connect(rig.world.door()).await.unwrap();
        let sent = Instant::now();
        let upgrade = format!(
            "GET {OBJECT}/exec?fault=switch HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
        );
        exec.send(upgrade).await.unwrap();
        assert_eq!(exec.head().await.unwrap().status, 101);
        upgrades.push(sent.elapsed());
        let sent = Instant::now();
        exec.send("x").await.unwrap();
        assert_eq!(exec.exactly(1).await.unwrap(), b"x");
        echoes.push(sent.elapsed());
    }
    let counts = [&upgrades, &echoes].map(|times| round_trips(times));
    assert_eq!(counts, [1, 1], "upgrades: {upgrades:?}, echoes: {echoes:?}");
}

#[tokio::test]
async fn a_get_of_what_argo_cd_tracks_is_one_request_to_the_api_server() {
    let scene = Scene::filtered("round-trips").await;
    scene.tracked("any").await;
    let path = scene.core("configmaps/any");
    let mut door = scene.door.connect(Protocol::Http1).await;
    let mut audit = Audit::from_now();
    for _ in 0..GETS {
        door.ask(client::get(&path)).await.expect_status(200);
    }
    let all = eventually("the API server has told of all", async || {
        let all = audit.completed(&scene.namespace);
        (all.len() >= GETS).then_some(all)
    })
    .await;
    assert_eq!(all, vec![format!("get {path}"); GETS], "nothing else is asked in that namespace");
}

/// An agent far away, in front of an API server beside it.
async fn distant() -> (Rig, Link) {
    let (rig, link) = Rig::distant(World::start().await).await;
    link.delay(ROUND_TRIP / 2);
    (rig, link)
}

/// How often the line was passed there and back.
fn round_trips(times: &[Duration]) -> u128 {
    let quickest = times.iter().min().expect("an attempt");
    quickest.as_millis() / ROUND_TRIP.as_millis()
}

const OBJECT: &str = "/api/v1/namespaces/near/pods/far";

/// Long beside what a busy machine needs for a request.
const ROUND_TRIP: Duration = Duration::from_millis(300);

const ATTEMPTS: u32 = 3;
const GETS: usize = 5;
