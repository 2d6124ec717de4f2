//! A certificate on the blocklist: what was made with it ends within a second, and it opens no port any more.

use std::{net::SocketAddr, time::Duration};

use harness::{
    World,
    client::{Endpoint, Protocol, get},
    cluster::cluster,
    control::Control,
    eventually,
    faulty::{self, Faulty, attach},
    link::Link,
    pki::{self, Leaf},
    process,
    raw::{self, Caller, metric},
    scene::{AGENT, Scene},
    site::Site,
    soon,
};
use principal::config::KubeSource;
use serde_json::Value;
use tokio::time::Instant;

/// From the moment at which the API server has taken the entry.
const AT_ONCE: Duration = Duration::from_secs(1);

const NODES: &str = "/api/v1/nodes";

#[tokio::test]
async fn an_agent_whose_certificate_is_listed_loses_its_session_and_pipes_and_stays_out() {
    let control = Control::new("revoked-agent").await;
    let scene = Scene::of(control.world().await, "revoked", "argocd".into(), |agent| agent.managed_only = false).await;
    scene.pod("pod", false).await;
    let mut exec = scene.kubectl().start(&["exec", "-i", "pod", "--", "sh", "-c", "echo ready; cat"]);
    exec.line_with("ready").await;
    let mut connection = scene.door.connect(Protocol::Http2).await;
    let mut watch = connection.stream(&scene.core("configmaps?watch=true")).await;
    scene.untracked("seen").await;
    while watch.event().await.unwrap()["object"]["metadata"]["name"] != "seen" {}
    let agent = Leaf::read(&scene.world.folder().join(format!("agent-{AGENT}.crt")));

    control.set_blocklist(&[&agent.fingerprint()]).await;
    let listed = Instant::now();
    let gone = async { eventually("gone", async || attached(&scene.world).is_empty().then_some(())).await };
    tokio::join!(gone, exec.end(), watch.end());
    assert!(listed.elapsed() < AT_ONCE, "{:?}", listed.elapsed());

    // It comes again and again, and is told the same.
    eventually("it was refused twice", async || {
        let refused = counted(&scene.world, "argocd_agent_tunnel_refused_calls_total", "unauthenticated").await;
        (refused >= 2.0).then_some(())
    })
    .await;
    assert!(attached(&scene.world).is_empty());
    assert_eq!(counted(&scene.world, "argocd_agent_blocklist_ended_connections_total", "").await, 1.0);
    assert_eq!(scene.door.ask(get(NODES)).await.status, 502);
    // Taken off, it may come back.
    control.set_blocklist(&[]).await;
    eventually("it is back", async || (attached(&scene.world) == [AGENT]).then_some(())).await;
    assert_eq!(scene.door.ask(get(NODES)).await.status, 200);
}

