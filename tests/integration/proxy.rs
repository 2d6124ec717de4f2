//! Behind a proxy: everything goes through a CONNECT, and names are looked up by the proxy.

use std::net::SocketAddr;

use common::proxy::Proxies;
use harness::{
    World,
    cluster::{self, cluster},
    eventually,
    faulty::{AGENT, Faulty},
    process::port,
    raw::{Caller, get, metric},
    site::{AgentProcess, Site},
    soon,
};
use principal::config::KubeSource;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};

#[tokio::test]
async fn an_agent_attaches_and_serves_through_a_proxy_that_wants_a_login() {
    let (world, server) = (World::start().await, Faulty::on_demand().await);
    let (asked, mut heard) = mpsc::channel(8);
    let (proxy, _tasks) = proxy_to(world.principal.grpc, asked).await;
    let mut config = world.agent_config(AGENT, "argocd");
    config.kube.kubeconfig = Some(server.kubeconfig(world.folder()));
    config.managed_only = false;
    // A name that nobody here can look up, and that is not in the certificate.
    config.server.0 = "principal.example".into();
    config.tls.as_mut().unwrap().root_ca = None;
    let url = format!("http://agent:word@{proxy}");
    config.proxies = Proxies::read(|name| (name == "HTTPS_PROXY").then(|| url.clone())).unwrap();
    let (_signal, watch) = common::drain::channel();
    let port = config.server.1;
    let agent = agent::Agent::start(config, &watch).await.unwrap();
    let mut connected = agent.connected.clone();
    soon(connected.wait_for(|connected| *connected)).await.unwrap();
    let asked = soon(heard.recv()).await.unwrap();
    assert!(asked.starts_with(&format!("CONNECT principal.example:{port} HTTP/1.1\r\n")), "{asked}");
    assert!(asked.contains("\r\nProxy-Authorization: Basic YWdlbnQ6d29yZA==\r\n"), "{asked}");
    let answer = Caller::of(&world, AGENT).ask(world.door(), get("/api/v1/namespaces/a/pods/b")).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn both_processes_and_the_command_reach_api_servers_through_the_proxy_of_their_kubeconfigs() {
    let (asked, mut heard) = mpsc::channel(64);
    let (proxy, _tasks) = proxy_to(api_server(), asked).await;
    let url = format!("http://api:word@{proxy}");
    let operator = crate::agentctl::Operator::new().await;
    let path = operator.write("kubeconfig", &elsewhere(&["control", "workload"], Some(&url)));
    operator.ok("blocklist tls list").await;
    assert_connect(&soon(heard.recv()).await.unwrap());
    let source = path.clone();
    let namespace = operator.principal.clone();
    let world = World::start_with(|config| {
        config.kube = Some(KubeSource::Kubeconfig { file: Some(source), context: None });
        config.namespace = namespace;
    })
    .await;
    let page = world.principal.metrics.unwrap();
    eventually("the principal is told of the blocklist", async || {
        let up = metric(page, "argocd_agent_control_plane_watch_up", "objects=\"blocklist\"").await;
        (up == 1.0).then_some(())
    })
    .await;
    assert_connect(&soon(heard.recv()).await.unwrap());
    let _agent = world.agent_with(AGENT, "argocd", |config| config.kube.kubeconfig = Some(path)).await;
    let answer = Caller::of(&world, AGENT).ask(world.door(), get("/version")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    while let Ok(asked) = heard.try_recv() {
        assert_connect(&asked);
    }
}

#[tokio::test]
async fn the_environments_proxy_leads_to_the_api_server_and_not_to_this_machine() {
    let (asked, mut heard) = mpsc::channel(64);
    let (proxy, _tasks) = proxy_to(api_server(), asked).await;
    let site = Site::new();
    let principal = site.principal(&[]).await;
    let kubeconfig = harness::pki::write(site.folder(), "kubeconfig", &elsewhere(&["workload"], None));
    let ports = (port(), port());
    let args = site.agent_args(AGENT, principal.grpc, &kubeconfig, ports, &[]);
    let env = [("HTTPS_PROXY".to_owned(), format!("http://api:word@{proxy}"))];
    // It attaches: the principal is on this machine.
    let agent = AgentProcess::start_with(AGENT, &args, &env, site.folder(), ports).await;
    let caller = Caller::new(site.ca.pem(), Some(site.ca.client(AGENT)));
    let answer = caller.ask(principal.door, get("/version")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_connect(&soon(heard.recv()).await.unwrap());
    assert!(!format!("{:?}", agent.process.log()).contains("word@"), "the password is logged");
}

/// The API server under a name that it has in its certificate, and that nobody here can look up.
const NAME: &str = "kubernetes.default.svc:6443";

fn assert_connect(asked: &str) {
    assert!(asked.starts_with(&format!("CONNECT {NAME} HTTP/1.1\r\n")), "{asked}");
    assert!(asked.contains("\r\nProxy-Authorization: Basic YXBpOndvcmQ=\r\n"), "{asked}");
}

fn api_server() -> SocketAddr {
    cluster().api_server_url().trim_start_matches("https://").parse().unwrap()
}

/// A kubeconfig with these contexts, in which the API server has that name.
fn elsewhere(contexts: &[&str], proxy: Option<&str>) -> String {
    let contexts: Vec<_> = contexts.iter().map(|name| (*name, cluster())).collect();
    let mut kubeconfig = cluster::kubeconfig(&contexts);
    for named in kubeconfig["clusters"].as_array_mut().unwrap() {
        named["cluster"]["server"] = format!("https://{NAME}").into();
        if let Some(proxy) = proxy {
            named["cluster"]["proxy-url"] = Value::from(proxy);
        }
    }
    kubeconfig.to_string()
}

/// A proxy that leads everybody to `target`, and tells what it was asked.
async fn proxy_to(target: SocketAddr, asked: mpsc::Sender<String>) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let asked = asked.clone();
            connections.spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    stream.read_line(&mut head).await.unwrap();
                }
                asked.send(head).await.unwrap();
                let mut onward = TcpStream::connect(target).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                copy_bidirectional(&mut stream, &mut onward).await.map(drop).unwrap_or_default();
            });
        }
    });
    (address, tasks)
}
