//! An API server that is away, or does what none should.

use std::sync::Arc;

use common::drain;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};
use tracing::Span;

use super::{
    server::{marked, pod},
    world::{LONG, Plan, World, request},
};
use crate::{
    config::KubeSource,
    executors::kube::{StartError, api_server},
};

/// A world before a server that reads a request's head, writes this, and closes.
async fn before(answer: &'static [u8]) -> (World, drain::Signal) {
    let (signal, watch) = drain::channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    watch.spawn(Span::none(), async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer).await.unwrap();
        }
    });
    let mut plan = Plan::open();
    plan.address = Some(format!("http://{address}"));
    (plan.build(|_| {}).await, signal)
}

#[tokio::test]
async fn an_api_server_that_is_away_is_told_from_an_agent_that_is() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut plan = Plan::open();
    plan.address = Some(format!("http://{free}"));
    let mut world = plan.build(|_| {}).await;
    let read = world.get_pod("web").await;
    assert_eq!((read.status.as_u16(), read.refusal()), (503, Some("upstream_unreachable")));
    assert_eq!(read.message(), "agent cannot reach its API server: Connection refused (os error 111)");
    assert!(!read.headers.contains_key("retry-after"));

    let read = world.get("/version").await;
    assert_eq!(read.headers["content-type"], "text/plain; charset=utf-8");
}

#[tokio::test]
async fn a_server_without_tls_is_said_to_be_none() {
    let (http, _signal) = before(b"HTTP/1.1 200 OK\r\n\r\n").await;
    drop(http);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_signal, watch) = drain::channel();
    watch.spawn(Span::none(), async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    });
    let mut plan = Plan::open();
    plan.address = Some(format!("https://{address}"));
    let mut world = plan.build(|_| {}).await;
    let read = world.get_pod("web").await;
    assert_eq!((read.status.as_u16(), read.refusal()), (503, Some("upstream_unreachable")));
}

#[tokio::test]
async fn an_answer_that_is_not_http_or_breaks_off_before_its_head_is_a_refusal() {
    for (answer, text) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n\r\n"[..], "its answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "the connection was lost before the answer"),
        (b"", "the connection was lost before the answer"),
    ] {
        let (mut world, _signal) = before(answer).await;
        let read = world.get_pod("web").await;
        assert_eq!((read.status.as_u16(), read.refusal()), (503, Some("upstream_unreachable")), "{text}");
        assert!(read.message().contains(text), "{}", read.message());
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_within_its_body_breaks_off_for_the_caller_too() {
    let (mut world, _signal) = before(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
    let answer = world.begin(request("GET", &pod("web"))).await;
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    let ended = async {
        loop {
            match body.frame().await {
                Some(Ok(_)) => {}
                Some(Err(_)) => return "broken",
                None => return "complete",
            }
        }
    };
    assert_eq!(timeout(LONG, ended).await.unwrap(), "broken");
}

#[tokio::test]
async fn a_protocol_that_nobody_asked_for_is_refused() {
    let (mut world, _signal) =
        before(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n").await;
    let read = world.get_pod("web").await;
    assert_eq!((read.status.as_u16(), read.refusal()), (503, Some("upstream_unreachable")));
}

#[tokio::test]
async fn a_look_up_that_breaks_off_changes_nothing() {
    let mut world = World::filtered().await;
    world.server.special(|request| async move {
        if request.method() == "GET" {
            return Ok(super::server::raw(200, "application/json", r#"{"metadata":{"name":"#));
        }
        Err(request)
    });
    let read = world.send(request("DELETE", &pod("web"))).await;
    assert_eq!((read.status.as_u16(), read.refusal()), (503, Some("undecidable")));
    assert!(read.message().ends_with("the metadata are malformed"), "{}", read.message());
    assert_eq!(world.server.lines(), [format!("GET {}", pod("web"))]);
}

#[tokio::test]
async fn a_token_that_is_not_accepted_is_read_again() {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "one\n").unwrap();
    let mut plan = Plan::open();
    plan.user = json!({"tokenFile": token.path()});
    let mut world = plan.build(|server| server.put(&pod("web"), marked("web"))).await;
    world.server.special(|request| async move {
        let accepted = request.headers()["authorization"] == "Bearer two";
        if accepted { Err(request) } else { Ok(super::server::status(401, "Unauthorized")) }
    });
    std::fs::write(token.path(), "two\n").unwrap();
    assert_eq!(world.get_pod("web").await.status, 401);
    let renewed = async {
        while world.get_pod("web").await.status != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    timeout(LONG, renewed).await.unwrap();
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_is_told_with_its_cause() {
    let (_signal, watch) = drain::channel();
    let start = |text: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let source = KubeSource { kubeconfig: Some(file.path().to_owned()), context: None };
        let watch = watch.clone();
        async move {
            let mut registry = prometheus_client::registry::Registry::default();
            let error = api_server(&source, &Arc::default(), &mut registry, &watch).await.unwrap_err();
            drop(file);
            (common::Report(&error).to_string(), error)
        }
    };
    let config = |server: &str, cluster: &str, user: &str| {
        format!(
            "{{current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}], \
             clusters: [{{name: c, cluster: {{server: '{server}'{cluster}}}}}], \
             users: [{{name: u, user: {{{user}}}}}]}}"
        )
    };
    let (text, error) = start("{current-context: nowhere}").await;
    assert!(matches!(error, StartError::Source(_)) && text.contains("nowhere"), "{text}");
    let (text, _) = start(&config("https://a:1", ", proxy-url: 'socks5://proxy:3128'", "")).await;
    assert!(text.contains("proxy-url of the kubeconfig must be http://"), "{text}");
    let (text, _) = start(&config("/no/address", "", "")).await;
    assert!(text.contains("`/no/address` is not the address of an API server"), "{text}");
    let (text, _) = start(&config("https://a:1", "", "tokenFile: /does/not/exist")).await;
    assert!(text.contains("/does/not/exist"), "{text}");
}
