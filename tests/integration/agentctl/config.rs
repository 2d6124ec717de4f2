//! The config file: names in place of contexts and namespaces.

use serde_json::json;

use super::{FAST, Operator};

#[tokio::test]
async fn names_stand_for_contexts_and_namespaces() {
    let operator = Operator::new().await;
    let (p, a) = (operator.principal.clone(), operator.agent.clone());
    let ok = async |line: String| {
        let said = operator.bare(&line, "").await;
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{line}");
        said.stdout
    };
    let none = ok("config list principal".into()).await;
    assert!(none.starts_with("No principals in ") && none.contains(".config/argocd-agent/ctl.conf"), "{none}");
    ok(format!("config add principal --name=home --context=control --namespace={p} --set-default")).await;
    ok("config add agent --name=edge --context=workload --namespace=wrong".into()).await;
    ok(format!("config edit agent --name=edge --namespace={a}")).await;
    let listed = ok("config list principal".into()).await;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.ends_with("*\n"), "{listed}");

    // The default principal, and an agent by name.
    ok(format!("pki init {FAST}")).await;
    let said = ok(format!("--agent=edge pki issue agent x {FAST}")).await;
    assert_eq!(said, format!("Secret {a}/argocd-agent-client-tls created\nSecret {a}/argocd-agent-ca created\n"));
    // A namespace alone is honoured.
    let said = operator.bare(&format!("--principal-namespace={a} jwt inspect-key"), "").await;
    assert!(said.refusal("", 1).contains(&format!("Secret {a}/argocd-agent-jwt")));

    let again = operator.bare("config add agent --name=edge --context=c --namespace=n", "").await.refusal("", 1);
    assert_eq!(again, "agent \"edge\" exists: change it with `config edit agent`");
    ok("config delete principal --name=home".into()).await;
    let gone = operator.bare("--principal=home pki inspect", "").await.refusal("", 1);
    assert_eq!(gone, "no principal is called \"home\" in the config file: see `config list principal`, or add it");
}

#[tokio::test]
async fn the_file_is_made_by_answering_about_each_context() {
    let operator = Operator::new().await;
    let answers = "principal\nargocd\nhome\nneither\nagent\n\nedge-ns\nedge\nhome\n";
    let path = operator.folder().join("made.conf");
    let kubeconfig = operator.folder().join("kubeconfig");
    let flags = format!("--kubeconfig-path={} --output-path={}", kubeconfig.display(), path.display());
    let said = operator.bare(&format!("config create {flags}"), answers).await;
    assert_eq!(said.stdout, format!("Successfully wrote config to {}\n", path.display()));
    let listed = operator.bare(&format!("--config={} config list agent -o json", path.display()), "").await;
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let edge = json!({"name": "edge", "context": "workload", "namespace": "edge-ns", "default": false});
    assert_eq!(listed, json!([edge]));
    let cut = operator.bare("config create", "principal\n").await;
    assert_eq!(cut.code, Some(1));
    assert!(cut.stderr.ends_with("the input ended before everything was answered: nothing was written\n"));
    assert!(!operator.folder().join(".config").exists());
}

#[tokio::test]
async fn version_and_completion_need_no_cluster() {
    let operator = Operator::new().await;
    let version = operator.bare("version", "").await.stdout;
    assert_eq!(version.lines().count(), 1);
    assert!(version.starts_with(r#"{"name":"argocd-agentctl","version":""#), "{version}");
    assert!(operator.bare("version -i", "").await.stdout.lines().count() > 1);
    for shell in ["bash", "zsh", "fish"] {
        let script = operator.bare(&format!("completion {shell}"), "").await.stdout;
        assert!(script.contains("print-tls"), "{shell}");
    }
}
