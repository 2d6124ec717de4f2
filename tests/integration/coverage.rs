//! Fails when something new is left uncovered: a listening port without a row in the tables of unauthorised callers, of
//! limits and of the drain, or a `Refusal` without one in the table of refusals.

use std::net::SocketAddr;

use harness::World;
use principal::Principal;

/// A port that a principal listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    /// Agents, gRPC over mTLS.
    Grpc,
    /// Kubernetes clients, HTTP over TLS with a client certificate.
    KubeDoor,
    /// Prometheus, plain HTTP.
    Metrics,
    /// Kubelets, plain HTTP.
    Healthz,
}

// === impl Port ===

impl Port {
    /// Every port of a principal. A new address does not compile until it is a [`Port`] here, and a new `Port` not until
    /// every table has a row for it.
    pub(crate) fn all(principal: &Principal) -> [(Self, SocketAddr); 4] {
        let Principal { grpc, kube_door, metrics, healthz, agents: _ } = principal;
        [
            (Self::Grpc, *grpc),
            (Self::KubeDoor, kube_door.expect("a door that is open")),
            (Self::Metrics, metrics.expect("a page of metrics")),
            (Self::Healthz, healthz.expect("pages of health")),
        ]
    }

    /// Whether callers must speak TLS there.
    pub(crate) fn speaks_tls(self) -> bool {
        match self {
            Self::Grpc | Self::KubeDoor => true,
            Self::Metrics | Self::Healthz => false,
        }
    }
}

#[tokio::test]
async fn every_port_is_another_and_answers_as_its_tables_say() {
    let world = World::start().await;
    let ports = Port::all(&world.principal);
    for (index, (port, address)) in ports.iter().enumerate() {
        assert!(ports.iter().skip(index + 1).all(|(_, other)| other.port() != address.port()), "{port:?}");
        let answer = harness::raw::plain(*address).await.unwrap();
        drop(answer);
    }
}
