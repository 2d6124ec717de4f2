//! From nothing to a connected cluster: two empty namespaces of two API servers, and then kubectl through the door.

use envtest::Extent;
use harness::{
    cluster::{another, cluster, namespace},
    process::port,
    scene,
    site::{AgentProcess, Site, agent_args},
    soon,
};
use serde_json::{Value, json};

use super::{FAST, Operator};

#[tokio::test]
async fn from_empty_namespaces_to_kubectl_through_the_door() {
    // The control plane is another API server than the workload cluster's.
    let control = another(Extent::ApiServer).await;
    control.kubectl().run(["create", "namespace", "argocd"]).await.unwrap();
    let (argocd, apps) = (namespace("ctl-workload").await, namespace("ctl-apps").await);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": apps},
        "spec": {"containers": [{"name": "main", "image": "main"}]},
    });
    scene::apply(&pod).await;
    let operator = Operator::between(&control, cluster(), "argocd".into(), argocd);

    for line in [
        "pki init",
        "pki init --client-ca",
        "pki issue principal",
        "pki issue resource-proxy --ip=127.0.0.1 --dns=argocd-agent-resource-proxy",
        "pki issue agent edge",
        "agent create edge --client-ca",
    ] {
        operator.ok(&format!("{line} {FAST}")).await;
    }

    // The processes read files.
    let site = Site::new();
    let flag =
        async |flag: &str, secret: &str, key: &str| format!("--{flag}={}", operator.dump(secret, key).await.display());
    let flags = [
        flag("tls-cert", "argocd-agent-principal-tls", "tls.crt").await,
        flag("tls-key", "argocd-agent-principal-tls", "tls.key").await,
        flag("root-ca-path", "argocd-agent-ca", "tls.crt").await,
        flag("resource-proxy-cert-path", "argocd-agent-resource-proxy-tls", "tls.crt").await,
        flag("resource-proxy-key-path", "argocd-agent-resource-proxy-tls", "tls.key").await,
        flag("resource-proxy-ca-path", "argocd-agent-client-ca", "tls.crt").await,
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let principal = site.principal(&flags).await;
    let certificate = operator.dump_agent("argocd-agent-client-tls", "tls.crt").await;
    let key = operator.dump_agent("argocd-agent-client-tls", "tls.key").await;
    let ca = operator.dump_agent("argocd-agent-ca", "ca.crt").await;
    let ports = (port(), port());
    let kubeconfig = cluster().kubeconfig_path();
    let args = agent_args(&ca, (&certificate, &key), principal.grpc, &kubeconfig, ports, &[]);
    let mut agent = AgentProcess::start("edge", &args, site.folder(), ports).await;

    let path = operator.folder().join("edge.kubeconfig");
    let (door, file) = (principal.door, path.display().to_string());
    let get = async || {
        let kubectl = tokio::process::Command::new(cluster().kubectl_path())
            .args([&format!("--kubeconfig={file}"), &format!("--namespace={apps}"), "get", "pod", "web", "-o", "name"])
            .env_remove("KUBECONFIG")
            .output();
        soon(kubectl).await.unwrap()
    };
    // With the cluster Secret's credentials, and with some of its own.
    for more in ["", &format!("--issue {FAST}")] {
        let said = operator.ok(&format!("kubeconfig edge --server={door} --output-path={file} {more}")).await;
        assert_eq!(said, format!("Kubeconfig of agent edge written to {file}\n"));
        let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        let got = get().await;
        assert_eq!(String::from_utf8_lossy(&got.stdout), "pod/web\n", "{}", String::from_utf8_lossy(&got.stderr));
    }
    // A new certificate comes from the authority that the door trusts, without being told which.
    operator.ok(&format!("agent rotate edge {FAST}")).await;
    operator.ok(&format!("kubeconfig edge --server={door} --output-path={file}")).await;
    assert_eq!(String::from_utf8_lossy(&get().await.stdout), "pod/web\n");
    let walk = operator.ok(&format!("doctor edge --server={door}")).await;
    assert!(walk.ends_with("* Request through the resource proxy: ✅\n"), "{walk}");

    // The agent's own certificate opens no door: its authority is not the callers'.
    let mut own: Value = operator.json(&format!("kubeconfig edge --server={door}")).await;
    own["users"][0]["user"] = json!({"client-certificate": certificate, "client-key": key});
    let _ = operator.write("edge.kubeconfig", &own.to_string());
    let refused = get().await;
    assert!(!refused.status.success(), "{}", String::from_utf8_lossy(&refused.stdout));

    agent.process.kill().await;
    let said = operator.run(&format!("doctor edge --server={door}")).await;
    assert_eq!(said.code, Some(1));
    assert!(said.stdout.contains("❌ the door says 502"), "{}", said.stdout);
}
