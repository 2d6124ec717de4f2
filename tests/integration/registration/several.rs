//! Two principals of one control plane.

use common::drain;
use principal::Principal;

use super::*;

#[tokio::test]
async fn two_principals_write_each_secret_once_and_agree_on_it() {
    let shortened = |registration: &mut RegistrationConfig| registration.token_lifetime = Duration::from_secs(9);
    let rig = Rig::without_certificate("register-two", shortened).await;
    let mut config = rig.world.config().clone();
    config.grpc_listen.port = 0;
    config.kube_door.as_mut().unwrap().listen.set_port(0);
    let (_signal, watch) = drain::channel();
    let second = Principal::start(config, &watch).await.unwrap();
    let kubeconfig = rig.server.kubeconfig(rig.world.folder());
    let names: Vec<_> = (0..8).map(|number| format!("agent-{number}")).collect();
    let mut attached = Vec::new();
    for name in &names {
        attached.push(rig.attach(name).await);
        let at_second = rig.world.agent_with(name, "argocd", |config| {
            config.server.1 = second.grpc.port();
            config.kube.kubeconfig = Some(kubeconfig.clone());
            config.managed_only = false;
        });
        attached.push(at_second.await);
    }
    // Both have waited for this with all of them.
    rig.set_certificate(&rig.world.ca.client("argo-cd")).await;
    let of = async |name: &str, part: &str| {
        let name = format!("argocd_agent_registration_{name}");
        let second = metric(second.metrics.unwrap(), &name, part).await;
        rig.metric(name.trim_start_matches("argocd_agent_registration_"), part).await + second
    };
    let written = async |outcome: &str| of("writes_total", outcome).await;
    eventually("all are there", async || (written("created").await == 8.0).then_some(())).await;
    let mut before = Vec::new();
    for name in &names {
        before.push(rig.cluster(name).await);
    }
    eventually("all are renewed", async || (written("renewed").await >= 8.0).then_some(())).await;
    for (name, before) in names.iter().zip(&before) {
        let cluster = rig.cluster_that(name, |cluster| cluster.token() != before.token()).await;
        for door in [rig.world.door(), second.kube_door.unwrap()] {
            eventually("it is good at both", async || {
                (cluster.caller().ask(door, request(cluster.token())).await.status == 200).then_some(())
            })
            .await;
        }
    }
    assert_eq!((written("created").await, written("reissued").await), (8.0, 0.0));
    assert_eq!(of("failures_total", "").await, 0.0);
}
