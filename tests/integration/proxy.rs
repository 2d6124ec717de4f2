//! An agent behind a proxy: everything goes through a CONNECT, and the principal's name is looked up by the proxy.

use std::net::SocketAddr;

use common::proxy::Proxies;
use harness::{
    World,
    faulty::{AGENT, Faulty},
    raw::{Caller, get},
    soon,
};
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
