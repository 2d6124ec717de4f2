//! Agents' clusters are registered with Argo CD by themselves: the Secret is made, kept good, and left alone where it is
//! somebody else's.

mod changes;
mod labels;
mod permissions;
mod secrets;
mod several;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::tls::SecretName;
use harness::{
    World,
    cluster::{self, cluster},
    control::Control,
    eventually,
    faulty::Faulty,
    pki::Leaf,
    raw::{Answer, Caller, get, metric},
    world::Attached,
};
use principal::{
    config::Config,
    registration::{LabelRule, RegistrationConfig},
};
use serde_json::{Value, json};

/// A principal that registers, and the API server of whoever attaches.
struct Rig {
    control: Control,
    world: World,
    server: Faulty,
}

/// A cluster Secret, as Argo CD reads it.
struct Cluster {
    secret: Value,
    server: String,
    config: Value,
}

// === impl Rig ===

impl Rig {
    async fn new(name: &str, change: impl FnOnce(&mut RegistrationConfig)) -> Self {
        let rig = Self::without_certificate(name, change).await;
        rig.set_certificate(&rig.world.ca.client("argo-cd")).await;
        rig
    }

    /// Nobody can be registered yet.
    async fn without_certificate(name: &str, change: impl FnOnce(&mut RegistrationConfig)) -> Self {
        let control = Control::new(name).await;
        let world = control
            .world_with(|config| {
                let mut registration = registration(config);
                change(&mut registration);
                config.registration = Some(registration);
            })
            .await;
        Self { control, world, server: Faulty::on_demand().await }
    }

    /// Has the shared Secret hold this certificate.
    async fn set_certificate(&self, leaf: &Leaf) {
        set_certificate(&self.control.namespace, leaf, &self.world.ca.pem()).await;
    }

    /// An agent of this name, attached.
    async fn attach(&self, name: &str) -> Attached {
        self.attach_with(name, &[]).await
    }

    /// An agent that asks for these labels.
    async fn attach_with(&self, name: &str, labels: &[(&str, &str)]) -> Attached {
        let kubeconfig = self.server.kubeconfig(self.world.folder());
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let labels: BTreeMap<_, _> = labels.collect();
        self.world
            .agent_with(name, "argocd", |config| {
                config.managed_only = false;
                config.kube.kubeconfig = Some(kubeconfig);
                config.cluster_labels = labels;
            })
            .await
    }

    async fn find(&self, agent: &str) -> Option<Cluster> {
        find(&self.control.namespace, agent).await
    }

    /// The agent's Secret, once it is there.
    async fn cluster(&self, agent: &str) -> Cluster {
        self.cluster_that(agent, |_any| true).await
    }

    /// The agent's Secret, once it is so.
    async fn cluster_that(&self, agent: &str, is_so: impl Fn(&Cluster) -> bool) -> Cluster {
        eventually("the cluster Secret", async || self.find(agent).await.filter(|cluster| is_so(cluster))).await
    }

    /// Asks by the Secret's own config until that works.
    async fn until_served(&self, cluster: &Cluster) -> Answer {
        eventually("a request by the Secret", async || {
            let answer = cluster.ask(&self.world).await;
            (answer.status == 200).then_some(answer)
        })
        .await
    }

    async fn metric(&self, name: &str, part: &str) -> f64 {
        registration_metric(&self.world, name, part).await
    }

    /// Waits until all that is to be done has been.
    async fn settled(&self, writes: f64) {
        eventually("all is done", async || {
            let done = self.metric("writes_total", "").await >= writes && self.metric("waiting", "").await == 0.0;
            done.then_some(())
        })
        .await;
    }
}

// === impl Cluster ===

impl Cluster {
    fn token(&self) -> &str {
        self.config["bearerToken"].as_str().unwrap()
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.secret["metadata"]["labels"][key].as_str()
    }

