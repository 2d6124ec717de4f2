//! Bearer tokens at the Kubernetes door: whose they are, and how they end.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use harness::{
    World,
    client::{Endpoint, Protocol, empty},
    control::{Control, TokenKey, claims},
    eventually,
    faulty::{AGENT, Faulty, attach},
    kubectl::Kubectl,
    pki,
    raw::{Answer, Caller, Raw, get, metric},
    scene::Scene,
    world::Attached,
};
use principal::config::JwtKeySource;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::client::TlsStream;

const POD: &str = "/api/v1/namespaces/a/pods/b";

/// From the moment at which the API server has taken the change.
const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn kubectl_reaches_the_agent_of_its_token_with_a_certificate_that_all_clusters_share() {
    let control = Control::new("bearer-kubectl").await;
    control.cluster_secret(AGENT, true).await;
    let scene = Scene::of(control.world().await, "tokens", "argocd".into(), |agent| agent.managed_only = false).await;
    scene.tracked("a").await;
    scene.pod("pod", false).await;
    let kubectl = Kubectl::door(&scene.world, "argo-cd", &scene.namespace);
    let token = format!("--token={}", control.token(AGENT));
    knows(&scene.world, &control, AGENT).await;
    assert_eq!(kubectl.ok(&[&token, "get", "configmap", "a", "-o", "jsonpath={.data.greeting}"]).await, "hello");
    for websockets in ["true", "false"] {
        let kubectl = kubectl.clone().env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets);
        assert_eq!(kubectl.ok(&[&token, "exec", "pod", "--", "echo", "a b"]).await, "a b\n", "{websockets}");
    }
    // As whom the agent acts is its own matter: the token is not what the API server sees.
    let direct = scene.kubectl_direct().ok(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]).await;
    let through = kubectl.ok(&[&token, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]).await;
    assert_eq!(through, direct);
    let said = kubectl.fails(&["--token=abc", "get", "pods"]).await;
    assert!(said.contains("must be logged in to the server"), "{said}");
}

#[tokio::test]
async fn a_token_ends_at_once_with_its_cluster_secret_or_its_label() {
    let tokens = Rig::new("bearer-secret", |_config| {}).await;
    let token = tokens.control.token(AGENT);
    let mut raw = tokens.connect("argo-cd").await;
    assert_eq!(ask(&mut raw, &bearer(&token)).await.status, 401, "there is no Secret yet");
    for end in ["deleted", "without its label", "deleted"] {
        tokens.control.cluster_secret(AGENT, true).await;
        eventually("it is valid", async || (ask(&mut raw, &bearer(&token)).await.status == 200).then_some(())).await;
        match end {
            "deleted" => tokens.control.delete_cluster_secret(AGENT).await,
            _ => tokens.control.cluster_secret(AGENT, false).await,
        }
        let changed = Instant::now();
        eventually(end, async || (ask(&mut raw, &bearer(&token)).await.status == 401).then_some(())).await;
        assert!(changed.elapsed() < AT_ONCE, "{end}: {:?}", changed.elapsed());
    }
    // The agent's own certificate is another matter.
    assert_eq!(tokens.ask(AGENT, "").await.status, 200);
}

