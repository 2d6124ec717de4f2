//! Watches and lists without the filter: what comes, when it comes, and how it ends.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, future, stream};
use harness::{
    audit::Audit,
    client::{Endpoint, Protocol, assert_same, get, get_as, kube, with_body, with_json},
    eventually,
    scene::{AGENT, Scene},
    soon,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt,
    api::ListParams,
    runtime::{WatchStreamExt, reflector, watcher},
};
use serde_json::{Value, json};

#[tokio::test]
async fn an_informer_holds_what_the_api_server_holds_whatever_is_edited() {
    let scene = Scene::open("informer").await;
    let through: Api<ConfigMap> = Api::namespaced(kube(&scene.world.kubeconfig(AGENT)).await, &scene.namespace);
    let directly: Api<ConfigMap> =
        Api::namespaced(kube(&harness::cluster::cluster().kubeconfig_path()).await, &scene.namespace);
    let listed = watcher::Config::default().page_size(3);
    let streamed = watcher::Config::default().streaming_lists();
    for config in [listed, streamed] {
        let (store, writer) = reflector::store();
        let informer = reflector(writer, watcher(through.clone(), config)).default_backoff();
        let mut informer = Box::pin(informer.try_for_each(|_event| future::ready(Ok(()))));
        let edits = async {
            soon(store.wait_until_ready()).await.unwrap();
            // Every kind of edit on every object, in an order that is always the same and never sorted.
            for step in 0..90_usize {
                edit(&scene, &format!("map-{}", step * 7 % 11), step).await;
            }
            eventually("both hold the same", async || {
                let mut held: Vec<ConfigMap> = store.state().iter().map(|map| (**map).clone()).collect();
                let mut stored = directly.list(&ListParams::default()).await.unwrap().items;
                held.sort_by_key(ResourceExt::name_any);
                stored.sort_by_key(ResourceExt::name_any);
                // The store has no TypeMeta either.
                (held == stored).then_some(())
            })
            .await;
        };
        tokio::select! {
            ended = &mut informer => panic!("the informer ended: {ended:?}"),
            () = edits => {}
        }
    }
}

async fn edit(scene: &Scene, name: &str, step: usize) {
    let path = scene.core(&format!("configmaps/{name}"));
    let request = match step % 3 {
        2 => with_body("DELETE", &path, "application/json", ""),
        _ => {
            let object = json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"step": step.to_string()},
            });
            with_body("PATCH", &format!("{path}?fieldManager=x"), "application/apply-patch+yaml", object.to_string())
        }
    };
    scene.direct.ask(request).await;
}

#[tokio::test]
async fn every_event_arrives_before_the_next_thing_happens() {
    let scene = Scene::open("at-once").await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let name = format!("map-{protocol:?}").to_lowercase();
        let mut connection = scene.door.connect(protocol).await;
        let target = scene.core(&format!("configmaps?watch=true&fieldSelector=metadata.name%3D{name}"));
        let mut watch = connection.stream(&target).await;
        for step in 0..20_usize {
            edit(&scene, &name, step).await;
            let expected = ["ADDED", "MODIFIED", "DELETED"][step % 3];
            let event = watch.event().await.unwrap();
            assert_eq!(event["type"], expected, "{step}");
        }
    }
}

