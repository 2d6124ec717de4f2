//! What it costs to find out who owns what: lists of metadata, and not a request for each owner.

use futures_util::{StreamExt, stream};
use harness::{
    audit::Audit,
    client::{Protocol, get_as, with_json},
    raw::metric,
    scene::{Scene, tracked},
    shown::List,
    watched::Watch,
};
use serde_json::{Value, json};

use super::mixed::{PROTOBUF, reference};

const CHILDREN: usize = 600;
const OWNERS: usize = 60;
const ROOTS: usize = 12;

#[tokio::test]
async fn six_hundred_children_of_sixty_owners_of_twelve_cost_one_list_for_each_kind() {
    let scene = Scene::filtered("cost-lists").await;
    let roots = make(&scene, "ServiceAccount", ROOTS, &[]).await;
    let owners = make(&scene, "Secret", OWNERS, &roots).await;
    make(&scene, "ConfigMap", CHILDREN, &owners).await;
    let metrics = scene.agent.agent.metrics.unwrap();
    let asked = async || {
        let requests = "argocd_agent_kube_upstream_requests_total";
        metric(metrics, requests, r#"purpose="owner""#).await
    };
    let mut audit = Audit::from_now();
    // Every second of them is managed, since every second root is.
    for accept in ["application/json", PROTOBUF] {
        let before = asked().await;
        let list = List::read(&scene.door.ask(get_as(&scene.core("configmaps?client"), accept)).await);
        assert_eq!(list.objects.len(), CHILDREN / 2);
        let cost = asked().await - before;
        assert!(cost <= 2.0, "one list of Secrets and one of ServiceAccounts, but {cost} for {accept}");
    }
    let pages = async || {
        let (mut shown, mut more) = (0, String::new());
        loop {
            let target = scene.core(&format!("configmaps?client&limit=100{more}"));
            let page = List::read(&scene.door.ask(get_as(&target, "application/json")).await);
            shown += page.objects.len();
            if page.next.is_empty() {
                return shown;
            }
            more = format!("&continue={}", page.next);
        }
    };
    let before = asked().await;
    assert_eq!(pages().await, CHILDREN / 2);
    let cost = asked().await - before;
    assert!(cost <= 2.0 * 7.0, "no more for each page than for the whole: {cost}");
    let seen = audit.completed(&format!("/namespaces/{}/", scene.namespace));
    let gets: Vec<_> = seen.iter().filter(|line| line.starts_with("get ") && !line.contains("?client")).collect();
    assert!(gets.is_empty(), "no owner is asked for alone: {gets:?}");
}

#[tokio::test]
async fn many_lists_at_the_same_time_share_what_they_ask() {
    let scene = Scene::filtered("cost-shared").await;
    let owners = make(&scene, "Secret", ROOTS, &[]).await;
    make(&scene, "ConfigMap", OWNERS, &owners).await;
    let metrics = scene.agent.agent.metrics.unwrap();
    let asked = async || metric(metrics, "argocd_agent_kube_upstream_requests_total", r#"purpose="owner""#).await;
    let before = asked().await;
    let connection = scene.door.connect(Protocol::Http2).await;
    let lists = (0..50).map(|_| {
        let mut connection = connection.share();
        let request = get_as(&scene.core("configmaps"), "application/json");
        async move { List::read(&connection.ask(request).await).objects.len() }
    });
    assert_eq!(futures_util::future::join_all(lists).await, [OWNERS / 2; 50]);
    let cost = asked().await - before;
    assert!(cost <= 10.0, "fifty lists within moments cost {cost} requests for owners");
}

#[tokio::test]
async fn a_watch_of_many_children_asks_for_no_owner_alone() {
    let scene = Scene::filtered("cost-watch").await;
    let roots = make(&scene, "ServiceAccount", ROOTS, &[]).await;
    let owners = make(&scene, "Secret", OWNERS, &roots).await;
    make(&scene, "ConfigMap", CHILDREN, &owners).await;
    let mut audit = Audit::from_now();
    let mut watch = Watch::json(&scene.door, &scene.core("configmaps?watch=true")).await;
    for _ in 0..CHILDREN / 2 {
        assert_eq!(watch.change().await.kind, "ADDED");
    }
    let seen = audit.completed(&format!("/namespaces/{}/", scene.namespace));
    let gets = seen.iter().filter(|line| line.starts_with("get ")).count();
    assert!(gets <= 10, "{seen:?}");
}

/// So many objects of a kind, each owned by one of these owners in turn; of those without owners every second is marked.
async fn make(scene: &Scene, kind: &str, count: usize, owners: &[Value]) -> Vec<Value> {
    let connection = scene.direct.connect(Protocol::Http2).await;
    let path = scene.core(&format!("{}s", kind.to_lowercase()));
    let made = stream::iter(0..count).map(|number| {
        let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": format!("a-{number}")}});
        match owners.get(number % owners.len().max(1)) {
            Some(owner) => object["metadata"]["ownerReferences"] = json!([reference(owner)]),
            None if number % 2 == 0 => object = tracked(object),
            None => {}
        }
        let (mut connection, path) = (connection.share(), &path);
        async move { connection.ask(with_json("POST", path, &object)).await.expect_status(201).json() }
    });
    made.buffered(16).collect().await
}
