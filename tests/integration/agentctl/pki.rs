//! Authority and certificates: their Secrets are upstream's, and nothing that is there is lost unasked.

use serde_json::json;

use super::{FAST, Operator, data};

#[tokio::test]
async fn authority_and_certificates_are_stored_where_both_processes_look() {
    let operator = Operator::new().await;
    let (p, a) = (operator.principal.clone(), operator.agent.clone());
    let said = operator.ok(&format!("pki init {FAST}")).await;
    assert_eq!(said, format!("Success. CA data stored in secret {p}/argocd-agent-ca\n"));
    let said = operator.ok(&format!("pki issue principal {FAST} --dns=principal.example --ip=10.1.2.3")).await;
    assert_eq!(said, format!("Secret {p}/argocd-agent-principal-tls created\n"));
    let said = operator.ok(&format!("pki issue resource-proxy {FAST} --dns=door")).await;
    assert_eq!(said, format!("Secret {p}/argocd-agent-resource-proxy-tls created\n"));
    let said = operator.ok(&format!("pki issue agent agent-1 {FAST}")).await;
    assert_eq!(said, format!("Secret {a}/argocd-agent-client-tls created\nSecret {a}/argocd-agent-ca created\n"));

    for name in ["argocd-agent-ca", "argocd-agent-principal-tls", "argocd-agent-resource-proxy-tls"] {
        let secret = operator.principal_object("secret", name).await;
        assert_eq!(secret["type"], "kubernetes.io/tls", "{name}");
        let keys: Vec<_> = secret["data"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["tls.crt", "tls.key"], "{name}");
        assert_eq!((&secret["metadata"]["labels"], &secret["metadata"]["annotations"]), (&json!(null), &json!(null)));
        assert!(data(&secret, "tls.key").starts_with("-----BEGIN PRIVATE KEY-----"), "{name}");
    }
    let client = operator.agent_object("secret", "argocd-agent-client-tls").await;
    assert_eq!(client["type"], "kubernetes.io/tls");
    let ca = operator.agent_object("secret", "argocd-agent-ca").await;
    assert_eq!(ca["type"], "Opaque");
    assert_eq!(ca["data"].as_object().unwrap().len(), 1);
    let own = operator.principal_object("secret", "argocd-agent-ca").await;
    assert_eq!(data(&ca, "ca.crt"), data(&own, "tls.crt"));

    let shown = operator.json("pki inspect").await;
    assert_eq!(shown["ca"]["subject"], "CN=argocd-agent-ca,O=DO NOT USE IN PRODUCTION");
    assert_eq!(shown["principal"]["subject"], "CN=argocd-agent-principal");
    assert_eq!(shown["principal"]["names"], json!(["principal.example", "10.1.2.3"]));
    assert_eq!(shown["resourceProxy"]["keyType"], "ECDSA");
    assert_eq!(shown["ca"]["warnings"], json!(null));
    let text = operator.ok("pki inspect -o text").await;
    assert!(text.contains("Resource proxy\nSubject:") && !text.contains('\u{1b}'), "{text}");
    let yaml = operator.ok("pki inspect -o yaml").await;
    assert!(yaml.starts_with("ca:\n"), "{yaml}");
    assert_eq!(operator.ok("pki dump --cert").await, data(&own, "tls.crt"));
    assert_eq!(operator.ok("pki dump --all").await, data(&own, "tls.crt") + &data(&own, "tls.key"));
}

#[tokio::test]
async fn what_is_there_is_replaced_only_when_asked_for() {
    let operator = Operator::new().await;
    let (p, a) = (operator.principal.clone(), operator.agent.clone());
    let refused = operator.fails(&format!("pki issue principal {FAST}"), 1).await;
    assert_eq!(
        refused,
        format!("CA is not initialized: Secret {p}/argocd-agent-ca does not exist: make it with `pki init`")
    );
    for line in ["pki init", "pki issue principal", "pki issue agent a"] {
        operator.ok(&format!("{line} {FAST}")).await;
    }
    let before = operator.principal_object("secret", "argocd-agent-principal-tls").await;
    let refused = operator.fails(&format!("pki issue principal {FAST}"), 1).await;
    let words = "please use --upsert to reissue.";
    assert_eq!(refused, format!("Certificate exists in secret {p}/argocd-agent-principal-tls, {words}"));
    let refused = operator.fails(&format!("pki issue agent a {FAST}"), 1).await;
    assert_eq!(refused, format!("Certificate exists in secret {a}/argocd-agent-client-tls, {words}"));
    let refused = operator.fails(&format!("pki init {FAST}"), 1).await;
    assert_eq!(refused, format!("CA secret {p}/argocd-agent-ca already exists: keep it, or replace it with --force"));
    assert_eq!(operator.principal_object("secret", "argocd-agent-principal-tls").await, before);

    // What others wrote into its metadata stays.
    operator.kubectl("label secret argocd-agent-principal-tls team=a").await;
    let said = operator.ok(&format!("pki issue principal -u {FAST}")).await;
    assert_eq!(said, format!("Secret {p}/argocd-agent-principal-tls updated.\n"));
    let after = operator.principal_object("secret", "argocd-agent-principal-tls").await;
    assert_ne!(after["data"], before["data"]);
    assert_eq!(after["metadata"]["labels"]["team"], "a");

    operator.ok(&format!("pki init --force {FAST}")).await;
    let refused = operator.fails("pki propagate", 1).await;
    let words = "already exists with another CA: replace it with --force";
    assert_eq!(refused, format!("Secret {a}/argocd-agent-ca {words}"));
    let said = operator.ok("pki propagate -f").await;
    assert_eq!(said, format!("Agent CA secret {a}/argocd-agent-ca updated\n"));
    let said = operator.ok("pki propagate").await;
    assert_eq!(said, format!("Agent CA secret {a}/argocd-agent-ca is up to date\n"));
}

