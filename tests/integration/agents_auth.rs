//! Who an agent is, by every method but its certificate alone: passwords, and the word of a service mesh.

use std::{net::SocketAddr, time::Duration};

use agent::{
    config::Creds,
    link::connect::{ConnectError, http2},
};
use common::{
    proto::{self, tunnel_client::TunnelClient},
    tunnel::{
        event::{AgentEvent, Hello},
        limits::{STREAM_WINDOW, VERSIONS},
    },
};
use futures_util::{StreamExt, stream};
use harness::{
    World,
    control::Control,
    eventually,
    faulty::{AGENT, Faulty},
    pki::{self, Leaf},
    process::{Process, port, says},
    raw::{Caller, get, metric},
    site::{AgentProcess, Site},
    soon,
    world::Attached,
};
use principal::{agents::auth::AuthMethod, config::ClientCertificates};
use tempfile::TempDir;
use tokio::{net::TcpStream, time::Instant};
use tonic::{Code, Request};

/// `right` and `new`, as libxcrypt hashes them.
const RIGHT: &str = "$2b$04$abcdefghijklmnopqrstuuFmEfrkTQnczNzw475xE2VhDrK1uwJiC";
const NEW: &str = "$2y$04$abcdefghijklmnopqrstuusf96eeUQLgQWR72RBesvIE8CjOJNM9O";

const REFUSED: &str = "argocd_agent_authentication_refused_total";

#[tokio::test]
async fn by_password_an_agent_needs_no_certificate_and_reads_its_file_for_every_attempt() {
    let site = Site::new();
    let server = Faulty::on_demand().await;
    let kubeconfig = server.kubeconfig(site.folder());
    let passwd = pki::write(site.folder(), "passwd", &format!("# agents\n{AGENT}:{RIGHT}\n"));
    let creds = pki::write(site.folder(), "creds", &format!("{AGENT}:wrong\n"));
    let mut principal = site.principal(&[&format!("--auth=userpass:{}", passwd.display())]).await;
    let ports = (port(), port());
    let creds_flag = format!("--creds=userpass:{}", creds.display());
    let none = ["--tls-client-cert=", "--tls-client-key=", "--tls-secret-name="];
    let more = [&[creds_flag.as_str()][..], &none].concat();
    let args = site.agent_args(AGENT, principal.grpc, &kubeconfig, ports, &more);
    let mut agent = Process::start("by-password", &args, site.folder());
    let refused = agent.logged("refused", |line| says(line, "cannot attach to the principal")).await;
    assert!(refused.to_string().contains("authentication failed"), "{refused}");
    for unknown in ["nobody", "Not-A-Name"] {
        let _creds = pki::write(site.folder(), "creds", &format!("{unknown}:right\n"));
        let so_far = metric(principal.metrics, REFUSED, "reason=\"login\"").await;
        eventually("it is refused", async || {
            (metric(principal.metrics, REFUSED, "reason=\"login\"").await >= so_far + 2.0).then_some(())
        })
        .await;
    }
    let _creds = pki::write(site.folder(), "creds", &format!("{AGENT}:right\n"));
    let attached = principal.process.logged("attached", |line| says(line, "agent attached")).await;
    assert!(attached.to_string().contains(AGENT), "{attached}");
    let caller = Caller::new(site.ca.pem(), Some(site.ca.client(AGENT)));
    eventually("it is reached", async || {
        (caller.ask(principal.door, get("/version")).await.status == 200).then_some(())
    })
    .await;
    for process in [&principal.process, &agent] {
        let told = process.stderr() + &process.stdout();
        assert!(!told.contains("right") && !told.contains(RIGHT) && !told.contains("Basic "), "no secret in a log");
    }
}

#[tokio::test]
async fn where_nobody_can_verify_the_principal_a_password_still_lets_in_who_believes_it_unseen() {
    let site = Site::new();
    let server = Faulty::on_demand().await;
    let kubeconfig = server.kubeconfig(site.folder());
    let passwd = pki::write(site.folder(), "passwd", &format!("{AGENT}:{RIGHT}\n"));
    let creds = pki::write(site.folder(), "creds", &format!("{AGENT}:right"));
    let auth = format!("--auth=userpass:{}", passwd.display());
    let suite = "--tls-ciphersuites=TLS_CHACHA20_POLY1305_SHA256";
    let made = site.principal(&["--insecure-tls-generate", "--tls-cert=", "--tls-key=", &auth, suite]).await;
    let ports = (port(), port());
    let creds = format!("--creds=userpass:{}", creds.display());
    let args = |more: &[&str]| {
        let more = [&[creds.as_str(), "--tls-client-cert=", "--tls-client-key=", "--tls-secret-name="], more].concat();
        site.agent_args(AGENT, made.grpc, &kubeconfig, ports, &more)
    };
    let mut wary = Process::start("wary", &args(&[]), site.folder());
    let refused = wary.logged("refused", |line| says(line, "cannot attach to the principal")).await;
    assert!(refused.to_string().contains("TLS handshake"), "{refused}");
    wary.kill().await;
    let _agent = AgentProcess::start("trusting", &args(&["--insecure-tls", suite]), site.folder(), ports).await;
}

