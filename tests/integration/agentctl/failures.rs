//! What goes wrong is told in one line that names the object and the cure, and nothing is half-written.

use harness::{cluster::cluster, process::port};
use serde_json::{Value, json};

use super::{FAST, Operator};

#[tokio::test]
async fn what_cannot_be_asked_is_told_with_a_way_out() {
    let operator = Operator::new().await;
    let p = operator.principal.clone();
    let refused = async |line: &str| operator.bare(line, "").await.refusal(line, 1);
    let none = refused("--principal-context=none pki inspect").await;
    assert!(none.contains("no context \"none\"") && none.contains("give --principal-context"), "{none}");
    let none = refused("--principal-namespace=none-such pki init --key-algorithm=ed25519").await;
    assert_eq!(
        none,
        "cannot create Secret none-such/argocd-agent-ca: there is no namespace none-such: create it, or give \
         --principal-namespace or --principal-context"
    );

    let kubeconfig = |server: &str, user: Value| {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{"name": "x", "cluster": {"server": server, "insecure-skip-tls-verify": true}}],
            "users": [{"name": "x", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        })
        .to_string()
    };
    operator.write("kubeconfig", &kubeconfig(&format!("https://127.0.0.1:{}", port()), json!({})));
    let gone = refused("agent list").await;
    assert!(gone.contains("cannot list Secrets in namespace argocd: https://127.0.0.1:"), "{gone}");
    assert!(gone.contains("refused") && gone.contains("see that `kubectl` reaches it"), "{gone}");

    let server = cluster().api_server_url();
    operator.write("kubeconfig", &kubeconfig(server, json!({"token": "unknown"})));
    let unknown = refused("agent list").await;
    assert!(unknown.contains("does not know who asks: log in again"), "{unknown}");

    let nobody = cluster().client_cert("nobody", None).unwrap();
    let encode = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let user = json!({
        "client-certificate-data": encode(&nobody.cert_pem), "client-key-data": encode(&nobody.key_pem)
    });
    operator.write("kubeconfig", &kubeconfig(server, user));
    let forbidden = refused(&format!("--principal-namespace={p} agent list")).await;
    let expected = format!("not allowed: have `list` on secrets in namespace {p} granted");
    assert!(forbidden.contains(&expected), "{forbidden}");
    operator.write("kubeconfig", "hidden:\n- - credential\n\t}\n");
    let garbage = refused("agent list").await;
    assert!(garbage.contains("set KUBECONFIG") && !garbage.contains("credential"), "{garbage}");
    operator.write("kubeconfig", "");
    let empty = refused("agent list").await;
    assert!(empty.contains("no current context") || empty.contains("kubeconfig"), "{empty}");
}

#[tokio::test]
async fn secrets_that_cannot_be_used_are_named_with_their_key() {
    let operator = Operator::new().await;
    let p = operator.principal.clone();
    operator.kubectl("create secret generic argocd-agent-ca --from-literal=ca.crt=x").await;
    let refused = operator.fails(&format!("pki issue principal {FAST}"), 1).await;
    assert_eq!(
        refused,
        format!(
            "CA cannot be used: mend Secret {p}/argocd-agent-ca, or make a new one with `pki init --force`: Secret \
             {p}/argocd-agent-ca has no key tls.crt, but ca.crt"
        )
    );
    operator.kubectl("delete secret argocd-agent-ca").await;

    // Certificate and key of two authorities.
    let (one, other) = (harness::pki::Ca::new(), harness::pki::Ca::new());
    let (crt, _) = one.client("a").write(operator.folder(), "one");
    let (_, key) = other.client("a").write(operator.folder(), "other");
    let create = format!(
        "create secret generic argocd-agent-ca --from-file=tls.crt={} --from-file=tls.key={}",
        crt.display(),
        key.display()
    );
    operator.kubectl(&create).await;
    let refused = operator.fails(&format!("agent create a {FAST}"), 1).await;
    let words = format!("the private key in key tls.key of Secret {p}/argocd-agent-ca does not belong to the first");
    assert!(refused.contains(&words), "{refused}");
    operator.kubectl("delete secret argocd-agent-ca").await;

    // An expired certificate, not one of a CA.
    let (crt, key) = one.expired_client("a").write(operator.folder(), "expired");
    operator
        .kubectl(&format!("create secret tls argocd-agent-ca --cert={} --key={}", crt.display(), key.display()))
        .await;
    let refused = operator.fails(&format!("agent create a {FAST}"), 1).await;
    assert!(refused.contains("is not one of a CA"), "{refused}");

    operator.kubectl("create secret generic cluster-a --from-literal=name=a --from-literal=config=[]").await;
    let refused = operator.fails("agent inspect a", 1).await;
    assert_eq!(refused, format!("key config of Secret {p}/cluster-a is no JSON object"));
    let refused = operator.fails("agent delete a -f", 1).await;
    assert!(refused.contains("is of no agent and is left as it is"), "{refused}");
}