#[tokio::test]
async fn what_runs_by_a_token_ends_with_it_and_nothing_else_does() {
    let control = Control::new("bearer-streams").await;
    control.cluster_secret(AGENT, true).await;
    let scene = Scene::of(control.world().await, "streams", "argocd".into(), |agent| agent.managed_only = false).await;
    scene.pod("pod", false).await;
    knows(&scene.world, &control, AGENT).await;
    let token = control.token(AGENT);
    let kubectl = Kubectl::door(&scene.world, "argo-cd", &scene.namespace);
    let flag = format!("--token={token}");
    let mut exec = kubectl.start(&[&flag, "exec", "-i", "pod", "--", "sh", "-c", "echo ready; cat"]);
    exec.line_with("ready").await;
    let path = scene.core("configmaps?watch=true");
    let mut watches = Vec::new();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut connection = Endpoint::door(&scene.world, "argo-cd").connect(protocol).await;
        let request = http::Request::get(&path).header("authorization", format!("Bearer {token}"));
        let watch = connection.stream_of(request.body(empty()).unwrap()).await;
        watches.push((watch, connection));
    }
    let mut own = scene.door.connect(Protocol::Http2).await;
    let mut goes_on = own.stream(&path).await;
    scene.untracked("first").await;
    for (watch, _) in &mut watches {
        while watch.event().await.unwrap()["object"]["metadata"]["name"] != "first" {}
    }
    control.cluster_secret("other", true).await;
    knows(&scene.world, &control, "other").await;
    control.cluster_secret(AGENT, false).await;
    let changed = Instant::now();
    tokio::join!(exec.end(), async {
        for (watch, _) in &mut watches {
            watch.end().await;
        }
    });
    assert!(changed.elapsed() < AT_ONCE, "{:?}", changed.elapsed());
    // The connection of HTTP/2 is there for others.
    let (_, connection) = &mut watches[1];
    let request = http::Request::get(&path).header("authorization", format!("Bearer {}", control.token("other")));
    assert_eq!(connection.ask(request.body(empty()).unwrap()).await.status, 502);
    scene.untracked("second").await;
    while goes_on.event().await.unwrap()["object"]["metadata"]["name"] != "second" {}
}

