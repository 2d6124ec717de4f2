//! The key that tokens are signed with.

use serde_json::json;

use super::{Operator, data};

#[tokio::test]
async fn the_key_is_made_shown_replaced_and_deleted() {
    let operator = Operator::new().await;
    let p = operator.principal.clone();
    let refused = operator.fails("jwt inspect-key", 1).await;
    assert_eq!(refused, format!("Secret {p}/argocd-agent-jwt does not exist: make it with `jwt create-key`"));
    let said = operator.ok("jwt create-key").await;
    assert_eq!(said, format!("Success. JWT signing key created and stored in secret {p}/argocd-agent-jwt\n"));
    let secret = operator.principal_object("secret", "argocd-agent-jwt").await;
    assert_eq!(secret["type"], "Opaque");
    assert!(data(&secret, "jwt.key").starts_with("-----BEGIN PRIVATE KEY-----"));
    let shown = operator.json("jwt inspect-key").await;
    assert_eq!((&shown["keyType"], &shown["keyLength"]), (&json!("RSA"), &json!(4096)));
    assert_eq!(shown["sha256"].as_str().unwrap().len(), 64);
    assert!(shown["created"].as_str().unwrap().ends_with("+0000"), "{shown}");
    let refused = operator.fails("jwt create-key", 1).await;
    assert_eq!(refused, format!("JWT secret {p}/argocd-agent-jwt already exists. Use --upsert to recreate it."));
    let side = format!("--principal-context=control --principal-namespace={p}");
    let said = operator.bare(&format!("{side} jwt delete-key"), "n\n").await;
    assert_eq!(said.stdout, "Aborted.\n");
    let said = operator.ok("jwt delete-key -f").await;
    assert_eq!(said, format!("JWT signing key secret {p}/argocd-agent-jwt deleted successfully.\n"));
    let said = operator.ok("jwt delete-key").await;
    assert_eq!(said, format!("JWT secret {p}/argocd-agent-jwt does not exist.\n"));
}
