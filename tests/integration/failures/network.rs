//! A network between principal and agent that swallows, cuts or delays.

use std::time::Duration;

use harness::{World, eventually, faulty::Rig, raw::get, soon};

use super::{POD, WATCH};

#[tokio::test]
async fn a_network_that_swallows_everything_times_out_and_heals() {
    let world = World::start_with(|config| {
        config.kube_door.as_mut().unwrap().response_timeout = Duration::from_secs(2);
        config.ping_interval = Duration::from_millis(500);
        config.silence = Duration::from_secs(4);
    })
    .await;
    let (rig, link) = Rig::distant(world).await;
    let ask = async || rig.get(POD).await.status;
    assert_eq!(ask().await, 200);
    link.stall();
    assert_eq!(ask().await, 504);
    eventually("the agent is detached", async || (ask().await == 502).then_some(())).await;
    // The agent, too, hears nothing any more, and tries again, in vain.
    let mut connected = rig.agent.as_ref().unwrap().agent.connected.clone();
    soon(connected.wait_for(|connected| !connected)).await.unwrap();
    link.cut();
    link.resume();
    eventually("it is back", async || (ask().await == 200).then_some(())).await;
    assert!(link.accepted() >= 2);
    // A slow network is no fault.
    link.delay(Duration::from_millis(20));
    assert_eq!(ask().await, 200);
}

#[tokio::test]
async fn a_connection_that_is_cut_takes_every_request_with_it_and_leaves_nothing() {
    let (rig, link) = Rig::distant(World::start().await).await;
    let mut watches = Vec::new();
    for _ in 0..50 {
        let mut raw = rig.caller.connect(rig.world.door()).await.unwrap();
        raw.send(get(WATCH)).await.unwrap();
        assert_eq!(raw.head().await.unwrap().status, 200);
        assert_eq!(raw.chunk().await.unwrap().unwrap(), b"first");
        watches.push(raw);
    }
    assert_eq!(rig.metric("argocd_agent_door_requests_in_flight", "").await, 50.0);
    link.cut();
    for mut raw in watches {
        assert!(raw.chunk().await.is_err());
    }
    eventually("nothing is left", async || {
        let in_flight = rig.metric("argocd_agent_door_requests_in_flight", "").await;
        let pipes = rig.metric("argocd_agent_tunnel_pipes_open", "").await;
        (in_flight + pipes == 0.0).then_some(())
    })
    .await;
    eventually("the agent is back", async || (rig.get(POD).await.status == 200).then_some(())).await;
    assert_eq!(rig.server.count(&format!("GET {WATCH}")), 50, "nothing is sent twice");
}