#[tokio::test]
async fn a_user_who_comes_into_the_file_comes_in_and_one_who_leaves_it_is_out_at_once() {
    let (world, folder) = by_password(&format!("{AGENT}:{RIGHT}\nother:{RIGHT}\n"), |_| {}).await;
    let server = Faulty::on_demand().await;
    let agent = attach(&world, &server, AGENT, "right").await;
    let _other = attach(&world, &server, "other", "right").await;
    let caller = Caller::of(&world, AGENT);
    let mut watch = caller.connect(world.door()).await.unwrap();
    watch.send(get("/api/v1/pods?watch=true&fault=silent")).await.unwrap();
    assert_eq!(soon(watch.head()).await.unwrap().status, 200);

    // Whoever writes the file badly changes nothing.
    let passwd = folder.path().join("passwd");
    std::fs::write(&passwd, "nonsense").unwrap();
    let metrics = world.principal.metrics.unwrap();
    eventually("it is told", async || {
        (metric(metrics, "argocd_agent_authentication_reload_failures_total", "").await == 1.0).then_some(())
    })
    .await;
    assert_eq!(world.principal.agents.agents().len(), 2);

    std::fs::write(&passwd, format!("other:{RIGHT}\nthird:{NEW}\n")).unwrap();
    let began = Instant::now();
    let (_, ended) = soon(watch.rest()).await;
    assert!(ended.is_err(), "what ran was cut");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(names(&world), ["other"]);
    let _third = attach(&world, &server, "third", "new").await;
    assert_eq!(names(&world), ["other", "third"]);
    eventually("it came back in vain", async || {
        (metric(metrics, REFUSED, "reason=\"login\"").await >= 1.0).then_some(())
    })
    .await;
    agent.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_certificate_beside_the_password_may_be_asked_for_and_must_then_be_the_users() {
    let line = format!("{AGENT}:{RIGHT}\n");
    let (world, _folder) = by_password(&line, |config| {
        config.client_certificates = ClientCertificates::Required;
        config.client_cert_subject_match = true;
    })
    .await;
    let server = Faulty::on_demand().await;
    let login = format!("{AGENT}:right");
    let agent = attach_with(&world, &server, "another", &login, |_| {});
    let metrics = world.principal.metrics.unwrap();
    let refused = async {
        eventually("the certificate is another's", async || {
            (metric(metrics, REFUSED, "reason=\"common_name\"").await >= 1.0).then_some(())
        })
        .await;
    };
    tokio::select! {
        _ = agent => panic!("it attached"),
        () = refused => {}
    }
    let _agent = attach(&world, &server, AGENT, "right").await;
    assert_eq!(names(&world), [AGENT]);
}

#[tokio::test]
async fn a_revoked_certificate_keeps_out_whoever_knows_the_password() {
    let control = Control::new("revoked-beside-a-password").await;
    let folder = TempDir::new().unwrap();
    let passwd = pki::write(folder.path(), "passwd", &format!("{AGENT}:{RIGHT}\n"));
    let world = control
        .world_with(|config| {
            config.auth = AuthMethod::parse(&format!("userpass:{}", passwd.display())).unwrap();
            config.client_certificates = ClientCertificates::IfGiven;
        })
        .await;
    let server = Faulty::on_demand().await;
    let _agent = attach(&world, &server, AGENT, "right").await;
    let leaf = Leaf::read(&world.folder().join(format!("agent-{AGENT}.crt")));
    control.block(&world, &[&leaf.fingerprint()]).await;
    eventually("it is out, and stays so", async || {
        let refused = metric(world.principal.metrics.unwrap(), REFUSED, "reason=\"revoked\"").await;
        (names(&world).is_empty() && refused >= 1.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_mesh_says_who_calls_and_one_connection_may_be_of_many() {
    let world = World::start_with(|config| {
        config.auth = AuthMethod::parse("header:x-agent:^spiffe://mesh/ns/([^/]+)$").unwrap();
        config.client_certificates = ClientCertificates::IfGiven;
        config.grpc_tls = None;
    })
    .await;
    let client = plaintext(world.principal.grpc).await;
    let mut sessions = Vec::new();
    for name in ["one", "two"] {
        sessions.push(hello(&client, &[&format!("spiffe://mesh/ns/{name}")]).await.unwrap());
    }
    assert_eq!(names(&world), ["one", "two"]);
    for values in [&[][..], &["one"], &["spiffe://mesh/ns/argocd"], &["spiffe://mesh/ns/one", "spiffe://mesh/ns/two"]] {
        let refused = hello(&client, values).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::Unauthenticated, "authentication failed"), "{values:?}");
    }
    let metrics = world.principal.metrics.unwrap();
    assert_eq!(metric(metrics, REFUSED, "reason=\"header\"").await, 3.0);
    assert_eq!(metric(metrics, REFUSED, "reason=\"name\"").await, 1.0);
}

#[tokio::test]
async fn without_tls_an_agent_attaches_by_password_and_is_reached() {
    let (world, _folder) = by_password(&format!("{AGENT}:{RIGHT}\n"), |config| config.grpc_tls = None).await;
    let server = Faulty::on_demand().await;
    let login = format!("{AGENT}:right");
    let _agent = attach_with(&world, &server, AGENT, &login, |config| config.tls = None).await;
    assert_eq!(Caller::of(&world, AGENT).ask(world.door(), get("/version")).await.status, 200);
}

/// A principal that has these users, and the folder of its file `passwd`.
async fn by_password(users: &str, change: impl FnOnce(&mut principal::config::Config)) -> (World, TempDir) {
    let folder = TempDir::new().unwrap();
    let passwd = pki::write(folder.path(), "passwd", users);
    let world = World::start_with(|config| {
        config.auth = AuthMethod::parse(&format!("userpass:{}", passwd.display())).unwrap();
        config.client_certificates = ClientCertificates::IfGiven;
        change(config);
    })
    .await;
    (world, folder)
}

async fn attach(world: &World, server: &Faulty, name: &str, password: &str) -> Attached {
    attach_with(world, server, name, &format!("{name}:{password}"), |_| {}).await
}

/// An agent with the certificate of `certificate` and this login.
async fn attach_with(
    world: &World,
    server: &Faulty,
    certificate: &str,
    login: &str,
    change: impl FnOnce(&mut agent::config::Config),
) -> Attached {
    let creds = pki::write(world.folder(), &format!("creds-{certificate}"), login);
    world
        .agent_with(certificate, "argocd", |config| {
            config.creds = Creds::Password(creds);
            config.managed_only = false;
            config.kube.kubeconfig = Some(server.kubeconfig(world.folder()));
            change(config);
        })
        .await
}

fn names(world: &World) -> Vec<String> {
    world.principal.agents.agents().iter().map(ToString::to_string).collect()
}

type Client = TunnelClient<agent::link::connect::Grpc>;

/// A connection as a mesh's proxy makes it.
async fn plaintext(address: SocketAddr) -> Client {
    let tcp = TcpStream::connect(address).await.unwrap();
    let connected: Result<_, ConnectError> = http2(tcp, STREAM_WINDOW).await;
    let (grpc, driver) = connected.unwrap();
    // Ends with the test's runtime.
    let (signal, watch) = common::drain::channel();
    watch.spawn(tracing::Span::none(), async move {
        let _signal = signal;
        driver.await.unwrap();
    });
    TunnelClient::with_origin(grpc, http::Uri::from_static("http://principal"))
}

/// Attaches with these values of the mesh's header; what is returned holds the session.
async fn hello(client: &Client, values: &[&str]) -> Result<tonic::Streaming<proto::PrincipalEvent>, tonic::Status> {
    let hello = AgentEvent::Hello(Hello {
        versions: VERSIONS,
        build: "test".into(),
        mode: "managed".into(),
        namespace: "argocd".into(),
        capabilities: Vec::new(),
        targets: Vec::new(),
        cluster_labels: Default::default(),
        instance: None,
        window: None,
    });
    let events = stream::iter([proto::AgentEvent::from(hello)]).chain(stream::pending());
    let mut request = Request::new(events);
    for value in values {
        request.metadata_mut().append("x-agent", value.parse().unwrap());
    }
    let mut events = soon(client.clone().attach(request)).await?.into_inner();
    soon(events.next()).await.unwrap()?;
    Ok(events)
}
