//! Agents: the cluster Secret exactly as Argo CD and the principal read it, through its whole life.

use serde_json::{Value, json};

use super::{FAST, Operator, data, decoded};

async fn config(operator: &Operator, agent: &str) -> Value {
    let secret = operator.principal_object("secret", &format!("cluster-{agent}")).await;
    serde_json::from_str(&data(&secret, "config")).unwrap()
}

#[tokio::test]
async fn an_agent_is_created_as_argo_cd_reads_it() {
    let operator = Operator::new().await;
    operator.ok(&format!("pki init {FAST}")).await;
    let said = operator.ok(&format!("agent create agent-1 -l tier=front -l team=a {FAST}")).await;
    assert_eq!(said, "Agent agent-1 created\n");
    let secret = operator.principal_object("secret", "cluster-agent-1").await;
    assert_eq!(
        secret["metadata"]["labels"],
        json!({
            "argocd.argoproj.io/secret-type": "cluster",
            "argocd-agent.argoproj-labs.io/agent-name": "agent-1",
            "tier": "front", "team": "a",
        })
    );
    assert_eq!(
        secret["metadata"]["annotations"],
        json!({"managed-by": "argocd-agent", "argocd.argoproj.io/skip-reconcile": "true"})
    );
    assert_eq!(data(&secret, "name"), "agent-1");
    assert_eq!(data(&secret, "server"), "https://argocd-agent-resource-proxy:9090?agentName=agent-1");
    let config = config(&operator, "agent-1").await;
    let tls = &config["tlsClientConfig"];
    assert_eq!((&tls["insecure"], config.as_object().unwrap().len()), (&json!(false), 1));
    let ca = operator.ok("pki dump --cert").await;
    assert_eq!(decoded(tls["caData"].as_str().unwrap()), ca);
    for (part, field) in [("cert", "certData"), ("key", "keyData"), ("ca", "caData")] {
        let printed = operator.ok(&format!("agent print-tls agent-1 -t {part}")).await;
        assert_eq!(printed, decoded(tls[field].as_str().unwrap()), "{part}");
    }
    let shown = operator.json("agent inspect agent-1").await;
    assert_eq!(shown["server"], "https://argocd-agent-resource-proxy:9090?agentName=agent-1");
    assert_eq!(shown["name"], "agent-1");
    assert_eq!(shown["fingerprint"].as_str().unwrap().len(), 64);
    assert!(shown["notValidAfter"].as_str().unwrap() > shown["notValidBefore"].as_str().unwrap());

    let refused = operator.fails(&format!("agent create agent-1 {FAST}"), 1).await;
    assert!(refused.starts_with("Agent agent-1 exists."), "{refused}");
    let refused = operator.fails(&format!("agent create {} {FAST}", operator.principal), 1).await;
    assert!(refused.contains("the principal's namespace"), "{refused}");
}

#[tokio::test]
async fn agents_are_listed_one_name_per_line() {
    let operator = Operator::new().await;
    let said = operator.run("agent list").await;
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), "No agents found.\n"));
    operator.ok(&format!("pki init {FAST}")).await;
    operator.ok(&format!("agent create b {FAST} -l tier=front")).await;
    operator.ok(&format!("agent create a {FAST} --days=10")).await;
    assert_eq!(operator.ok("agent list").await, "a\nb\n");
    assert_eq!(operator.ok("agents list -l tier=front").await, "b\n");
    // No principal runs: that is told, and the rest is listed all the same.
    let said = operator.run("agent list --wide").await;
    assert_eq!((said.code, said.stderr.lines().count()), (Some(0), 1), "{said:?}");
    let wide = said.stdout;
    let rows: Vec<Vec<&str>> = wide.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "STATE", "VERSION", "MODE", "RTT", "SINCE", "SERVER", "CERTIFICATE"]);
    assert_eq!(rows[1][..2], ["a", "unknown"]);
    assert!(wide.contains("valid for 10 days"), "{wide}");
    let listed = operator.run("agent list -o json").await;
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed[0]["state"], "unknown");
    assert_eq!((&listed[0]["name"], &listed[1]["name"]), (&json!("a"), &json!("b")));
}

