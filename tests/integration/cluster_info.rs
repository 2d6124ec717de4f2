//! What `argocd cluster list` reads of each agent's cluster in the principal's Redis: written, renewed and true.

use std::{io::Read, net::SocketAddr, path::PathBuf, time::Duration};

use common::redis::{Compression, Credentials, Login};
use flate2::{read::GzDecoder, write::GzEncoder};
use harness::{
    World,
    cluster::{self, cluster},
    eventually, pki,
    raw::metric,
    redis::Redis,
    redis_scene::door_to,
    soon,
    world::Attached,
};
use principal::config::KubeSource;
use serde_json::{Value, json};
use tokio::time::Instant;

const TYPE: &str = "argocd.argoproj.io/secret-type";
const AGENT: &str = "argocd-agent.argoproj-labs.io/agent-name";
const PROXY: &str = "https://argocd-agent-resource-proxy:9090?agentName=";
/// What an Argo CD in a workload cluster calls that cluster.
const IN_CLUSTER: &str = "cluster|info|https://kubernetes.default.svc|1.8.3";

#[tokio::test]
async fn an_agents_cluster_is_connected_while_its_agent_is() {
    let control = Control::start("info-attach").await;
    control.secret("cluster-agent-a", "agent-a", &format!("{PROXY}agent-a")).await;
    let key = format!("cluster|info|{PROXY}agent-a|1.8.3.gz");
    let away = control.until(&key, |info| status(info) == "Failed").await;
    assert_eq!(message(&away), "Agent: 'agent-a' is disconnected with principal");
    assert!(away.get("serverVersion").is_none() && away.get("apiVersions").is_none());
    assert_eq!((&away["applicationsCount"], &away["cacheInfo"]["resourcesCount"]), (&json!(0), &json!(0)));

    let agent = control.agent("agent-a", control.nobody).await;
    let began = Instant::now();
    let here = control.until(&key, |info| status(info) == "Successful").await;
    assert!(began.elapsed() < Duration::from_secs(1), "after {:?}", began.elapsed());
    assert_eq!(message(&here), "Agent: 'agent-a' is connected with principal");
    assert!((595..=600).contains(&control.lasts(&key).await), "it lasts {} s", control.lasts(&key).await);

    agent.stop(Duration::ZERO).await;
    let began = Instant::now();
    control.until(&key, |info| status(info) == "Failed").await;
    assert!(began.elapsed() < Duration::from_secs(1), "after {:?}", began.elapsed());
    assert!(control.metric(r#"argocd_agent_cluster_info_saves_total{outcome="saved"}"#).await >= 3.0);
}

#[tokio::test]
async fn each_address_of_an_agent_is_written_as_soon_as_a_secret_says_it() {
    let control = Control::start("info-secrets").await;
    let _agent = control.agent("agent-a", control.nobody).await;
    control.secret("one", "agent-a", "https://one/").await;
    control.secret("two", "agent-a", "https://two:9090?agentName=agent-a").await;
    for server in ["https://one", "https://two:9090?agentName=agent-a"] {
        control.until(&format!("cluster|info|{server}|1.8.3.gz"), |info| status(info) == "Successful").await;
    }
    // Another address, and another agent's.
    control.secret("one", "agent-a", "https://three").await;
    control.until("cluster|info|https://three|1.8.3.gz", |info| status(info) == "Successful").await;
    control.secret("one", "agent-b", "https://three").await;
    let info = control.until("cluster|info|https://three|1.8.3.gz", |info| status(info) == "Failed").await;
    assert_eq!(message(&info), "Agent: 'agent-b' is disconnected with principal");
    // A cluster that is no agent's is nobody's business.
    control.labelled("other", json!({TYPE: "cluster"}), "https://other").await;
    control.secret("last", "agent-b", "https://last").await;
    control.until("cluster|info|https://last|1.8.3.gz", |_info| true).await;
    assert_eq!(control.ask(&["EXISTS", "cluster|info|https://other|1.8.3.gz"]).await, b":0\r\n");
    // What is not said any more is written no more, and ends by itself.
    control.delete("last").await;
    control.secret("next", "agent-b", "https://next").await;
    control.until("cluster|info|https://next|1.8.3.gz", |_info| true).await;
    control.ask(&["DEL", "cluster|info|https://last|1.8.3.gz"]).await;
    let agent = control.agent("agent-b", control.nobody).await;
    control.until("cluster|info|https://next|1.8.3.gz", |info| status(info) == "Successful").await;
    assert_eq!(control.ask(&["EXISTS", "cluster|info|https://last|1.8.3.gz"]).await, b":0\r\n");
    drop(agent);
}

#[tokio::test]
async fn the_numbers_are_those_of_the_agents_own_argo_cd() {
    for (theirs, ours) in [(Compression::Gzip, Compression::Gzip), (Compression::None, Compression::None)] {
        let control = Control::with("info-numbers", &[], |redis| redis.compression = ours).await;
        let remote = Redis::start(&[]).await;
        let key = match theirs {
            Compression::Gzip => format!("q-{IN_CLUSTER}.gz"),
            Compression::None => format!("q-{IN_CLUSTER}"),
        };
        say(remote.address(), &["SET", &key], &packed(&told(7), theirs)).await;
        control.secret("cluster-agent-a", "agent-a", &format!("{PROXY}agent-a")).await;
        let agent = control
            .world
            .agent_with("agent-a", "argocd", |config| {
                config.redis.address = remote.address().to_string();
                config.redis.key_prefix = "q-".into();
                config.redis.compression = theirs;
                config.kube.kubeconfig = Some(PathBuf::from("/dev/null"));
                config.resource_proxy = false;
            })
            .await;
        let key = match ours {
            Compression::Gzip => format!("cluster|info|{PROXY}agent-a|1.8.3.gz"),
            Compression::None => format!("cluster|info|{PROXY}agent-a|1.8.3"),
        };
        let info = control.until(&key, |info| info["applicationsCount"] == 7).await;
        assert_eq!(status(&info), "Successful");
        let told = told(7);
        for field in ["serverVersion", "cacheInfo", "apiVersions"] {
            assert_eq!(info[field], told[field], "{field}");
        }
        // Nothing is known of who is away.
        agent.stop(Duration::ZERO).await;
        let info = control.until(&key, |info| status(info) == "Failed").await;
        assert_eq!(
            (&info["applicationsCount"], &info["cacheInfo"]),
            (&json!(0), &json!({"resourcesCount": 0, "apisCount": 0}))
        );
        assert!(info.get("serverVersion").is_none() && info.get("apiVersions").is_none());
    }
}

#[tokio::test]
async fn an_agent_whose_redis_comes_late_is_asked_again() {
    let control = Control::start("info-late").await;
    let mut remote = Redis::start(&[]).await;
    remote.kill();
    control.secret("cluster-agent-a", "agent-a", &format!("{PROXY}agent-a")).await;
    let _agent = control.agent("agent-a", remote.address()).await;
    let key = format!("cluster|info|{PROXY}agent-a|1.8.3.gz");
    control.until(&key, |info| status(info) == "Successful").await;
    let failed = r#"argocd_agent_cluster_info_answers_total{outcome="failed"}"#;
    eventually("the agent is asked in vain", async || (control.metric(failed).await >= 1.0).then_some(())).await;
    remote.restart().await;
    say(remote.address(), &["SET", &format!("{IN_CLUSTER}.gz")], &packed(&told(3), Compression::Gzip)).await;
    control.until(&key, |info| info["applicationsCount"] == 3).await;
}

#[tokio::test]
async fn a_redis_that_restarts_and_another_writer_are_made_good() {
    let mut control = Control::with("info-restart", &["--requirepass", "secret"], |redis| {
        redis.credentials = Credentials::Given(Login { user: None, password: common::auth::Secret::new("secret") });
    })
    .await;
    control.secret("cluster-agent-a", "agent-a", &format!("{PROXY}agent-a")).await;
    let agent = control.agent("agent-a", control.nobody).await;
    let key = format!("cluster|info|{PROXY}agent-a|1.8.3.gz");
    control.until(&key, |info| status(info) == "Successful").await;
    // As Argo CD's controller does where it is not told to leave the cluster alone.
    control.ask(&["SET", &key, "anything"]).await;
    agent.stop(Duration::ZERO).await;
    control.until(&key, |info| status(info) == "Failed").await;
    let _agent = control.agent("agent-a", control.nobody).await;
    control.until(&key, |info| status(info) == "Successful").await;
    control.secret("another", "agent-a", "https://another").await;
    control.until("cluster|info|https://another|1.8.3.gz", |info| status(info) == "Successful").await;
    control.redis.restart().await;
    for key in [key.as_str(), "cluster|info|https://another|1.8.3.gz"] {
        control.until(key, |info| status(info) == "Successful").await;
    }
}

#[tokio::test]
async fn what_an_agent_says_of_its_cluster_is_no_more_than_that() {
    let control = Control::start("info-hostile").await;
    let remote = Redis::start(&[]).await;
    let key = format!("{IN_CLUSTER}.gz");
    let good = format!("cluster|info|{PROXY}agent-a|1.8.3.gz");
    control.secret("cluster-agent-a", "agent-a", &format!("{PROXY}agent-a")).await;
    let bomb = packed(&Value::String("x".repeat(64 << 20)), Compression::Gzip);
    for nonsense in [&b""[..], b"{}", &packed(&json!("x"), Compression::Gzip), &bomb] {
        say(remote.address(), &["SET", &key], nonsense).await;
        let agent = control.agent("agent-a", remote.address()).await;
        let info = control.until(&good, |info| status(info) == "Successful").await;
        assert_eq!(info["applicationsCount"], 0);
        agent.stop(Duration::ZERO).await;
        control.until(&good, |info| status(info) == "Failed").await;
    }
}

/// A principal with a control plane's namespace and a Redis of its own.
struct Control {
    world: World,
    redis: Redis,
    password: Option<String>,
    namespace: String,
    /// Where nobody listens.
    nobody: SocketAddr,
}

// === impl Control ===

impl Control {
    async fn start(name: &str) -> Self {
        Self::with(name, &[], |_config| {}).await
    }

    async fn with(name: &str, server: &[&str], change: impl FnOnce(&mut principal::config::RedisConfig)) -> Self {
        let namespace = cluster::namespace(name).await;
        let folder = tempfile::tempdir().unwrap();
        let file = pki::write(folder.path(), "control-plane", &cluster().admin_kubeconfig_yaml());
        let redis = Redis::start(server).await;
        let own = namespace.clone();
        let mut door = door_to(redis.address());
        change(&mut door.redis);
        let world = World::start_with(|config| {
            config.redis_door = Some(door);
            config.kube = Some(KubeSource::Kubeconfig { file: Some(file), context: None });
            config.namespace = own;
        })
        .await;
        let password = server.iter().position(|word| *word == "--requirepass");
        let password = password.and_then(|at| server.get(at + 1)).map(ToString::to_string);
        let nobody = SocketAddr::from(([127, 0, 0, 1], harness::process::port()));
        Self { world, redis, password, namespace, nobody }
    }

    /// An agent whose cluster's Redis is there, attached.
    async fn agent(&self, name: &str, redis: SocketAddr) -> Attached {
        self.world
            .agent_with(name, "argocd", |config| {
                config.redis.address = redis.to_string();
                config.kube.kubeconfig = Some(PathBuf::from("/dev/null"));
                config.resource_proxy = false;
            })
            .await
    }

    /// Makes or changes a cluster Secret.
    async fn secret(&self, name: &str, agent: &str, server: &str) {
        self.labelled(name, json!({TYPE: "cluster", AGENT: agent}), server).await;
    }

    async fn labelled(&self, name: &str, labels: Value, server: &str) {
        let metadata = json!({"namespace": self.namespace, "name": name, "labels": labels});
        let data = json!({"name": name, "server": server, "config": "{}"});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data});
        cluster::apply(&secret.to_string()).await;
    }

    async fn delete(&self, name: &str) {
        cluster().kubectl().run(["-n", &self.namespace, "delete", "secret", name]).await.unwrap();
    }

    /// What Redis holds under this key, once it is so.
    async fn until(&self, key: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("what is expected of {key}"), async || {
            let reply = self.ask(&["GET", key]).await;
            let value = value(&reply)?;
            let text = match key.ends_with(".gz") {
                true => unpacked(value)?,
                false => value.to_vec(),
            };
            serde_json::from_slice(&text).ok().filter(&is_so)
        })
        .await
    }

    /// How many seconds it lasts still.
    async fn lasts(&self, key: &str) -> i64 {
        let reply = self.ask(&["TTL", key]).await;
        String::from_utf8_lossy(&reply).trim().trim_start_matches(':').parse().unwrap()
    }

    async fn ask(&self, words: &[&str]) -> Vec<u8> {
        let mut client = harness::resp::RespClient::connect(self.redis.address()).await;
        if let Some(password) = &self.password {
            client.ask(&["AUTH", password]).await;
        }
        client.say(words).await;
        soon(client.frame()).await.unwrap()
    }

    async fn metric(&self, sample: &str) -> f64 {
        metric(self.world.principal.metrics.expect("a page of metrics"), sample, "").await
    }
}