    fn version(&self) -> &str {
        self.secret["metadata"]["resourceVersion"].as_str().unwrap()
    }

    fn pem(&self, field: &str) -> String {
        let text = self.config["tlsClientConfig"][field].as_str().unwrap();
        String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
    }

    /// Whoever has read this Secret and nothing else.
    fn caller(&self) -> Caller {
        Caller::new(self.pem("caData"), Some(Leaf { certificate: self.pem("certData"), key: self.pem("keyData") }))
    }

    async fn ask(&self, world: &World) -> Answer {
        self.caller().ask(world.door(), request(self.token())).await
    }
}

/// The settings of a principal with these, whose address is where callers of this machine find it.
fn registration(config: &Config) -> RegistrationConfig {
    RegistrationConfig {
        client_certificate: SecretName::parse(SHARED).unwrap(),
        proxy_address: config.kube_door.as_ref().unwrap().listen.to_string(),
        token_lifetime: Duration::from_secs(3600),
        labels: LabelRule::default(),
    }
}

async fn registration_metric(world: &World, name: &str, part: &str) -> f64 {
    metric(world.principal.metrics.unwrap(), &format!("argocd_agent_registration_{name}"), part).await
}

async fn set_certificate(namespace: &str, leaf: &Leaf, ca: &str) {
    let data = json!({"tls.crt": leaf.certificate, "tls.key": leaf.key, "ca.crt": ca});
    let metadata = json!({"namespace": namespace, "name": SHARED});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data});
    cluster::apply(&secret.to_string()).await;
}

/// The Secret of an agent, if there is one.
async fn find(namespace: &str, agent: &str) -> Option<Cluster> {
    let name = format!("cluster-{agent}");
    let words = ["-n", namespace, "get", "secret", &name, "-o", "json", "--ignore-not-found"];
    let found = cluster().kubectl().run(words).await.unwrap();
    let secret: Value = serde_json::from_str(&found).ok()?;
    let text = |key: &str| {
        let text = secret["data"][key].as_str().unwrap_or_default();
        String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
    };
    let (server, config) = (text("server"), serde_json::from_str(&text("config")).unwrap_or_default());
    Some(Cluster { secret, server, config })
}

/// A self-registered Secret as upstream makes it, with this token.
async fn upstream(namespace: &str, agent: &str, token: &str, leaf: &Leaf, ca: &str) {
    let encode = |text: &str| STANDARD.encode(text);
    let config = json!({
        "bearerToken": token,
        "tlsClientConfig": {
            "insecure": false, "certData": encode(&leaf.certificate), "keyData": encode(&leaf.key), "caData": encode(ca),
        },
    });
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": format!("cluster-{agent}"), "namespace": namespace,
            "labels": {TYPE: "cluster", AGENT: agent, SELF_REGISTERED: "true"},
            "annotations": {"managed-by": "argocd-agent", "argocd.argoproj.io/skip-reconcile": "true"},
        },
        "stringData": {
            "name": agent, "server": format!("https://argocd-agent-resource-proxy:9090?agentName={agent}"),
            "config": config.to_string(),
        },
    });
    cluster::apply(&secret.to_string()).await;
}

fn request(token: &str) -> String {
    let authorization = format!("\r\nAuthorization: Bearer {token}\r\n");
    get(POD).replacen("\r\n", &authorization, 1)
}

fn kubeconfig(user: &str, folder: &std::path::Path) -> PathBuf {
    harness::pki::write(folder, user, &cluster().kubeconfig_yaml_for(user, None).unwrap())
}

const SHARED: &str = "argocd-agent-shared-client";
const POD: &str = "/api/v1/namespaces/a/pods/b";
const TYPE: &str = "argocd.argoproj.io/secret-type";
const AGENT: &str = "argocd-agent.argoproj-labs.io/agent-name";
const SELF_REGISTERED: &str = "argocd-agent.argoproj-labs.io/self-registered-cluster";