#[tokio::test]
async fn a_command_line_that_cannot_be_taken_is_exit_code_2_and_writes_nothing() {
    let operator = Operator::new().await;
    operator.ok(&format!("pki init {FAST}")).await;
    operator.ok(&format!("agent create a {FAST}")).await;
    let before = operator.kubectl("get secrets,configmaps -o yaml").await;
    let label = "must be a DNS-1123 label: up to 63 characters of a-z, 0-9 and -, not - at its ends";
    let fingerprint = "must be the SHA-256 of a certificate: 64 hexadecimal digits, with or without colons";
    for (line, expected) in [
        ("agent create Not_A", format!("<AGENT>: \"Not_A\" is not allowed: {label}")),
        ("agent create a.b", format!("<AGENT>: \"a.b\" is not allowed: {label}")),
        ("pki issue agent -u A", format!("<AGENT>: \"A\" is not allowed: {label}")),
        ("agent delete -f a_b", format!("<AGENT>: \"a_b\" is not allowed: {label}")),
        ("blocklist tls add nonsense", format!("<FINGERPRINT>: \"nonsense\" is not allowed: {fingerprint}")),
        ("blocklist tls remove abcd", format!("<FINGERPRINT>: \"abcd\" is not allowed: {fingerprint}")),
        ("pki init -f --days=0", "--days: \"0\" is not allowed: must be a whole number from 1 to 36500".into()),
        (
            "agent reconfigure a --resource-proxy-server=http://x",
            "--resource-proxy-server: \"http://x\" is no address: must be <host>:<port>".into(),
        ),
    ] {
        assert_eq!(operator.fails(line, 2).await, expected, "{line}");
    }
    assert_eq!(operator.kubectl("get secrets,configmaps -o yaml").await, before);
}

#[tokio::test]
async fn a_secret_of_another_type_is_not_half_made_into_one_of_ours() {
    let operator = Operator::new().await;
    let p = operator.principal.clone();
    operator.ok(&format!("pki init {FAST}")).await;
    let of_type = |name: &str, kind: &str, key: &str| {
        format!("create secret generic {name} --type={kind} --from-literal={key}={{}}")
    };
    operator
        .kubectl(&of_type("argocd-agent-principal-tls", "kubernetes.io/dockerconfigjson", ".dockerconfigjson"))
        .await;
    let refused = operator.fails(&format!("pki issue principal --upsert {FAST}"), 1).await;
    assert!(refused.starts_with(&format!("cannot update Secret {p}/argocd-agent-principal-tls: ")), "{refused}");
    let secret = operator.principal_object("secret", "argocd-agent-principal-tls").await;
    assert_eq!(secret["data"].as_object().unwrap().keys().collect::<Vec<_>>(), [".dockerconfigjson"]);
    let said = operator.run("validate principal").await;
    let expected = format!(
        "* Principal TLS certificate: ❌ issue it again with `pki issue principal`: Secret {p}/argocd-agent-principal-tls has \
         no key tls.crt, but .dockerconfigjson"
    );
    assert!(said.stdout.lines().any(|line| line == expected), "{}", said.stdout);
}

#[tokio::test]
async fn validate_finds_what_is_wrong_and_says_what_to_do() {
    let operator = Operator::new().await;
    let p = operator.principal.clone();
    let said = operator.run("validate principal").await;
    assert_eq!(said.code, Some(1));
    let expected = format!("* CA: ❌ Secret {p}/argocd-agent-ca does not exist: `pki init`\n");
    assert!(said.stdout.starts_with(&expected), "{said:?}");
    for line in [
        "pki init",
        "pki issue principal",
        "pki issue resource-proxy --dns=argocd-agent-resource-proxy",
        "pki issue agent a",
        "agent create a",
    ] {
        operator.ok(&format!("{line} {FAST}")).await;
    }
    operator.ok("jwt create-key").await;
    for (side, lines) in [("principal", 9), ("agent", 8)] {
        let said = operator.ok(&format!("validate {side}")).await;
        assert!(said.lines().count() == lines && said.lines().all(|line| line.contains(": ✅")), "{said}");
    }
    let doctor = operator.ok("doctor a").await;
    assert!(doctor.lines().count() > 8 && doctor.lines().all(|line| line.ends_with(": ✅")), "{doctor}");

    // What ends within two weeks still counts, and is told.
    operator.ok(&format!("pki issue principal -u --days=5 {FAST}")).await;
    for line in ["validate principal", "doctor a"] {
        let said = operator.ok(line).await;
        assert!(said.contains("* Principal TLS certificate: ✅ (expires in "), "{said}");
    }
    let shown = operator.json("pki inspect").await;
    assert!(shown["principal"]["warnings"][0].as_str().unwrap().starts_with("expires in "), "{shown}");

    // Each fault is found, and the doctor stops at it.
    let broken = async |expected: &str| {
        let said = operator.run("doctor a").await;
        assert_eq!(said.code, Some(1));
        let last = said.stdout.lines().last().unwrap().to_owned();
        assert!(last.contains("❌") && last.contains(expected), "{expected}: {}", said.stdout);
        assert_eq!(said.stdout.matches('❌').count(), 1);
    };
    let fingerprint = operator.json("agent inspect a").await["fingerprint"].as_str().unwrap().to_owned();
    operator.ok(&format!("blocklist tls add {fingerprint}")).await;
    broken("is on the blocklist: `agent rotate a`").await;
    operator.ok(&format!("agent rotate a {FAST}")).await;
    operator.ok("agent reconfigure a --resource-proxy-server=other.example:9090").await;
    broken("callers know it as other.example").await;
    operator.ok(&format!("pki issue resource-proxy -u --dns=other.example {FAST}")).await;
    operator.ok(&format!("pki init --force {FAST}")).await;
    broken("is not signed by the principal's CA: issue it again with `pki issue principal --upsert`").await;
    operator.ok(&format!("pki issue principal -u {FAST}")).await;
    operator.ok(&format!("pki issue resource-proxy -u --dns=other.example {FAST}")).await;
    broken("is signed by no authority").await;
    operator.ok(&format!("agent rotate a {FAST}")).await;
    broken("does not hold the principal's CA").await;
    operator.ok("pki propagate -f").await;
    broken("`pki issue agent <agent> --upsert`").await;
    operator.ok(&format!("pki issue agent other -u {FAST}")).await;
    broken("is of agent other: `pki issue agent a --upsert`").await;
    operator.ok(&format!("pki issue agent a -u {FAST}")).await;
    operator.ok("doctor a").await;
}
