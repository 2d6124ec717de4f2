//! Callers of the Kubernetes API: what they send and what they get, byte for byte.
//!
//! The same caller reaches the door of a world or, as the cluster's admin, the API server itself, so that the two can be
//! compared.

mod answer;
mod connection;
mod endpoint;
mod request;

use std::path::Path;

use http::{
    Request,
    header::{CONTENT_LENGTH, DATE},
};
use kube::config::{KubeConfigOptions, Kubeconfig};

pub use self::{
    answer::{Answer, Stream},
    connection::Connection,
    endpoint::{Endpoint, Protocol},
    request::{Body, empty, full, get, get_as, streamed, with_body, with_json},
};

/// Asks the API server and the door the same and asserts that they answer the same: status, headers, body, trailers.
/// What the request is about must not change in between.
///
/// # Panics
/// When the answers differ.
pub async fn assert_same(door: &Endpoint, protocol: Protocol, request: impl Fn() -> Request<Body>) -> Answer {
    let direct = Endpoint::direct();
    let ask = async |endpoint: &Endpoint| {
        let mut answer = endpoint.connect(protocol).await.ask(request()).await;
        answer.headers.remove(DATE);
        answer.headers.remove("audit-id");
        if protocol == Protocol::Http2 {
            // Go says the length of larger bodies over HTTP/2 than over HTTP/1.1, which is what the agent speaks.
            answer.headers.remove(CONTENT_LENGTH);
        }
        answer
    };
    let what = format!("{} {} {:?}", request().method(), request().uri(), request().headers());
    let mut answers = tokio::join!(ask(&direct), ask(door));
    for _ in 0..5 {
        // Tables tell the age of things in seconds, and may be asked for on either side of one; other tests add kinds.
        if answers.0 != answers.1 {
            answers = tokio::join!(ask(&direct), ask(door));
        }
    }
    let (expected, answer) = answers;
    assert_eq!(answer.status, expected.status, "{what}: {}", answer.text());
    assert_eq!(answer.headers, expected.headers, "{what}");
    assert!(answer.body == expected.body, "{what}\n   door: {}\n direct: {}", answer.text(), expected.text());
    assert_eq!(answer.trailers, expected.trailers, "{what}");
    answer
}

/// kube-rs for whom a kubeconfig is.
///
/// # Panics
/// When the file is none.
pub async fn kube(kubeconfig: &Path) -> kube::Client {
    // kube builds its TLS configuration on the process's default provider. It fails only where it is set already.
    let _set = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    kube::Client::try_from(config.expect("a usable kubeconfig")).expect("a client")
}
