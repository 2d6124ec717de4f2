//! Connections that are lost, answers that are none, permissions that are missing: nothing wrong is said meanwhile.

use std::time::Duration;

use common::Refusal;
use tokio::time::timeout;

use super::{
    super::{
        server::{deployment, object, replica_set},
        world::LONG,
    },
    cluster::Cluster,
    live::{REPLICA_SETS, changes_to, stays},
};

#[tokio::test]
async fn a_watch_that_is_cut_goes_on_where_it_was() {
    let (cluster, pod) = Cluster::with_a_pod().await;
    let mut following = cluster.follow();
    assert_eq!(following.managed(&pod).await, Ok(true));
    cluster.server.take();
    cluster.cut(false);
    cluster.put(&deployment("d"), object("d"));
    changes_to(&mut following, &pod, false).await;
    assert!(cluster.server.lines().iter().all(|line| line.contains("watch=true")));
}

#[tokio::test]
async fn after_a_gap_what_is_gone_is_gone_and_what_is_as_it_was_is_not_told() {
    let (cluster, pod) = Cluster::with_a_pod().await;
    let mut following = cluster.follow();
    assert_eq!(following.managed(&pod).await, Ok(true));
    cluster.server.take();
    cluster.cut(true);
    cluster.until_watches(2).await;
    stays(&mut following, &pod, true).await;
    assert_eq!(cluster.server.lines().iter().filter(|line| line.contains("limit=500")).count(), 2);
    cluster.cut(false);
    cluster.delete(&replica_set("rs"));
    cluster.cut(true);
    changes_to(&mut following, &pod, false).await;
}

#[tokio::test]
async fn a_permission_that_is_missing_is_named_and_not_needed_again_when_it_is_given() {
    for verb in ["list", "watch"] {
        let (cluster, pod) = Cluster::with_a_pod().await;
        cluster.fail(verb, REPLICA_SETS, 403);
        let mut following = cluster.follow();
        let why = format!("cannot follow {REPLICA_SETS}: cannot {verb} {REPLICA_SETS}");
        assert_eq!(following.managed(&pod).await, Err(Refusal::Undecidable(why.into())));
        cluster.until_watches(0).await;
        cluster.heal();
        assert_eq!(following.managed(&pod).await, Ok(true));
    }
    let (cluster, pod) = Cluster::with_a_pod().await;
    let mut following = cluster.follow();
    assert_eq!(following.managed(&pod).await, Ok(true));
    cluster.fail("watch", REPLICA_SETS, 403);
    cluster.cut(false);
    timeout(LONG, following.changed()).await.unwrap();
    assert!(matches!(following.managed(&pod).await, Err(Refusal::Undecidable(_))));
    cluster.heal();
    changes_to(&mut following, &pod, true).await;
}

#[tokio::test]
async fn an_api_server_that_does_not_list_leaves_it_open_after_ten_seconds() {
    let (cluster, pod) = Cluster::with_a_pod().await;
    cluster.fail("list", REPLICA_SETS, 500);
    let mut following = cluster.follow();
    let begun = tokio::time::Instant::now();
    let refusal = following.managed(&pod).await.unwrap_err();
    assert!(begun.elapsed() >= Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(refusal.text().contains(&format!("cannot follow {REPLICA_SETS}: ")), "{refusal:?}");
}

#[tokio::test]
async fn what_is_known_holds_for_ten_seconds_without_a_connection() {
    let (cluster, pod) = Cluster::with_a_pod().await;
    let mut following = cluster.follow();
    assert_eq!(following.managed(&pod).await, Ok(true));
    cluster.fail("watch", REPLICA_SETS, 500);
    let begun = tokio::time::Instant::now();
    cluster.cut(false);
    cluster.until_watches(1).await;
    assert_eq!(following.managed(&pod).await, Ok(true));
    timeout(LONG, following.changed()).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(9), "{:?}", begun.elapsed());
    assert!(matches!(following.managed(&pod).await, Err(Refusal::Undecidable(_))));
    cluster.heal();
    changes_to(&mut following, &pod, true).await;
}

#[tokio::test]
async fn a_kind_that_is_gone_has_no_objects() {
    let (cluster, pod) = Cluster::with_a_pod().await;
    let mut following = cluster.follow();
    assert_eq!(following.managed(&pod).await, Ok(true));
    for verb in ["list", "watch"] {
        cluster.fail(verb, REPLICA_SETS, 404);
    }
    cluster.fail("get", &replica_set("rs"), 404);
    cluster.cut(false);
    changes_to(&mut following, &pod, false).await;
}

#[tokio::test]
async fn lines_that_are_no_events_and_lists_that_are_none_show_nothing() {
    let (cluster, pod) = Cluster::with_a_pod().await;
    let mut following = cluster.follow();
    assert_eq!(following.managed(&pod).await, Ok(true));
    for line in ["not json\n".to_owned(), "{\"type\":\"ADDED\"}\n".to_owned(), "x".repeat(5 << 20)] {
        cluster.server.take();
        cluster.tell_all(&line);
        let begun_again = async {
            while cluster.server.lines().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LONG, begun_again).await.unwrap();
        cluster.until_watches(2).await;
    }
    cluster.put(&deployment("d"), object("d"));
    changes_to(&mut following, &pod, false).await;
}

#[tokio::test]
async fn what_is_followed_stays_true_while_the_agent_drains_and_does_not_hold_it_up() {
    let (cluster, pod) = Cluster::with_a_pod().await;
    let mut following = cluster.follow();
    assert_eq!(following.managed(&pod).await, Ok(true));
    cluster.signal.begin();
    cluster.put(&deployment("d"), object("d"));
    changes_to(&mut following, &pod, false).await;
    drop(following);
    cluster.until_watches(0).await;
}
