//! The real programs, by their flags, as a user who may do only so much.

use harness::{faulty, process, site::Site};

use super::*;

#[tokio::test]
async fn a_permission_that_is_missing_is_one_line_and_once_it_is_there_all_is_made_good() {
    let control = Control::new("register-rbac").await;
    let (site, namespace) = (Site::new(), &control.namespace);
    set_certificate(namespace, &site.ca.client("argo-cd"), &site.ca.pem()).await;
    let user = format!("principal-of-{namespace}");
    grant(namespace, "follow", "list,watch", "secrets,configmaps", &user).await;
    let file = kubeconfig(&user, site.folder());
    let mut principal = site
        .principal(&[
            &format!("--kubeconfig={}", file.display()),
            &format!("--namespace={namespace}"),
            "--enable-self-cluster-registration",
            &format!("--self-registration-client-cert-secret={SHARED}"),
            "--resource-proxy-address=the-door:9090",
            "--self-registration-allowed-labels=tier",
        ])
        .await;
    let server = faulty::Faulty::on_demand().await;
    let api = server.kubeconfig(site.folder());
    let labels = "--cluster-label=tier=prod,team=a";
    let _agents = (
        site.agent("edge", principal.grpc, &api, &[labels]).await,
        site.agent("other", principal.grpc, &api, &[]).await,
    );
    let told =
        |line: &Value| line["message"] == "the agent's cluster cannot be registered, trying again; the agent is served";
    let line = principal.process.logged("that it cannot", told).await;
    let error = line["error"].as_str().unwrap();
    assert!(error.starts_with(&format!("cannot get Secret {namespace}/cluster-")), "{line}");
    assert!(error.contains("cannot get resource \"secrets\""), "{line}");
    let cure = format!(
        "allow the principal's ServiceAccount get, create and update on secrets in namespace {namespace}: get is missing"
    );
    assert_eq!((&line["cure"], &line["level"]), (&json!(cure), &json!("WARN")));
    // The agents are served meanwhile.
    let caller = Caller::new(site.ca.pem(), Some(site.ca.client("edge")));
    assert_eq!(caller.ask(principal.door, get(POD)).await.status, 200);
    let failures = async || metric(principal.metrics, "argocd_agent_registration_failures_total", "forbidden").await;
    eventually("it is tried again", async || (failures().await >= 4.0).then_some(())).await;
    assert_eq!(principal.process.log().iter().filter(|line| told(line)).count(), 1, "told once");

    grant(namespace, "write", "get,create,update", "secrets", &user).await;
    for agent in ["edge", "other"] {
        let cluster = eventually("the Secret", async || find(namespace, agent).await).await;
        assert_eq!(cluster.server, format!("https://the-door:9090?agentName={agent}"));
        eventually("a request by it", async || {
            let answer = cluster.caller().ask(principal.door, request(cluster.token())).await;
            (answer.status == 200).then_some(())
        })
        .await;
        assert_eq!(cluster.label("tier"), (agent == "edge").then_some("prod"));
        assert_eq!(cluster.label("team"), None);
    }
    let refused = |line: &Value| line["message"].as_str().is_some_and(|text| text.starts_with("labels that the agent"));
    let line = principal.process.logged("that a label is not set", refused).await;
    assert!(line["refused"].as_str().is_some_and(|text| text.contains("team")), "{line}");
    // No token and no key of anybody's is in the log.
    let log = principal.process.stdout() + &principal.process.stderr();
    assert!(!log.contains("eyJ") && !log.contains("PRIVATE KEY") && !log.contains("LS0tLS1"));
}

#[tokio::test]
async fn what_is_not_given_or_does_not_fit_is_a_mistake_of_usage() {
    let site = Site::new();
    let api = format!("--kubeconfig={}", site.folder().join("none").display());
    let on = "--enable-self-cluster-registration";
    for (flags, line) in [
        (
            &[on, &*api][..],
            "--self-registration-client-cert-secret is not given: must be the name of a Secret with tls.crt, tls.key and \
             ca.crt, beside --enable-self-cluster-registration",
        ),
        (
            &[on, &*api, "--self-registration-client-cert-secret=s", "--enable-resource-proxy=false"],
            "--enable-self-cluster-registration: \"true\" is not allowed: must not be given with \
             --enable-resource-proxy=false: clusters are registered by its address",
        ),
    ] {
        let args = site.principal_args(process::port(), process::port(), flags);
        let output = process::run(args, &[]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(line), "{said}");
    }
}

async fn grant(namespace: &str, role: &str, verbs: &str, resources: &str, user: &str) {
    let kubectl = async |words: &[&str]| {
        let words: Vec<_> = ["-n", namespace, "create"].iter().chain(words).map(ToString::to_string).collect();
        cluster().kubectl().run(words).await.unwrap();
    };
    let (verbs, resources) = (format!("--verb={verbs}"), format!("--resource={resources}"));
    kubectl(&["role", role, &verbs, &resources]).await;
    kubectl(&["rolebinding", role, &format!("--role={role}"), &format!("--user={user}")]).await;
}
