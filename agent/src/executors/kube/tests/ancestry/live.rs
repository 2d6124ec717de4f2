//! Questions of watches: answered as it is now, and asked again when that changes.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    super::{
        server::{deployment, marked, object, owned, replica_set},
        world::LONG,
    },
    cluster::Cluster,
};
use crate::executors::kube::filter::{
    ancestry::{Following, Links},
    item::Reference,
    tracking::Tracking,
};

pub(super) const REPLICA_SETS: &str = "/apis/apps/v1/namespaces/shop/replicasets";

impl Cluster {
    /// A Pod of the ReplicaSet `rs` of the Deployment `d`, which is marked.
    pub(super) async fn with_a_pod() -> (Self, Links) {
        let cluster = Self::start().await;
        cluster.put(&deployment("d"), marked("d"));
        cluster.put(&replica_set("rs"), owned("rs", &[("Deployment", "d")]));
        let pod = cluster.links(&owned("pod", &[("ReplicaSet", "rs")]));
        (cluster, pod)
    }

    pub(super) fn follow(&self) -> Following {
        self.ancestry.follow(Some("shop"), Arc::clone(&self.tracking))
    }

    pub(super) async fn until_watches(&self, expected: usize) {
        let reached = async {
            while self.watches() != expected {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LONG, reached).await.unwrap_or_else(|_| panic!("{} watches instead of {expected}", self.watches()));
    }
}

/// Waits for a change, and asks again.
pub(super) async fn changes_to(following: &mut Following, links: &Links, expected: bool) {
    timeout(LONG, following.changed()).await.expect("a change");
    assert_eq!(following.managed(links).await, Ok(expected));
}

pub(super) async fn stays(following: &mut Following, links: &Links, expected: bool) {
    assert!(timeout(Duration::from_millis(100), following.changed()).await.is_err(), "nothing changed");
    assert_eq!(following.managed(links).await, Ok(expected));
}

fn with_status(mut object: Value, status: u64) -> Value {
    object["metadata"]["generation"] = json!(status);
    object
}

fn with_uid(mut object: Value, uid: &str) -> Value {
    object["metadata"]["uid"] = json!(uid);
    object
}

fn refers_to(mut object: Value, uid: &str) -> Value {
    object["metadata"]["ownerReferences"][0]["uid"] = json!(uid);
    object
}

#[tokio::test]
async fn what_is_known_costs_no_request() {
    let (cluster, pod) = Cluster::with_a_pod().await;
    let mut following = cluster.follow();
    assert!(timeout(Duration::from_millis(20), following.changed()).await.is_err());
    assert_eq!(following.managed(&pod).await, Ok(true));
    let lines = cluster.server.lines();
    assert_eq!(lines.len(), 5, "discovery, and a list and a watch for each kind: {lines:?}");
    assert_eq!(lines[1], format!("GET {REPLICA_SETS}?limit=500"));
    let watch = format!("GET {REPLICA_SETS}?watch=true&allowWatchBookmarks=true&timeoutSeconds=290&resourceVersion=2");
    assert_eq!(lines[2], watch);
    for _ in 0..1_000 {
        assert_eq!(following.managed(&pod).await, Ok(true));
    }
    assert_eq!(following.managed(&Links::default()).await, Ok(false));
    stays(&mut following, &pod, true).await;
    assert_eq!(cluster.server.lines(), [""; 0]);
    assert_eq!(cluster.metric(r#"filter_owner_cache_total{outcome="miss"}"#), 0);
}

#[tokio::test]
async fn every_change_that_matters_is_told_and_no_status() {
    let (cluster, pod) = Cluster::with_a_pod().await;
    let mut following = cluster.follow();
    assert_eq!(following.managed(&pod).await, Ok(true));
    for status in 0..10 {
        cluster.put(&deployment("d"), with_status(marked("d"), status));
        cluster.put(&replica_set("rs"), with_status(owned("rs", &[("Deployment", "d")]), status));
    }
    cluster.put(&replica_set("elsewhere"), object("elsewhere"));
    stays(&mut following, &pod, true).await;

    cluster.put(&deployment("d"), object("d"));
    changes_to(&mut following, &pod, false).await;
    cluster.put(&deployment("d"), marked("d"));
    changes_to(&mut following, &pod, true).await;
    // Another parent.
    cluster.put(&deployment("other"), object("other"));
    cluster.put(&replica_set("rs"), owned("rs", &[("Deployment", "other")]));
    changes_to(&mut following, &pod, false).await;
    cluster.put(&replica_set("rs"), owned("rs", &[("Deployment", "d")]));
    changes_to(&mut following, &pod, true).await;
    // Marked itself, so its parents are of no interest any more.
    cluster.put(&replica_set("rs"), marked("rs"));
    changes_to(&mut following, &pod, true).await;
    cluster.delete(&deployment("d"));
    changes_to(&mut following, &pod, true).await;
    cluster.delete(&replica_set("rs"));
    changes_to(&mut following, &pod, false).await;
    let again = with_uid(marked("rs"), "another");
    cluster.put(&replica_set("rs"), again.clone());
    stays(&mut following, &pod, false).await;
    let its_pod = cluster.links(&refers_to(owned("pod", &[("ReplicaSet", "rs")]), "another"));
    assert_eq!(following.managed(&its_pod).await, Ok(true));
    assert_eq!(cluster.metric(r#"upstream_requests_total{purpose="owner",outcome="client_error"}"#), 0);
}

#[tokio::test]
async fn an_owner_that_the_watch_does_not_know_yet_is_looked_up_and_the_watch_may_come_late() {
    let (cluster, pod) = Cluster::with_a_pod().await;
    let mut following = cluster.follow();
    assert_eq!(following.managed(&pod).await, Ok(true));
    cluster.server.take();
    cluster.hold(REPLICA_SETS);
    cluster.put(&replica_set("new"), object("new"));
    cluster.put(&replica_set("new"), marked("new"));
    let child = cluster.links(&owned("child", &[("ReplicaSet", "new")]));
    for _ in 0..3 {
        assert_eq!(following.managed(&child).await, Ok(true));
    }
    assert_eq!(cluster.server.lines(), [format!("GET {}", replica_set("new"))]);
    // It was unmarked before it was marked, which the watch tells now.
    cluster.release(REPLICA_SETS);
    stays(&mut following, &child, true).await;
    cluster.put(&replica_set("new"), object("new"));
    changes_to(&mut following, &child, false).await;
    assert_eq!(cluster.server.lines(), [""; 0]);
}

#[tokio::test]
async fn an_absent_owner_is_looked_up_once_by_many_and_told_when_it_comes() {
    let (cluster, pod) = Cluster::with_a_pod().await;
    let mut followers: Vec<Following> = (0..20).map(|_| cluster.follow()).collect();
    for following in &mut followers {
        assert_eq!(following.managed(&pod).await, Ok(true));
    }
    cluster.server.take();
    let orphan = cluster.links(&owned("orphan", &[("ReplicaSet", "gone")]));
    let asking = followers.iter_mut().map(|following| following.managed(&orphan));
    assert!(futures_util::future::join_all(asking).await.iter().all(|answer| *answer == Ok(false)));
    for following in &mut followers {
        assert_eq!(following.managed(&orphan).await, Ok(false));
    }
    assert_eq!(cluster.server.lines(), [format!("GET {}", replica_set("gone"))]);
    cluster.put(&replica_set("gone"), marked("gone"));
    for following in &mut followers {
        changes_to(following, &orphan, true).await;
    }
}

#[tokio::test]
async fn a_watch_is_begun_once_for_all_and_ends_with_the_last() {
    let (cluster, pod) = Cluster::with_a_pod().await;
    let mut followers: Vec<Following> = (0..50).map(|_| cluster.follow()).collect();
    let asking = followers.iter_mut().map(|following| following.managed(&pod));
    assert!(futures_util::future::join_all(asking).await.iter().all(|answer| *answer == Ok(true)));
    assert_eq!(cluster.watches(), 2);
    let data = [("installationID".to_owned(), "other".to_owned())].into();
    let other = Arc::new(Tracking::from_config(Some(&data)).unwrap());
    let mut by_other_settings = cluster.ancestry.follow(Some("shop"), other);
    assert_eq!(by_other_settings.managed(&pod).await, Ok(false));
    assert_eq!(cluster.watches(), 4);
    drop(by_other_settings);
    cluster.until_watches(2).await;
    followers.truncate(1);
    cluster.put(&deployment("d"), object("d"));
    changes_to(&mut followers[0], &pod, false).await;
    assert_eq!(cluster.watches(), 2);
    followers.clear();
    cluster.until_watches(0).await;
    assert_eq!(cluster.follow().managed(&pod).await, Ok(false), "it can be begun again");
}

#[tokio::test]
async fn a_watch_of_the_cluster_follows_the_cluster() {
    let (cluster, pod) = Cluster::with_a_pod().await;
    cluster.put("/apis/apps/v1/namespaces/cart/replicasets/rs", {
        let mut unmarked = object("rs");
        unmarked["metadata"]["namespace"] = json!("cart");
        unmarked
    });
    let mut elsewhere = owned("pod", &[("ReplicaSet", "rs")]);
    elsewhere["metadata"]["namespace"] = json!("cart");
    let elsewhere = cluster.links(&elsewhere);
    let mut following = cluster.ancestry.follow(None, Arc::clone(&cluster.tracking));
    assert_eq!(following.managed(&elsewhere).await, Ok(false));
    assert_eq!(following.managed(&pod).await, Ok(true));
    assert_eq!(cluster.watches(), 2);
    assert!(cluster.server.lines().contains(&"GET /apis/apps/v1/replicasets?limit=500".to_owned()));
    cluster.delete(&replica_set("rs"));
    changes_to(&mut following, &pod, false).await;
    assert_eq!(following.managed(&elsewhere).await, Ok(false));
}

#[tokio::test]
async fn a_kind_that_comes_later_is_heard_of() {
    let cluster = Cluster::start().await;
    let meta = json!({"name": "csv", "namespace": "shop", "annotations": {"olm.operatorGroup": "og"}});
    let meta = serde_json::from_value(meta).unwrap();
    let links = cluster.ancestry.links("operators.coreos.com", "clusterserviceversions", &meta);
    let mut following = cluster.follow();
    assert_eq!(following.managed(&links).await, Ok(false));
    let discovery = json!({"resources": [{"name": "operatorgroups", "kind": "OperatorGroup", "namespaced": true}]});
    cluster.server.put("/apis/operators.coreos.com/v1", discovery);
    changes_to(&mut following, &links, false).await;
    let path = "/apis/operators.coreos.com/v1/namespaces/shop/operatorgroups/og";
    cluster.put(path, marked("og"));
    changes_to(&mut following, &links, true).await;
    cluster.delete(path);
    changes_to(&mut following, &links, false).await;
    cluster.put(path, with_uid(marked("og"), "another"));
    changes_to(&mut following, &links, true).await;
}

#[tokio::test]
async fn no_more_than_a_thousand_watches_run() {
    let cluster = Cluster::start().await;
    let mut followers = Vec::new();
    for n in 0..1_025 {
        let namespace = format!("n{n}");
        let mut pod = owned("pod", &[("ReplicaSet", "rs")]);
        pod["metadata"]["namespace"] = json!(namespace);
        let mut following = cluster.ancestry.follow(Some(&namespace), Arc::clone(&cluster.tracking));
        let answer = following.managed(&cluster.links(&pod)).await;
        match answer {
            Ok(managed) => assert!(!managed && n < 1_024),
            Err(refusal) => {
                assert!(n == 1_024 && refusal.text().ends_with("1024 kinds of owners are followed already"))
            }
        }
        followers.push(following);
    }
    assert_eq!(cluster.watches(), 1_024);
}

#[tokio::test]
async fn what_an_event_is_about_is_followed_and_remembered_when_it_is_gone() {
    let (cluster, pod) = Cluster::with_a_pod().await;
    cluster.put("/api/v1/namespaces/shop/pods/pod", owned("pod", &[("ReplicaSet", "rs")]));
    let about = |name: &str| {
        cluster.ancestry.link_to(&Reference {
            api_version: String::new(),
            kind: "Pod".to_owned(),
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            uid: format!("uid-{name}"),
        })
    };
    let mut following = cluster.follow();
    assert_eq!(following.managed(&about("pod")).await, Ok(true));
    assert_eq!(following.managed(&about("never")).await, Ok(false));
    cluster.delete("/api/v1/namespaces/shop/pods/pod");
    changes_to(&mut following, &about("pod"), true).await;
    cluster.delete(&replica_set("rs"));
    changes_to(&mut following, &pod, false).await;
    assert_eq!(following.managed(&about("pod")).await, Ok(true));
    assert_eq!(following.managed(&about("never")).await, Ok(false));
}
