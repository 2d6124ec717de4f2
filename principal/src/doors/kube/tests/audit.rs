//! One line per request, whatever became of it.

use std::{collections::BTreeMap, fmt::Debug};

use hyper::upgrade::Upgraded;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::*;

type Line = BTreeMap<&'static str, String>;

/// Takes the audit lines of this test's thread.
struct Lines(mpsc::Sender<Line>);

struct Fields<'a>(&'a mut Line);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "audit"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::new();
        event.record(&mut Fields(&mut line));
        self.0.try_send(line).unwrap();
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn capture() -> (tracing::subscriber::DefaultGuard, mpsc::Receiver<Line>) {
    let (lines, received) = mpsc::channel(64);
    (tracing::subscriber::set_default(Lines(lines)), received)
}

/// The line as text, without what differs from run to run.
async fn next(lines: &mut mpsc::Receiver<Line>) -> String {
    let mut line = within(lines.recv()).await.unwrap();
    line.remove("duration_micros").unwrap().parse::<u64>().unwrap();
    assert_eq!(line.remove("message").as_deref(), Some("request"));
    assert_eq!(line.remove("peer").as_deref(), Some("192.0.2.7:4711"));
    let fields: Vec<String> = line.iter().map(|(name, value)| format!("{name}={value}")).collect();
    fields.join(" ")
}

