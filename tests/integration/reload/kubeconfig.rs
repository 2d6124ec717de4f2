//! The kubeconfig: another user, another key, a token in place of both, while requests run against the real API server.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use harness::{
    cluster::{self, cluster},
    eventually,
    faulty::AGENT,
    pki::Ca,
    raw::{Caller, metric},
};
use principal::config::KubeSource;
use serde_json::{Value, json};

use super::*;

const DISCOVERY: &str = "/apis";

#[tokio::test]
async fn an_agent_uses_the_newest_kubeconfig_and_no_request_fails() {
    let world = World::start().await;
    let path = world.folder().join("kubeconfig");
    let (certificate, key) = (world.folder().join("user.crt"), world.folder().join("user.key"));
    let named = json!({"client-certificate": "user.crt", "client-key": "user.key"});
    let user = |name: &str| cluster().client_cert(name, None).unwrap();
    let first = user("first");
    fs::write(&certificate, &first.cert_pem).unwrap();
    fs::write(&key, &first.key_pem).unwrap();
    write(&path, &named);
    let agent = world
        .agent_with(AGENT, "argocd", |config| {
            config.kube.kubeconfig = Some(path.clone());
            config.managed_only = false;
        })
        .await;
    let caller = Caller::of(&world, AGENT);
    let page = agent.agent.metrics.unwrap();
    let reloads = async || metric(page, "argocd_agent_kube_kubeconfig_reloads_total", "").await;
    let failures = async || metric(page, "argocd_agent_kube_kubeconfig_reload_failures_total", "").await;
    assert_eq!(who(&caller, &world).await, "first");
    let load = Load::start(&caller, world.door(), DISCOVERY);
    load.goes_on().await;

    // The files that it names change, one after the other: another key of another user.
    let second = user("second");
    fs::write(&certificate, &second.cert_pem).unwrap();
    load.goes_on().await;
    fs::write(&key, &second.key_pem).unwrap();
    until(&caller, &world, "second").await;
    load.goes_on().await;

    // The file itself changes: a token in place of the certificate.
    let namespace = cluster::namespace("kubeconfig").await;
    let token = cluster().kubectl().run(["-n", &namespace, "create", "token", "default"]).await.unwrap();
    write(&path, &json!({"token": token.trim()}));
    until(&caller, &world, &format!("system:serviceaccount:{namespace}:default")).await;
    load.goes_on().await;
    let (before, bad) = (reloads().await, failures().await);
    assert!(before >= 2.0, "{before}");

    // What cannot be used is not.
    let other = Ca::new().client("other");
    let pair = |crt: &str, key: &str| json!({"client-certificate-data": STANDARD.encode(crt), "client-key-data": STANDARD.encode(key)});
    for (count, text) in [
        "no: [kubeconfig".to_owned(),
        kubeconfig(&json!({"tokenFile": "/is/not/there"})),
        kubeconfig(&pair(&second.cert_pem, &other.key)),
        kubeconfig(&pair("garbage", "garbage")),
        String::new(),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(&path, text).unwrap();
        eventually("it is counted", async || (failures().await == bad + count as f64 + 1.0).then_some(())).await;
        load.goes_on().await;
    }
    assert_eq!(who(&caller, &world).await, format!("system:serviceaccount:{namespace}:default"));
    assert_eq!(reloads().await, before);

    write(&path, &named);
    until(&caller, &world, "second").await;
    load.end().await;
}

#[tokio::test]
async fn a_principal_that_may_not_read_its_cluster_can_as_soon_as_its_kubeconfig_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    fs::write(&path, cluster().kubeconfig_yaml_for("nobody", None).unwrap()).unwrap();
    let namespace = cluster::namespace("kubeconfig").await;
    let world = World::start_with(|config| {
        config.kube = Some(KubeSource::Kubeconfig { file: Some(path.clone()), context: None });
        config.namespace = namespace;
    })
    .await;
    let page = world.principal.metrics.unwrap();
    let up = async || metric(page, "argocd_agent_control_plane_watch_up", "objects=\"blocklist\"").await;
    eventually("it is refused", async || {
        let failures = "argocd_agent_control_plane_watch_failures_total";
        (metric(page, failures, "objects=\"blocklist\"").await >= 1.0).then_some(())
    })
    .await;
    assert_eq!(up().await, 0.0);
    fs::write(&path, cluster().admin_kubeconfig_yaml()).unwrap();
    eventually("it may", async || (up().await == 1.0).then_some(())).await;
    assert_eq!(metric(page, "argocd_agent_control_plane_kubeconfig_reloads_total", "").await, 1.0);
    fs::write(&path, "").unwrap();
    eventually("that is counted", async || {
        let failures = "argocd_agent_control_plane_kubeconfig_reload_failures_total";
        (metric(page, failures, "").await == 1.0).then_some(())
    })
    .await;
    assert_eq!(up().await, 1.0);
}

fn kubeconfig(user: &Value) -> String {
    let (server, ca) = (cluster().api_server_url(), STANDARD.encode(cluster().ca_pem()));
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority-data": ca}}],
        "users": [{"name": "u", "user": user}],
    })
    .to_string()
}

fn write(path: &Path, user: &Value) {
    fs::write(path, kubeconfig(user)).unwrap();
}

/// Whom the API server takes the agent for.
async fn who(caller: &Caller, world: &World) -> String {
    let body = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#;
    let request = format!(
        "POST /apis/authentication.k8s.io/v1/selfsubjectreviews HTTP/1.1\r\nHost: door\r\nAccept: application/json\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = caller.ask(world.door(), request).await;
    let review: Value = serde_json::from_str(&answer.text()).unwrap_or_default();
    review["status"]["userInfo"]["username"].as_str().unwrap_or_default().to_owned()
}

async fn until(caller: &Caller, world: &World, name: &str) {
    eventually("the agent is somebody else", async || (who(caller, world).await == name).then_some(())).await;
}
