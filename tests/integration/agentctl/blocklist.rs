//! The blocklist: one spelling, and no entry lost to another writer.

use serde_json::json;

use super::Operator;

#[tokio::test]
async fn a_certificate_is_kept_out_and_let_in_again_however_it_is_spelled() {
    let operator = Operator::new().await;
    assert_eq!(operator.ok("blocklist tls list").await, "No entries in the blocklist.\n");
    let upper = "AB".repeat(32);
    let colons = vec!["ab"; 32].join(":");
    assert_eq!(operator.ok(&format!("blocklist tls remove {upper}")).await, "Fingerprint not found in blocklist.\n");
    assert_eq!(operator.ok(&format!("blocklist tls add {colons}")).await, format!("Added to blocklist: {upper}\n"));
    let again = operator.ok(&format!("blocklist tls add {}", upper.to_lowercase())).await;
    assert_eq!(again, "Fingerprint already in blocklist.\n");
    let list = operator.principal_object("configmap", "argocd-agent-tls-blocklist").await;
    assert_eq!(list["data"], json!({upper.as_str(): ""}));
    assert_eq!(operator.ok("blocklist tls list").await, format!("FINGERPRINT\n{upper}\n"));
    let said = operator.ok(&format!("blocklist tls remove {colons}")).await;
    assert_eq!(said, format!("Removed from blocklist: {upper}\n"));
    assert_eq!(operator.ok("blocklist tls list").await, "No entries in the blocklist.\n");
}

#[tokio::test]
async fn an_entry_that_upstream_stored_as_it_was_typed_is_mended() {
    let operator = Operator::new().await;
    let (upper, lower) = ("CD".repeat(32), "cd".repeat(32));
    let create =
        format!("create configmap argocd-agent-tls-blocklist --from-literal={lower}= --from-literal=nonsense=");
    operator.kubectl(&create).await;
    let listed = operator.ok("blocklist tls list").await;
    assert!(listed.contains("\"nonsense\" is no fingerprint and keeps nobody out"), "{listed}");
    assert!(listed.contains(&format!("{lower:?} keeps nobody out as it is spelled")), "{listed}");
    operator.ok(&format!("blocklist tls add {lower}")).await;
    let list = operator.principal_object("configmap", "argocd-agent-tls-blocklist").await;
    assert_eq!(list["data"], json!({upper.as_str(): "", "nonsense": ""}));
}

#[tokio::test]
async fn of_many_who_write_at_once_every_entry_is_there() {
    let operator = Operator::new().await;
    let lines: Vec<String> = (0..12).map(|n| format!("blocklist tls add {n:064x}")).collect();
    let adds = lines.iter().map(|line| operator.ok(line));
    futures_util::future::join_all(adds).await;
    let listed = operator.json("blocklist tls list").await;
    assert_eq!(listed["fingerprints"].as_array().unwrap().len(), lines.len());
}
