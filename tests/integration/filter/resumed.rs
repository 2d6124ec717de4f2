//! How watches begin, end and go on: from any version, after any cut, without a gap.

use std::{collections::BTreeMap, time::Duration};

use harness::{
    client::{Endpoint, Protocol, get_as},
    eventually,
    link::Link,
    scene::{AGENT, Scene},
    watched::{Event, Watch},
};

use super::{
    mixed::{PROTOBUF, TABLE, owned, version},
    watches::{delete, mark, number, patch},
};

#[tokio::test]
async fn a_watch_goes_on_from_a_list() {
    let scene = Scene::filtered("from-list").await;
    scene.tracked("before").await;
    scene.untracked("hidden").await;
    for accept in ["application/json", PROTOBUF, TABLE] {
        let list = harness::shown::List::read(&scene.door.ask(get_as(&scene.core("configmaps"), accept)).await);
        assert_eq!(list.names(), ["before"]);
        mark(&scene, "hidden", true).await;
        mark(&scene, "before", false).await;
        let since = format!("configmaps?watch=true&resourceVersion={}", list.version);
        let mut watch = Watch::open(&scene.door, &scene.core(&since), accept).await;
        watch.expect("ADDED", "hidden").await;
        watch.expect("DELETED", "before").await;
        mark(&scene, "before", true).await;
        watch.expect("ADDED", "before").await;
        mark(&scene, "hidden", false).await;
        watch.expect("DELETED", "hidden").await;
    }
}

#[tokio::test]
async fn nothing_is_lost_while_nobody_watches() {
    let scene = Scene::filtered("resumed").await;
    let owner = scene.tracked("owner").await;
    owned(&scene, "child", &[&owner]).await;
    scene.tracked("loses").await;
    scene.tracked("vanishes").await;
    scene.tracked("stays").await;
    scene.untracked("gains").await;
    scene.untracked("never").await;
    for accept in ["application/json", PROTOBUF, TABLE] {
        let mut seen = Seen::default();
        let mut watch = Watch::open(&scene.door, &scene.core("configmaps?watch=true"), accept).await;
        for event in watch.expect_all("ADDED", &["child", "loses", "owner", "stays", "vanishes"]).await {
            seen.take(&event);
        }
        drop(watch);
        mark(&scene, "owner", false).await;
        mark(&scene, "loses", false).await;
        delete(&scene, "vanishes").await;
        mark(&scene, "gains", true).await;
        patch(&scene, "never", &serde_json::json!({"data": {"greeting": accept}})).await;
        patch(&scene, "stays", &serde_json::json!({"data": {"greeting": accept}})).await;

        let since = format!("configmaps?watch=true&resourceVersion={}", seen.version);
        let mut watch = Watch::open(&scene.door, &scene.core(&since), accept).await;
        while seen.names() != ["gains", "stays"] {
            seen.take(&watch.change().await);
        }
        let last = patch(&scene, "stays", &serde_json::json!({"data": {"greeting": "last"}})).await;
        while seen.objects["stays"] != version(&last) {
            seen.take(&watch.change().await);
        }
        assert_eq!(seen.names(), ["gains", "stays"]);
        drop(watch);
        // As it was.
        mark(&scene, "owner", true).await;
        mark(&scene, "loses", true).await;
        mark(&scene, "gains", false).await;
        scene.tracked("vanishes").await;
    }
}

