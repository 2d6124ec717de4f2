//! Fails when something new is left uncovered: a listening port without a row in the tables of unauthorised callers, of
//! limits and of the drain, or a `Refusal` without one in the table of refusals.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use harness::{World, redis::Redis, redis_scene::door_to};
use principal::Principal;

/// A port that a principal listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    /// Agents, gRPC over mTLS.
    Grpc,
    /// Kubernetes clients, HTTP over TLS with a client certificate.
    KubeDoor,
    /// Redis clients, plain or over TLS; here it is plain.
    RedisDoor,
    /// Prometheus, plain HTTP.
    Metrics,
    /// Kubelets, plain HTTP.
    Healthz,
    /// Operators, plain HTTP on loopback.
    Admin,
}

// === impl Port ===

impl Port {
    /// Every port of a principal, the Redis door's where it is open. A new address does not compile until it is a [`Port`]
    /// here, and a new `Port` not until every table has a row for it.
    pub(crate) fn all(principal: &Principal) -> Vec<(Self, SocketAddr)> {
        let Principal { grpc, kube_door, metrics, healthz, admin, redis_door, agents: _, routes: _ } = principal;
        let always = [
            (Self::Grpc, *grpc),
            (Self::KubeDoor, kube_door.expect("a door that is open")),
            (Self::Metrics, metrics.expect("a page of metrics")),
            (Self::Healthz, healthz.expect("pages of health")),
            (Self::Admin, admin.expect("a list of agents")),
        ];
        always.into_iter().chain(redis_door.map(|address| (Self::RedisDoor, address))).collect()
    }

    /// Whether callers must speak TLS there.
    pub(crate) fn speaks_tls(self) -> bool {
        match self {
            Self::Grpc | Self::KubeDoor => true,
            Self::RedisDoor | Self::Metrics | Self::Healthz | Self::Admin => false,
        }
    }
}

#[tokio::test]
async fn every_port_is_another_and_answers_as_its_tables_say() {
    let redis = Redis::start(&[]).await;
    let world = World::start_with(|config| config.redis_door = Some(door_to(redis.address()))).await;
    let ports = Port::all(&world.principal);
    assert_eq!(ports.len(), 6);
    for (index, (port, address)) in ports.iter().enumerate() {
        assert!(ports.iter().skip(index + 1).all(|(_, other)| other.port() != address.port()), "{port:?}");
        let answer = harness::raw::plain(*address).await.unwrap();
        drop(answer);
    }
}

/// A rule that is not shown by anything is a wish.
#[test]
fn every_test_that_the_filters_rules_name_is_there() {
    assert!(named_tests("docs/filter.md") > 40);
}

#[test]
fn every_test_that_the_rules_of_the_redis_door_name_is_there() {
    assert!(named_tests("docs/redis.md") > 8);
}

/// How many tests a document names, all of which are there.
fn named_tests(document: &str) -> usize {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let rules = std::fs::read_to_string(root.join(document)).unwrap();
    let of_agent: String = sources(&root.join("agent/src")).into_iter().map(|path| read(&path)).collect();
    let mut named = 0;
    for line in rules.lines().filter(|line| line.starts_with('|') || line.contains("::")) {
        for (at, name) in line.split('`').enumerate().filter(|(at, _)| at % 2 == 1) {
            let words = name.split("::").last().unwrap_or_default();
            let is_test =
                words.matches('_').count() >= 3 && words.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase());
            if !is_test || name.starts_with("filter_") {
                continue;
            }
            named += 1;
            let text = match name.rsplit_once("::") {
                Some((module, _)) => read(&root.join(format!("tests/integration/{}.rs", module.replace("::", "/")))),
                None => of_agent.clone(),
            };
            let function = [format!("fn {words}("), format!("    {words}:")];
            assert!(function.iter().any(|function| text.contains(function)), "{name} in {at} of {line}");
        }
    }
    named
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files of Rust in a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}