#[tokio::test]
async fn reconfigure_writes_an_address_that_leads_to_the_agent_and_keeps_all_else() {
    let operator = Operator::new().await;
    operator.ok(&format!("pki init {FAST}")).await;
    operator.ok(&format!("agent create a {FAST}")).await;
    let before = config(&operator, "a").await;
    operator.kubectl("annotate secret cluster-a note=kept").await;
    let said = operator.ok("agent reconfigure a --resource-proxy-server=proxy.example:443").await;
    assert_eq!(said, "Setting new server address\nCluster configuration saved\n");
    let secret = operator.principal_object("secret", "cluster-a").await;
    assert_eq!(data(&secret, "server"), "https://proxy.example:443?agentName=a");
    assert_eq!(secret["metadata"]["annotations"]["note"], "kept");
    assert_eq!(config(&operator, "a").await, before);
    let said = operator.ok("agent reconfigure a --resource-proxy-server=https://proxy.example:443").await;
    assert_eq!(said, "Nothing to change\n");
    operator.ok("agent reconfigure a --resource-proxy-username=u --resource-proxy-password=p").await;
    let after = config(&operator, "a").await;
    assert_eq!((&after["username"], &after["password"]), (&json!("u"), &json!("p")));
    assert_eq!(after["tlsClientConfig"], before["tlsClientConfig"]);
    operator.ok(&format!("agent reconfigure a --reissue-client-cert {FAST}")).await;
    let reissued = config(&operator, "a").await;
    assert_ne!(reissued["tlsClientConfig"]["certData"], before["tlsClientConfig"]["certData"]);
    assert_eq!(reissued["username"], "u");
    let refused = operator.fails("agent reconfigure a --resource-proxy-server=proxy", 2).await;
    assert_eq!(refused, "--resource-proxy-server: \"proxy\" is no address: must be <host>:<port>");
}

#[tokio::test]
async fn a_certificate_is_rotated_and_the_old_one_kept_out() {
    let operator = Operator::new().await;
    operator.ok(&format!("pki init {FAST}")).await;
    operator.ok(&format!("agent create a {FAST}")).await;
    let old = operator.json("agent inspect a").await["fingerprint"].as_str().unwrap().to_owned();
    let said = operator.ok(&format!("agent rotate a --revoke {FAST}")).await;
    assert_eq!(said, format!("Agent a has a new certificate\nAdded to blocklist: {old}\n"));
    let new = operator.json("agent inspect a").await["fingerprint"].as_str().unwrap().to_owned();
    assert_ne!(new, old);
    assert_eq!(operator.ok("blocklist tls list").await, format!("FINGERPRINT\n{old}\n"));

    let side = format!("--principal-context=control --principal-namespace={}", operator.principal);
    let said = operator.bare(&format!("{side} agent delete a"), "n\n").await;
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), "Aborted.\n"));
    let said = operator.bare(&format!("{side} agent delete a --revoke"), "y\n").await;
    assert_eq!(said.stdout, format!("Added to blocklist: {new}\nAgent a deleted\n"));
    let refused = operator.fails("agent inspect a", 1).await;
    assert!(refused.starts_with("Agent 'a' is not configured."), "{refused}");
}

#[tokio::test]
async fn callers_may_have_an_authority_of_their_own() {
    let operator = Operator::new().await;
    operator.ok(&format!("pki init {FAST}")).await;
    let refused = operator.fails(&format!("agent create a --client-ca {FAST}"), 1).await;
    assert!(refused.ends_with("make it with `pki init --client-ca`"), "{refused}");
    operator.ok(&format!("pki init --client-ca {FAST}")).await;
    operator.ok(&format!("agent create a --client-ca {FAST}")).await;
    // Whom the caller trusts is who signed the door's certificate.
    let ca = operator.ok("pki dump --cert").await;
    assert_eq!(operator.ok("agent print-tls a -t ca").await, ca);
    // The successor comes from the same authority, without being asked to, also where that was replaced.
    operator.ok(&format!("pki init --client-ca --force --keep-old {FAST}")).await;
    operator.ok(&format!("agent rotate a {FAST}")).await;
    operator.ok(&format!("pki issue principal {FAST}")).await;
    operator.ok(&format!("pki issue resource-proxy --dns=argocd-agent-resource-proxy {FAST}")).await;
    let checks = operator.run("validate principal -o json").await;
    let checks: Value = serde_json::from_str(&checks.stdout).unwrap();
    let clusters = checks.as_array().unwrap().iter().find(|check| check["check"] == "Cluster secrets of agents");
    assert_eq!(clusters.unwrap()["ok"], true, "{checks}");
    let kubeconfig = operator.json("kubeconfig a").await;
    assert_eq!(kubeconfig["clusters"][0]["cluster"]["server"], "https://argocd-agent-resource-proxy:9090");
}