#[tokio::test]
async fn an_agent_that_was_not_there_before_loses_nothing_or_says_that_it_does_not_know() {
    let mut scene = Scene::filtered("restarted").await;
    let owner = scene.tracked("owner").await;
    owned(&scene, "child", &[&owner]).await;
    scene.untracked("never").await;
    let mut seen = Seen::default();
    let mut watch = Watch::json(&scene.door, &scene.core("configmaps?watch=true")).await;
    for event in watch.expect_all("ADDED", &["child", "owner"]).await {
        seen.take(&event);
    }
    drop(watch);
    let new = scene.world.agent(AGENT, &scene.argocd).await;
    std::mem::replace(&mut scene.agent, new).stop(Duration::from_secs(5)).await;
    mark(&scene, "owner", false).await;
    patch(&scene, "never", &serde_json::json!({"data": {"greeting": "unseen"}})).await;
    let since = format!("configmaps?watch=true&resourceVersion={}", seen.version);
    let mut watch = Watch::json(&scene.door, &scene.core(&since)).await;
    while !seen.names().is_empty() {
        let event = watch.change().await;
        if event.kind == "ERROR" {
            assert_eq!(event.code, Some(410), "lists again: {event:?}");
            break;
        }
        seen.take(&event);
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_loses_nothing() {
    let mut scene = Scene::filtered("cut").await;
    let link = Link::to(scene.world.door()).await;
    scene.door = Endpoint::new(link.address, &scene.world.ca.pem()).with_certificate(scene.world.ca.client(AGENT));
    for name in ["a", "b", "c"] {
        scene.tracked(name).await;
    }
    let mut seen = Seen::default();
    let mut watch = Watch::json(&scene.door, &scene.core("configmaps?watch=true")).await;
    for event in watch.expect_all("ADDED", &["a", "b", "c"]).await {
        seen.take(&event);
    }
    for (round, name) in ["a", "b", "c"].into_iter().enumerate() {
        // Some of it is on its way when the connection breaks.
        mark(&scene, name, false).await;
        link.cut();
        scene.tracked(&format!("new-{round}")).await;
        let since = format!("configmaps?watch=true&resourceVersion={}", seen.version);
        watch = Watch::json(&scene.door, &scene.core(&since)).await;
        while seen.objects.contains_key(name) || !seen.objects.contains_key(&format!("new-{round}")) {
            seen.take(&watch.change().await);
        }
    }
    assert_eq!(seen.names(), ["new-0", "new-1", "new-2"]);
}

#[tokio::test]
async fn a_version_of_too_long_ago_is_an_event_that_says_gone() {
    let scene = Scene::filtered("gone-version").await;
    // The API server began to watch this kind when it was made, which was later than this.
    let sets = format!("/apis/argoproj.io/v1alpha1/namespaces/{}/applicationsets", scene.namespace);
    let oldest = format!("{sets}?watch=true&resourceVersion=1");
    eventually("the API server watches it", async || {
        (scene.direct.ask(get_as(&oldest, "application/json")).await.status == 200).then_some(())
    })
    .await;
    for target in [oldest, format!("{sets}?watch=true&resourceVersion=1&allowWatchBookmarks=true")] {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let direct = Watch::on(scene.direct.connect(protocol).await, &target, "application/json").await;
            let watch = Watch::on(scene.door.connect(protocol).await, &target, "application/json").await;
            let (expected, events) = (direct.rest().await, watch.rest().await);
            assert_eq!(events, expected);
            assert_eq!(events.iter().map(|event| event.code).collect::<Vec<_>>(), [Some(410)]);
        }
    }
    // What the API server answers before it begins is its answer.
    for query in ["watch=1&resourceVersion=nonsense", "watch=1&sendInitialEvents=true", "watch=1&labelSelector=(("] {
        let target = scene.core(&format!("configmaps?{query}"));
        let direct = scene.direct.ask(get_as(&target, "application/json")).await;
        let answer = scene.door.ask(get_as(&target, "application/json")).await;
        assert_eq!((answer.status, answer.text()), (direct.status, direct.text()), "{query}");
        assert!(!answer.status.is_success(), "{query}: {}", answer.status);
    }
}

#[tokio::test]
async fn first_events_end_with_their_bookmark_and_hold_only_what_is_managed() {
    let scene = Scene::filtered("initial").await;
    let owner = scene.tracked("owner").await;
    owned(&scene, "child", &[&owner]).await;
    for name in ["x", "y", "z"] {
        scene.untracked(name).await;
    }
    let initial = "watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    for accept in ["application/json", PROTOBUF, "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"] {
        for query in
            [initial.to_owned(), format!("{initial}&resourceVersion=0"), format!("{initial}&timeoutSeconds=30")]
        {
            let mut watch = Watch::open(&scene.door, &scene.core(&format!("configmaps?{query}")), accept).await;
            let (events, end) = watch.initial().await;
            let mut names: Vec<_> = events.iter().map(Event::brief).collect();
            names.sort_unstable();
            assert_eq!(names, [("ADDED", "child"), ("ADDED", "owner")], "{accept}");
            assert!(number(&end.object.version) >= number(&version(&owner)));
            // And it goes on.
            mark(&scene, "x", true).await;
            watch.expect("ADDED", "x").await;
            mark(&scene, "x", false).await;
            watch.expect("DELETED", "x").await;
        }
    }
    // Where nothing is managed the bookmark comes all the same.
    let target = scene.core(&format!("secrets?{initial}"));
    let mut watch = Watch::json(&scene.door, &target).await;
    assert_eq!(watch.initial().await.0, []);
}

#[tokio::test]
async fn a_watch_ends_cleanly_when_it_was_to_end_and_bookmarks_tell_how_far_it_came() {
    let scene = Scene::filtered("ends").await;
    let first = version(&scene.tracked("first").await);
    for accept in ["application/json", PROTOBUF] {
        let query = format!("watch=1&allowWatchBookmarks=true&timeoutSeconds=4&resourceVersion={first}");
        let watch = Watch::open(&scene.door, &scene.core(&format!("configmaps?{query}")), accept).await;
        // Nothing of this is shown, but time goes on.
        let last = version(&scene.untracked(if accept == PROTOBUF { "b" } else { "a" }).await);
        let events = watch.rest().await;
        let bookmarks: Vec<_> = events.iter().filter(|event| event.kind == "BOOKMARK").collect();
        assert_eq!(bookmarks.len(), events.len(), "{events:?}");
        assert!(bookmarks.iter().any(|event| number(&event.object.version) >= number(&last)), "{events:?}");
    }
    let began = tokio::time::Instant::now();
    let watch = Watch::json(&scene.door, &scene.core("configmaps?watch=1&timeoutSeconds=1&resourceVersion=0")).await;
    let events = watch.rest().await;
    assert_eq!(events.iter().map(Event::brief).collect::<Vec<_>>(), [("ADDED", "first")]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// What a client holds that follows a watch, and up to where.
#[derive(Debug, Default)]
struct Seen {
    objects: BTreeMap<String, String>,
    version: String,
}

// === impl Seen ===

impl Seen {
    /// Does as an informer does, which takes any DELETED, also of what it has no more: it cannot tell what it was shown
    /// just before it was cut. But of what was never managed nothing comes, and be it that it is gone.
    fn take(&mut self, event: &Event) {
        let object = &event.object;
        assert_ne!(object.name, "never", "{event:?}");
        match event.kind.as_str() {
            "ADDED" | "MODIFIED" => drop(self.objects.insert(object.name.clone(), object.version.clone())),
            "DELETED" => drop(self.objects.remove(&object.name)),
            kind => panic!("{kind}: {event:?}"),
        }
        self.version.clone_from(&object.version);
    }

    fn names(&self) -> Vec<&str> {
        self.objects.keys().map(String::as_str).collect()
    }
}
