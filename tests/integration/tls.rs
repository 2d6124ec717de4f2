//! TLS as callers and agents meet it: versions, protocols, and whose certificate decides what.

use agent::link::connect::http2;
use common::{
    proto::{self, tunnel_client::TunnelClient},
    tls::{IdentitySource, RootsSource},
    tunnel::limits::STREAM_WINDOW,
};
use futures_util::stream;
use harness::{
    World, eventually,
    faulty::{AGENT, Faulty, Rig},
    pki,
    raw::{self, Caller, get, handshake, metric},
    soon,
};
use principal::config::ClientCertificates;
use rustls::{
    HandshakeKind, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};
use tokio::net::TcpStream;
use tonic::Code;

use crate::coverage::Port;

const POD: &str = "/api/v1/namespaces/a/pods/b";
const ONLY_TLS12: &[&SupportedProtocolVersion] = &[&TLS12];
const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];

#[tokio::test]
async fn nothing_below_tls_1_3_is_spoken_unless_told_so() {
    let world = World::start().await;
    for (port, address) in Port::all(&world.principal) {
        if port.speaks_tls() {
            let caller = Caller::of(&world, "workload").versions(ONLY_TLS12);
            let error = caller.connect(address).await.unwrap_err();
            assert!(error.to_string().contains("ProtocolVersion"), "{port:?}: {error}");
        }
    }
    let old = World::start_with(|config| {
        config.tls_versions = common::config::TlsVersions::parse(Some("tls1.2"), None).unwrap();
    })
    .await;
    for versions in [ONLY_TLS12, BOTH] {
        let answer = Caller::of(&old, "workload").versions(versions).ask(old.door(), get(POD)).await;
        assert_eq!(answer.status, 502, "{}", answer.text());
    }
}

#[tokio::test]
async fn alpn_decides_between_http2_and_http1_and_its_absence_means_http1() {
    let world = World::start().await;
    let caller = Caller::of(&world, "workload");
    for (offered, agreed) in [
        (&[&b"h2"[..]][..], Some(&b"h2"[..])),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[b"h2", b"http/1.1"], Some(b"h2")),
        (&[b"http/1.1", b"h2"], Some(b"h2")),
        (&[], None),
    ] {
        let mut raw = caller.clone().alpn(offered).connect(world.door()).await.unwrap();
        assert_eq!(raw.io().get_ref().1.alpn_protocol(), agreed, "{offered:?}");
        if agreed != Some(b"h2") {
            raw.send(get(POD)).await.unwrap();
            assert_eq!(raw.answer().await.unwrap().status, 502);
        }
    }
    let error = caller.clone().alpn(&[b"spdy/3"]).connect(world.door()).await.unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    let error = caller.alpn(&[b"http/1.1"]).connect(world.principal.grpc).await.unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}

#[tokio::test]
async fn no_session_is_ever_resumed_and_no_ticket_given() {
    for version in [ONLY_TLS12, &[&TLS13]] {
        let world = World::start_with(|config| {
            config.tls_versions = common::config::TlsVersions::parse(Some("tls1.2"), None).unwrap();
        })
        .await;
        // One configuration, and so one store of sessions, for all connections.
        let config = Caller::of(&world, "workload").versions(version).config();
        for _ in 0..3 {
            let tcp = TcpStream::connect(world.door()).await.unwrap();
            let mut raw = raw::Raw::new(handshake(config.clone(), tcp).await.unwrap());
            raw.send(get(POD)).await.unwrap();
            assert_eq!(raw.answer().await.unwrap().status, 502);
            let (_, session) = raw.io().get_ref();
            assert_eq!(session.handshake_kind().map(is_full), Some(true), "{:?}", session.handshake_kind());
            assert_eq!(session.tls13_tickets_received(), 0);
        }
    }
}

#[tokio::test]
async fn the_certificate_of_each_connection_and_the_token_of_each_request_decide() {
    let rig = Rig::start().await;
    let (world, server) = (&rig.world, &rig.server);
    let mut raw = rig.caller.connect(world.door()).await.unwrap();
    // One connection, one request after another.
    for (header, status) in [
        ("", 200),
        ("Authorization: Bearer abc\r\n", 401),
        ("", 200),
        ("Authorization: Basic YTpi\r\n", 200),
        ("Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.YWJj\r\n", 401),
        ("", 200),
    ] {
        raw.send(get(POD).replacen("\r\n", &format!("\r\n{header}"), 1)).await.unwrap();
        assert_eq!(raw.answer().await.unwrap().status, status, "{header}");
    }
    assert_eq!(Caller::of(world, "another").ask(world.door(), get(POD)).await.status, 502);
    // What the certificate says of the caller does not leave the principal, and a credential never does.
    let told = rig.ask(get(POD).replacen("\r\n", "\r\nAuthorization: Basic YTpi\r\n", 1)).await;
    assert!(!told.text().to_ascii_lowercase().contains("authorization"), "{}", told.text());
    assert_eq!(server.seen().len(), 5, "what was refused never reached the API server");
}

