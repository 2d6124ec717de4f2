//! Every refusal of the door's own, byte by byte.

use common::tunnel::{PipeError, error::RefusedReason};

use super::*;
use crate::doors::http::test_agent::not_served;

const GET: &[u8] = b"GET /api/v1/namespaces/a/pods/b HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";

fn status(code: u16, reason: &str, phrase: &str, text: &str) -> String {
    let body = format!(
        r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":"{text}","reason":"{reason}","code":{code}}}"#
    );
    format!(
        "HTTP/1.1 {code} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Header order is not part of the contract.
fn same(answer: &str, expected: &str) {
    let sorted = |text: &str| {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let (first, lines) = head.split_once("\r\n").unwrap();
        let mut lines: Vec<String> = lines.split("\r\n").map(str::to_owned).collect();
        lines.sort();
        (first.to_owned(), lines, body.to_owned())
    };
    assert_eq!(sorted(answer), sorted(expected));
}

#[tokio::test]
async fn a_caller_without_a_certificate_gets_400_whatever_else_it_sends() {
    let world = World::new();
    let expected = status(400, "BadRequest", "Bad Request", "no authorization found");
    for request in [
        GET,
        b"POST /api/v1/namespaces/a/pods HTTP/1.1\r\nhost: h\r\nauthorization: Bearer x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nhi",
        b"CONNECT h:1 HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
        b"GET /apis/apps/v1 HTTP/1.1\r\nconnection: close\r\n\r\n",
    ] {
        same(&world.raw(None, request).await, &expected);
    }
}

#[tokio::test]
async fn a_bearer_token_is_401_even_with_a_good_certificate() {
    let world = World::new();
    let request = b"GET /api/v1/pods HTTP/1.1\r\nhost: h\r\nauthorization: Bearer x\r\nconnection: close\r\n\r\n";
    same(
        &world.raw(Some("agent"), request).await,
        &status(401, "Unauthorized", "Unauthorized", "authentication failed"),
    );
}

#[tokio::test]
async fn a_certificate_that_names_no_possible_agent_is_400() {
    let world = World::new();
    same(&world.raw(Some("Not A Label"), GET).await, &status(400, "BadRequest", "Bad Request", "invalid agent name"));
}

#[tokio::test]
async fn an_agent_that_is_not_connected_is_502() {
    let world = World::new();
    world.agents.detach("agent");
    same(
        &world.raw(Some("agent"), GET).await,
        &status(502, "InternalError", "Bad Gateway", "Agent is not connected, stop proxying"),
    );
    for path in ["/version", "/api", "/apis", "/openapi/v2", "/openapi/v3", "/openapi/v3/api/v1"] {
        let request = format!("GET {path}?timeout=32s HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
        same(
            &world.raw(Some("agent"), request.as_bytes()).await,
            "HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 37\r\nconnection: close\r\n\r\nAgent is not connected, stop proxying",
        );
    }
}

#[tokio::test]
async fn an_agent_that_is_busy_is_429_and_never_retry_after() {
    let world = World::new();
    world.agents.attach("agent", 0);
    same(
        &world.raw(Some("agent"), GET).await,
        &status(429, "TooManyRequests", "Too Many Requests", "too many requests in flight"),
    );
}

#[tokio::test]
async fn an_agent_that_refuses_the_pipe_says_why() {
    let world = World::new();
    let lost = status(502, "InternalError", "Bad Gateway", "Connection to the agent was lost");
    for (error, expected) in [
        (not_served(), status(403, "Forbidden", "Forbidden", "resource proxy is disabled on this agent")),
        (
            PipeError::Refused(RefusedReason::Busy),
            status(429, "TooManyRequests", "Too Many Requests", "too many requests in flight"),
        ),
        (
            PipeError::Refused(RefusedReason::Draining),
            status(502, "InternalError", "Bad Gateway", "Agent is not connected, stop proxying"),
        ),
        (PipeError::Refused(RefusedReason::Unknown), lost.clone()),
        (PipeError::SessionLost, lost.clone()),
        (PipeError::Cut("gone".into()), lost),
    ] {
        world.agents.attach_refusing("agent", error);
        same(&world.raw(Some("agent"), GET).await, &expected);
    }
}

#[tokio::test]
async fn a_tunnel_that_breaks_before_the_answer_is_502() {
    let mut world = World::new();
    let mut pipes = std::mem::replace(&mut world.pipes, mpsc::channel(1).1);
    let agent = async {
        let mut pipe = pipes.recv().await.unwrap();
        pipe.io.read_u8().await.unwrap();
    };
    let (answer, ()) = tokio::join!(world.raw(Some("agent"), GET), agent);
    same(&answer, &status(502, "InternalError", "Bad Gateway", "Connection to the agent was lost"));
}

#[tokio::test]
async fn an_agent_that_speaks_no_http_is_502() {
    let mut world = World::new();
    let mut pipes = std::mem::replace(&mut world.pipes, mpsc::channel(1).1);
    world.others.spawn(Span::none(), async move {
        let mut held = Vec::new();
        while let Some(mut pipe) = pipes.recv().await {
            pipe.io.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap();
            pipe.io.flush().await.unwrap();
            held.push(pipe);
        }
    });
    same(
        &world.raw(Some("agent"), GET).await,
        &status(502, "InternalError", "Bad Gateway", "Connection to the agent was lost"),
    );
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_answer_is_504() {
    let world = World::new();
    same(
        &world.raw(Some("agent"), GET).await,
        &status(504, "Timeout", "Gateway Timeout", "Timeout communicating to the agent"),
    );
}

#[tokio::test]
async fn a_switch_of_protocols_that_nobody_asked_for_is_502() {
    let (world, _ends) = World::serving(|_| async { Response::builder().status(101).body(empty()).unwrap() });
    same(
        &world.raw(Some("agent"), GET).await,
        &status(502, "InternalError", "Bad Gateway", "Connection to the agent was lost"),
    );
}

#[tokio::test]
async fn a_refusal_of_the_agents_own_passes_without_its_label() {
    let (world, _ends) = World::serving(|request| async move {
        let response = common::http::refusal::response(&common::Refusal::NotManaged, request.uri().path());
        response.map(|body| body.map_err(|never| match never {}).boxed())
    });
    same(&world.raw(Some("agent"), GET).await, &status(404, "NotFound", "Not Found", "resource not managed by app"));
}

#[tokio::test]
async fn refusals_in_http2_are_the_same() {
    let world = World::new();
    world.agents.detach("agent");
    let mut client = world.h2().await;
    let response = within(client.send_request(get("http://h/api/v1/pods"))).await.unwrap();
    assert_eq!(response.status(), 502);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers().get("retry-after"), None);
    assert_eq!(response.headers().get("argocd-agent-refusal"), None);
    let (body, _) = within(read(response.into_body())).await.unwrap();
    assert!(body.contains("Agent is not connected, stop proxying"), "{body}");
}