#[tokio::test]
async fn an_agent_beside_the_principal_does_not_cost_the_authority_its_key() {
    let operator = Operator::new().await;
    let p = operator.principal.clone();
    operator.ok(&format!("pki init {FAST}")).await;
    let before = operator.principal_object("secret", "argocd-agent-ca").await;
    let same = format!("--agent-context=control --agent-namespace={p}");
    for line in ["pki propagate -f".to_owned(), format!("pki issue agent a -u {FAST}")] {
        let refused = operator.fails(&format!("{same} {line}"), 1).await;
        assert!(refused.contains("give --agent-context or --agent-namespace"), "{refused}");
    }
    let said = operator.ok(&format!("{same} pki issue agent a --same-context {FAST}")).await;
    assert_eq!(
        said,
        format!(
            "Secret {p}/argocd-agent-client-tls created\n\
             Secret {p}/argocd-agent-ca holds the CA itself and is left as it is\n"
        )
    );
    assert_eq!(operator.principal_object("secret", "argocd-agent-ca").await, before);
}

#[tokio::test]
async fn the_authority_is_deleted_by_an_uppercase_yes() {
    let operator = Operator::new().await;
    let side = format!("--principal-context=control --principal-namespace={}", operator.principal);
    operator.ok(&format!("pki init {FAST}")).await;
    for answer in ["", "yes\n", "no\n"] {
        let said = operator.bare(&format!("{side} pki delete"), answer).await;
        assert_eq!((said.code, said.stdout.as_str()), (Some(1), "Aborted.\n"), "{answer:?}");
    }
    let said = operator.bare(&format!("{side} pki delete"), "YES\n").await;
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "CA successfully deleted.\n"));
    let refused = operator.fails("pki inspect", 1).await;
    assert!(refused.starts_with("CA not configured"), "{refused}");
}

#[tokio::test]
async fn a_default_key_is_rsa_and_a_door_without_names_must_be_wanted() {
    let operator = Operator::new().await;
    operator.ok("pki init --key-size=2048").await;
    let shown = operator.json("pki inspect").await;
    assert_eq!((&shown["ca"]["keyType"], &shown["ca"]["keyLength"]), (&json!("RSA"), &json!(2048)));
    let refused = operator.fails(&format!("pki issue resource-proxy {FAST}"), 2).await;
    assert_eq!(refused, "give --dns or --ip, as callers dial the door, or --no-san alone");
    operator.ok(&format!("pki issue resource-proxy --no-san {FAST}")).await;
    let refused = operator.fails("pki dump", 2).await;
    assert_eq!(refused, "One of --all, --key or --cert must be specified.");
    let refused = operator.fails("pki init --force --key-size=2048 --key-algorithm=ed25519", 2).await;
    assert!(refused.starts_with("--key-size is for"), "{refused}");
}

#[tokio::test]
async fn one_authority_follows_another_without_a_gap() {
    let operator = Operator::new().await;
    let (p, a) = (operator.principal.clone(), operator.agent.clone());
    let issue = async |more: &str| {
        for line in ["pki issue principal", "pki issue resource-proxy --dns=argocd-agent-resource-proxy"] {
            operator.ok(&format!("{line} {FAST} {more}")).await;
        }
    };
    let holds = async || {
        for line in ["validate agent", "doctor a"] {
            operator.ok(line).await;
        }
    };
    operator.ok(&format!("pki init {FAST}")).await;
    issue("").await;
    operator.ok(&format!("pki issue agent a {FAST}")).await;
    operator.ok(&format!("agent create a {FAST}")).await;
    assert_eq!(operator.ok("pki drop-old").await, "There is no old CA.\n");

    let said = operator.ok(&format!("pki init --force --keep-old {FAST}")).await;
    assert_eq!(said.lines().count(), 2, "{said}");
    operator.ok("pki propagate -f").await;
    assert_eq!(operator.json("pki inspect").await["ca"]["certificates"], 2);
    // Certificates of the old one count, and those of the new one.
    holds().await;
    operator.ok(&format!("pki issue agent a -u {FAST}")).await;
    holds().await;
    let refused = operator.fails("pki drop-old", 1).await;
    assert_eq!(
        refused,
        format!(
            "certificates of an old CA are in use: issue them again first (Secret {p}/argocd-agent-principal-tls, Secret \
             {p}/argocd-agent-resource-proxy-tls, Secret {p}/cluster-a), or give --force"
        )
    );
    issue("-u").await;
    operator.ok(&format!("agent rotate a {FAST}")).await;
    let said = operator.ok("pki drop-old").await;
    let words = "propagate the CA to every agent again";
    assert_eq!(said, format!("Old CAs dropped from secret {p}/argocd-agent-ca: {words}\n"));
    operator.ok("pki propagate -f").await;
    let ca = operator.agent_object("secret", "argocd-agent-ca").await;
    assert_eq!(data(&ca, "ca.crt").matches("BEGIN").count(), 1, "{a}");
    holds().await;
    let refused = operator.fails("pki init --keep-old", 2).await;
    assert!(refused.contains("--force"), "{refused}");
}