#[tokio::test]
async fn tells_who_asked_what_and_what_came_of_it_but_no_query_and_no_body() {
    let (_guard, mut lines) = capture();
    let (world, _ends) = World::serving(|request| async move {
        read(request.into_body()).await.unwrap();
        Response::builder().status(201).body(full("secret answer")).unwrap()
    });
    let mut client = world.h1().await;
    let request = Request::post("/apis/apps/v1/namespaces/ns/deployments/web/scale?token=secret")
        .header("host", "h")
        .header("x-secret", "secret")
        .header("impersonate-user", "jane")
        .body(full("secret"))
        .unwrap();
    read(within(client.send_request(request)).await.unwrap().into_body()).await.unwrap();
    assert_eq!(
        next(&mut lines).await,
        "agent=agent bytes_in=6 bytes_out=13 caller=agent group=apps impersonated_user=jane name=web namespace=ns \
         outcome=ok resource=deployments status=201 subresource=scale verb=create version=v1"
    );
    client.ready().await.unwrap();
    read(within(client.send_request(get("/version?x=secret"))).await.unwrap().into_body()).await.unwrap();
    assert_eq!(
        next(&mut lines).await,
        "agent=agent bytes_in=0 bytes_out=13 caller=agent outcome=ok path=/version status=201 verb=get"
    );
    let metrics = world.metrics();
    assert!(metrics.contains(r#"requests_total{door="kube",verb="create",code="201"} 1"#), "{metrics}");
    assert!(metrics.contains(r#"requests_in_flight{door="kube"} 0"#), "{metrics}");
    lines.try_recv().unwrap_err();
}

#[tokio::test]
async fn refusals_have_their_label_and_their_cause() {
    let (_guard, mut lines) = capture();
    let (world, _ends) = World::serving(|request| async move {
        let response = common::http::refusal::response(&common::Refusal::NotManaged, request.uri().path());
        response.map(|body| body.map_err(|never| match never {}).boxed())
    });
    let get = b"GET /api/v1/pods/b HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    world.raw(None, get).await;
    assert_eq!(
        next(&mut lines).await,
        "bytes_in=0 bytes_out=86 group= name=b outcome=no_identity resource=pods status=400 verb=get version=v1"
            .replace("86", &refusal_length(&common::Refusal::NoIdentity))
    );
    world.raw(Some("agent"), get).await;
    assert_eq!(
        next(&mut lines).await,
        "agent=agent bytes_in=0 bytes_out=86 caller=agent group= name=b outcome=not_managed resource=pods status=404 \
         verb=get version=v1"
            .replace("86", &refusal_length(&common::Refusal::NotManaged))
    );
    world.agents.attach_refusing("agent", common::tunnel::PipeError::SessionLost);
    world.raw(Some("agent"), get).await;
    let line = next(&mut lines).await;
    assert!(line.contains("outcome=tunnel_broken"), "{line}");
    assert!(line.contains("the session ended before the pipe was open"), "{line}");
}

#[tokio::test]
async fn names_are_cut_and_a_foreign_label_is_not_repeated() {
    let (_guard, mut lines) = capture();
    let (world, _ends) = World::serving(|_| async {
        Response::builder().header("argocd-agent-refusal", "outcome=ok\"").body(empty()).unwrap()
    });
    let request = format!("GET /api/v1/pods/{} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", "x".repeat(2000));
    let answer = world.raw(Some("agent"), request.as_bytes()).await;
    assert!(!answer.contains("argocd-agent-refusal"), "{answer}");
    let line = next(&mut lines).await;
    assert!(line.contains(&format!("name={} ", "x".repeat(256))), "{line}");
    assert!(line.contains("outcome=unknown"), "{line}");
}

#[tokio::test]
async fn streams_are_told_of_at_their_end() {
    let (_guard, mut lines) = capture();
    let (events, received) = mpsc::channel(16);
    let (world, _ends) = World::serving(move |_| {
        let (sender, body) = channel();
        events.try_send(sender).unwrap();
        async move { Response::new(body) }
    });
    let mut received = received;
    let mut client = world.h2().await;

    let response = within(client.send_request(get("http://h/api/v1/pods?watch=1"))).await.unwrap();
    let sender = received.recv().await.unwrap();
    sender.send(data(b"event")).await.unwrap();
    lines.try_recv().unwrap_err();
    drop(sender);
    read(response.into_body()).await.unwrap();
    let stream = |outcome| {
        format!(
            "agent=agent bytes_in=0 bytes_out=5 caller=agent group= outcome={outcome} resource=pods status=200 verb=watch version=v1"
        )
    };
    assert_eq!(next(&mut lines).await, stream("ok"));

    for outcome in ["caller_left", "cut"] {
        let response = within(client.send_request(get("http://h/api/v1/pods?watch=1"))).await.unwrap();
        let sender = received.recv().await.unwrap();
        let mut body = response.into_body();
        sender.send(data(b"event")).await.unwrap();
        within(body.frame()).await.unwrap().unwrap();
        if outcome == "cut" {
            sender.send(Err(io::Error::other("cut"))).await.unwrap();
            within(body.frame()).await.unwrap().unwrap_err();
        }
        drop(body);
        assert_eq!(next(&mut lines).await, stream(outcome));
    }
}

#[tokio::test]
async fn a_caller_that_leaves_before_the_answer_has_a_line_without_a_status() {
    let (_guard, mut lines) = capture();
    let (started, mut starts) = mpsc::channel(1);
    let (world, _ends) = World::serving(move |_| {
        started.try_send(()).unwrap();
        std::future::pending()
    });
    let mut client = world.h2().await;
    tokio::select! {
        _ = client.send_request(get("http://h/api/v1/pods")) => panic!("never answered"),
        () = async { starts.recv().await.unwrap() } => {}
    }
    assert_eq!(
        next(&mut lines).await,
        "agent=agent bytes_in=0 bytes_out=0 caller=agent group= outcome=caller_left resource=pods verb=list version=v1"
    );
    assert!(world.metrics().contains(r#"requests_total{door="kube",verb="list",code="none"} 1"#));
}

#[tokio::test]
async fn an_upgraded_session_is_told_of_at_its_end_with_its_bytes() {
    let (_guard, mut lines) = capture();
    let (_world, mut client, mut agent) = upgraded().await;
    lines.try_recv().unwrap_err();
    client.write_all(b"12345").await.unwrap();
    client.shutdown().await.unwrap();
    let mut taken = Vec::new();
    within(agent.read_to_end(&mut taken)).await.unwrap();
    agent.write_all(b"123").await.unwrap();
    agent.shutdown().await.unwrap();
    within(client.read_to_end(&mut taken)).await.unwrap();
    assert_eq!(
        next(&mut lines).await,
        "agent=agent bytes_in=5 bytes_out=3 caller=agent group= name=b namespace=a outcome=ok resource=pods status=101 \
         subresource=exec verb=get version=v1"
    );
}

#[tokio::test]
async fn a_caller_that_leaves_an_upgraded_session_has_left() {
    let (_guard, mut lines) = capture();
    let (_world, client, mut agent) = upgraded().await;
    drop(client);
    agent.write_all(b"for nobody").await.unwrap();
    assert!(next(&mut lines).await.contains("outcome=caller_left"));
}

/// An upgraded session, from its caller to its agent.
async fn upgraded() -> (World, DuplexStream, TokioIo<Upgraded>) {
    let (upgrades, mut switched) = mpsc::channel(1);
    let (world, _ends) = World::serving(move |mut request| {
        upgrades.try_send(hyper::upgrade::on(&mut request)).unwrap();
        async {
            let response = Response::builder().status(101).header("connection", "upgrade");
            response.header("upgrade", "x").body(empty()).unwrap()
        }
    });
    let mut client = world.connect(Some("agent"), None);
    let request =
        b"GET /api/v1/namespaces/a/pods/b/exec HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    client.write_all(request).await.unwrap();
    let agent = TokioIo::new(within(switched.recv().await.unwrap()).await.unwrap());
    (world, client, agent)
}

fn refusal_length(refusal: &common::Refusal) -> String {
    common::http::refusal::response(refusal, "/api/v1/pods/b").body().size_hint().exact().unwrap().to_string()
}
