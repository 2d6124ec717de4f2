//! The agent's own certificate: it attaches anew before it leaves.

use std::{
    fs,
    path::{Path, PathBuf},
};

use harness::{
    eventually,
    faulty::{AGENT, Faulty, Rig},
    pki::{Ca, Leaf},
    raw::{get, metric},
    soon,
};

use super::*;

#[tokio::test]
async fn an_agent_with_a_renewed_certificate_attaches_anew_and_no_request_fails() {
    let rig = Rig::start().await;
    let load = Load::start(&rig.caller, rig.world.door(), POD);
    // One whose answer lasts longer than all sessions but the last.
    let mut long = rig.caller.connect(rig.world.door()).await.unwrap();
    long.send(get("/api/v1/pods?fault=endless")).await.unwrap();
    assert_eq!(long.head().await.unwrap().status, 200);
    load.goes_on().await;
    let mut connected = rig.agent.as_ref().unwrap().agent.connected.clone();
    connected.borrow_and_update();
    for sessions in 2..=5 {
        renew(&rig, &rig.world.ca.client(AGENT));
        eventually("the agent attached anew", async || (sessions_of(&rig).await == f64::from(sessions)).then_some(()))
            .await;
        load.goes_on().await;
    }
    assert!(!long.chunk().await.unwrap().unwrap().is_empty());
    load.end().await;
    assert!(!connected.has_changed().unwrap(), "it was attached all the time");
    let agent = rig.agent.as_ref().unwrap().agent.metrics.unwrap();
    assert_eq!(metric(agent, RELOADS, "what=\"agent\"").await, 4.0);
    assert_eq!(rig.world.principal.agents.agents().len(), 1);
}

#[tokio::test]
async fn a_certificate_that_the_principal_does_not_take_leaves_the_old_session_alone() {
    let rig = Rig::start().await;
    let load = Load::start(&rig.caller, rig.world.door(), POD);
    let agent = rig.agent.as_ref().unwrap().agent.metrics.unwrap();
    renew(&rig, &Ca::new().client(AGENT));
    eventually("it tried more than once", async || {
        (metric(agent, "argocd_agent_link_attempts_total", "").await >= 3.0).then_some(())
    })
    .await;
    load.goes_on().await;
    assert_eq!(sessions_of(&rig).await, 1.0);
    assert_eq!(metric(agent, "argocd_agent_link_connected", "").await, 1.0);
    renew(&rig, &rig.world.ca.client(AGENT));
    eventually("the agent attached anew", async || (sessions_of(&rig).await == 2.0).then_some(())).await;
    load.end().await;
}

#[tokio::test]
async fn an_agent_whose_certificate_has_expired_gets_in_as_soon_as_it_is_renewed() {
    let (world, server) = (World::start().await, Faulty::on_demand().await);
    let mut config = world.agent_config(AGENT, "argocd");
    config.kube.kubeconfig = Some(server.kubeconfig(world.folder()));
    let _paths = world.ca.expired_client(AGENT).write(world.folder(), "agent-workload");
    let (_signal, watch) = common::drain::channel();
    let agent = agent::Agent::start(config, &watch).await.unwrap();
    let page = agent.metrics.unwrap();
    eventually("it was refused", async || {
        (metric(page, "argocd_agent_link_attempts_total", "").await >= 2.0).then_some(())
    })
    .await;
    assert!(metric(page, EXPIRY, "what=\"agent\"").await < 2e9);
    let _paths = world.ca.client(AGENT).write(world.folder(), "agent-workload");
    let mut connected = agent.connected.clone();
    soon(connected.wait_for(|connected| *connected)).await.unwrap();
}

async fn sessions_of(rig: &Rig) -> f64 {
    rig.metric("argocd_agent_tunnel_sessions_total", "").await
}

/// Puts both files in place, each in one step.
fn renew(rig: &Rig, leaf: &Leaf) {
    let path = |name: &str| rig.world.folder().join(name);
    swap(&path("agent-workload.crt"), &leaf.certificate);
    swap(&path("agent-workload.key"), &leaf.key);
}

fn swap(path: &Path, text: &str) {
    let mut next = PathBuf::from(path);
    next.set_extension("next");
    fs::write(&next, text).unwrap();
    fs::rename(next, path).unwrap();
}
