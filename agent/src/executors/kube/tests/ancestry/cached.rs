//! Questions of lists and of single objects: what they cost, and how old an answer may be.

use std::time::Duration;

use common::Refusal;
use serde_json::{Value, json};

use super::{
    super::server::{deployment, marked, object, owned, replica_set},
    cluster::Cluster,
};
use crate::executors::kube::filter::{
    ancestry::{Ask, Links},
    item::Reference,
    uid::Uid,
};

const REPLICA_SETS: &str = "/apis/apps/v1/namespaces/shop/replicasets";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/shop/deployments";
const DISCOVERY: &str = "GET /apis/apps/v1";

impl Cluster {
    async fn managed(&self, links: &Links, ask: Ask) -> Result<bool, Refusal> {
        self.ancestry.managed(links, &self.tracking, ask).await
    }

    /// `pods` Pods of `sets` ReplicaSets of `deployments` Deployments, of which every other one is marked.
    fn fill(&self, deployments: usize, sets: usize, pods: usize) -> Vec<(Links, bool)> {
        for n in 0..deployments {
            let name = format!("d{n}");
            self.put(&deployment(&name), if n % 2 == 0 { marked(&name) } else { object(&name) });
        }
        let owner = |n: usize| (n % deployments, format!("rs{n}"));
        for n in 0..sets {
            let (d, name) = owner(n);
            self.put(&replica_set(&name), owned(&name, &[("Deployment", &format!("d{d}"))]));
        }
        let pod = |n: usize| {
            let (d, set) = owner(n % sets);
            (self.links(&owned(&format!("p{n}"), &[("ReplicaSet", &set)])), d % 2 == 0)
        };
        (0..pods).map(pod).collect()
    }
}

