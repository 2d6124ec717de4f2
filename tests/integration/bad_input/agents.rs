//! Peers with an agent's certificate that do not speak as agents do.

use common::proto::{self, tunnel_client::TunnelClient};
use futures_util::{StreamExt, stream};
use harness::{
    faulty::Rig,
    raw::{self, Caller},
    soon,
};
use tonic::Code;

use super::still_answers;

#[tokio::test]
async fn an_agent_that_talks_nonsense_is_refused_and_counted() {
    let rig = Rig::start().await;
    let caller = Caller::of(&rig.world, "nonsense").alpn(&[b"h2"]);
    let ping = || proto::AgentEvent { event: Some(proto::agent_event::Event::Ping(proto::Ping { nonce: 1 })) };
    let hello = |min_version, max_version, build: &str| proto::AgentEvent {
        event: Some(proto::agent_event::Event::Hello(proto::Hello {
            min_version,
            max_version,
            build: build.to_owned(),
            ..proto::Hello::default()
        })),
    };
    let too_long = "x".repeat(256 << 10);
    for (first, code) in [
        (ping(), Code::InvalidArgument),
        (proto::AgentEvent { event: None }, Code::InvalidArgument),
        (hello(7, 9, "later"), Code::FailedPrecondition),
        (hello(9, 1, "no range"), Code::InvalidArgument),
        (hello(1, 1, &too_long), Code::InvalidArgument),
    ] {
        let tcp = tokio::net::TcpStream::connect(rig.world.principal.grpc).await.unwrap();
        let tls = raw::handshake(caller.config(), tcp).await.unwrap();
        let (grpc, driver) = agent::link::connect::http2(tls, 1 << 20).await.unwrap();
        let mut client = TunnelClient::with_origin(grpc, http::Uri::from_static("http://principal"));
        let said = stream::iter([first]).chain(stream::pending());
        let refused = tokio::select! {
            refused = soon(client.attach(said)) => refused.unwrap_err(),
            ended = driver => panic!("{ended:?}"),
        };
        assert_eq!(refused.code(), code, "{refused:?}");
    }
    let refused = rig.metric("argocd_agent_tunnel_refused_calls_total", "").await;
    assert_eq!(refused, 5.0);
    assert_eq!(rig.world.principal.agents.agents().len(), 1, "the rig's own, and no other");
    still_answers(&rig).await;
}
