//! Which agents are attached: asked of the principal, at an address and through port-forwards to its Pods.

use std::time::Duration;

use harness::{
    World,
    cluster::cluster,
    eventually,
    process::{port, says},
    raw,
    site::Site,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{FAST, Operator};

#[tokio::test]
async fn the_list_tells_which_agents_are_attached_since_when_and_how_far_away() {
    let operator = Operator::new().await;
    operator.ok(&format!("pki init {FAST}")).await;
    for agent in ["edge", "new", "old"] {
        operator.ok(&format!("agent create {agent} {FAST}")).await;
    }
    let world = World::start_with(|config| config.ping_interval = Duration::from_millis(100)).await;
    let _edge = world.agent("edge", "argocd").await;
    drop(world.agent("old", "argocd").await);
    let admin = world.principal.admin.unwrap();
    assert!(admin.ip().is_loopback());
    let at = format!("--admin-address=http://{admin}");
    let listed = eventually("all is known", async || {
        let listed = operator.json(&format!("agent list {at}")).await;
        let known = listed[0]["roundTripMillis"].is_number() && listed[2]["state"] == "disconnected";
        known.then_some(listed)
    })
    .await;
    let (edge, new, old) = (&listed[0], &listed[1], &listed[2]);
    assert_eq!(
        (&edge["name"], &edge["state"], &edge["mode"]),
        (&json!("edge"), &json!("connected"), &json!("managed"))
    );
    assert_eq!(edge["version"], common::build_info::VERSION);
    assert!(edge["roundTripMillis"].as_f64().unwrap() < 10_000.0);
    assert!(edge["since"].as_str().unwrap().starts_with("20"), "{edge}");
    assert_eq!((&new["state"], &new["since"], &new["version"]), (&json!("never"), &Value::Null, &Value::Null));
    assert_eq!((&old["version"], &old["roundTripMillis"]), (&edge["version"], &Value::Null));

    let wide = operator.ok(&format!("agent list --wide {at}")).await;
    let rows: Vec<Vec<&str>> = wide.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((rows[1][0], rows[1][1], rows[1][3]), ("edge", "connected", "managed"));
    assert!(rows[1][4].ends_with("ms") && rows[1][5].ends_with('Z'), "{wide}");
    assert_eq!(
        (&rows[2][..6], &rows[3][..2]),
        (&["new", "never", "-", "-", "-", "-"][..], &["old", "disconnected"][..])
    );
    assert!(operator.ok(&format!("agent list {at} -o yaml")).await.contains("state: connected\n"));
    // Scripts get what they always got.
    assert_eq!(operator.ok("agent list").await, "edge\nnew\nold\n");

    // And so it is through the API server, which knows who may: the Pod's loopback is this machine's.
    let none = unknown(&operator, "").await;
    assert!(none.contains("no Pod with the label app.kubernetes.io/name=argocd-agent-principal runs"), "{none}");
    pod(&operator, "principal-1").await;
    let through = eventually("the Pod runs", async || {
        let said = operator.run(&format!("agent list -o json --admin-port={}", admin.port())).await;
        said.stderr.is_empty().then_some(said.stdout)
    })
    .await;
    let through: Value = serde_json::from_str(&through).unwrap();
    assert_eq!((&through[0]["state"], &through[2]["since"]), (&json!("connected"), &old["since"]));
    let closed = unknown(&operator, &format!("--admin-port={}", port())).await;
    assert!(closed.contains("of Pod ") && closed.contains("port-forward"), "{closed}");
}

#[tokio::test]
async fn a_principal_that_cannot_be_asked_is_one_line_and_the_rest_is_listed() {
    let operator = Operator::new().await;
    operator.ok(&format!("pki init {FAST}")).await;
    operator.ok(&format!("agent create edge {FAST}")).await;
    let world = World::start().await;
    let gone = port();
    let metrics = world.principal.metrics.unwrap();
    let (silent, garbage) = (scripted(b"").await, scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc").await);
    let endless = scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 900000000000\r\n\r\n{").await;
    let cut = scripted(b"SSH-2.0-OpenSSH_9.2p1\r\n").await;
    for (address, why) in [
        (format!("127.0.0.1:{gone}"), "refused"),
        (metrics.to_string(), "it answers 404 Not Found: it is no principal of this version"),
        (silent, "no answer within 10 s"),
        (garbage, "its answer makes no sense"),
        (endless, "no answer within 10 s"),
        (cut, "invalid HTTP"),
    ] {
        let told = unknown(&operator, &format!("--admin-address=http://{address}")).await;
        assert!(told.contains(&format!("the principal at http://{address}/ cannot be asked")), "{told}");
        assert!(told.contains(why), "{why}: {told}");
    }
    for bad in ["https://x:1", "x", "http://x/agents", "http://"] {
        let line = format!("agent list --admin-address={bad}");
        let said = operator.run(&line).await;
        assert_eq!(said.code, Some(2), "{bad}: {said:?}");
        assert!(said.stderr.contains("--admin-address") && said.stderr.contains("http://<host>:<port>"), "{said:?}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_no_takeover_and_a_second_agent_of_the_name_is() {
    let site = Site::new();
    let mut principal = site.principal(&[]).await;
    let kubeconfig = cluster().kubeconfig_path();
    let agent = site.agent("edge", principal.grpc, &kubeconfig, &[]).await;
    let renewed = site.ca.client("edge");
    let _paths = renewed.write(site.folder(), "agent-edge");
    let planned = "the agent attached anew, its newer session is used";
    principal.process.logged("a planned hand-over", |line| says(line, planned)).await;
    let takeover = "a newer session of the agent took over";
    assert!(!principal.process.log().iter().any(|line| says(line, takeover)));
    assert_eq!(raw::metric(agent.metrics, "argocd_agent_link_connected", "").await, 1.0);
    let _second = site.agent("edge", principal.grpc, &kubeconfig, &[]).await;
    let line = principal.process.logged("a takeover", |line| says(line, takeover)).await;
    assert_eq!((&line["level"], &line["agent"]), (&json!("WARN"), &json!("edge")));
}

/// Lists the one agent, whose state is not known; the line that says why.
async fn unknown(operator: &Operator, flags: &str) -> String {
    let said = operator.run(&format!("agent list --wide {flags}")).await;
    assert_eq!((said.code, said.stderr.lines().count()), (Some(0), 1), "{said:?}");
    assert!(said.stdout.contains("edge  unknown  "), "{said:?}");
    let told = said.stderr.strip_prefix("argocd-agentctl: the state of agents is not known: ");
    told.unwrap_or_else(|| panic!("{said:?}")).to_owned()
}

async fn pod(operator: &Operator, name: &str) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": operator.principal,
            "labels": {"app.kubernetes.io/name": "argocd-agent-principal"},
        },
        "spec": {"containers": [{"name": "main", "image": "main"}]},
    });
    harness::scene::apply(&pod).await;
}

/// A server that says this to whoever comes, and then nothing more.
async fn scripted(says: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut served = tokio::task::JoinSet::new();
    served.spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let asked = stream.read_u8().await;
            asked.map(drop).unwrap_or_default();
            stream.write_all(says).await.unwrap_or_default();
            held.push(stream);
        }
    });
    served.detach_all();
    address.to_string()
}
