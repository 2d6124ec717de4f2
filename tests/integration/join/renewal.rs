//! Certificates that end soon, and are renewed before.

use harness::process::says;

use super::*;
use crate::reload::Load;

#[tokio::test]
async fn a_certificate_is_renewed_again_and_again_while_requests_run_and_none_fails() {
    let rig = Rig::start(&["--enrollment-certificate-lifetime=20s"]).await;
    assert_eq!(rig.join(&rig.token().await).await.code, Some(0));
    let mut keys = vec![rig.agents_key().await];
    let caller = rig.caller().await;
    // No flag says so: the Secret does.
    let agent = rig.agent(&["--tls-client-cert=", "--tls-client-key=", "--root-ca-path="]).await;
    let load = Load::start(&caller, rig.principal.door, NODE);
    load.goes_on().await;
    let renewals = async || metric(agent.metrics, "argocd_agent_enrollment_renewals_total", "").await;
    let sessions = async || metric(agent.metrics, "argocd_agent_link_sessions_total", "").await;
    for round in 1..=2 {
        eventually("it was renewed", async || (renewals().await >= f64::from(round)).then_some(())).await;
        eventually("it attached anew", async || (sessions().await > f64::from(round)).then_some(())).await;
        load.goes_on().await;
        keys.push(rig.agents_key().await);
    }
    // By now the first certificate is over, and so is the second one.
    load.end().await;
    keys.dedup();
    assert!(keys.len() >= 3, "each has a key of its own");
    assert_eq!(metric(agent.metrics, "argocd_agent_enrollment_renewal_failures_total", "").await, 0.0);
    assert!(rig.counted("certificates", "renewal").await >= 2.0);
    assert_eq!(metric(agent.metrics, "argocd_agent_link_connected", "").await, 1.0);
}

#[tokio::test]
async fn what_others_manage_is_not_renewed_and_who_is_shut_out_gets_nothing() {
    let rig = Rig::start(&["--enrollment-certificate-lifetime=20s"]).await;
    // The operator's own certificate, without a mark.
    rig.operator.ok(&format!("pki issue agent {AGENT} --same-context {FAST}")).await;
    let key = rig.agents_key().await;
    let flags = ["--tls-client-cert=", "--tls-client-key=", "--root-ca-path="];
    let mut agent = rig.agent(&flags).await;
    assert_eq!(metric(agent.metrics, "argocd_agent_enrollment_renewals_total", "").await, 0.0);
    assert_eq!(rig.agents_key().await, key);
    agent.process.kill().await;

    let said = rig.operator.told("agent join --upsert", &rig.token().await).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let certificate = data(&rig.operator.agent_object("secret", CLIENT).await, "tls.crt");
    let leaf = Leaf { certificate, key: rig.agents_key().await };
    rig.operator.ok(&format!("blocklist tls add {}", leaf.fingerprint())).await;
    let (args, ports) = rig.agent_args(&flags);
    let mut agent = Process::start("shut-out", &args, rig.site.folder());
    agent.logged("it is not renewed", |line| says(line, "the agent's certificate cannot be renewed")).await;
    eventually("that is counted", async || (rig.counted("refused", "unauthenticated").await >= 1.0).then_some(()))
        .await;
    assert!(metric(local(ports.1), "argocd_agent_enrollment_renewal_failures_total", "").await >= 1.0);
    assert_eq!(rig.agents_key().await, leaf.key);
}
