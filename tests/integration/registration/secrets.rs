//! What is made, what is left alone, and what is made anew.

use super::*;

#[tokio::test]
async fn from_nothing_an_agent_that_attaches_has_a_secret_by_which_its_cluster_is_reached() {
    let rig = Rig::new("register", |_registration| {}).await;
    assert!(rig.find("edge").await.is_none());
    let _agent = rig.attach("edge").await;
    let cluster = rig.cluster("edge").await;
    let metadata = &cluster.secret["metadata"];
    assert_eq!(metadata["labels"], json!({TYPE: "cluster", AGENT: "edge", SELF_REGISTERED: "true"}));
    let annotations = json!({"managed-by": "argocd-agent", "argocd.argoproj.io/skip-reconcile": "true"});
    assert_eq!((&metadata["annotations"], &cluster.secret["type"]), (&annotations, &json!("Opaque")));
    assert_eq!(cluster.secret["data"].as_object().unwrap().keys().collect::<Vec<_>>(), ["config", "name", "server"]);
    assert_eq!(cluster.secret["data"]["name"], STANDARD.encode("edge"));
    assert_eq!(cluster.server, format!("https://{}?agentName=edge", rig.world.door()));
    assert_eq!(cluster.config["tlsClientConfig"]["insecure"], false);
    let fields: Vec<_> = cluster.config.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["bearerToken", "tlsClientConfig"]);
    rig.until_served(&cluster).await;
    // The certificate is everybody's: without the token it leads nowhere.
    assert_ne!(cluster.caller().ask(rig.world.door(), get(POD)).await.status, 200);
    rig.settled(1.0).await;
    assert_eq!(rig.metric("writes_total", "created").await, 1.0);
    // It comes again, and all is as it should be.
    let version = cluster.version().to_owned();
    let _again = rig.attach("edge").await;
    let _other = rig.attach("other").await;
    rig.settled(2.0).await;
    assert_eq!(rig.cluster("edge").await.version(), version);
}

#[tokio::test]
async fn a_certificate_and_a_key_may_come_later_than_the_agent() {
    let rig = Rig::without_certificate("register-late", |_registration| {}).await;
    rig.control.set_key_text("no key").await;
    let _agent = rig.attach("edge").await;
    eventually("it waits", async || (rig.metric("waiting", "").await == 1.0).then_some(())).await;
    let failures = async || rig.metric("client_certificate_failures_total", "").await;
    eventually("it is counted", async || (failures().await >= 1.0).then_some(())).await;
    assert!(rig.find("edge").await.is_none());
    rig.set_certificate(&rig.world.ca.client("argo-cd")).await;
    rig.control.set_key(&harness::control::TokenKey::new()).await;
    let cluster = rig.cluster("edge").await;
    rig.until_served(&cluster).await;
}

#[tokio::test]
async fn upstreams_secrets_are_taken_as_they_are_unless_their_token_is_not_valid() {
    let rig = Rig::new("register-upstream", |_registration| {}).await;
    let (namespace, ca) = (&rig.control.namespace, rig.world.ca.pem());
    // The same certificate, as upstream would have written it.
    let shared = rig.world.ca.client("argo-cd");
    rig.set_certificate(&shared).await;
    upstream(namespace, "good", &rig.control.token("good"), &shared, &ca).await;
    upstream(namespace, "bad", &rig.control.token("another"), &shared, &ca).await;
    upstream(
        namespace,
        "alien",
        &harness::control::TokenKey::new().sign(&harness::control::claims("alien")),
        &shared,
        &ca,
    )
    .await;
    let before = rig.cluster("good").await;
    // Also those whose agents have not attached.
    let reissued = async |agent: &str| {
        rig.cluster_that(agent, |cluster| cluster.version() != before.version() && cluster.token().len() > 9).await
    };
    let _agents = (rig.attach("good").await, rig.attach("bad").await);
    eventually("both are made anew", async || (rig.metric("writes_total", "reissued").await == 2.0).then_some(()))
        .await;
    for agent in ["bad", "good"] {
        let cluster = reissued_or_same(&rig, agent).await;
        rig.until_served(&cluster).await;
        assert_eq!(cluster.server, format!("https://argocd-agent-resource-proxy:9090?agentName={agent}"));
    }
    let alien = reissued("alien").await;
    assert_eq!(alien.ask(&rig.world).await.status, 502, "its token is good, and it is not attached");
    let after = rig.cluster("good").await;
    assert_eq!((after.version(), after.token()), (before.version(), before.token()));
}

async fn reissued_or_same(rig: &Rig, agent: &str) -> Cluster {
    rig.settled(2.0).await;
    rig.cluster(agent).await
}

#[tokio::test]
async fn what_somebody_made_by_hand_is_not_touched() {
    let rig = Rig::new("register-manual", |_registration| {}).await;
    rig.control.cluster_secret("manual", true).await;
    let shared = rig.world.ca.client("argo-cd");
    upstream(&rig.control.namespace, "ended", "nonsense", &shared, &rig.world.ca.pem()).await;
    // Who takes the agent's label away ends the token for good.
    rig.settled(1.0).await;
    let name = format!("{AGENT}-");
    cluster().kubectl().run(["-n", &rig.control.namespace, "label", "secret", "cluster-ended", &name]).await.unwrap();
    let before = [rig.cluster("manual").await, rig.cluster("ended").await];
    let _agents = (rig.attach("manual").await, rig.attach("ended").await, rig.attach("last").await);
    rig.cluster("last").await;
    rig.settled(2.0).await;
    for (agent, before) in ["manual", "ended"].into_iter().zip(before) {
        assert_eq!(rig.cluster(agent).await.version(), before.version(), "{agent}");
    }
}

#[tokio::test]
async fn a_secret_that_is_deleted_ends_the_token_and_comes_back_with_the_agent() {
    let rig = Rig::new("register-deleted", |_registration| {}).await;
    let agent = rig.attach("edge").await;
    let _other = rig.attach("other").await;
    let cluster = rig.cluster("edge").await;
    rig.until_served(&cluster).await;
    rig.settled(2.0).await;
    rig.control.delete_cluster_secret("edge").await;
    eventually("its token ends", async || (cluster.ask(&rig.world).await.status == 401).then_some(())).await;
    // Whatever leads to all Secrets does not lead to this one.
    rig.set_certificate(&rig.world.ca.client("argo-cd-2")).await;
    rig.settled(3.0).await;
    assert!(rig.find("edge").await.is_none());
    agent.stop(Duration::ZERO).await;
    let _agent = rig.attach("edge").await;
    let again = rig.cluster("edge").await;
    rig.until_served(&again).await;
    assert_ne!(again.token(), cluster.token());
}
