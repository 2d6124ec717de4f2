//! Secrets of the real API server: loaded, followed, gone and back, and told apart when they are wrong.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{
    Report, drain,
    tls::{IdentitySource, RootsKey, RootsSource, SecretName},
};
use harness::{
    World,
    cluster::{self, cluster},
    eventually,
    faulty::AGENT,
    pki::{self, Ca, Leaf},
    raw::Caller,
};
use principal::{
    Principal,
    config::{Config, KubeSource, ServerTls},
};
use serde_json::json;

use super::*;

const DOOR: &str = "argocd-agent-resource-proxy-tls";
const AUTHORITY: &str = "argocd-agent-ca";
const CLIENT: &str = "argocd-agent-client-tls";
const NODE: &str = "/api/v1/namespaces/default";

#[tokio::test]
async fn a_secret_that_changes_is_put_to_use_and_one_that_goes_leaves_what_was() {
    let site = Site::start("reload").await;
    let (world, door) = (&site.world, site.principal.kube_door.unwrap());
    let caller = Caller::of(world, AGENT);
    let leaf = world.ca.server();
    site.pair(DOOR, &leaf).await;
    until_shown(&caller, door, &leaf).await;

    site.delete(DOOR).await;
    eventually("that is counted", async || (site.of(FAILURES, "kube_door").await == 1.0).then_some(())).await;
    assert_eq!(shown(&caller, door).await, Some(leaf.der()));
    // Without its key it is no better.
    site.secret(DOOR, "Opaque", &[("tls.crt", &leaf.certificate)]).await;
    eventually("that is counted", async || (site.of(FAILURES, "kube_door").await == 2.0).then_some(())).await;
    assert_eq!(shown(&caller, door).await, Some(leaf.der()));
    site.delete(DOOR).await;
    let leaf = world.ca.server();
    site.pair(DOOR, &leaf).await;
    until_shown(&caller, door, &leaf).await;
    assert_eq!(site.of(RELOADS, "kube_door").await, 2.0);

    // The authorities are in a Secret that the agents' port and the door share.
    let other = Ca::new();
    let other_caller = Caller::new(world.ca.pem(), Some(other.client(AGENT)));
    let status = async || {
        let mut connection = other_caller.connect(door).await.ok()?;
        connection.send(get(POD)).await.ok()?;
        connection.answer().await.ok().map(|answer| answer.status)
    };
    assert_eq!(status().await, None);
    let both = format!("{}{}", world.ca.pem(), other.pem());
    site.secret(AUTHORITY, "Opaque", &[("ca.crt", &both)]).await;
    eventually("the other one counts", async || (status().await == Some(502)).then_some(())).await;
    assert_eq!(site.of(RELOADS, "grpc_client_ca").await, 1.0);
}

#[tokio::test]
async fn a_chain_is_shown_whole() {
    let site = Site::start("reload-chain").await;
    let intermediate = site.world.ca.intermediate();
    let leaf = intermediate.server();
    let chain = Leaf { certificate: format!("{}{}", leaf.certificate, intermediate.pem()), key: leaf.key };
    site.pair(DOOR, &chain).await;
    // Who knows the root alone verifies it, so the intermediate came along.
    until_shown(&Caller::of(&site.world, AGENT), site.principal.kube_door.unwrap(), &chain).await;
}

