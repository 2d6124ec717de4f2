//! Every way in which we say no, as it stands on the wire: at the paths of the Kubernetes API and at those whose answers
//! clients read as raw bytes.

use std::time::Duration;

use common::Refusal;
use futures_util::future::join_all;
use harness::{
    World, broken,
    client::{self, Endpoint, Protocol},
    cluster, eventually,
    faulty::{self, AGENT, Faulty, attach},
    raw::{Answer, Caller, get},
    soon,
};

const CONFIG_MAP: &str = "/api/v1/namespaces/default/configmaps/a";
const RAW: [&str; 6] = ["/version", "/api", "/apis", "/openapi", "/openapi/v2", "/openapi/v3/apis/apps/v1"];

/// Makes a test of each row, and a function that does not compile while a `Refusal` has none.
macro_rules! refusals {
    ($($test:ident: $pattern:pat, $text:expr => $status:literal $reason:literal, at $kube:expr, $raw:expr, by $provoke:ident;)+) => {
        $(
            #[tokio::test]
            async fn $test() {
                let (kube, raw): (&[&str], &[&str]) = (&$kube, &$raw);
                for (path, answer) in kube.iter().zip($provoke(kube).await) {
                    assert_status(path, &answer, $status, $reason, $text);
                }
                for (path, answer) in raw.iter().zip($provoke(raw).await) {
                    assert_plain(path, &answer, $status, $text);
                }
            }
        )+

        const fn has_a_row(refusal: &Refusal) {
            match refusal {
                $($pattern => {})+
            }
        }
    };
}

refusals! {
    a_caller_without_certificate_is_refused:
        Refusal::NoIdentity, "no authorization found" => 400 "BadRequest",
        at [CONFIG_MAP, "/api/v1/pods?watch=true", "/", "/healthz"], RAW, by no_certificate;
    a_bad_token_is_refused_whatever_the_certificate:
        Refusal::BadBearer, "authentication failed" => 401 "Unauthorized",
        at [CONFIG_MAP, "/api/v1/pods", "/"], RAW, by bad_token;
    a_certificate_that_names_no_agent_is_refused:
        Refusal::BadAgentName, "invalid agent name" => 400 "BadRequest",
        at [CONFIG_MAP, "/api/v1/pods", "/"], RAW, by bad_name;
    a_request_that_cannot_be_carried_is_refused:
        Refusal::BadRequest(_), "CONNECT and TRACE are not supported" => 400 "BadRequest",
        at [CONFIG_MAP, "/api/v1/pods", "/"], RAW, by trace;
    an_unknown_agent_is_refused_and_never_by_404:
        Refusal::AgentNotConnected, "Agent is not connected, stop proxying" => 502 "InternalError",
        at [CONFIG_MAP, "/api/v1/pods", "/api/v1/pods?watch=true", "/"], RAW, by unknown_agent;
    an_api_server_that_does_not_answer_in_time_is_told:
        Refusal::AgentTimeout, "Timeout communicating to the agent" => 504 "Timeout",
        at [CONFIG_MAP, "/api/v1/pods?watch=true", "/"], RAW, by silent_api_server;
    a_tunnel_that_breaks_within_a_request_is_told:
        Refusal::TunnelBroken, "Connection to the agent was lost" => 502 "InternalError",
        at [CONFIG_MAP, "/api/v1/pods?watch=true", "/"], RAW, by broken_tunnel;
    an_api_server_that_cannot_be_reached_is_told_with_the_cause:
        Refusal::UpstreamUnreachable(_),
        "agent cannot reach its API server: Connection refused (os error 111)" => 503 "ServiceUnavailable",
        at [CONFIG_MAP, "/api/v1/pods?watch=true", "/"], RAW, by no_api_server;
    an_object_that_argo_cd_does_not_manage_is_not_shown:
        Refusal::NotManaged, "resource not managed by app" => 404 "NotFound",
        at [
            "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication",
            "/api/v1/namespaces/kube-system",
            "/metrics",
            "/logs",
        ], RAW, by filter_of_objects;
    an_item_that_is_too_large_to_look_through_is_told:
        Refusal::ItemTooLarge, "an item of the list is larger than 16 MiB, the most that the agent looks through"
            => 502 "InternalError",
        at [broken::PODS], [], by large_item;
    collections_are_not_deleted_through_the_filter:
        Refusal::DeleteCollectionNotAllowed, "not authorized to delete collections of resources" => 403 "Forbidden",
        at ["/api/v1/namespaces/default/configmaps", "/apis/apps/v1/namespaces/default/deployments"], [],
        by filter_of_deletes;
    creates_of_what_is_not_managed_may_be_forbidden:
        Refusal::CreateNotManaged, "not authorized to create resources that are not managed by app" => 403 "Forbidden",
        at ["/api/v1/namespaces/default/configmaps"], [], by filter_of_creates;
    what_cannot_be_decided_is_not_shown:
        Refusal::Undecidable(_),
        "cannot decide whether the resource is managed by app: cannot read ConfigMap argocd-cm: configmaps is forbidden"
            => 503 "ServiceUnavailable",
        at [CONFIG_MAP, "/apis/apps/v1/namespaces/default/deployments/a"], [], by forbidden_settings;
    a_proxy_that_is_off_is_told:
        Refusal::ProxyDisabled, "resource proxy is disabled on this agent" => 403 "Forbidden",
        at [CONFIG_MAP, "/api/v1/pods?watch=true", "/"], RAW, by proxy_off;
    a_limit_on_requests_in_flight_is_told:
        Refusal::TooManyRequests, "too many requests in flight" => 429 "TooManyRequests",
        at [CONFIG_MAP, "/api/v1/pods?watch=true", "/"], RAW, by full_agent;
}

