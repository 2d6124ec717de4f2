//! Whose a key of Argo CD's cache is, as the control plane's own API server says and stops saying.

use std::{net::SocketAddr, time::Duration};

use common::{
    AgentKey, AgentName, drain,
    redis::{Compression, Credentials},
};
use envtest::Cluster;
use harness::{
    World,
    cluster::{self, cluster},
    eventually,
    link::Link,
    pki, process,
    raw::metric,
};
use principal::{
    Principal,
    agents::{Route, Routes},
    config::{KubeSource, Mapping, RedisConfig, RedisDoorConfig},
};
use serde_json::{Value, json};

const CLUSTER: &str = "argocd.argoproj.io/secret-type";
const AGENT: &str = "argocd-agent.argoproj-labs.io/agent-name";
const NOT_KNOWN: &str = "not known yet";

#[tokio::test]
async fn an_agent_is_registered_while_a_cluster_secret_stands_for_it() {
    let control = Control::start("routes", Mapping::Namespace).await;
    assert_eq!(control.settled("agent-1_guestbook").await, Route::Local);
    control.secret("one", json!({CLUSTER: "cluster", AGENT: "agent-1"}), "https://a").await;
    control.secret("same", json!({CLUSTER: "cluster", AGENT: "agent-1"}), "https://b").await;
    control.until("agent-1_guestbook", &agent("agent-1")).await;
    // One of the two is enough.
    control.delete("secret", "one").await;
    control.secret("last", json!({CLUSTER: "cluster", AGENT: "agent-2"}), "https://c").await;
    control.until("agent-2_guestbook", &agent("agent-2")).await;
    assert_eq!(control.route("agent-1_guestbook"), agent("agent-1"));
    // Another agent's now.
    control.secret("same", json!({CLUSTER: "cluster", AGENT: "agent-3"}), "https://b").await;
    control.until("agent-1_guestbook", &Route::Local).await;
    control.until("agent-3_guestbook", &agent("agent-3")).await;
    // No cluster's any more.
    control.secret("same", json!({CLUSTER: "repository", AGENT: "agent-3"}), "https://b").await;
    control.until("agent-3_guestbook", &Route::Local).await;
    // Written by hand: only the address says it.
    control.secret("hand", json!({CLUSTER: "cluster"}), "https://proxy:9090?agentName=agent-4").await;
    control.until("agent-4_guestbook", &agent("agent-4")).await;
    for local in ["guestbook", "agent-4", "team-a_guestbook"] {
        assert_eq!(control.route(local), Route::Local, "{local}");
    }
    assert_eq!(control.metric("argocd_agent_tunnel_agents_registered").await, 2.0);
    assert_eq!(control.metric(r#"argocd_agent_control_plane_watch_up{objects="cluster_secrets"}"#).await, 1.0);
}

#[tokio::test]
async fn an_agent_that_attached_stays_registered_when_it_leaves() {
    let control = Control::without_kube().await;
    assert_eq!(control.route("agent-1_guestbook"), Route::Local);
    let attached = control.world.agent("agent-1", "argocd").await;
    assert_eq!(control.route("agent-1_guestbook"), agent("agent-1"));
    attached.stop(Duration::ZERO).await;
    eventually("the agent is gone", async || control.world.principal.agents.agents().is_empty().then_some(())).await;
    assert_eq!(control.route("agent-1_guestbook"), agent("agent-1"));
    assert_eq!(control.route("agent-2_guestbook"), Route::Local);
    assert_eq!(control.metric("argocd_agent_tunnel_agents_registered").await, 1.0);
}

#[tokio::test]
async fn an_application_is_the_agents_that_its_destination_names() {
    let control = Control::start("routes", Mapping::Destination).await;
    let other = cluster::namespace("routes-apps").await;
    let elsewhere = format!("{other}_guestbook");
    assert_eq!(control.settled("guestbook").await, Route::Local);
    control.secret("one", json!({CLUSTER: "cluster", AGENT: "agent-1"}), "https://a").await;
    control.secret("two", json!({CLUSTER: "cluster", AGENT: "agent-2"}), "https://b").await;
    let own = control.namespace.clone();
    control.application(&own, "guestbook", json!({"name": "agent-1", "namespace": "shop"})).await;
    control.application(&other, "guestbook", json!({"name": "agent-2"})).await;
    control.until("guestbook", &agent("agent-1")).await;
    control.until(&elsewhere, &agent("agent-2")).await;
    assert_eq!(control.route(&format!("{own}_guestbook")), agent("agent-1"));
    assert_eq!(control.route("other"), Route::Local);
    // Moved to another agent, to a cluster that is none, to an address, and away.
    control.application(&own, "guestbook", json!({"name": "agent-2"})).await;
    control.until("guestbook", &agent("agent-2")).await;
    control.application(&own, "guestbook", json!({"name": "prod-eu"})).await;
    control.until("guestbook", &Route::Local).await;
    // Which becomes an agent later.
    control.secret("three", json!({CLUSTER: "cluster", AGENT: "prod-eu"}), "https://c").await;
    control.until("guestbook", &agent("prod-eu")).await;
    control.application(&own, "guestbook", json!({"server": "https://kubernetes.default.svc"})).await;
    control.until("guestbook", &Route::Local).await;
    assert_eq!(control.route(&elsewhere), agent("agent-2"));
    cluster().kubectl().run(["-n", &other, "delete", "application", "guestbook"]).await.unwrap();
    control.until(&elsewhere, &Route::Local).await;
    let up = r#"argocd_agent_control_plane_watch_up{objects="applications"}"#;
    assert_eq!(control.metric(up).await, 1.0);
}

#[tokio::test]
async fn an_api_server_that_is_away_at_the_start_is_asked_until_it_comes() {
    let (namespace, kubeconfig, address) = behind_a_link("routes-late").await;
    let control = Control::with(namespace, Some(kubeconfig), Mapping::Destination).await;
    control.secret("one", json!({CLUSTER: "cluster", AGENT: "agent-1"}), "https://a").await;
    let own = control.namespace.clone();
    control.application(&own, "guestbook", json!({"name": "agent-1"})).await;
    assert_eq!(control.route("guestbook"), Route::Unknown("applications are not known yet"));
    let failures = r#"argocd_agent_control_plane_watch_failures_total{objects="applications"}"#;
    eventually("a failure", async || (control.metric(failures).await >= 1.0).then_some(())).await;
    assert_eq!(control.route("guestbook"), Route::Unknown("applications are not known yet"));
    let _link = Link::at(address, api_server()).await;
    control.until("guestbook", &agent("agent-1")).await;
}

#[tokio::test]
async fn what_is_known_stays_known_while_the_api_server_is_away_and_is_made_good_afterwards() {
    let (namespace, kubeconfig, address) = behind_a_link("routes-away").await;
    let link = Link::at(address, api_server()).await;
    let control = Control::with(namespace, Some(kubeconfig), Mapping::Namespace).await;
    control.secret("one", json!({CLUSTER: "cluster", AGENT: "agent-1"}), "https://a").await;
    control.until("agent-1_guestbook", &agent("agent-1")).await;
    // A connection that breaks is no outage.
    link.cut();
    control.secret("two", json!({CLUSTER: "cluster", AGENT: "agent-2"}), "https://b").await;
    control.until("agent-2_guestbook", &agent("agent-2")).await;
    drop(link);
    let up = r#"argocd_agent_control_plane_watch_up{objects="cluster_secrets"}"#;
    eventually("the outage is noticed", async || (control.metric(up).await == 0.0).then_some(())).await;
    control.delete("secret", "one").await;
    control.secret("three", json!({CLUSTER: "cluster", AGENT: "agent-3"}), "https://c").await;
    assert_eq!(control.route("agent-1_guestbook"), agent("agent-1"));
    assert_eq!(control.route("agent-3_guestbook"), Route::Local);
    let _link = Link::at(address, api_server()).await;
    control.until("agent-3_guestbook", &agent("agent-3")).await;
    assert_eq!(control.route("agent-1_guestbook"), Route::Local);
    // Without any further change.
    eventually("it stands again", async || (control.metric(up).await == 1.0).then_some(())).await;
}

#[tokio::test]
async fn what_the_principal_may_not_read_it_does_not_guess() {
    let namespace = cluster::namespace("routes-rbac").await;
    let user = format!("principal-of-{namespace}");
    let kubeconfig = cluster().kubeconfig_yaml_for(&user, None).unwrap();
    let control = Control::with(namespace.clone(), Some(kubeconfig), Mapping::Namespace).await;
    control.secret("one", json!({CLUSTER: "cluster", AGENT: "agent-1"}), "https://a").await;
    let failures = r#"argocd_agent_control_plane_watch_failures_total{objects="cluster_secrets"}"#;
    eventually("a refusal", async || (control.metric(failures).await >= 1.0).then_some(())).await;
    assert_eq!(control.route("agent-1_guestbook"), Route::Unknown("cluster secrets are not known yet"));
    assert_eq!(control.route("guestbook"), Route::Local);
    let grant = |words: &[&str]| {
        let words: Vec<_> = ["-n", &namespace, "create"].iter().chain(words).map(|word| (*word).to_owned()).collect();
        async move { cluster().kubectl().run(words).await.unwrap() }
    };
    grant(&["role", "principal", "--verb=list,watch", "--resource=secrets"]).await;
    grant(&["rolebinding", "principal", "--role=principal", &format!("--user={user}")]).await;
    control.until("agent-1_guestbook", &agent("agent-1")).await;
}

#[tokio::test]
async fn a_mapping_by_destination_needs_somebody_who_knows_the_destinations() {
    let world = World::start().await;
    let mut config = world.config().clone();
    config.redis_door = Some(redis_door());
    config.mapping = Mapping::Destination;
    config.grpc_listen.port = 0;
    config.kube_door = None;
    let (_signal, watch) = drain::channel();
    let error = Principal::start(config, &watch).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "--destination-based-mapping needs the control plane's Kubernetes API: give --kubeconfig outside of a Pod there"
    );
}

/// A principal with a control plane's namespace of its own.
struct Control {
    world: World,
    namespace: String,
}

// === impl Control ===

impl Control {
    /// With the real API server as the control plane's.
    async fn start(name: &str, mapping: Mapping) -> Self {
        let kubeconfig = cluster().admin_kubeconfig_yaml();
        Self::with(cluster::namespace(name).await, Some(kubeconfig), mapping).await
    }

    async fn without_kube() -> Self {
        Self::with("argocd".into(), None, Mapping::Namespace).await
    }

    async fn with(namespace: String, kubeconfig: Option<String>, mapping: Mapping) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = kubeconfig.map(|text| pki::write(folder.path(), "control-plane", &text));
        let own = namespace.clone();
        let world = World::start_with(|config| {
            config.redis_door = Some(redis_door());
            config.kube = file.map(|file| KubeSource::Kubeconfig { file: Some(file), context: None });
            config.mapping = mapping;
            config.namespace = own;
        })
        .await;
        Self { world, namespace }
    }

    fn route(&self, instance: &str) -> Route {
        let key = AgentKey::parse(format!("app|resources-tree|{instance}|1.8.3.gz").as_bytes()).unwrap();
        self.world.principal.routes.as_ref().expect("the Redis door is open").route(&key)
    }

    /// The route once it can be said.
    async fn settled(&self, instance: &str) -> Route {
        eventually("the control plane is known", async || match self.route(instance) {
            Route::Unknown(why) => {
                assert!(why.ends_with(NOT_KNOWN), "{why}");
                None
            }
            route => Some(route),
        })
        .await
    }

    async fn until(&self, instance: &str, route: &Route) {
        let what = format!("{instance} at {route:?}");
        eventually(&what, async || (self.route(instance) == *route).then_some(())).await;
    }

    /// Makes or changes a Secret.
    async fn secret(&self, name: &str, labels: Value, server: &str) {
        let metadata = json!({"namespace": self.namespace, "name": name, "labels": labels});
        let data = json!({"name": name, "server": server, "config": "{}"});
        apply(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data})).await;
    }

    /// Makes or changes an Application.
    async fn application(&self, namespace: &str, name: &str, destination: Value) {
        let metadata = json!({"namespace": namespace, "name": name});
        let spec = json!({"project": "default", "destination": destination});
        let api = "argoproj.io/v1alpha1";
        apply(&json!({"apiVersion": api, "kind": "Application", "metadata": metadata, "spec": spec})).await;
    }

    async fn delete(&self, kind: &str, name: &str) {
        cluster().kubectl().run(["-n", &self.namespace, "delete", kind, name]).await.unwrap();
    }

    async fn metric(&self, sample: &str) -> f64 {
        metric(self.world.principal.metrics.expect("a page of metrics"), sample, "").await
    }
}

/// A namespace, and a kubeconfig that reaches the API server by an address where nobody listens yet.
async fn behind_a_link(name: &str) -> (String, String, SocketAddr) {
    let namespace = cluster::namespace(name).await;
    let address = SocketAddr::from(([127, 0, 0, 1], process::port()));
    let real = Cluster::api_server_url(cluster());
    let kubeconfig = cluster().admin_kubeconfig_yaml().replace(real, &format!("https://{address}"));
    (namespace, kubeconfig, address)
}

fn api_server() -> SocketAddr {
    cluster().api_server_url().trim_start_matches("https://").parse().unwrap()
}

/// A door to a Redis that nobody needs here.
fn redis_door() -> RedisDoorConfig {
    RedisDoorConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: None,
        redis: RedisConfig {
            address: "127.0.0.1:6379".into(),
            tls: None,
            credentials: Credentials::None,
            compression: Compression::Gzip,
        },
        max_bulk: 512 << 20,
        max_args: 1 << 20,
    }
}

fn agent(name: &str) -> Route {
    Route::Agent(AgentName::parse(name).unwrap())
}

async fn apply(object: &Value) {
    cluster::apply(&object.to_string()).await;
}