/// What a controller of Argo CD writes of its own cluster.
fn told(applications: i64) -> Value {
    json!({
        "connectionState": {"status": "Successful", "message": "", "attemptedAt": "2026-11-21T20:00:00Z"},
        "serverVersion": "v1.34.1",
        "cacheInfo": {"resourcesCount": 419, "apisCount": 68, "lastCacheSyncTime": "2026-11-21T19:00:00Z"},
        "applicationsCount": applications,
        "apiVersions": ["apps/v1", "apps/v1/Deployment"],
    })
}

fn status(info: &Value) -> &str {
    info["connectionState"]["status"].as_str().unwrap_or_default()
}

fn message(info: &Value) -> &str {
    info["connectionState"]["message"].as_str().unwrap_or_default()
}

fn packed(value: &Value, compression: Compression) -> Vec<u8> {
    let text = format!("{value}\n").into_bytes();
    match compression {
        Compression::None => text,
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
            std::io::Write::write_all(&mut encoder, &text).unwrap();
            encoder.finish().unwrap()
        }
    }
}

fn unpacked(value: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    GzDecoder::new(value).read_to_end(&mut text).ok().map(|_read| text)
}

/// The string in a reply.
fn value(reply: &[u8]) -> Option<&[u8]> {
    let line = reply.iter().position(|byte| *byte == b'\n').filter(|_| reply.starts_with(b"$"))?;
    reply.get(line + 1..reply.len() - 2)
}

/// Says a command whose last word is no text.
async fn say(redis: SocketAddr, words: &[&str], last: &[u8]) {
    let words: Vec<_> = words.iter().map(|word| word.as_bytes()).chain([last]).collect();
    let mut client = harness::resp::RespClient::connect(redis).await;
    client.raw(&common::resp::frames::command(&words)).await;
    assert_eq!(client.reply().await, "+OK\r\n");
}