#[test]
fn every_refusal_has_a_row() {
    // What proves it is that this compiles.
    has_a_row(&Refusal::NoIdentity);
}

#[tokio::test]
async fn refusals_are_the_same_over_http2() {
    let world = World::start().await;
    let mut connection = Endpoint::door(&world, "nobody").connect(Protocol::Http2).await;
    let text = "Agent is not connected, stop proxying";
    let answer = connection.ask(client::get(CONFIG_MAP)).await;
    answer.assert_refusal(502, "InternalError", text);
    let mut names: Vec<_> = answer.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "content-type", "date"]);
    for path in RAW {
        let answer = connection.ask(client::get(path)).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (502, text), "{path}");
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    }
}

#[tokio::test]
async fn a_refused_head_has_the_length_of_its_body_and_no_body() {
    let world = World::start().await;
    let mut raw = Caller::of(&world, "nobody").connect(world.door()).await.unwrap();
    raw.send(get("/version").replacen("GET", "HEAD", 1)).await.unwrap();
    let head = raw.head().await.unwrap();
    assert_eq!((head.status, head.header("content-length")), (502, Some("37")));
    raw.send(get("/version")).await.unwrap();
    assert_eq!(raw.answer().await.unwrap().body.len(), 37, "the next answer begins where the head ended");
}

#[tokio::test]
async fn a_refused_upgrade_is_an_answer_and_the_connection_goes_on() {
    let world = World::start().await;
    let mut raw = Caller::of(&world, "nobody").connect(world.door()).await.unwrap();
    for _ in 0..2 {
        let exec = "/api/v1/namespaces/a/pods/b/exec?command=sh";
        raw.send(with(exec, "Connection: Upgrade\r\nUpgrade: websocket\r\n")).await.unwrap();
        let answer = raw.answer().await.unwrap();
        assert_status(exec, &answer, 502, "InternalError", "Agent is not connected, stop proxying");
    }
}