#[tokio::test]
async fn an_agent_takes_its_certificate_and_authority_from_secrets_and_attaches_anew_when_they_change() {
    let world = World::start().await;
    let namespace = cluster::namespace("reload-agent").await;
    let secrets = Secrets { namespace: namespace.clone() };
    secrets.pair(CLIENT, &world.ca.client(AGENT)).await;
    secrets.secret(AUTHORITY, "Opaque", &[("ca.crt", &world.ca.pem())]).await;
    let attached = world
        .agent_with(AGENT, &namespace, |config| {
            let tls = config.tls.as_mut().unwrap();
            tls.identity = Some(IdentitySource::Secret(name(CLIENT)));
            tls.root_ca = Some(RootsSource::Secret { name: name(AUTHORITY), key: RootsKey::Copy });
            config.managed_only = false;
        })
        .await;
    let load = Load::start(&Caller::of(&world, AGENT), world.door(), NODE);
    load.goes_on().await;
    let page = world.principal.metrics.unwrap();
    let sessions = async || metric(page, "argocd_agent_tunnel_sessions_total", "").await;
    secrets.pair(CLIENT, &world.ca.client(AGENT)).await;
    eventually("it attached anew", async || (sessions().await == 2.0).then_some(())).await;
    load.goes_on().await;
    let both = format!("{}{}", world.ca.pem(), Ca::new().pem());
    secrets.secret(AUTHORITY, "Opaque", &[("ca.crt", &both)]).await;
    eventually("it attached anew", async || (sessions().await == 3.0).then_some(())).await;
    // What goes away does not take the session along.
    secrets.delete(CLIENT).await;
    let agent = attached.agent.metrics.unwrap();
    eventually("that is counted", async || (metric(agent, FAILURES, "what=\"agent\"").await == 1.0).then_some(()))
        .await;
    load.end().await;
    assert_eq!(sessions().await, 3.0);
    attached.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn what_cannot_be_loaded_at_the_start_is_one_line_with_object_and_key() {
    let world = World::start().await;
    let namespace = cluster::namespace("reload-start").await;
    let secrets = Secrets { namespace: namespace.clone() };
    let refused = async |user: Option<&str>| {
        let config = config(&world, &namespace, user);
        let (_signal, watch) = drain::channel();
        let error = Principal::start(config, &watch).await.unwrap_err();
        Report(&error).to_string()
    };
    let of_grpc = |cure: &str| format!("cannot load the TLS material of grpc ({cure}): ");
    let create = of_grpc("create the Secret, name another one, or give the paths of files");
    let pair = format!("Secret {namespace}/argocd-agent-principal-tls");
    assert_eq!(refused(None).await, format!("{create}cannot load {pair}: there is no such Secret"));
    let leaf = world.ca.server();
    let basic = [("username", "u"), ("password", "p")];
    secrets.secret("argocd-agent-principal-tls", "kubernetes.io/basic-auth", &basic).await;
    let line = refused(None).await;
    let missing = of_grpc("write the missing key into the Secret");
    assert_eq!(
        line,
        format!("{missing}cannot load {pair}: it has no key tls.crt (its type is kubernetes.io/basic-auth)")
    );
    secrets.delete("argocd-agent-principal-tls").await;
    secrets.pair("argocd-agent-principal-tls", &Leaf { key: Ca::new().server().key, ..leaf.clone() }).await;
    let line = refused(None).await;
    let mismatch = format!(
        "{}the private key in key tls.key of {pair} does not belong to the first certificate in key tls.crt of {pair}",
        of_grpc("write certificate and key of one pair, in one go")
    );
    assert_eq!(line, mismatch);
    secrets.pair("argocd-agent-principal-tls", &leaf).await;
    let line = refused(None).await;
    assert_eq!(line, format!("{create}cannot load Secret {namespace}/{AUTHORITY}: there is no such Secret"));

    let user = format!("nobody-of-{namespace}");
    let line = refused(Some(&user)).await;
    let may = of_grpc("let the ServiceAccount list and watch this Secret");
    let expected = format!("{may}cannot load {pair}: the API server refuses: secrets ");
    assert!(line.starts_with(&expected) && line.contains("is forbidden"), "{line}");
}

#[tokio::test]
async fn what_an_agent_cannot_load_at_the_start_is_one_line_with_object_and_key() {
    let world = World::start().await;
    let namespace = cluster::namespace("reload-agent-start").await;
    let secrets = Secrets { namespace: namespace.clone() };
    let refused = async |user: Option<&str>| {
        let mut config = world.agent_config(AGENT, &namespace);
        let tls = config.tls.as_mut().unwrap();
        tls.identity = Some(IdentitySource::Secret(name(CLIENT)));
        tls.root_ca = Some(RootsSource::Secret { name: name(AUTHORITY), key: RootsKey::Copy });
        let kubeconfig = match user {
            Some(user) => cluster().kubeconfig_yaml_for(user, None).unwrap(),
            None => cluster().admin_kubeconfig_yaml(),
        };
        config.kube.kubeconfig = Some(harness::pki::write(world.folder(), "who", &kubeconfig));
        let (_signal, watch) = drain::channel();
        Report(&agent::Agent::start(config, &watch).await.unwrap_err()).to_string()
    };
    let ends = async |user, expected: String| {
        let line = refused(user).await;
        assert!(line.lines().count() == 1 && line.contains(&expected), "{expected}: {line}");
    };
    let (own, ca) = (format!("Secret {namespace}/{CLIENT}"), format!("Secret {namespace}/{AUTHORITY}"));
    secrets.secret(AUTHORITY, "Opaque", &[("ca.crt", &world.ca.pem())]).await;
    ends(None, format!("cannot load {own}: there is no such Secret")).await;
    secrets.secret(CLIENT, "kubernetes.io/basic-auth", &[("username", "u"), ("password", "p")]).await;
    ends(None, format!("cannot load {own}: it has no key tls.crt (its type is kubernetes.io/basic-auth)")).await;
    secrets.delete(CLIENT).await;
    secrets.pair(CLIENT, &world.ca.client(AGENT)).await;
    secrets
        .secret(AUTHORITY, "Opaque", &[("ca.crt", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")])
        .await;
    ends(None, format!("key ca.crt of {ca}")).await;
    secrets.delete(AUTHORITY).await;
    secrets.secret(AUTHORITY, "Opaque", &[("other", "x")]).await;
    ends(None, format!("cannot load {ca}: it has no key ca.crt and no key tls.crt (its type is Opaque)")).await;
    let nobody = format!("no-agent-of-{namespace}");
    ends(Some(&nobody), "let the ServiceAccount list and watch this Secret".into()).await;
}

#[tokio::test]
async fn the_right_to_list_and_watch_just_these_secrets_is_enough() {
    let site = Site::start("reload-rbac").await;
    let namespace = &site.secrets.namespace;
    let user = format!("principal-of-{namespace}");
    let kubectl = async |words: &[&str]| {
        let words = ["-n", namespace, "create"].iter().chain(words).map(|word| (*word).to_owned()).collect::<Vec<_>>();
        cluster().kubectl().run(words).await.unwrap();
    };
    let only = "--resource-name=argocd-agent-principal-tls,argocd-agent-resource-proxy-tls,argocd-agent-ca";
    // A flag for each name.
    let only = only.replace(',', " --resource-name=");
    let names = only.split(' ').collect::<Vec<_>>();
    kubectl(&[&["role", "principal", "--verb=list,watch", "--resource=secrets"][..], &names].concat()).await;
    kubectl(&["rolebinding", "principal", "--role=principal", &format!("--user={user}")]).await;
    let (_signal, watch) = drain::channel();
    let principal = eventually("the role counts", async || {
        Principal::start(config(&site.world, namespace, Some(&user)), &watch).await.ok()
    })
    .await;
    let (door, leaf) = (principal.kube_door.unwrap(), site.world.ca.server());
    site.pair(DOOR, &leaf).await;
    until_shown(&Caller::of(&site.world, AGENT), door, &leaf).await;
}

#[tokio::test]
async fn without_paths_both_processes_load_the_secrets_of_the_usual_names() {
    let site = harness::site::Site::new();
    let control = Secrets { namespace: cluster::namespace("reload-control").await };
    let workload = Secrets { namespace: cluster::namespace("reload-workload").await };
    control.pair("argocd-agent-principal-tls", &site.ca.server()).await;
    control.pair(DOOR, &site.ca.server()).await;
    control.secret(AUTHORITY, "Opaque", &[("ca.crt", &site.ca.pem())]).await;
    workload.pair(CLIENT, &site.ca.client(AGENT)).await;
    workload.secret(AUTHORITY, "Opaque", &[("ca.crt", &site.ca.pem())]).await;
    let kubeconfig = cluster().kubeconfig_path();
    let principal = site
        .principal(&[
            "--tls-cert=",
            "--tls-key=",
            "--root-ca-path=",
            "--resource-proxy-cert-path=",
            "--resource-proxy-key-path=",
            "--resource-proxy-ca-path=",
            &format!("--namespace={}", control.namespace),
            &format!("--kubeconfig={}", kubeconfig.display()),
        ])
        .await;
    let namespace = format!("--namespace={}", workload.namespace);
    let more = ["--tls-client-cert=", "--tls-client-key=", "--root-ca-path=", &namespace];
    let _agent = site.agent(AGENT, principal.grpc, &kubeconfig, &more).await;
    let caller = Caller::new(site.ca.pem(), Some(site.ca.client(AGENT)));
    let answer = caller.ask(principal.door, get(NODE)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// A principal whose certificates are all in Secrets of a namespace of its own.
struct Site {
    world: World,
    principal: Principal,
    secrets: Secrets,
    _signal: drain::Signal,
}

/// The Secrets of a namespace.
struct Secrets {
    namespace: String,
}

// === impl Site ===

impl Site {
    async fn start(prefix: &str) -> Self {
        let world = World::start().await;
        let secrets = Secrets { namespace: cluster::namespace(prefix).await };
        secrets.pair("argocd-agent-principal-tls", &world.ca.server()).await;
        secrets.pair(DOOR, &world.ca.server()).await;
        // As upstream's `pki init` makes it.
        secrets.secret(AUTHORITY, "Opaque", &[("tls.crt", &world.ca.pem()), ("tls.key", "not ours to read")]).await;
        let (signal, watch) = drain::channel();
        let principal = Principal::start(config(&world, &secrets.namespace, None), &watch).await.unwrap();
        Self { world, principal, secrets, _signal: signal }
    }

    async fn of(&self, name: &str, what: &str) -> f64 {
        metric(self.principal.metrics.unwrap(), name, &format!("what=\"{what}\"")).await
    }

    async fn pair(&self, name: &str, leaf: &Leaf) {
        self.secrets.pair(name, leaf).await;
    }

    async fn secret(&self, name: &str, kind: &str, data: &[(&str, &str)]) {
        self.delete(name).await;
        self.secrets.secret(name, kind, data).await;
    }

    async fn delete(&self, name: &str) {
        self.secrets.delete(name).await;
    }
}

// === impl Secrets ===

impl Secrets {
    async fn pair(&self, name: &str, leaf: &Leaf) {
        self.secret(name, "kubernetes.io/tls", &[("tls.crt", &leaf.certificate), ("tls.key", &leaf.key)]).await;
    }

    /// Makes or changes it.
    async fn secret(&self, name: &str, kind: &str, data: &[(&str, &str)]) {
        let data: serde_json::Map<_, _> =
            data.iter().map(|(key, text)| ((*key).to_owned(), json!(STANDARD.encode(text)))).collect();
        let metadata = json!({"namespace": self.namespace, "name": name});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "data": data});
        cluster::apply(&secret.to_string()).await;
    }

    async fn delete(&self, name: &str) {
        let words = ["-n", &self.namespace, "delete", "secret", name, "--ignore-not-found"];
        cluster().kubectl().run(words).await.unwrap();
    }
}

/// The settings of a principal that loads everything from Secrets, as the admin or as a user.
fn config(world: &World, namespace: &str, user: Option<&str>) -> Config {
    let mut config = world.config().clone();
    let kubeconfig = match user {
        Some(user) => cluster().kubeconfig_yaml_for(user, None).unwrap(),
        None => cluster().admin_kubeconfig_yaml(),
    };
    let file = pki::write(world.folder(), "control-plane", &kubeconfig);
    config.kube = Some(KubeSource::Kubeconfig { file: Some(file), context: None });
    config.namespace = namespace.to_owned();
    let client_ca = || RootsSource::Secret { name: name(AUTHORITY), key: RootsKey::Authority };
    let identity = IdentitySource::Secret(name("argocd-agent-principal-tls"));
    config.grpc_tls = Some(ServerTls { identity, client_ca: client_ca() });
    config.grpc_listen.port = 0;
    let door = config.kube_door.as_mut().unwrap();
    door.listen.set_port(0);
    door.tls = ServerTls { identity: IdentitySource::Secret(name(DOOR)), client_ca: client_ca() };
    config
}

fn name(name: &str) -> SecretName {
    SecretName::parse(name).unwrap()
}