#[tokio::test]
async fn a_caller_whose_certificate_is_listed_loses_all_that_runs_and_others_lose_nothing() {
    let control = Control::new("revoked-caller").await;
    let scene = Scene::of(control.world().await, "callers", "argocd".into(), |agent| agent.managed_only = false).await;
    scene.pod("pod", false).await;
    let exec = ["exec", "-i", "pod", "--", "sh", "-c", "echo ready; cat"];
    let mut exec_over_websocket = scene.kubectl().start(&exec);
    let mut exec_over_spdy = scene.kubectl().env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false").start(&exec);
    exec_over_websocket.line_with("ready").await;
    exec_over_spdy.line_with("ready").await;
    let leaf = Leaf::read(&scene.world.folder().join(format!("caller-{AGENT}.crt")));
    let revoked = Endpoint::new(scene.world.door(), &scene.world.ca.pem()).with_certificate(leaf.clone());
    let path = scene.core("configmaps?watch=true");
    let mut watches = Vec::new();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut connection = revoked.connect(protocol).await;
        watches.push((connection.stream(&path).await, connection));
    }
    let mut others = scene.door.connect(Protocol::Http2).await;
    let mut goes_on = others.stream(&path).await;

    // In another way than ours.
    let entry: Vec<_> = leaf.fingerprint().to_lowercase().into_bytes();
    let entry: Vec<_> = entry.chunks(2).map(|pair| String::from_utf8_lossy(pair).into_owned()).collect();
    control.set_blocklist(&[&entry.join("-")]).await;
    let listed = Instant::now();
    let watches_end = async {
        for (watch, _) in &mut watches {
            watch.end().await;
        }
        // At our end, too.
        let in_flight = "argocd_agent_door_requests_in_flight";
        eventually("only the other's watch goes on", async || {
            (counted(&scene.world, in_flight, "").await == 1.0).then_some(())
        })
        .await;
    };
    tokio::join!(exec_over_websocket.end(), exec_over_spdy.end(), watches_end);
    assert!(listed.elapsed() < AT_ONCE, "{:?}", listed.elapsed());

    for (_, connection) in &mut watches {
        assert!(soon(connection.try_send(get(NODES))).await.is_err(), "the connection is gone with its watch");
    }
    // The handshake passes, and then the certificate counts for nothing.
    for protocol in [Protocol::Http1, Protocol::NoAlpn, Protocol::Http2] {
        let answer = revoked.connect(protocol).await.ask(get(NODES)).await;
        answer.assert_refusal(400, "BadRequest", "no authorization found");
    }
    // Nor does a token beside it.
    control.cluster_secret(AGENT, true).await;
    let token = http::Request::get(NODES).header("authorization", format!("Bearer {}", control.token(AGENT)));
    revoked.ask(token.body(harness::client::empty()).unwrap()).await.assert_refusal(
        400,
        "BadRequest",
        "no authorization found",
    );
    scene.untracked("seen").await;
    while goes_on.event().await.unwrap()["object"]["metadata"]["name"] != "seen" {}
    assert_eq!(attached(&scene.world), [AGENT]);
}

#[tokio::test]
async fn nobody_slips_in_while_the_principal_starts() {
    let control = Control::new("revoked-start").await;
    let mut world = control.world().await;
    let leaf = world.ca.client(AGENT);
    control.block(&world, &[&leaf.fingerprint()]).await;
    let caller = Caller::new(world.ca.pem(), Some(leaf));
    for _ in 0..3 {
        world.restart_principal().await;
        assert_eq!(caller.ask(world.door(), raw::get(NODES)).await.status, 400);
    }
    // An agent the same.
    let agent = Caller::new(world.ca.pem(), Some(world.ca.client(AGENT)));
    assert_eq!(agent.ask(world.door(), raw::get(NODES)).await.status, 502, "another certificate of the same name");
}