/// The answer as Kubernetes clients decode it, byte for byte.
fn assert_status(path: &str, answer: &Answer, status: u16, reason: &str, text: &str) {
    let body = format!(
        r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":"{text}","reason":"{reason}","code":{status}}}"#
    );
    assert_answer(path, answer, status, "application/json", &body);
    assert!(body.len() < 1024, "client-go keeps no more of a refused upgrade");
}

/// The answer as clients show it that ask for raw bytes.
fn assert_plain(path: &str, answer: &Answer, status: u16, text: &str) {
    assert_answer(path, answer, status, "text/plain; charset=utf-8", text);
}

fn assert_answer(path: &str, answer: &Answer, status: u16, content_type: &str, body: &str) {
    assert_eq!(answer.text(), body, "{path}: {}", answer.head);
    assert_eq!(answer.status, status, "{path}");
    assert_eq!(answer.header("content-type"), Some(content_type), "{path}");
    assert_eq!(answer.header("content-length"), Some(body.len().to_string().as_str()), "{path}");
    // No Retry-After: client-go would send even a POST again. No label: it is between agent and principal.
    let mut names: Vec<_> = answer.headers().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.retain(|name| name != "connection");
    names.sort();
    assert_eq!(names, ["content-length", "content-type", "date"], "{path}: {}", answer.head);
}

async fn no_certificate(paths: &[&str]) -> Vec<Answer> {
    let world = World::start().await;
    let caller = Caller::stranger(&world);
    // Whatever else it carries.
    let ask = paths.iter().map(|path| caller.ask(world.door(), with(path, "Authorization: Bearer abc\r\n")));
    join_all(ask).await
}

async fn bad_token(paths: &[&str]) -> Vec<Answer> {
    let world = World::start().await;
    let caller = Caller::of(&world, AGENT);
    let ask = paths.iter().map(|path| caller.ask(world.door(), with(path, "Authorization: Bearer abc\r\n")));
    join_all(ask).await
}

async fn bad_name(paths: &[&str]) -> Vec<Answer> {
    let world = World::start().await;
    ask_all(&world, &Caller::of(&world, "Not a label"), paths).await
}

async fn trace(paths: &[&str]) -> Vec<Answer> {
    let world = World::start().await;
    let caller = Caller::of(&world, AGENT);
    let ask = paths.iter().map(|path| caller.ask(world.door(), get(path).replacen("GET", "TRACE", 1)));
    join_all(ask).await
}

async fn unknown_agent(paths: &[&str]) -> Vec<Answer> {
    let world = World::start().await;
    ask_all(&world, &Caller::of(&world, "nobody"), paths).await
}

async fn silent_api_server(paths: &[&str]) -> Vec<Answer> {
    let world = World::start_with(|config| {
        config.kube_door.as_mut().unwrap().response_timeout = Duration::from_millis(300);
    })
    .await;
    let server = Faulty::http(|_request| std::future::pending()).await;
    let _agent = attach(&world, &server).await;
    ask_all(&world, &Caller::of(&world, AGENT), paths).await
}

async fn broken_tunnel(paths: &[&str]) -> Vec<Answer> {
    let world = World::start().await;
    let server = Faulty::http(|_request| std::future::pending()).await;
    let agent = attach(&world, &server).await;
    let caller = Caller::of(&world, AGENT);
    let die = async {
        eventually("all requests are there", async || (server.seen().len() == paths.len()).then_some(())).await;
        drop(agent);
    };
    let (answers, ()) = tokio::join!(ask_all(&world, &caller, paths), die);
    answers
}

async fn no_api_server(paths: &[&str]) -> Vec<Answer> {
    let world = World::start().await;
    let server = Faulty::on_demand().await;
    let agent = attach(&world, &server).await;
    drop(server);
    let answers = ask_all(&world, &Caller::of(&world, AGENT), paths).await;
    drop(agent);
    answers
}

