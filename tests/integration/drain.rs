//! How either half ends: told once it finishes what runs and exits 0, told twice it exits at once.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use harness::{
    client::{self, Endpoint, Protocol},
    eventually,
    faulty::{self, AGENT, Faulty},
    process::{self, Process},
    raw::{self, Caller, Raw, get},
    redis::Redis,
    resp::RespClient,
    site::{AgentProcess, PrincipalProcess, Site},
    soon,
};
use tokio::{
    net::TcpStream,
    sync::Semaphore,
    time::{Instant, timeout},
};
use tokio_rustls::client::TlsStream;

use crate::coverage::Port;

/// Principal and agent as processes, and an API server that answers when it is let.
struct Stage {
    site: Site,
    server: Faulty,
    gate: Arc<Semaphore>,
    principal: PrincipalProcess,
    agent: AgentProcess,
    caller: Caller,
}

#[tokio::test]
async fn a_principal_that_is_told_to_stop_finishes_what_runs_and_exits_0() {
    let mut stage = Stage::start(&[], &[]).await;
    let mut running = stage.running().await;
    stage.principal.process.signal("TERM");
    not_ready(stage.principal.healthz).await;
    assert_eq!(raw::page(stage.principal.healthz, "/livez").await.status, 200, "and no reason to kill it");
    let door = stage.principal.door;
    eventually("nobody new is let in", async || TcpStream::connect(door).await.is_err().then_some(())).await;
    stage.gate.add_permits(1);
    assert_eq!(running.answer().await.unwrap().text(), "finished");
    assert_eq!(stage.principal.process.end().await.code(), Some(0), "{}", stage.principal.process.stderr());
    assert!(stage.principal.process.stderr().is_empty(), "{}", stage.principal.process.stderr());
    // The agent goes on, and says that it is alone.
    eventually("the agent is not connected", async || {
        (raw::page(stage.agent.healthz, "/healthz").await.status == 503).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_is_told_to_stop_finishes_what_runs_and_exits_0() {
    let mut stage = Stage::start(&[], &[]).await;
    let mut running = stage.running().await;
    stage.agent.process.signal("TERM");
    not_ready(stage.agent.healthz).await;
    eventually("the door knows that it is going", async || {
        let answer = stage.caller.ask(stage.principal.door, get("/version")).await;
        (answer.status == 502 && answer.text() == "Agent is not connected, stop proxying").then_some(())
    })
    .await;
    stage.gate.add_permits(1);
    assert_eq!(running.answer().await.unwrap().text(), "finished");
    assert_eq!(stage.agent.process.end().await.code(), Some(0), "{}", stage.agent.process.stderr());
    assert!(stage.agent.process.stderr().is_empty(), "{}", stage.agent.process.stderr());
}

#[tokio::test]
async fn an_interrupt_is_as_good_as_sigterm() {
    let mut stage = Stage::start(&[], &[]).await;
    stage.agent.process.signal("INT");
    assert_eq!(stage.agent.process.end().await.code(), Some(0));
    stage.principal.process.signal("INT");
    assert_eq!(stage.principal.process.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_watch_is_cut_when_the_grace_period_of_the_principal_is_over() {
    let mut stage = Stage::start(&["--drain-grace=700ms"], &[]).await;
    let mut watch = stage.watch().await;
    let began = Instant::now();
    stage.principal.process.signal("TERM");
    assert!(watch.chunk().await.is_err(), "no clean end");
    assert!(began.elapsed() >= Duration::from_millis(700), "{:?}", began.elapsed());
    assert_eq!(stage.principal.process.end().await.code(), Some(0));
    assert!(stage.principal.process.stderr().contains("grace period is over"), "and said so");
}

#[tokio::test]
async fn a_watch_is_cut_when_the_grace_period_of_the_agent_is_over() {
    let mut stage = Stage::start(&[], &["--drain-grace=700ms"]).await;
    let mut watch = stage.watch().await;
    let began = Instant::now();
    stage.agent.process.signal("TERM");
    assert!(watch.chunk().await.is_err(), "no clean end");
    assert!(began.elapsed() >= Duration::from_millis(700), "{:?}", began.elapsed());
    assert_eq!(stage.agent.process.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_an_agent_at_once() {
    let mut stage = Stage::start(&[], &[]).await;
    let (mut running, mut watch) = (stage.running().await, stage.watch().await);
    stop_twice(&mut stage.agent.process).await;
    assert_eq!(running.answer().await.unwrap().status, 502);
    assert!(watch.chunk().await.is_err(), "no clean end");
}

#[tokio::test]
async fn a_second_signal_ends_a_principal_at_once() {
    let mut stage = Stage::start(&[], &[]).await;
    let (mut running, mut watch) = (stage.running().await, stage.watch().await);
    stop_twice(&mut stage.principal.process).await;
    assert!(running.answer().await.is_err());
    assert!(watch.chunk().await.is_err(), "no clean end");
}

/// The first signal lets finish what runs, the second does not.
async fn stop_twice(process: &mut Process) {
    process.signal("TERM");
    process.logged("draining", |line| line["message"] == "draining").await;
    let waits = timeout(Duration::from_millis(300), process.end_or_pending()).await;
    assert!(waits.is_err(), "it does not wait: {waits:?}");
    let began = Instant::now();
    process.signal("TERM");
    assert_eq!(process.end().await.code(), Some(1), "what ran was cut");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

/// A connection on which nothing runs. The table: every port has rows.
async fn idle(port: Port, address: std::net::SocketAddr, caller: &Caller) -> Vec<Box<dyn std::any::Any>> {
    let plain: Box<dyn std::any::Any> = Box::new(raw::plain(address).await.unwrap());
    match port {
        Port::Grpc => {
            let handshaken = caller.clone().alpn(&[b"h2"]).connect(address).await.unwrap();
            vec![plain, Box::new(handshaken)]
        }
        Port::KubeDoor => {
            let fresh = caller.connect(address).await.unwrap();
            let mut used = caller.connect(address).await.unwrap();
            used.send(get("/version")).await.unwrap();
            assert_eq!(used.answer().await.unwrap().status, 200);
            let mut begun = caller.connect(address).await.unwrap();
            begun.send("GET /version HT").await.unwrap();
            let http2 = caller.clone().alpn(&[b"h2"]).connect(address).await.unwrap();
            vec![plain, Box::new(fresh), Box::new(used), Box::new(begun), Box::new(http2)]
        }
        Port::RedisDoor => {
            let mut used = RespClient::connect(address).await;
            assert_eq!(used.ask(&["PING"]).await, "+PONG\r\n");
            let mut subscriber = RespClient::connect(address).await;
            subscriber.ask(&["SUBSCRIBE", "a"]).await;
            vec![plain, Box::new(used), Box::new(subscriber)]
        }
        Port::Metrics | Port::Healthz | Port::Admin => {
            let mut used = raw::plain(address).await.unwrap();
            let path = match port {
                Port::Metrics => "/metrics",
                Port::Admin => "/agents",
                _ => "/livez",
            };
            used.send(get(path)).await.unwrap();
            assert_eq!(used.answer().await.unwrap().status, 200);
            vec![plain, Box::new(used)]
        }
    }
}

#[tokio::test]
async fn connections_on_which_nothing_runs_do_not_hold_up_the_end() {
    let redis = Redis::start(&[]).await;
    let redis_door = SocketAddr::from((Ipv4Addr::LOCALHOST, process::port()));
    let (listen, address) =
        (format!("--redis-proxy-listen={redis_door}"), format!("--redis-server-address={}", redis.address()));
    let mut stage = Stage::start(&["--disable-redis-proxy=false", &listen, &address], &[]).await;
    stage.gate.add_permits(100);
    let PrincipalProcess { grpc, door, metrics, healthz, .. } = stage.principal;
    let mut connections = Vec::new();
    let ports = [(Port::Grpc, grpc), (Port::KubeDoor, door), (Port::RedisDoor, redis_door)];
    for (port, address) in ports.into_iter().chain([(Port::Metrics, metrics), (Port::Healthz, healthz)]) {
        connections.extend(idle(port, address, &stage.caller).await);
    }
    for (port, address) in [(Port::Metrics, stage.agent.metrics), (Port::Healthz, stage.agent.healthz)] {
        connections.extend(idle(port, address, &stage.caller).await);
    }
    // One over HTTP/2 that was used.
    let endpoint = Endpoint::new(door, &stage.site.ca.pem()).with_certificate(stage.site.ca.client(AGENT));
    let mut http2 = endpoint.connect(Protocol::Http2).await;
    assert_eq!(http2.ask(client::get("/version")).await.status, 200);
    for process in [&mut stage.principal.process, &mut stage.agent.process] {
        let began = Instant::now();
        process.signal("TERM");
        assert_eq!(process.end().await.code(), Some(0), "{}", process.stderr());
        // Well below the 10 s that a handshake may take, and the 20 s of grace.
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    }
    drop(connections);
}

#[tokio::test]
async fn a_half_that_cannot_reach_the_other_ends_at_once_too() {
    let site = Site::new();
    let server = Faulty::on_demand().await;
    let nobody = raw::plain(server.address).await.unwrap().io().local_addr().unwrap();
    let ports = (process::port(), process::port());
    let args = site.agent_args(AGENT, nobody, &server.kubeconfig(site.folder()), ports, &[]);
    let mut agent = Process::start("lonely", &args, site.folder());
    agent.logged("an attempt", |line| line["message"] == "cannot attach to the principal").await;
    agent.signal("TERM");
    assert_eq!(agent.end().await.code(), Some(0));
}

// === impl Stage ===

impl Stage {
    async fn start(of_principal: &[&str], of_agent: &[&str]) -> Self {
        let site = Site::new();
        let gate = Arc::new(Semaphore::new(0));
        let opened = Arc::clone(&gate);
        let server = Faulty::http(move |request: http::Request<hyper::body::Incoming>| {
            let gate = Arc::clone(&opened);
            async move {
                if request.uri().query().is_some_and(|query| query.contains("watch")) {
                    return Ok(http::Response::new(faulty::silent_after(b"first")));
                }
                gate.acquire().await.unwrap().forget();
                Ok(faulty::answer(200, "text/plain", "finished"))
            }
        })
        .await;
        let principal = site.principal(of_principal).await;
        let agent = site.agent(AGENT, principal.grpc, &server.kubeconfig(site.folder()), of_agent).await;
        let caller = Caller::new(site.ca.pem(), Some(site.ca.client(AGENT)));
        Self { site, server, gate, principal, agent, caller }
    }

    /// A request that has reached the API server, which does not answer yet.
    async fn running(&self) -> Raw<TlsStream<TcpStream>> {
        let mut raw = self.caller.connect(self.principal.door).await.unwrap();
        let path = "/api/v1/namespaces/a/pods/b";
        raw.send(get(path)).await.unwrap();
        eventually("it is there", async || (self.server.count(&format!("GET {path}")) == 1).then_some(())).await;
        raw
    }

    /// A watch that has begun.
    async fn watch(&self) -> Raw<TlsStream<TcpStream>> {
        let mut raw = self.caller.connect(self.principal.door).await.unwrap();
        raw.send(get("/api/v1/pods?watch=true")).await.unwrap();
        assert_eq!(raw.head().await.unwrap().status, 200);
        assert_eq!(soon(raw.chunk()).await.unwrap().unwrap(), b"first");
        raw
    }
}

/// Waits until kubelets are told so.
async fn not_ready(healthz: std::net::SocketAddr) {
    eventually("it is not ready", async || {
        let mut raw = raw::plain(healthz).await.expect("the health page outlives the doors");
        raw.send("GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let answer = raw.answer().await.unwrap();
        (answer.status == 503 && answer.text().contains("draining")).then_some(())
    })
    .await;
}
