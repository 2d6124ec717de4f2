//! A control plane's namespace in the real API server: the blocklist, the key of tokens, and the cluster Secrets that a
//! principal follows there.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use principal::config::KubeSource;
use rcgen::{KeyPair, PKCS_RSA_SHA512};
use serde_json::{Value, json};

use crate::{
    World,
    cluster::{self, cluster},
    eventually,
    raw::metric,
    scene,
};

/// The namespace, with a key of tokens in it.
#[derive(Debug)]
pub struct Control {
    /// Its name.
    pub namespace: String,
    key: TokenKey,
}

/// A key that signs tokens.
pub struct TokenKey {
    pair: KeyPair,
    signs: EncodingKey,
}

// === impl Control ===

impl Control {
    /// A new namespace with a new key, as `argocd-agentctl jwt create-key` leaves it.
    pub async fn new(name: &str) -> Self {
        let control = Self { namespace: cluster::namespace(name).await, key: TokenKey::new() };
        control.set_key(&control.key).await;
        control
    }

    /// A principal of this control plane.
    pub async fn world(&self) -> World {
        self.world_with(|_config| {}).await
    }

    /// A principal of this control plane, with other settings.
    pub async fn world_with(&self, change: impl FnOnce(&mut principal::config::Config)) -> World {
        World::start_with(|config| {
            config.kube = Some(KubeSource::Kubeconfig { file: Some(cluster().kubeconfig_path()), context: None });
            config.namespace.clone_from(&self.namespace);
            change(config);
        })
        .await
    }

    /// Has the blocklist hold these entries and no other, without waiting for anybody to hear of it.
    pub async fn set_blocklist(&self, entries: &[&str]) {
        let entries: BTreeMap<_, _> = entries.iter().map(|entry| (*entry, "")).collect();
        self.apply("ConfigMap", "argocd-agent-tls-blocklist", json!({}), json!({"data": entries})).await;
    }

    /// As [`set_blocklist`](Self::set_blocklist), and waits until the principal of `world` knows.
    pub async fn block(&self, world: &World, entries: &[&str]) {
        self.set_blocklist(entries).await;
        let metrics = world.principal.metrics.expect("a page of metrics");
        eventually("the blocklist is known", async || {
            let known = metric(metrics, "argocd_agent_blocklist_entries ", "").await;
            (known == entries.len() as f64).then_some(())
        })
        .await;
    }

    /// Makes or changes the cluster Secret of `agent`; with the label by which tokens are valid, or without.
    pub async fn cluster_secret(&self, agent: &str, labelled: bool) {
        let mut labels = json!({"argocd.argoproj.io/secret-type": "cluster"});
        if labelled && let Some(labels) = labels.as_object_mut() {
            labels.insert("argocd-agent.argoproj-labs.io/agent-name".into(), agent.into());
        }
        let data = json!({"name": agent, "server": format!("https://proxy:9090?agentName={agent}"), "config": "{}"});
        self.apply("Secret", &format!("cluster-{agent}"), labels, json!({"stringData": data})).await;
    }

    /// Deletes the cluster Secret of `agent`.
    ///
    /// # Panics
    /// When there is none.
    pub async fn delete_cluster_secret(&self, agent: &str) {
        let name = format!("cluster-{agent}");
        cluster().kubectl().run(["-n", &self.namespace, "delete", "secret", &name]).await.expect("it is deleted");
    }

    /// Has the Secret of the key hold this one.
    pub async fn set_key(&self, key: &TokenKey) {
        self.set_key_text(&key.pem()).await;
    }

    /// Has the Secret of the key hold this text.
    pub async fn set_key_text(&self, text: &str) {
        self.apply("Secret", "argocd-agent-jwt", json!({}), json!({"stringData": {"jwt.key": text}})).await;
    }

    /// A token of `agent` as upstream makes it, by the first key.
    #[must_use]
    pub fn token(&self, agent: &str) -> String {
        self.key.sign(&claims(agent))
    }

    /// A token by the first key.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        self.key.sign(claims)
    }

    async fn apply(&self, kind: &str, name: &str, labels: Value, mut rest: Value) {
        let metadata = json!({"namespace": self.namespace, "name": name, "labels": labels});
        let object = rest.as_object_mut().expect("an object");
        object.insert("apiVersion".into(), "v1".into());
        object.insert("kind".into(), kind.into());
        object.insert("metadata".into(), metadata);
        scene::apply(&rest).await;
    }
}

// === impl TokenKey ===

impl TokenKey {
    /// A new one, of RSA.
    ///
    /// # Panics
    /// When none can be made.
    #[must_use]
    pub fn new() -> Self {
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA512).expect("a key");
        // PKCS#8 holds what `jsonwebtoken` takes, the key of PKCS#1, from its 26th byte on.
        let signs = EncodingKey::from_rsa_der(&pair.serialized_der()[26..]);
        Self { pair, signs }
    }

    /// As it stands in a Secret or a file.
    #[must_use]
    pub fn pem(&self) -> String {
        self.pair.serialize_pem()
    }

    /// A token by this key.
    ///
    /// # Panics
    /// When it cannot be signed.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::RS512), claims, &self.signs).expect("a token")
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey").finish_non_exhaustive()
    }
}

impl Default for TokenKey {
    fn default() -> Self {
        Self::new()
    }
}

/// What a token of `agent` says that upstream makes: it has no end.
///
/// # Panics
/// When the clock is wrong.
#[must_use]
pub fn claims(agent: &str) -> Value {
    let now = SystemTime::UNIX_EPOCH.elapsed().as_ref().map(Duration::as_secs).expect("later than 1970");
    json!({
        "iss": "argocd-agent-server", "aud": ["argocd-agent-resource-proxy"], "sub": agent,
        "jti": "0b6f3f0e-8a1d-4c55-9f0f-1f7a7a3f0001", "iat": now, "nbf": now,
    })
}