/// Discovery passes, but nobody changes it.
async fn filter_of_objects(paths: &[&str]) -> Vec<Answer> {
    let method = if paths == RAW { "POST" } else { "GET" };
    through_the_filter(method, paths, "").await
}

async fn filter_of_deletes(paths: &[&str]) -> Vec<Answer> {
    through_the_filter("DELETE", paths, "").await
}

async fn filter_of_creates(paths: &[&str]) -> Vec<Answer> {
    through_the_filter("POST", paths, r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"}}"#).await
}

async fn through_the_filter(method: &str, paths: &[&str], body: &str) -> Vec<Answer> {
    let world = World::start().await;
    let argocd = cluster::namespace("refusals").await;
    let _agent = world.agent_with(AGENT, &argocd, |config| config.managed_creates_only = true).await;
    let caller = Caller::of(&world, AGENT);
    let length = body.len();
    let ask = paths.iter().map(|path| {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
        caller.ask(world.door(), format!("{head}Content-Length: {length}\r\n\r\n{body}"))
    });
    join_all(ask).await
}

async fn forbidden_settings(paths: &[&str]) -> Vec<Answer> {
    let world = World::start().await;
    let server = Faulty::http(async |_request| {
        let status = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"configmaps is forbidden","reason":"Forbidden","code":403}"#;
        Ok(faulty::answer(403, "application/json", status))
    })
    .await;
    let kubeconfig = server.kubeconfig(world.folder());
    let _agent = world.agent_with(AGENT, "argocd", |config| config.kube.kubeconfig = Some(kubeconfig)).await;
    ask_all(&world, &Caller::of(&world, AGENT), paths).await
}

async fn large_item(paths: &[&str]) -> Vec<Answer> {
    let world = World::start().await;
    let server = broken::server(|_request| {
        let item = format!(r#"{{"metadata":{{"name":"a","uid":"a"}},"data":"{}"}}"#, "x".repeat(17 << 20));
        faulty::answer(200, "application/json", format!(r#"{{"kind":"PodList","apiVersion":"v1","items":[{item}]}}"#))
    })
    .await;
    let kubeconfig = server.kubeconfig(world.folder());
    let _agent = world.agent_with(AGENT, "argocd", |config| config.kube.kubeconfig = Some(kubeconfig)).await;
    ask_all(&world, &Caller::of(&world, AGENT), paths).await
}

async fn proxy_off(paths: &[&str]) -> Vec<Answer> {
    let world = World::start().await;
    let server = Faulty::on_demand().await;
    let kubeconfig = server.kubeconfig(world.folder());
    let off = |config: &mut agent::config::Config| {
        config.resource_proxy = false;
        config.kube.kubeconfig = Some(kubeconfig);
    };
    let _agent = world.agent_with(AGENT, "argocd", off).await;
    ask_all(&world, &Caller::of(&world, AGENT), paths).await
}

async fn full_agent(paths: &[&str]) -> Vec<Answer> {
    let world = World::start_with(|config| config.max_requests_per_agent = 1).await;
    let server = Faulty::on_demand().await;
    let _agent = attach(&world, &server).await;
    let caller = Caller::of(&world, AGENT);
    let mut running = caller.connect(world.door()).await.unwrap();
    running.send(get("/version?fault=silent")).await.unwrap();
    assert_eq!(running.head().await.unwrap().status, 200);
    let answers = ask_all(&world, &caller, paths).await;
    drop(running);
    // The place is free again as soon as its request has ended.
    eventually("the next request passes", async || {
        (caller.ask(world.door(), get("/version")).await.status == 200).then_some(())
    })
    .await;
    answers
}

async fn ask_all(world: &World, caller: &Caller, paths: &[&str]) -> Vec<Answer> {
    soon(join_all(paths.iter().map(|path| caller.ask(world.door(), get(path))))).await
}

fn with(path: &str, header: &str) -> String {
    get(path).replacen("\r\n", &format!("\r\n{header}"), 1)
}