#[tokio::test]
async fn an_agent_with_another_authority_or_an_expired_certificate_never_attaches() {
    let world = World::start().await;
    for leaf in [pki::Ca::new().client("workload"), world.ca.expired_client("workload")] {
        let raw = Caller::new(world.ca.pem(), Some(leaf)).alpn(&[b"h2"]).connect(world.principal.grpc).await;
        if let Ok(mut raw) = raw {
            let (read, ended) = raw.rest().await;
            assert!(read.is_empty() && ended.unwrap_err().to_string().contains("fatal alert"));
        }
    }
    assert!(world.principal.agents.agents().is_empty());
}

#[tokio::test]
async fn an_authority_that_is_out_of_its_time_vouches_for_nobody_at_either_end() {
    for old in [pki::Ca::expired(), pki::Ca::early()] {
        let folder = tempfile::tempdir().unwrap();
        let bundle = pki::write(folder.path(), "old.crt", &old.pem());
        // All ports take it, as there is none to go on with; nobody who comes from it gets in.
        let authorities = RootsSource::File(bundle.clone());
        let world = World::start_with(|config| {
            config.grpc_tls.as_mut().unwrap().client_ca = authorities.clone();
            config.kube_door.as_mut().unwrap().tls.client_ca = authorities;
        })
        .await;
        for port in [world.principal.grpc, world.door()] {
            let caller = Caller::new(world.ca.pem(), Some(old.client("workload"))).alpn(&[b"h2"]);
            if let Ok(mut raw) = caller.connect(port).await {
                let (read, ended) = raw.rest().await;
                assert!(read.is_empty() && ended.unwrap_err().to_string().contains("fatal alert"));
            }
        }
        assert!(world.principal.agents.agents().is_empty());

        // An agent whose principal comes from it does not go there.
        let (certificate, key) = old.server().write(folder.path(), "principal");
        let world = World::start_with(|config| {
            config.grpc_tls.as_mut().unwrap().identity = IdentitySource::Files { certificate, key };
        })
        .await;
        let server = Faulty::on_demand().await;
        let mut config = world.agent_config(AGENT, "argocd");
        config.kube.kubeconfig = Some(server.kubeconfig(world.folder()));
        config.tls.as_mut().unwrap().root_ca = Some(RootsSource::File(bundle));
        let (_signal, watch) = common::drain::channel();
        let agent = agent::Agent::start(config, &watch).await.unwrap();
        let page = agent.metrics.unwrap();
        eventually("it tried more than once", async || {
            (metric(page, "argocd_agent_link_attempts_total", "").await >= 2.0).then_some(())
        })
        .await;
        assert_eq!(metric(page, "argocd_agent_link_connected", "").await, 0.0);
        assert!(world.principal.agents.agents().is_empty());
    }
}

#[tokio::test]
async fn a_certificate_that_names_no_agent_is_told_so_by_grpc_and_counted() {
    let world = World::start().await;
    // The second would own the principal's own namespace.
    for name in ["Not a label", "argocd"] {
        let refused = refused_attach(&world, Caller::of(&world, name)).await;
        assert_eq!((refused.code(), refused.message()), (Code::Unauthenticated, "authentication failed"), "{name}");
    }
    unauthenticated_are(&world, 2.0).await;
}

#[tokio::test]
async fn where_a_certificate_need_not_be_shown_who_shows_none_is_told_so_by_grpc_and_a_bad_one_is_none() {
    let world = World::start_with(|config| config.client_certificates = ClientCertificates::IfGiven).await;
    let refused = refused_attach(&world, Caller::stranger(&world)).await;
    assert_eq!((refused.code(), refused.message()), (Code::Unauthenticated, "authentication failed"));
    unauthenticated_are(&world, 1.0).await;
    for leaf in [pki::Ca::new().client("workload"), world.ca.expired_client("workload")] {
        let raw = Caller::new(world.ca.pem(), Some(leaf)).alpn(&[b"h2"]).connect(world.principal.grpc).await;
        if let Ok(mut raw) = raw {
            let (read, ended) = raw.rest().await;
            assert!(read.is_empty() && ended.unwrap_err().to_string().contains("fatal alert"));
        }
    }
    let _attached = world.agent("workload", "argocd").await;
    assert_eq!(world.principal.agents.agents().len(), 1);
}

async fn refused_attach(world: &World, caller: Caller) -> tonic::Status {
    let caller = caller.alpn(&[b"h2"]);
    let tcp = TcpStream::connect(world.principal.grpc).await.unwrap();
    let (grpc, driver) = http2(handshake(caller.config(), tcp).await.unwrap(), STREAM_WINDOW).await.unwrap();
    let mut client = TunnelClient::with_origin(grpc, http::Uri::from_static("http://principal"));
    let attach = client.attach(stream::pending::<proto::AgentEvent>());
    tokio::select! {
        refused = soon(attach) => refused.unwrap_err(),
        ended = driver => panic!("{ended:?}"),
    }
}

async fn unauthenticated_are(world: &World, number: f64) {
    eventually("all are counted", async || {
        let metrics = world.principal.metrics.unwrap();
        let refused = metric(metrics, "argocd_agent_tunnel_refused_calls_total", "reason=\"unauthenticated\"").await;
        (refused == number).then_some(())
    })
    .await;
}

fn is_full(kind: HandshakeKind) -> bool {
    matches!(kind, HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest)
}