#[tokio::test]
async fn what_is_listed_stays_so_while_the_api_server_is_away() {
    let control = Control::new("revoked-away").await;
    let address = SocketAddr::from(([127, 0, 0, 1], process::port()));
    let real = cluster().api_server_url();
    let api_server: SocketAddr = real.trim_start_matches("https://").parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = cluster().admin_kubeconfig_yaml().replace(real, &format!("https://{address}"));
    let file = pki::write(folder.path(), "kubeconfig", &kubeconfig);
    let link = Link::at(address, api_server).await;
    let world = control
        .world_with(|config| config.kube = Some(KubeSource::Kubeconfig { file: Some(file), context: None }))
        .await;
    let [first, second] = ["first", "second"].map(|name| world.ca.client(name));
    control.block(&world, &[&first.fingerprint()]).await;
    let status = async |leaf: &Leaf| {
        Caller::new(world.ca.pem(), Some(leaf.clone())).ask(world.door(), raw::get(NODES)).await.status
    };
    assert_eq!((status(&first).await, status(&second).await), (400, 502));
    drop(link);
    let up = "argocd_agent_control_plane_watch_up";
    eventually("the outage is noticed", async || {
        (counted(&world, up, r#"objects="blocklist""#).await == 0.0).then_some(())
    })
    .await;
    control.set_blocklist(&[&second.fingerprint()]).await;
    assert_eq!((status(&first).await, status(&second).await), (400, 502));
    let _link = Link::at(address, api_server).await;
    eventually("it is made good", async || ((status(&first).await, status(&second).await) == (502, 400)).then_some(()))
        .await;
}

#[tokio::test]
async fn an_entry_that_is_no_fingerprint_is_told_once_and_by_its_name() {
    let control = Control::new("revoked-log").await;
    let site = Site::new();
    let kubeconfig = format!("--kubeconfig={}", cluster().kubeconfig_path().display());
    let namespace = format!("--namespace={}", control.namespace);
    let mut principal = site.principal(&[&kubeconfig, &namespace]).await;
    let leaf = site.ca.client("caller");
    control.set_blocklist(&["not-a-fingerprint", &leaf.fingerprint()]).await;
    let tells = |line: &Value| line["entry"] == "not-a-fingerprint";
    let line = principal.process.logged("the bad entry", tells).await;
    assert_eq!(line["config_map"], format!("{}/argocd-agent-tls-blocklist", control.namespace));
    assert_eq!(line["level"], "WARN");
    let caller = Caller::new(site.ca.pem(), Some(leaf.clone()));
    eventually("the other entry counts", async || {
        (caller.ask(principal.door, raw::get(NODES)).await.status == 400).then_some(())
    })
    .await;
    let refused = principal.process.logged("the refusal", |line| line["fingerprint"] == leaf.fingerprint()).await;
    assert_eq!(refused["message"], "a certificate on the blocklist was shown, and refused");
    assert_eq!((&refused["door"], &refused["subject"]), (&"kube".into(), &"CN=caller".into()));
    let cause = "the client certificate is on the blocklist";
    principal.process.logged("the audit line", |line| line["cause"] == cause).await;
    // Changed otherwise.
    control.set_blocklist(&["not-a-fingerprint"]).await;
    eventually("the change is known", async || {
        (caller.ask(principal.door, raw::get(NODES)).await.status == 502).then_some(())
    })
    .await;
    assert_eq!(principal.process.log().iter().filter(|line| tells(line)).count(), 1);
}

#[tokio::test]
async fn without_a_control_plane_nobody_is_listed_and_that_is_said_once() {
    let site = Site::new();
    let mut principal = site.principal(&[]).await;
    let says = |line: &Value| line["message"].as_str().is_some_and(|said| said.contains("is on the blocklist"));
    principal.process.logged("it", says).await;
    assert_eq!(principal.process.log().iter().filter(|line| says(line)).count(), 1);
}

#[tokio::test]
async fn an_upload_and_a_download_that_nobody_reads_end_as_well() {
    let control = Control::new("revoked-stalled").await;
    let world = control.world().await;
    let server = Faulty::on_demand().await;
    let _agent = attach(&world, &server).await;
    let leaf = world.ca.client(faulty::AGENT);
    let caller = Caller::new(world.ca.pem(), Some(leaf.clone()));
    let mut download = caller.connect(world.door()).await.unwrap();
    download.send(raw::get("/version?fault=endless")).await.unwrap();
    let mut upload = caller.connect(world.door()).await.unwrap();
    let head = "POST /api/v1/pods?fault=hang HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n";
    upload.send(head).await.unwrap();
    let in_flight = "argocd_agent_door_requests_in_flight";
    eventually("both run", async || (counted(&world, in_flight, "").await == 2.0).then_some(())).await;
    control.set_blocklist(&[&leaf.fingerprint()]).await;
    let listed = Instant::now();
    eventually("neither runs", async || (counted(&world, in_flight, "").await == 0.0).then_some(())).await;
    assert!(listed.elapsed() < AT_ONCE, "{:?}", listed.elapsed());
}

fn attached(world: &World) -> Vec<String> {
    world.principal.agents.agents().iter().map(ToString::to_string).collect()
}

async fn counted(world: &World, prefix: &str, part: &str) -> f64 {
    metric(world.principal.metrics.expect("a page of metrics"), prefix, part).await
}
