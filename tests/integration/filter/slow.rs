//! Who reads slowly, or not at all, holds up nobody else, and makes the agent hold no more than a window.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use harness::{
    client::{Answer, Endpoint, Protocol, get, get_as, with_json},
    cluster::{self, cluster},
    eventually, pki,
    raw::metric,
    scene::{Scene, tracked},
    shown::List,
    site::Site,
    watched::Watch,
};
use serde_json::{Value, json};

use super::{
    mixed::{PROTOBUF, version},
    watches::{number, patch},
};

const LARGE: usize = 900_000;

/// About 30 MB, of which every second object is managed.
const COUNT: usize = 34;

#[tokio::test]
async fn a_large_list_that_nobody_reads_holds_up_nobody_and_is_whole_when_it_is_read() {
    let scene = Scene::filtered("slow-list").await;
    fill(&scene.direct, &scene.core("configmaps")).await;
    let list = scene.core("configmaps");
    for accept in ["application/json", PROTOBUF] {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let mut connection = scene.door.connect(protocol).await;
            let unread = connection.stream_of(get_as(&list, accept)).await;
            let mut beside = scene.door.connect(Protocol::Http2).await;
            for _ in 0..10 {
                let answer = beside.ask(get(&scene.core("configmaps/map-0")));
                within(answer).await.expect_status(200);
                let page = within(beside.ask(get_as(&format!("{list}?limit=2"), accept))).await;
                assert_eq!(List::read(&page).names(), ["map-0"]);
            }
            let (status, headers) = (unread.status, unread.headers.clone());
            let answer = Answer { status, headers, body: unread.rest().await, trailers: None };
            let names: Vec<_> = (0..COUNT).step_by(2).map(|number| format!("map-{number}")).collect();
            let shown = List::read(&answer);
            let mut shown = shown.names();
            shown.sort_by_key(|name| name.trim_start_matches("map-").parse::<usize>().unwrap());
            assert_eq!(shown, names, "{accept} {protocol:?}");
        }
    }
}

#[tokio::test]
async fn a_watch_that_nobody_reads_holds_up_no_other_and_loses_nothing_without_saying_so() {
    let scene = Scene::filtered("slow-watch").await;
    scene.tracked("busy").await;
    scene.tracked("quiet").await;
    let target = scene.core("configmaps?watch=true");
    let mut unread = Watch::json(&scene.door, &target).await;
    let mut read = Watch::open(&scene.door, &target, PROTOBUF).await;
    read.expect_all("ADDED", &["busy", "quiet"]).await;
    let mut versions = Vec::new();
    for step in 0..60 {
        let change = json!({"data": {"large": format!("{step}").repeat(LARGE / 2)[..LARGE / 2]}});
        versions.push(version(&patch(&scene, "busy", &change).await));
        let event = within(read.change()).await;
        assert_eq!(event.object.version, *versions.last().unwrap());
        within(scene.door.ask(get(&scene.core("configmaps/quiet")))).await.expect_status(200);
    }
    // What it was sent is in order and without a gap, up to its end if the API server had to give it up.
    unread.expect_all("ADDED", &["busy", "quiet"]).await;
    for version in &versions {
        match unread.next().await {
            Some(event) if event.kind == "ERROR" => break,
            Some(event) => assert_eq!(event.object.version, *version),
            None => break,
        }
    }
}

#[tokio::test]
async fn an_agent_grows_little_by_lists_that_nobody_reads() {
    let site = Site::new();
    let (namespace, argocd) = (cluster::namespace("grows").await, cluster::namespace("grows-argocd").await);
    let maps = format!("/api/v1/namespaces/{namespace}/configmaps");
    fill(&Endpoint::direct(), &maps).await;
    let principal = site.principal(&[]).await;
    let more = ["--managed-resources-only=true", &format!("--namespace={argocd}")];
    let agent = site.agent("workload", principal.grpc, &cluster().kubeconfig_path(), &more).await;
    let leaf: pki::Leaf = site.ca.client("workload");
    let door = Endpoint::new(principal.door, &site.ca.pem()).with_certificate(leaf);
    let resident = async |address| metric(address, "process_resident_memory_bytes", "").await;
    // Once through, so that what is kept for good is there.
    let list = List::read(&door.ask(get(&maps)).await);
    assert_eq!(list.objects.len(), COUNT / 2);
    let before = (resident(agent.metrics).await, resident(principal.metrics).await);
    let mut unread = Vec::new();
    for _ in 0..4 {
        let mut connection = door.connect(Protocol::Http2).await;
        unread.push((connection.stream(&maps).await, connection));
    }
    let mut last = (0.0, 0);
    eventually("nothing more is taken", async || {
        door.ask(get(&format!("{maps}/map-0"))).await.expect_status(200);
        let now = resident(agent.metrics).await;
        last = if now <= last.0 { (last.0, last.1 + 1) } else { (now, 0) };
        (last.1 == 10).then_some(())
    })
    .await;
    let after = (last.0, resident(principal.metrics).await);
    // Each of the four may hold an item of almost a megabyte, its pipe's window and what is on its way; the lists are
    // thirty times that.
    for (who, before, after) in [("agent", before.0, after.0), ("principal", before.1, after.1)] {
        assert!(after - before < 48e6, "the {who} grew from {before} to {after}");
    }
    for (stream, _connection) in unread {
        assert!(stream.rest().await.len() > 10_000_000);
    }
}

async fn fill(direct: &Endpoint, path: &str) {
    let connection = direct.connect(Protocol::Http2).await;
    let made = stream::iter(0..COUNT).map(|number| {
        let mut connection = connection.share();
        let object: Value = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("map-{number}")},
            "data": {"large": number.to_string().repeat(LARGE / number.to_string().len())},
        });
        let object = if number % 2 == 0 { tracked(object) } else { object };
        async move { connection.ask(with_json("POST", path, &object)).await.expect_status(201).json() }
    });
    let made: Vec<_> = made.buffer_unordered(4).collect().await;
    assert!(made.iter().all(|object| number(&version(object)) > 0));
}

/// What takes longer was held up.
async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("within 10 s")
}
