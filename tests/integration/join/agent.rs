//! The agent itself, with `--join-token-file`.

use std::os::unix::fs::PermissionsExt;

use harness::{link::Link, process::says};

use super::*;

const FROM_SECRETS: [&str; 3] = ["--tls-client-cert=", "--tls-client-key=", "--root-ca-path="];

#[tokio::test]
async fn an_agent_joins_by_itself_and_needs_the_token_no_more() {
    let rig = Rig::start(&[]).await;
    let token = rig.token_file(&rig.token().await);
    // Where the principal is, the token says.
    let flags = [&FROM_SECRETS[..], &["--server-address=", &token]].concat();
    let mut agent = rig.agent(&flags).await;
    let answer = rig.ask().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let key = rig.agents_key().await;
    agent.process.kill().await;

    // The token is used up, and what it brought is there.
    let mut agent = rig.agent(&flags).await;
    agent
        .process
        .logged("it has a certificate", |line| says(line, "there is a certificate, the join token is not needed"))
        .await;
    assert_eq!(rig.agents_key().await, key);
    assert_eq!(rig.counted("certificates", "join").await, 1.0);
    agent.process.kill().await;
    // Without it, too.
    let _agent = rig.agent(&FROM_SECRETS).await;

    // And nobody else has a use for it.
    let other = Operator::between(cluster(), cluster(), rig.operator.principal.clone(), namespace("join-other").await);
    let namespace = format!("--namespace={}", other.agent);
    let mut second = rig.agent_process(&[&flags[..], &[&namespace]].concat());
    assert_eq!(second.end().await.code(), Some(1));
    let line = second.stderr();
    let line = line.lines().last().unwrap_or_default();
    assert!(
        line.starts_with("argocd-agent: cannot start: cannot join: cannot join as agent edge at 127.0.0.1:")
            && line.contains("the principal says no: the join token is not known, was used, or is over"),
        "{line}"
    );
    assert_eq!(rig.counted("refused", "reason=\"token\"").await, 1.0);
}

#[tokio::test]
async fn an_agent_with_files_keeps_what_it_gets_there() {
    let rig = Rig::start(&[]).await;
    let token = rig.token_file(&rig.token().await);
    let folder = rig.site.folder();
    let [certificate, key, ca] = ["joined.crt", "joined.key", "joined-ca.crt"].map(|name| folder.join(name));
    let flags = [
        token,
        format!("--tls-client-cert={}", certificate.display()),
        format!("--tls-client-key={}", key.display()),
        format!("--root-ca-path={}", ca.display()),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let _agent = rig.agent(&flags).await;
    assert_eq!(rig.ask().await.status, 200);
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!is_anywhere_in(cluster(), &std::fs::read_to_string(&key).unwrap()).await);
}

#[tokio::test]
async fn while_the_control_planes_api_server_is_away_a_join_waits_and_uses_nothing_up() {
    let operator = Operator::new().await;
    let server = cluster().api_server_url().trim_start_matches("https://").parse().unwrap();
    let link = Link::to(server).await;
    let kubeconfig = cluster().admin_kubeconfig_yaml().replace(&server.to_string(), &link.address.to_string());
    let kubeconfig = format!("--kubeconfig={}", operator.write("through-the-link", &kubeconfig).display());
    let rig = Rig::between(operator, &[&kubeconfig]).await;
    let token = rig.token_file(&rig.token().await);
    link.stall();
    let mut agent = rig.agent_process(&[&FROM_SECRETS[..], &[&token]].concat());
    agent.logged("it waits", |line| says(line, "cannot join yet")).await;
    assert!(rig.counted("refused", "reason=\"control_plane\"").await >= 1.0);
    assert_eq!(rig.tokens().await.len(), 1);
    link.cut();
    link.resume();
    agent.logged("it joins", |line| says(line, "joined")).await;
    agent.logged("it is attached", |line| says(line, "attached to the principal")).await;
    eventually("the token is used up", async || rig.tokens().await.is_empty().then_some(())).await;
}

#[tokio::test]
async fn what_cannot_be_kept_is_found_out_before_the_token_is_used() {
    let rig = Rig::start(&[]).await;
    let token = rig.token_file(&rig.token().await);
    // May read Secrets, as an agent that was never meant to join.
    let user = format!("agent-of-{}", rig.operator.agent);
    let words = ["create", "role", "agent", "--verb=list,watch", "--resource=secrets", "-n", &rig.operator.agent];
    cluster().kubectl().run(words).await.unwrap();
    let user_flag = format!("--user={user}");
    let words = ["create", "rolebinding", "agent", "--role=agent", &user_flag, "-n", &rig.operator.agent];
    cluster().kubectl().run(words).await.unwrap();
    let kubeconfig = rig.operator.write("agents", &cluster().kubeconfig_yaml_for(&user, None).unwrap());
    let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
    let mut agent = rig.agent_process(&[&FROM_SECRETS[..], &[&token, &kubeconfig]].concat());
    assert_eq!(agent.end().await.code(), Some(1));
    let line = agent.stderr();
    let line = line.lines().last().unwrap_or_default();
    let object = format!("Secret {}/argocd-agent-ca", rig.operator.agent);
    assert!(
        line.contains(&format!(
            "cannot keep what comes of a join: cannot create {object} (let the agent's ServiceAccount create Secrets in \
             its namespace)"
        )),
        "{line}"
    );
    assert_eq!(rig.tokens().await.len(), 1);
}
