//! Principals that restart, as they should or not.

use harness::{
    eventually,
    faulty::{AGENT, Faulty, Rig},
    raw::{Caller, get},
    site::Site,
    soon,
};

use super::POD;

#[tokio::test]
async fn agents_come_back_to_a_principal_that_restarts() {
    let mut rig = Rig::start().await;
    assert_eq!(rig.get(POD).await.status, 200);
    let mut connected = rig.agent.as_ref().unwrap().agent.connected.clone();
    connected.mark_unchanged();
    rig.world.restart_principal().await;
    soon(connected.changed()).await.unwrap();
    soon(connected.wait_for(|connected| *connected)).await.unwrap();
    assert_eq!(rig.get(POD).await.status, 200);
}

#[tokio::test]
async fn agents_come_back_to_a_principal_that_was_killed() {
    let site = Site::new();
    let server = Faulty::on_demand().await;
    let mut principal = site.principal(&[]).await;
    let (grpc, door) = (principal.grpc, principal.door);
    let _agent = site.agent(AGENT, grpc, &server.kubeconfig(site.folder()), &[]).await;
    let caller = Caller::new(site.ca.pem(), Some(site.ca.client(AGENT)));
    assert_eq!(caller.ask(door, get(POD)).await.status, 200);
    let mut running = caller.connect(door).await.unwrap();
    running.send(format!("POST {HANGS} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")).await.unwrap();
    eventually("it is there", async || (server.count(&format!("POST {HANGS}")) == 1).then_some(())).await;
    principal.process.kill().await;
    assert!(running.answer().await.is_err());
    let ports = [format!("--listen-port={}", grpc.port()), format!("--resource-proxy-listen={door}")];
    let _again = site.principal(&ports.each_ref().map(String::as_str)).await;
    eventually("the agent is back", async || (caller.ask(door, get(POD)).await.status == 200).then_some(())).await;
    assert_eq!(server.count(&format!("POST {HANGS}")), 1, "nothing is sent twice");
}

const HANGS: &str = "/api/v1/namespaces/a/pods/b?fault=hang";
