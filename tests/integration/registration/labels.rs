//! Labels that agents ask for.

use super::*;

#[tokio::test]
async fn an_agent_gets_the_labels_that_are_allowed_and_an_operators_stay() {
    let rig = Rig::new("register-labels", |registration| {
        registration.labels = LabelRule::parse("tier|example.com/.*|argocd.*").unwrap();
    })
    .await;
    let asked = [
        ("tier", "prod"),
        ("example.com/region", "eu"),
        ("team", "a"),
        (TYPE, "repository"),
        (AGENT, "other"),
        ("example.com/zone", "no value"),
    ];
    let agent = rig.attach_with("edge", &asked).await;
    let cluster = rig.cluster("edge").await;
    let labels = json!({
        TYPE: "cluster", AGENT: "edge", SELF_REGISTERED: "true", "tier": "prod", "example.com/region": "eu",
    });
    assert_eq!(cluster.secret["metadata"]["labels"], labels);
    for (reason, count) in [("not_allowed", 1.0), ("reserved", 2.0), ("malformed", 1.0)] {
        assert_eq!(rig.metric("refused_labels_total", reason).await, count, "{reason}");
    }
    rig.settled(1.0).await;
    let words = ["-n", &rig.control.namespace, "label", "secret", "cluster-edge", "team=operators", "tier=gold"];
    cluster_label(&words).await;
    agent.stop(Duration::ZERO).await;
    // It asks for one less, and in another way for another.
    let agent = rig.attach_with("edge", &[("tier", "test"), ("example.com/zone", "b")]).await;
    let cluster = rig.cluster_that("edge", |cluster| cluster.label("example.com/zone").is_some()).await;
    assert_eq!(cluster.label("example.com/region"), None);
    assert_eq!((cluster.label("team"), cluster.label("tier")), (Some("operators"), Some("gold")));
    rig.settled(2.0).await;
    // What runs by itself leaves labels alone.
    rig.set_certificate(&rig.world.ca.client("argo-cd-2")).await;
    rig.settled(3.0).await;
    let cluster = rig.cluster("edge").await;
    assert_eq!((cluster.label("example.com/zone"), cluster.label("tier")), (Some("b"), Some("gold")));
    agent.stop(Duration::ZERO).await;
    let _agent = rig.attach("edge").await;
    let cluster = rig.cluster_that("edge", |cluster| cluster.label("example.com/zone").is_none()).await;
    rig.until_served(&cluster).await;
}

async fn cluster_label(words: &[&str]) {
    cluster().kubectl().run(words.iter().copied().chain(["--overwrite"])).await.unwrap();
}
