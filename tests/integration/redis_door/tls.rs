//! The door within TLS, and its Redis within TLS.

use std::time::Duration;

use common::tls::{IdentitySource, RootsSource};
use harness::{
    World, eventually,
    pki::{Ca, write},
    process,
    raw::{self, Caller, metric},
    redis::Redis,
    redis_scene::{RedisScene, attach, door_to},
    resp::RespClient,
};
use principal::config::{RedisDoorConfig, RedisTls};
use rustls::version::TLS12;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
    time::timeout,
};

use super::{RESOURCES, THEIR_RESOURCES, THEIR_TREE, TREE, bulk};

/// Certificates of a door and of a Redis.
struct Papers {
    ca: Ca,
    folder: TempDir,
}

#[tokio::test]
async fn the_door_speaks_tls_and_asks_for_no_certificate() {
    let papers = Papers::new();
    let scene = RedisScene::start_where(&[], &[], |door| papers.secure(door)).await;
    let large = "x".repeat(8 << 20);
    scene.at_agent().await.ask(&["SET", THEIR_TREE, "a tree"]).await;
    scene.at_agent().await.ask(&["SET", THEIR_RESOURCES, &large]).await;
    let port = scene.door().port().to_string();
    for protocol in ["-2", "-3"] {
        let ca = papers.ca_path();
        let args = [protocol, "--tls", "--cacert", ca.as_str(), "-h", "localhost", "-p", port.as_str(), "GET", TREE];
        let output = Command::new("redis-cli").args(args).kill_on_drop(true).output().await.unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "a tree\n");
    }
    // What is large, and all of it behind the end of what the client says.
    let mut client = Caller::new(papers.ca.pem(), None).connect(scene.door()).await.unwrap();
    client.send(format!("GET {RESOURCES}\r\nPING\r\nGET {TREE}\r\n").repeat(3)).await.unwrap();
    client.io().shutdown().await.unwrap();
    let (heard, ended) = client.rest().await;
    ended.unwrap();
    let wanted = format!("{}+PONG\r\n{}", bulk(&large), bulk("a tree")).repeat(3);
    assert!(heard == wanted.as_bytes(), "{} bytes", heard.len());
    // Argo CD offers both versions and speaks TLS 1.3.
    let error = Caller::new(papers.ca.pem(), None).versions(&[&TLS12]).connect(scene.door()).await.unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
}

#[tokio::test]
async fn what_is_no_tls_is_put_out_and_counted() {
    let papers = Papers::new();
    let scene = RedisScene::start_where(&[], &[], |door| papers.secure(door)).await;
    for said in ["PING\r\n", "*1\r\n$4\r\nPING\r\n", "GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = raw::plain(scene.door()).await.unwrap();
        stream.send(said).await.unwrap();
        let mut heard = Vec::new();
        let ended = timeout(Duration::from_secs(4), stream.io().read_to_end(&mut heard)).await;
        assert!(ended.is_ok(), "still open");
        // An alert, or nothing.
        assert!(heard.is_empty() || heard.starts_with(b"\x15\x03"), "{}", heard.escape_ascii());
    }
    let stranger = Caller::new(Ca::new().pem(), None).connect(scene.door()).await.unwrap_err();
    assert!(stranger.to_string().contains("invalid peer certificate"), "{stranger}");
    let metrics = scene.world.principal.metrics.unwrap();
    eventually("they are counted", async || {
        let labels = "door=\"redis\",reason=\"tls\"";
        (metric(metrics, "argocd_agent_listen_handshake_failures_total", labels).await >= 3.0).then_some(())
    })
    .await;
    assert_eq!(metric(metrics, "argocd_agent_redis_door_commands_total", "").await, 0.0);
}

#[tokio::test]
async fn the_principals_redis_is_reached_within_tls_and_only_by_its_certificate() {
    let papers = Papers::new();
    let port = process::port();
    let (certificate, key) = papers.ca.server().write(papers.folder.path(), "redis");
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let tls_port = port.to_string();
    let mut args = vec!["--tls-port", &tls_port, "--tls-cert-file", certificate, "--tls-key-file", key];
    args.extend(["--tls-auth-clients", "no", "--tls-ca-cert-file", certificate]);
    let (local, remote) = (Redis::start(&args).await, Redis::start(&[]).await);
    let other = write(papers.folder.path(), "other.crt", &Ca::new().pem());
    let trusted = RootsSource::File(papers.ca_path().into());
    for (tls, is_good) in [
        (RedisTls::Verified { ca: trusted.clone() }, true),
        (RedisTls::Insecure, true),
        (RedisTls::Verified { ca: RootsSource::File(other) }, false),
    ] {
        let mut door = door_to(local.address());
        door.redis.address = format!("localhost:{port}");
        door.redis.tls = Some(tls.clone());
        let world = World::start_with(|config| config.redis_door = Some(door)).await;
        let mut client = RespClient::connect(world.principal.redis_door.unwrap()).await;
        client.say(&["SET", "a", "1"]).await;
        if !is_good {
            let rest = String::from_utf8(client.rest().await).unwrap();
            assert!(rest.starts_with("-ERR the redis proxy cannot reach the principal's Redis: "), "{rest}");
            assert_eq!(rest.lines().count(), 1, "{rest}");
            continue;
        }
        assert_eq!(client.reply().await, "+OK\r\n", "{tls:?}");
        let _agent = attach(&world, remote.address()).await;
        RespClient::connect(remote.address()).await.ask(&["SET", THEIR_TREE, "a tree"]).await;
        assert_eq!(client.ask(&["GET", TREE]).await, bulk("a tree"));
        // What is published there goes the same way.
        let channel = RESOURCES.trim_end_matches(".gz");
        client.ask(&["SUBSCRIBE", channel]).await;
        let publish = ["PUBLISH", THEIR_RESOURCES.trim_end_matches(".gz"), "changed"];
        assert_eq!(RespClient::connect(remote.address()).await.ask(&publish).await, ":1\r\n");
        assert!(client.reply().await.ends_with(&bulk("changed")));
    }
    // A Redis that speaks no TLS.
    let mut door = door_to(local.address());
    door.redis.tls = Some(RedisTls::Verified { ca: trusted });
    let world = World::start_with(|config| config.redis_door = Some(door)).await;
    let mut client = RespClient::connect(world.principal.redis_door.unwrap()).await;
    client.say(&["PING"]).await;
    let rest = timeout(Duration::from_secs(8), client.rest()).await.unwrap();
    assert!(rest.starts_with(b"-ERR the redis proxy cannot reach the principal's Redis: "), "{}", rest.escape_ascii());
}

// === impl Papers ===

impl Papers {
    fn new() -> Self {
        let (ca, folder) = (Ca::new(), tempfile::tempdir().unwrap());
        let _ca = write(folder.path(), "ca.crt", &ca.pem());
        Self { ca, folder }
    }

    fn ca_path(&self) -> String {
        self.folder.path().join("ca.crt").display().to_string()
    }

    /// The door speaks TLS.
    fn secure(&self, door: &mut RedisDoorConfig) {
        let (certificate, key) = self.ca.server().write(self.folder.path(), "door");
        door.tls = Some(IdentitySource::Files { certificate, key });
    }
}