#[tokio::test]
async fn a_thousand_open_watches_on_one_connection_keep_nobody_waiting() {
    const WATCHES: usize = 1000;
    let scene = Scene::open("thousand").await;
    scene.untracked("seen").await;
    let mut audit = Audit::from_now();
    let mut connection = scene.door.connect(Protocol::Http2).await;
    let target = scene.core("configmaps?watch=true&fieldSelector=metadata.name%3Dseen");
    let opened = stream::iter(0..WATCHES).map(|_| {
        let mut connection = connection.share();
        let target = &target;
        async move {
            let mut watch = connection.stream(target).await;
            assert_eq!(watch.event().await.unwrap()["type"], "ADDED");
            watch
        }
    });
    let mut watches: Vec<_> = opened.buffer_unordered(32).collect().await;
    let path = scene.core("configmaps/seen");
    for _ in 0..50 {
        soon(connection.ask(get(&path))).await.expect_status(200);
    }
    scene.door.ask(get(&path)).await.expect_status(200);
    let patch = with_body("PATCH", &path, "application/merge-patch+json", r#"{"data":{"greeting":"all"}}"#);
    scene.direct.ask(patch).await.expect_status(200);
    for watch in &mut watches {
        assert_eq!(watch.event().await.unwrap()["object"]["data"]["greeting"], "all");
    }
    // All leave at once, by cancelling their streams: the connection goes on.
    drop(watches);
    eventually("the API server has seen them all leave", async || {
        (audit.completed(&target).len() == WATCHES).then_some(())
    })
    .await;
    connection.ask(get(&path)).await.expect_status(200);
}

#[tokio::test]
async fn a_watch_is_the_same_in_every_encoding() {
    let scene = Scene::open("watched").await;
    let first = scene.untracked("first").await;
    for step in 0..6 {
        edit(&scene, "map", step).await;
    }
    let since = first["metadata"]["resourceVersion"].as_str().unwrap();
    // What has happened since then and no more, within the second that the watch lives.
    let query = format!("watch=1&resourceVersion={since}&timeoutSeconds=1&fieldSelector=metadata.name%3Dmap");
    let target = scene.core(&format!("configmaps?{query}"));
    let accepts = [
        "application/json",
        "application/json;stream=watch",
        "application/vnd.kubernetes.protobuf;stream=watch",
        "application/vnd.kubernetes.protobuf,application/json",
        "application/yaml",
        "application/cbor-seq",
        "application/json;as=Table;v=v1;g=meta.k8s.io",
        "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
        "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    ];
    let compare = accepts.map(|accept| assert_same(&scene.door, Protocol::Http1, || get_as(&target, accept)));
    let [first, second, ..] = &future::join_all(compare).await[..] else { panic!("all were asked") };
    assert_eq!(first.text().lines().count(), 6, "{}", first.text());
    assert_eq!(first.body, second.body);
    let legacy = target.replace("/api/v1/", "/api/v1/watch/").replace("watch=1&", "");
    let legacy = assert_same(&scene.door, Protocol::Http2, || get_as(&legacy, "application/json")).await;
    assert_eq!(legacy.body, first.body);
}

#[tokio::test]
async fn a_watch_from_too_long_ago_is_an_event_that_says_so_and_not_a_status() {
    let scene = Scene::open("too-old").await;
    // The API server began to watch this kind when it was made, which was later than this.
    let target = format!(
        "/apis/argoproj.io/v1alpha1/namespaces/{}/applicationsets?watch=true&resourceVersion=1&allowWatchBookmarks=true",
        scene.namespace
    );
    eventually("the API server watches it", async || {
        (scene.direct.ask(get(&target)).await.status == 200).then_some(())
    })
    .await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let answer = assert_same(&scene.door, protocol, || get(&target)).await.expect_status(200).json();
        assert_eq!((&answer["type"], &answer["object"]["code"]), (&json!("ERROR"), &json!(410)));
    }
}

#[tokio::test]
async fn bookmarks_pass_and_a_watch_ends_when_it_was_to_end() {
    let scene = Scene::open("bookmarks").await;
    scene.untracked("a").await;
    let mut connection = scene.door.connect(Protocol::Http2).await;
    let initial = "watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let mut watch = connection.stream(&scene.core(&format!("configmaps?{initial}&labelSelector=!x"))).await;
    loop {
        let event = watch.event().await.unwrap();
        if event["type"] == "BOOKMARK" {
            assert_eq!(event["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
            break;
        }
        assert_eq!(event["type"], "ADDED");
    }

    let version = scene.untracked("b").await["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    // The cluster puts one of its own into every namespace, whenever it comes to it.
    let ours = "fieldSelector=metadata.name!%3Dkube-root-ca.crt";
    let target =
        format!("configmaps?watch=1&{ours}&allowWatchBookmarks=true&timeoutSeconds=4&resourceVersion={version}");
    let mut watch = connection.stream(&scene.core(&target)).await;
    let last = scene.untracked("c").await["metadata"]["resourceVersion"].clone();
    let mut events = Vec::new();
    while let Some(event) = watch.event().await {
        events.push((event["type"].clone(), event["object"]["metadata"]["resourceVersion"].clone()));
    }
    assert_eq!(events.first(), Some(&(json!("ADDED"), last)));
    assert!(events.iter().any(|(kind, _)| kind == "BOOKMARK"), "{events:?}");
}

#[tokio::test]
async fn a_list_in_pages_is_the_whole_list() {
    let scene = Scene::open("pages").await;
    for number in 0..7 {
        scene.untracked(&format!("map-{number}")).await;
    }
    let list = scene.core("configmaps?fieldSelector=metadata.name!%3Dkube-root-ca.crt");
    let whole = scene.direct.object(&list).await["items"].clone();
    let (mut pages, mut more) = (Vec::new(), String::new());
    loop {
        let page = scene.door.object(&format!("{list}&limit=3{more}")).await;
        pages.push(page["items"].as_array().unwrap().clone());
        match page["metadata"]["continue"].as_str() {
            Some(token) if !token.is_empty() => more = format!("&continue={token}"),
            _ => break,
        }
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 1]);
    assert_eq!(Value::from(pages.concat()), whole);
}

#[tokio::test]
async fn a_list_of_thirty_megabytes_is_the_api_servers_and_who_does_not_read_it_holds_up_nobody() {
    let scene = Scene::open("large").await;
    let direct = scene.direct.connect(Protocol::Http2).await;
    let maps = scene.core("configmaps");
    let created = stream::iter(0..34).map(|number| {
        let mut connection = direct.share();
        let maps = &maps;
        async move {
            let object = json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("map-{number}")},
                "data": {"large": number.to_string().repeat(900_000 / number.to_string().len())},
            });
            connection.ask(with_json("POST", maps, &object)).await.expect_status(201).json()
        }
    });
    let last = created.buffer_unordered(4).collect::<Vec<_>>().await;
    let version = |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
    let newest = last.iter().map(version).max().unwrap();
    let list = format!("{maps}?resourceVersion={newest}&resourceVersionMatch=Exact");
    let ask = async |endpoint: &Endpoint, protocol| endpoint.connect(protocol).await.ask(get(&list)).await;
    let expected = ask(&scene.direct, Protocol::Http1).await.expect_status(200).body;
    assert!(expected.len() > 30_000_000, "{}", expected.len());

    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut connection = scene.door.connect(protocol).await;
        let unread = connection.stream(&list).await;
        let mut beside = scene.door.connect(Protocol::Http2).await;
        for _ in 0..20 {
            let answer = tokio::time::timeout(Duration::from_secs(10), beside.ask(get(&scene.core("configmaps/none"))));
            answer.await.expect("an answer").expect_status(404);
        }
        assert!(unread.rest().await == expected, "{protocol:?}");

        // Who leaves it unread ends it at the API server, which cannot have written all of it yet.
        let mut audit = Audit::from_now();
        let target = format!("{list}&unread");
        let unread = connection.stream(&target).await;
        assert!(audit.completed(&target).is_empty());
        drop((unread, connection));
        audit.soon_complete(&target).await;
    }
    scene.direct.ask(with_body("DELETE", &maps, "application/json", "")).await.expect_status(200);
}

#[tokio::test]
async fn kubectl_watches_through_the_door() {
    let scene = Scene::open("get-w").await;
    scene.untracked("a").await;
    let kubectl = scene.kubectl();
    let args =
        ["get", "configmaps", "--watch", "--output-watch-events", "--field-selector=metadata.name!=kube-root-ca.crt"];
    let mut watch = kubectl.start(&args);
    assert!(watch.line_with("ADDED").await.contains(" a "));
    edit(&scene, "b", 0).await;
    assert!(watch.line_with("ADDED").await.contains(" b "));
    edit(&scene, "b", 1).await;
    watch.line_with("MODIFIED").await;
    edit(&scene, "b", 2).await;
    watch.line_with("DELETED").await;
    for name in ["c", "d"] {
        scene.untracked(name).await;
    }
    let mut args = vec!["get", "configmaps", "-o", "name", "--chunk-size=1"];
    args.push("--field-selector=metadata.name!=kube-root-ca.crt");
    assert_eq!(kubectl.ok(&args).await, "configmap/a\nconfigmap/c\nconfigmap/d\n");
}
