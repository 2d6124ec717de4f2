//! `docs/getting-started.md`, followed literally: from two empty clusters to kubectl through the door.

use std::{fs, os::unix::fs::symlink};

use envtest::Extent;
use harness::{
    cluster::{another, kubeconfig},
    guide::Guide,
    pki,
    process::{binary, ctl, port},
};
use tempfile::TempDir;

#[tokio::test]
async fn the_guide_leads_from_two_empty_clusters_to_kubectl_through_the_door() {
    let (control, workload) = (another(Extent::ApiServer).await, another(Extent::Full).await);
    let folder = TempDir::new().unwrap();
    let programs = folder.path().join("bin");
    fs::create_dir(&programs).unwrap();
    for (name, program) in
        [("kubectl", workload.kubectl_path()), ("argocd-agent", binary()), ("argocd-agentctl", ctl())]
    {
        symlink(program, programs.join(name)).unwrap();
    }
    let contexts = kubeconfig(&[("control-plane", &control), ("workload", &workload)]).to_string();
    let kubeconfig = pki::write(folder.path(), "kubeconfig", &contexts);
    let path = std::env::var("PATH").unwrap();
    let [grpc, door, principal_metrics, principal_health, agent_metrics, agent_health] =
        std::array::from_fn(|_| port().to_string());
    let env = [
        ("PATH", format!("{}:{path}", programs.display())),
        ("HOME", folder.path().display().to_string()),
        ("KUBECONFIG", kubeconfig.display().to_string()),
        // Those of the guide may be another's on this machine.
        ("GRPC_PORT", grpc),
        ("DOOR_PORT", door),
        ("ARGOCD_PRINCIPAL_METRICS_PORT", principal_metrics),
        ("ARGOCD_PRINCIPAL_HEALTH_CHECK_PORT", principal_health),
        ("ARGOCD_AGENT_METRICS_PORT", agent_metrics),
        ("ARGOCD_AGENT_HEALTH_CHECK_PORT", agent_health),
    ];
    let said = Guide::read("getting-started.md").run(folder.path(), &env).await;
    let listed = said.iter().find(|said| said.contains("pod/guestbook-ui-")).unwrap();
    assert!(!listed.contains("not-argo-cds"), "{listed}");
    for log in ["principal.log", "agent.log"] {
        let log = fs::read_to_string(folder.path().join(log)).unwrap();
        assert!(log.contains("asked to stop") && !log.contains(" ERROR "), "{log}");
    }
}
