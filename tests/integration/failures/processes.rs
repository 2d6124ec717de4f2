//! A world in this process whose agents are processes of their own, so that they can be killed and frozen.

use std::time::Duration;

use harness::{
    World,
    client::{self, Endpoint, Protocol},
    eventually,
    faulty::{AGENT, Faulty},
    process::port,
    raw::{Caller, Raw, get, metric},
    site::{AgentProcess, agent_args},
    soon,
};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::WATCH;

/// A world in this process whose agents are processes of their own.
pub(super) struct Without {
    world: World,
    server: Faulty,
    caller: Caller,
    pub(super) response_timeout: Duration,
}

/// Callers of each kind, all of them waiting.
pub(super) struct Callers {
    pub(super) get: Raw<TlsStream<TcpStream>>,
    pub(super) watch: Raw<TlsStream<TcpStream>>,
    pub(super) watch2: Http2Watch,
    pub(super) exec: Raw<TlsStream<TcpStream>>,
}

pub(super) struct Http2Watch {
    body: Incoming,
    _connection: client::Connection,
}

// === impl Without ===

impl Without {
    pub(super) async fn agent(response_timeout: Duration, silence: Duration) -> Self {
        let world = World::start_with(|config| {
            config.ping_interval = silence / 6;
            config.silence = silence;
            config.kube_door.as_mut().unwrap().response_timeout = response_timeout;
        })
        .await;
        let caller = Caller::of(&world, AGENT);
        Self { caller, world, server: Faulty::on_demand().await, response_timeout }
    }

    pub(super) async fn agent_process(&self, more: &[&str]) -> AgentProcess {
        let folder = self.world.folder();
        let (certificate, key) = self.world.ca.client(AGENT).write(folder, "agent-process");
        let ports = (port(), port());
        let (grpc, kubeconfig) = (self.world.principal.grpc, self.server.kubeconfig(folder));
        let args = agent_args(&self.world.ca_path(), (&certificate, &key), grpc, &kubeconfig, ports, more);
        AgentProcess::start(AGENT, &args, folder, ports).await
    }

    pub(super) async fn callers(&self) -> Callers {
        let door = self.world.door();
        let mut watch = self.caller.connect(door).await.unwrap();
        watch.send(get(WATCH)).await.unwrap();
        assert_eq!(watch.head().await.unwrap().status, 200);
        assert_eq!(watch.chunk().await.unwrap().unwrap(), b"first");
        let mut connection = Endpoint::door(&self.world, AGENT).connect(Protocol::Http2).await;
        let mut body = connection.send(client::get(WATCH)).await.into_body();
        assert_eq!(soon(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "first");
        let mut exec = self.caller.connect(door).await.unwrap();
        exec.send(get(EXEC).replacen("\r\n", "\r\nConnection: Upgrade\r\nUpgrade: echo\r\n", 1)).await.unwrap();
        assert_eq!(exec.head().await.unwrap().status, 101);
        exec.send("hello").await.unwrap();
        assert_eq!(exec.exactly(5).await.unwrap(), b"hello");
        // Last, because its time runs.
        let mut waiting = self.caller.connect(door).await.unwrap();
        waiting.send(get(HANGS)).await.unwrap();
        eventually("it is there", async || (self.server.count(&format!("GET {HANGS}")) > 0).then_some(())).await;
        Callers { get: waiting, watch, watch2: Http2Watch { body, _connection: connection }, exec }
    }

    pub(super) async fn ask(&self, path: &str) -> u16 {
        self.caller.ask(self.world.door(), get(path)).await.status
    }

    pub(super) async fn nothing_is_left(&self) {
        let metrics = self.world.principal.metrics.unwrap();
        eventually("nothing is left", async || {
            let in_flight = metric(metrics, "argocd_agent_door_requests_in_flight", "").await;
            let pipes = metric(metrics, "argocd_agent_tunnel_pipes_open", "").await;
            (in_flight + pipes == 0.0).then_some(())
        })
        .await;
    }
}

// === impl Http2Watch ===

impl Http2Watch {
    pub(super) async fn frame(&mut self) -> Option<Result<Frame<bytes::Bytes>, hyper::Error>> {
        self.body.frame().await
    }
}

const HANGS: &str = "/api/v1/namespaces/a/pods/b?fault=hang";
const EXEC: &str = "/api/v1/namespaces/a/pods/b/exec?command=sh&fault=switch";