#[tokio::test]
async fn credentials_may_come_from_other_secrets() {
    let operator = Operator::new().await;
    let ca = harness::pki::Ca::new();
    let _ = ca.client("a").write(operator.folder(), "given");
    let _ = operator.write("ca.crt", &ca.pem());
    let path = |name: &str| operator.folder().join(name).display().to_string();
    let (crt, key) = (path("given.crt"), path("given.key"));
    operator.kubectl(&format!("create secret tls given --cert={crt} --key={key}")).await;
    operator.kubectl(&format!("create secret generic trusted --from-file=ca.crt={}", path("ca.crt"))).await;
    let refused = operator.fails("agent create a --tls-from-secret=given", 2).await;
    assert_eq!(refused, "--tls-from-secret and --ca-from-secret must be given together");
    let refused = operator.fails("agent create b --tls-from-secret=given --ca-from-secret=trusted", 1).await;
    assert!(refused.contains("its common name must be b"), "{refused}");
    let refused = operator.fails("agent create a --tls-from-secret=none --ca-from-secret=trusted", 1).await;
    assert!(refused.ends_with("none does not exist: give another"), "{refused}");
    let namespaced = format!("{}/given", operator.principal);
    operator.ok(&format!("agent create a --tls-from-secret={namespaced} --ca-from-secret=trusted")).await;
    assert_eq!(operator.ok("agent print-tls a -t ca").await, ca.pem());
}

#[tokio::test]
async fn a_secret_of_upstreams_self_registration_is_read_and_left_to_the_principal() {
    let operator = Operator::new().await;
    let encode = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let ca = harness::pki::Ca::new();
    let shared = ca.client("resource-proxy-client");
    let config = json!({
        "bearerToken": "upstream.made.it",
        "tlsClientConfig": {
            "insecure": false, "certData": encode(&shared.certificate), "keyData": encode(&shared.key),
            "caData": encode(&ca.pem()),
        },
    });
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": "cluster-edge", "namespace": operator.principal,
            "labels": {
                "argocd.argoproj.io/secret-type": "cluster",
                "argocd-agent.argoproj-labs.io/agent-name": "edge",
                "argocd-agent.argoproj-labs.io/self-registered-cluster": "true",
            },
            "annotations": {"managed-by": "argocd-agent", "argocd.argoproj.io/skip-reconcile": "true"},
        },
        "stringData": {
            "name": "edge", "server": "https://argocd-agent-resource-proxy:9090?agentName=edge",
            "config": config.to_string(),
        },
    });
    harness::cluster::apply(&secret.to_string()).await;
    assert_eq!(operator.ok("agent list").await, "edge\n");
    assert_eq!(operator.json("agent inspect edge").await["selfRegistered"], true);
    let kubeconfig = operator.json("kubeconfig edge").await;
    assert_eq!(kubeconfig["users"][0]["user"]["token"], "upstream.made.it");
    assert_eq!(operator.ok("agent print-tls edge -t key").await, shared.key);
    let refused = operator.fails(&format!("agent rotate edge {FAST}"), 1).await;
    assert!(refused.contains("--self-registration-client-cert-secret"), "{refused}");
}

#[tokio::test]
async fn what_two_write_at_once_is_all_there() {
    let operator = Operator::new().await;
    operator.ok(&format!("pki init {FAST}")).await;
    operator.ok(&format!("agent create a {FAST}")).await;
    let lines = [
        "agent reconfigure a --resource-proxy-server=proxy.example:443".to_owned(),
        "agent reconfigure a --resource-proxy-username=u".to_owned(),
        "agent reconfigure a --resource-proxy-password=p".to_owned(),
        format!("agent reconfigure a --reissue-client-cert {FAST}"),
    ];
    let before = config(&operator, "a").await;
    futures_util::future::join_all(lines.iter().map(|line| operator.ok(line))).await;
    let secret = operator.principal_object("secret", "cluster-a").await;
    assert_eq!(data(&secret, "server"), "https://proxy.example:443?agentName=a");
    let after = config(&operator, "a").await;
    assert_eq!((&after["username"], &after["password"]), (&json!("u"), &json!("p")));
    assert_ne!(after["tlsClientConfig"]["certData"], before["tlsClientConfig"]["certData"]);
    // Of two who create the same, one is told.
    let create = format!("agent create twice {FAST}");
    let (one, other) = tokio::join!(operator.run(&create), operator.run(&create));
    let codes = [one.code, other.code];
    assert!(codes.contains(&Some(0)) && codes.contains(&Some(1)), "{one:?} {other:?}");
}
