//! What changes for all, and what comes with time, while requests run.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use harness::control::{TokenKey, claims};
use tokio::task::JoinSet;

use super::*;

#[tokio::test]
async fn a_shared_certificate_that_changes_is_at_once_in_every_secret() {
    let rig = Rig::new("register-certificate", |_registration| {}).await;
    let _agents = (rig.attach("a").await, rig.attach("b").await);
    let before = [rig.cluster("a").await, rig.cluster("b").await];
    // One whose agent has never been here.
    upstream(
        &rig.control.namespace,
        "away",
        &rig.control.token("away"),
        &rig.world.ca.client("old"),
        &rig.world.ca.pem(),
    )
    .await;
    rig.settled(3.0).await;
    let renewed = rig.world.ca.client("argo-cd");
    rig.set_certificate(&renewed).await;
    for agent in ["a", "b", "away"] {
        let cluster = rig.cluster_that(agent, |cluster| cluster.pem("certData") == renewed.certificate).await;
        assert_eq!((cluster.pem("keyData"), cluster.pem("caData")), (renewed.key.clone(), rig.world.ca.pem()));
        let before = before.iter().find(|before| before.server == cluster.server);
        assert!(before.is_none_or(|before| before.token() == cluster.token()), "the token stays");
    }
    // What cannot be used changes nothing.
    rig.settled(6.0).await;
    set_certificate(&rig.control.namespace, &Leaf { key: before[0].pem("keyData"), ..renewed.clone() }, "none").await;
    let failures = async || rig.metric("client_certificate_failures_total", "").await;
    eventually("it is counted", async || (failures().await >= 1.0).then_some(())).await;
    let _agent = rig.attach("c").await;
    assert_eq!(rig.cluster("c").await.pem("certData"), renewed.certificate);
    assert_eq!(rig.cluster("a").await.pem("keyData"), renewed.key);
}

#[tokio::test]
async fn a_key_that_changes_gives_every_agent_a_new_token_and_the_old_ones_count_meanwhile() {
    let rig = Rig::new("register-key", |_registration| {}).await;
    let _agent = rig.attach("edge").await;
    let before = rig.cluster("edge").await;
    rig.until_served(&before).await;
    let load = Load::start(&rig, "edge").await;
    rig.control.set_key(&TokenKey::new()).await;
    let after = rig.cluster_that("edge", |cluster| cluster.token() != before.token()).await;
    rig.until_served(&after).await;
    assert_eq!(before.ask(&rig.world).await.status, 200);
    load.end().await;
    assert_eq!(rig.metric("writes_total", "reissued").await, 1.0);
}

#[tokio::test]
async fn tokens_are_renewed_before_they_end_and_no_request_fails() {
    // Renewed when two seconds are left.
    let rig = Rig::new("register-renewal", |registration| registration.token_lifetime = Duration::from_secs(6)).await;
    let agent = rig.attach("edge").await;
    let first = rig.cluster("edge").await;
    rig.until_served(&first).await;
    let load = Load::start(&rig, "edge").await;
    let second = rig.cluster_that("edge", |cluster| cluster.token() != first.token()).await;
    assert_eq!(first.ask(&rig.world).await.status, 200, "the one before counts until its own end");
    // Also while the agent is away, and without anybody's doing.
    let third = rig.cluster_that("edge", |cluster| cluster.token() != second.token()).await;
    assert_eq!(third.ask(&rig.world).await.status, 200);
    load.end().await;
    agent.stop(Duration::ZERO).await;
    let fourth = rig.cluster_that("edge", |cluster| cluster.token() != third.token()).await;
    assert_eq!(fourth.ask(&rig.world).await.status, 502);
    assert!(rig.metric("writes_total", "renewed").await >= 3.0);
    // A token of somebody else's that never ends is not ours to end.
    assert!(rig.control.sign(&claims("edge")) != fourth.token());
}

/// Requests that run all the time, by what the Secret says at the moment, as Argo CD does.
struct Load {
    done: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    runs: JoinSet<Result<(), String>>,
}

// === impl Load ===

impl Load {
    async fn start(rig: &Rig, agent: &str) -> Self {
        let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let token = Arc::new(Mutex::new(rig.cluster(agent).await.token().to_owned()));
        let mut runs = JoinSet::new();
        let (known, stopped) = (Arc::clone(&token), Arc::clone(&stop));
        let (namespace, agent) = (rig.control.namespace.clone(), agent.to_owned());
        runs.spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let now = find(&namespace, &agent).await.ok_or("the Secret is gone")?;
                *known.lock().unwrap() = now.token().to_owned();
            }
            Ok(())
        });
        for _ in 0..2 {
            let (caller, door) = (Caller::of(&rig.world, "argo-cd"), rig.world.door());
            let (done, stop, token) = (Arc::clone(&done), Arc::clone(&stop), Arc::clone(&token));
            runs.spawn(async move {
                let mut connection = caller.connect(door).await.map_err(|error| error.to_string())?;
                while !stop.load(Ordering::Relaxed) {
                    let request = request(&token.lock().unwrap());
                    connection.send(request).await.map_err(|error| format!("not sent: {error}"))?;
                    let answer = connection.answer().await.map_err(|error| format!("no answer: {error}"))?;
                    if answer.status != 200 {
                        return Err(format!("{}: {}", answer.status, answer.text()));
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            });
        }
        Self { done, stop, runs }
    }

    /// Ends it; not one request may have failed.
    async fn end(mut self) {
        let goal = self.done.load(Ordering::Relaxed) + 40;
        eventually("requests go on", async || (self.done.load(Ordering::Relaxed) >= goal).then_some(())).await;
        self.stop.store(true, Ordering::Relaxed);
        while let Some(run) = self.runs.join_next().await {
            assert_eq!(run.unwrap(), Ok(()));
        }
    }
}