async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_list_of_thousands_costs_one_list_for_each_kind_of_owner() {
    let cluster = Cluster::start().await;
    let pods = cluster.fill(100, 500, 5_000);
    for (links, managed) in &pods {
        assert_eq!(cluster.managed(links, Ask::Pages).await, Ok(*managed));
    }
    let list = |path| format!("GET {path}?limit=500");
    let seen = cluster.server.take();
    let lines: Vec<String> = seen.iter().map(|seen| seen.line()).collect();
    assert_eq!(lines, [DISCOVERY.to_owned(), list(REPLICA_SETS), list(DEPLOYMENTS)]);
    let accept = seen[1].headers["accept"].to_str().unwrap();
    assert_eq!(accept, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json");
    assert_eq!(cluster.metric(r#"filter_owner_cache_total{outcome="miss"}"#), 2);
    assert_eq!(cluster.metric(r#"filter_owner_cache_total{outcome="hit"}"#), 9_998);
    assert_eq!(cluster.metric(r#"upstream_requests_total{purpose="owner",outcome="success"}"#), 2);
}

#[tokio::test]
async fn pages_are_followed_to_their_end_and_many_who_ask_at_once_cost_no_more_than_one() {
    let cluster = Cluster::start().await;
    let pods = cluster.fill(1, 1_001, 50);
    let asking = pods.iter().map(|(links, _)| cluster.managed(links, Ask::Pages));
    let answers = futures_util::future::join_all(asking).await;
    assert!(answers.iter().all(|answer| *answer == Ok(true)));
    let sets = |more: &str| format!("GET {REPLICA_SETS}?limit=500{more}");
    let expected = [
        DISCOVERY.to_owned(),
        sets(""),
        sets("&continue=500"),
        sets("&continue=1000"),
        format!("GET {DEPLOYMENTS}?limit=500"),
    ];
    assert_eq!(cluster.server.lines(), expected);
}

#[tokio::test]
async fn single_look_ups_are_shared_and_good_for_five_seconds_from_when_they_were_sent() {
    let cluster = Cluster::start().await;
    let pods = cluster.fill(1, 1, 2);
    let links = &pods[0].0;
    let (one, other) = tokio::join!(cluster.managed(links, Ask::Each), cluster.managed(&pods[1].0, Ask::Each));
    assert_eq!((one, other), (Ok(true), Ok(true)));
    let get = |path: String| format!("GET {path}");
    let both = [get(replica_set("rs0")), get(deployment("d0"))];
    assert_eq!(cluster.server.lines(), [&[DISCOVERY.to_owned()][..], &both].concat());

    cluster.put(&deployment("d0"), object("d0"));
    pass(Duration::from_secs(4)).await;
    assert_eq!(cluster.managed(links, Ask::Each).await, Ok(true));
    assert_eq!(cluster.server.lines(), [""; 0]);
    assert_eq!(cluster.managed(links, Ask::Now).await, Ok(false), "nothing that was known before counts");
    assert_eq!(cluster.server.lines(), both);
    cluster.put(&deployment("d0"), marked("d0"));
    pass(Duration::from_secs(6)).await;
    assert_eq!(cluster.managed(links, Ask::Each).await, Ok(true));
    assert_eq!(cluster.server.lines(), both);
}

#[tokio::test]
async fn lists_and_what_is_not_in_them_are_good_for_five_seconds() {
    let cluster = Cluster::start().await;
    let pods = cluster.fill(1, 1, 2);
    let orphan = cluster.links(&owned("orphan", &[("ReplicaSet", "gone")]));
    assert_eq!(cluster.managed(&pods[0].0, Ask::Pages).await, Ok(true));
    for _ in 0..10 {
        assert_eq!(cluster.managed(&orphan, Ask::Pages).await, Ok(false));
    }
    assert_eq!(cluster.server.lines().len(), 3);
    cluster.put(&replica_set("gone"), marked("gone"));
    pass(Duration::from_secs(6)).await;
    assert_eq!(cluster.managed(&orphan, Ask::Pages).await, Ok(true));
    assert_eq!(cluster.server.lines(), [format!("GET {REPLICA_SETS}?limit=500")]);
}

#[tokio::test]
async fn an_owner_must_be_what_is_named_in_every_respect() {
    let cluster = Cluster::start().await;
    cluster.put(&deployment("d"), marked("d"));
    let reference = |member: &str, value: &str| {
        let mut child = owned("child", &[("Deployment", "d")]);
        child["metadata"]["ownerReferences"][0][member] = json!(value);
        cluster.links(&child)
    };
    for ask in [Ask::Pages, Ask::Each, Ask::Now] {
        assert_eq!(cluster.managed(&reference("controller", "true"), ask).await, Ok(true));
        for (member, value) in [("uid", "another"), ("name", "e"), ("kind", "ReplicaSet"), ("apiVersion", "v1")] {
            assert_eq!(cluster.managed(&reference(member, value), ask).await, Ok(false), "{member} {ask:?}");
        }
        let mut elsewhere = owned("child", &[("Deployment", "d")]);
        elsewhere["metadata"]["namespace"] = json!("cart");
        assert_eq!(cluster.managed(&cluster.links(&elsewhere), ask).await, Ok(false));
    }
}

#[tokio::test]
async fn what_cannot_be_listed_is_read_one_by_one() {
    let cluster = Cluster::start().await;
    let pods = cluster.fill(2, 4, 8);
    for code in [403, 405, 500] {
        cluster.fail("list", REPLICA_SETS, code);
        for (links, managed) in &pods {
            assert_eq!(cluster.managed(links, Ask::Pages).await, Ok(*managed), "{code}");
        }
        let lines = cluster.server.lines();
        let starting = |text: &str| lines.iter().filter(|line| line.starts_with(&format!("GET {text}"))).count();
        let found = [format!("{REPLICA_SETS}?"), format!("{REPLICA_SETS}/"), DEPLOYMENTS.to_owned()];
        assert_eq!(found.map(|text| starting(&text)), [1, 4, 1], "{code}: {lines:?}");
        pass(Duration::from_secs(11)).await;
    }
}

#[tokio::test]
async fn a_collection_of_more_than_twenty_pages_is_read_one_by_one() {
    let cluster = Cluster::start().await;
    let pods = cluster.fill(1, 10_001, 3);
    for (links, _) in &pods {
        assert_eq!(cluster.managed(links, Ask::Pages).await, Ok(true));
    }
    let lines = cluster.server.lines();
    assert_eq!(lines.iter().filter(|line| line.contains(&format!("{REPLICA_SETS}?"))).count(), 20);
    assert_eq!(lines.iter().filter(|line| line.contains(&format!("{REPLICA_SETS}/"))).count(), 3);
}

#[tokio::test]
async fn where_neither_is_allowed_the_api_servers_words_are_told() {
    let cluster = Cluster::start().await;
    let pods = cluster.fill(1, 1, 2);
    cluster.fail("list", REPLICA_SETS, 403);
    cluster.fail("get", &replica_set("rs0"), 403);
    let why = format!("cannot get {}", replica_set("rs0"));
    for ask in [Ask::Pages, Ask::Each] {
        assert_eq!(cluster.managed(&pods[0].0, ask).await, Err(Refusal::Undecidable(why.clone().into())));
    }
    cluster.heal();
    assert_eq!(cluster.managed(&pods[0].0, Ask::Each).await, Ok(true), "an error is not kept");
}

#[tokio::test]
async fn an_answer_by_other_settings_is_no_answer() {
    let cluster = Cluster::start().await;
    let pods = cluster.fill(1, 1, 2);
    assert_eq!(cluster.managed(&pods[0].0, Ask::Each).await, Ok(true));
    let data = [("installationID".to_owned(), "other".to_owned())].into();
    let other = crate::executors::kube::filter::tracking::Tracking::from_config(Some(&data)).unwrap();
    let other = std::sync::Arc::new(other);
    assert_eq!(cluster.ancestry.managed(&pods[0].0, &other, Ask::Each).await, Ok(false));
    assert_eq!(cluster.managed(&pods[0].0, Ask::Each).await, Ok(true));
    assert_eq!(cluster.server.lines().len(), 7);
}

#[tokio::test]
async fn an_owner_of_the_cluster_is_listed_once_for_all_namespaces() {
    let cluster = Cluster::start().await;
    cluster.put("/api/v1/nodes/n1", marked("n1"));
    for namespace in ["shop", "cart"] {
        let mut mirror = owned("mirror", &[]);
        mirror["metadata"]["namespace"] = json!(namespace);
        mirror["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "uid-n1"}]);
        assert_eq!(cluster.managed(&cluster.links(&mirror), Ask::Pages).await, Ok(true));
    }
    assert_eq!(cluster.server.lines(), ["GET /api/v1", "GET /api/v1/nodes?limit=500"]);
}

#[tokio::test]
async fn an_operator_group_owns_by_its_name_alone() {
    let cluster = Cluster::start().await;
    let discovery = json!({"resources": [{"name": "operatorgroups", "kind": "OperatorGroup", "namespaced": true}]});
    cluster.server.put("/apis/operators.coreos.com/v1", discovery);
    let version = |namespace: &str| {
        let meta = json!({"name": "csv", "namespace": namespace, "annotations": {"olm.operatorGroup": "og"}});
        let meta = serde_json::from_value(meta).unwrap();
        cluster.ancestry.links("operators.coreos.com", "clusterserviceversions", &meta)
    };
    let path = "/apis/operators.coreos.com/v1/namespaces/shop/operatorgroups/og";
    assert_eq!(cluster.managed(&version("shop"), Ask::Now).await, Ok(false));
    cluster.put(path, marked("og"));
    assert_eq!(cluster.managed(&version("shop"), Ask::Now).await, Ok(true));
    assert_eq!(cluster.managed(&version("cart"), Ask::Now).await, Ok(false));
}

#[tokio::test]
async fn events_of_what_was_managed_are_shown_when_it_is_gone() {
    let cluster = Cluster::start().await;
    let about = |name: &str| Reference {
        api_version: "apps/v1".to_owned(),
        kind: "ReplicaSet".to_owned(),
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        uid: format!("uid-{name}"),
    };
    let managed = async |name: &str| cluster.managed(&cluster.ancestry.link_to(&about(name)), Ask::Now).await;
    let pods = cluster.fill(2, 2, 2);
    assert_eq!((managed("rs0").await, managed("rs1").await), (Ok(true), Ok(false)));
    assert_eq!(managed("told").await, Ok(false));
    cluster.ancestry.remember(&Uid::parse("uid-told").unwrap());
    for name in ["rs0", "rs1"] {
        cluster.delete(&replica_set(name));
    }
    assert_eq!((managed("rs0").await, managed("rs1").await, managed("told").await), (Ok(true), Ok(false), Ok(true)));
    let mut again: Value = object("rs0");
    again["metadata"]["uid"] = json!("another");
    cluster.put(&replica_set("rs0"), again);
    assert_eq!(managed("rs0").await, Ok(true), "by its UID, whatever has its name now");
    // Nothing that lives is owned by what is gone.
    assert_eq!(cluster.managed(&pods[0].0, Ask::Now).await, Ok(false));
}