#[tokio::test]
async fn nothing_of_a_token_goes_on_to_the_cluster() {
    let tokens = Rig::registered("bearer-hidden").await;
    let token = tokens.control.token(AGENT);
    let protocol = format!("base64url.bearer.authorization.k8s.io.{}", URL_SAFE_NO_PAD.encode(&token));
    let in_protocol = format!("Sec-WebSocket-Protocol: {protocol}, v5.channel.k8s.io\r\n");
    for (headers, left) in [(bearer(&token), Value::Null), (in_protocol, json!(["v5.channel.k8s.io"]))] {
        let answer = tokens.ask("argo-cd", &headers).await;
        let told: Value = serde_json::from_slice(&answer.body).unwrap();
        let seen = &told["headers"];
        assert_eq!((&seen["authorization"], &seen["sec-websocket-protocol"]), (&Value::Null, &left), "{headers}");
        let text = answer.text();
        assert!(!text.contains(&token) && !text.contains(&URL_SAFE_NO_PAD.encode(&token)), "{text}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_valid_is_401_whatever_the_certificate() {
    let tokens = Rig::registered("bearer-bad").await;
    let control = &tokens.control;
    let good = control.token(AGENT);
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("a JWT") };
    let with = |changes: Value| {
        let mut claims = claims(AGENT);
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        control.sign(&claims)
    };
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let forged = URL_SAFE_NO_PAD.encode(claims("other").to_string());
    let public = jsonwebtoken::EncodingKey::from_secret(b"the public key");
    let hmac = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims(AGENT), &public).unwrap();
    let bad = [
        bearer("abc"),
        bearer(""),
        bearer(&format!("{none}.{payload}.")),
        bearer(&format!("{none}.{payload}.{signature}")),
        bearer(&format!("{header}.{forged}.{signature}")),
        bearer(&format!("{header}.{payload}.")),
        bearer(&hmac),
        bearer(&TokenKey::new().sign(&claims(AGENT))),
        bearer(&with(json!({"exp": 1}))),
        bearer(&with(json!({"nbf": 99_999_999_999_u64}))),
        bearer(&with(json!({"iss": "somebody"}))),
        bearer(&with(json!({"aud": "argocd-agent-server-access"}))),
        bearer(&with(json!({"sub": r#"{"clientID":"workload","mode":"managed"}"#}))),
        bearer(&control.token("unregistered")),
        bearer(&format!("{good}{}", "A".repeat(16 * 1024))),
        format!("{}{}", bearer(&good), bearer(&good)),
        format!("Authorization: Basic YTpi\r\n{}", bearer(&good)),
    ];
    let seen = tokens.server.seen().len();
    for headers in &bad {
        for common_name in [AGENT, "argo-cd"] {
            let answer = tokens.ask(common_name, headers).await;
            assert_eq!(answer.status, 401, "{headers}");
            assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap()["message"], "authentication failed");
        }
    }
    assert_eq!(tokens.server.seen().len(), seen, "nothing of it reached the API server");
    assert_eq!(tokens.ask(AGENT, &bearer(&good)).await.status, 200);
    assert_eq!(tokens.ask("argo-cd", &bearer(&with(json!({"exp": 9_999_999_999_u64})))).await.status, 200);
    // Without a certificate it is nobody's.
    let answer = Caller::stranger(&tokens.world).ask(tokens.world.door(), request(&bearer(&good))).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn an_agents_own_certificate_goes_with_its_own_token_alone() {
    let tokens = Rig::registered("bearer-other").await;
    // Another agent, and one that was never there.
    tokens.control.cluster_secret("other", true).await;
    knows(&tokens.world, &tokens.control, "other").await;
    let good = bearer(&tokens.control.token(AGENT));
    for (common_name, status) in [(AGENT, 200), ("other", 401), ("argo-cd", 200), ("Not a label", 200)] {
        assert_eq!(tokens.ask(common_name, &good).await.status, status, "{common_name}");
    }
    // Its token is for itself: it is not attached.
    assert_eq!(tokens.ask("other", &bearer(&tokens.control.token("other"))).await.status, 502);
}

#[tokio::test]
async fn the_key_changes_without_a_restart_and_the_old_one_counts_beside_it() {
    let tokens = Rig::registered("bearer-rotation").await;
    let (old, new) = (bearer(&tokens.control.token(AGENT)), TokenKey::new());
    let by_new = bearer(&new.sign(&claims(AGENT)));
    assert_eq!(tokens.ask("argo-cd", &by_new).await.status, 401);
    tokens.control.set_key(&new).await;
    tokens.until(&by_new, 200).await;
    assert_eq!(tokens.ask("argo-cd", &old).await.status, 200);
    tokens.control.set_key_text("no key").await;
    let metrics = tokens.world.principal.metrics.unwrap();
    let failures = "argocd_agent_tokens_key_failures_total";
    eventually("it is told", async || (metric(metrics, failures, "").await >= 1.0).then_some(())).await;
    assert_eq!((tokens.ask("argo-cd", &by_new).await.status, tokens.ask("argo-cd", &old).await.status), (200, 200));
}

#[tokio::test]
async fn the_key_may_be_in_a_file_that_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (TokenKey::new(), TokenKey::new());
    let file = pki::write(folder.path(), "jwt.key", &old.pem());
    let tokens = Rig::new("bearer-file", |config| config.jwt_key = JwtKeySource::File(file)).await;
    tokens.control.cluster_secret(AGENT, true).await;
    tokens.until(&bearer(&old.sign(&claims(AGENT))), 200).await;
    // The Secret is not looked at then.
    assert_eq!(tokens.ask("argo-cd", &bearer(&tokens.control.token(AGENT))).await.status, 401);
    let _file = pki::write(folder.path(), "jwt.key", &new.pem());
    tokens.until(&bearer(&new.sign(&claims(AGENT))), 200).await;
    assert_eq!(tokens.ask("argo-cd", &bearer(&old.sign(&claims(AGENT)))).await.status, 200);
}

#[tokio::test]
async fn a_generated_key_is_nobody_elses() {
    let tokens = Rig::new("bearer-generated", |config| config.jwt_key = JwtKeySource::Generated).await;
    tokens.control.cluster_secret(AGENT, true).await;
    assert_eq!(tokens.ask("argo-cd", &bearer(&tokens.control.token(AGENT))).await.status, 401);
    assert_eq!(tokens.ask(AGENT, "").await.status, 200);
}

#[tokio::test]
async fn a_file_without_a_key_is_one_line_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = pki::write(folder.path(), "jwt.key", "no key");
    let world = World::start().await;
    let mut config = world.config().clone();
    (config.grpc_listen.port, config.jwt_key) = (0, JwtKeySource::File(file.clone()));
    config.kube_door.as_mut().unwrap().listen.set_port(0);
    let (_signal, watch) = common::drain::channel();
    let error = principal::Principal::start(config, &watch).await.unwrap_err();
    assert_eq!(
        common::Report(&error).to_string(),
        format!(
            "cannot use {}, the key of callers' tokens (--jwt-key): it holds no unencrypted private key in PEM: \
             make one with `argocd-agentctl jwt create-key`",
            file.display()
        )
    );
}

#[tokio::test]
async fn an_audit_line_says_why_and_no_line_has_the_token() {
    let control = Control::new("bearer-log").await;
    let site = harness::site::Site::new();
    let kubeconfig = format!("--kubeconfig={}", harness::cluster::cluster().kubeconfig_path().display());
    let namespace = format!("--namespace={}", control.namespace);
    let mut principal = site.principal(&[&kubeconfig, &namespace, "--log-level=trace"]).await;
    principal.process.logged("the key", |line| line["message"] == "the key of callers' tokens was loaded").await;
    let token = control.token("unregistered");
    let caller = Caller::new(site.ca.pem(), Some(site.ca.client("argo-cd")));
    for headers in [bearer(&token), format!("{}{}", bearer(&token), bearer(&token))] {
        assert_eq!(caller.ask(principal.door, request(&headers)).await.status, 401);
    }
    let says =
        |text: &'static str| move |line: &Value| line["cause"].as_str().is_some_and(|cause| cause.contains(text));
    principal.process.logged("the second", says("the request has several bearer tokens")).await;
    let line = principal.process.logged("the first", says("agent-name=unregistered")).await;
    assert_eq!((&line["outcome"], &line["caller"]), (&"bad_bearer".into(), &"argo-cd".into()));
    let log = principal.process.stdout() + &principal.process.stderr();
    let [_, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("a JWT") };
    assert!(!log.contains(payload) && !log.contains(signature) && !log.contains("PRIVATE KEY"));
    // As the API server sends the key.
    assert!(!log.contains("LS0tLS1CRUdJTiBQUklWQVRF"));
}

/// A principal with a control plane, and an agent called [`AGENT`] that tells what it was sent.
struct Rig {
    control: Control,
    world: World,
    server: Faulty,
    _agent: Attached,
}

// === impl Rig ===

impl Rig {
    async fn new(name: &str, change: impl FnOnce(&mut principal::config::Config)) -> Self {
        let control = Control::new(name).await;
        let world = control.world_with(change).await;
        let server = Faulty::on_demand().await;
        let agent = attach(&world, &server).await;
        Self { control, world, server, _agent: agent }
    }

    /// Its agent has a cluster Secret, and the principal knows.
    async fn registered(name: &str) -> Self {
        let rig = Self::new(name, |_config| {}).await;
        rig.control.cluster_secret(AGENT, true).await;
        knows(&rig.world, &rig.control, AGENT).await;
        rig
    }

    async fn connect(&self, common_name: &str) -> Raw<TlsStream<TcpStream>> {
        Caller::of(&self.world, common_name).connect(self.world.door()).await.unwrap()
    }

    async fn ask(&self, common_name: &str, headers: &str) -> Answer {
        Caller::of(&self.world, common_name).ask(self.world.door(), request(headers)).await
    }

    async fn until(&self, headers: &str, status: u16) {
        eventually("the status", async || (self.ask("argo-cd", headers).await.status == status).then_some(())).await;
    }
}

/// Waits until a token of `agent` is valid.
async fn knows(world: &World, control: &Control, agent: &str) {
    let (caller, headers) = (Caller::of(world, "argo-cd"), bearer(&control.token(agent)));
    eventually("the principal knows the agent's cluster Secret", async || {
        (caller.ask(world.door(), request(&headers)).await.status != 401).then_some(())
    })
    .await;
}

async fn ask(raw: &mut Raw<TlsStream<TcpStream>>, headers: &str) -> Answer {
    raw.send(request(headers)).await.unwrap();
    raw.answer().await.unwrap()
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn request(headers: &str) -> String {
    get(POD).replacen("\r\n", &format!("\r\n{headers}"), 1)
}
