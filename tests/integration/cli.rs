//! The command line, as the process meets it: what is read, what is refused, in which words and with which exit code.

use std::process::Output;

use harness::{
    faulty::{AGENT, Faulty},
    process::{self, Process, port, says},
    raw::{Caller, get, page},
    site::Site,
};
use serde_json::Value;

#[tokio::test]
async fn what_cannot_be_taken_is_told_in_one_line_with_flag_value_and_what_is_allowed() {
    let no_env: &[(&str, &str)] = &[];
    for (args, env, line) in [
        (
            &["principal", "--listen-port=70000"][..],
            no_env,
            r#"--listen-port: "70000" is not allowed: must be a whole number from 0 to 65535"#,
        ),
        (
            &["principal"],
            &[("ARGOCD_PRINCIPAL_LISTEN_PORT", "x")],
            r#"--listen-port: "x" is not allowed: must be a whole number from 0 to 65535 (set by ARGOCD_PRINCIPAL_LISTEN_PORT)"#,
        ),
        (
            &["principal", "--enable-resource-proxy=maybe"],
            no_env,
            r#"--enable-resource-proxy: "maybe" is not allowed: must be true or false (or 1, 0, t, f)"#,
        ),
        (
            &["principal", "--log-format=xml"],
            no_env,
            r#"--log-format: "xml" is not allowed: must be one of text, json"#,
        ),
        (
            &["principal", "--resource-proxy-timeout=0"],
            no_env,
            r#"--resource-proxy-timeout: "0" is not allowed: must be a duration above 0, such as 300ms, 10s or 1h2m3.5s"#,
        ),
        (
            &["principal", "--namespace=a", "--auth=mtls:any"],
            no_env,
            r#"--auth: "mtls:any" is not allowed: must hold a regular expression with a group, which is the agent's name, such as CN=([^,]+)"#,
        ),
        (
            &["principal", "--namespace=a"],
            &[("ARGOCD_PRINCIPAL_AUTH", "userpass:")],
            r#"--auth: "userpass:" is not allowed: must hold a file after userpass:, with a line <name>:<bcrypt hash> for each agent (set by ARGOCD_PRINCIPAL_AUTH)"#,
        ),
        (
            &["principal", "--namespace=a", "--auth=header:x-agent:(.+)"],
            no_env,
            r#"--auth: "header:x-agent:(.+)" is not allowed: must be another method without --insecure-plaintext: whoever connects could set the header"#,
        ),
        (
            &["principal", "--namespace=a", "--auth=mtls:", "--insecure-plaintext"],
            no_env,
            r#"--auth: "mtls:" is not allowed: must be another method with --insecure-plaintext: without TLS there are no certificates"#,
        ),
        (
            &["principal", "--namespace=a", "--auth=userpass:/f", "--insecure-plaintext", "--require-client-certs"],
            no_env,
            r#"--require-client-certs: "true" is not allowed: must be false with --insecure-plaintext: without TLS there are no certificates"#,
        ),
        (
            &["agent", "--server-address=a", "--insecure-plaintext"],
            no_env,
            r#"--creds: "mtls:any" is not allowed: must be userpass:<file> or header: with --insecure-plaintext: without TLS there are no certificates"#,
        ),
        (&["principal", "--ha-enabled"], no_env, "--ha-enabled=true is not supported yet"),
        (
            &["principal", "--lisen-port=1"],
            no_env,
            "--lisen-port is no flag of this command: did you mean --listen-port?",
        ),
        (
            &["agent", "--agent-mode=other"],
            no_env,
            r#"--agent-mode: "other" is not allowed: must be one of managed, autonomous"#,
        ),
        (&["agent"], no_env, "--server-address is not given: must be the principal's host name or IP address"),
        (
            &["agent", "--server-address=https://a"],
            no_env,
            r#"--server-address: "https://a" is not allowed: must be a host name or an IP address; its port is --server-port"#,
        ),
        (
            &["agent", "--log-level=loud"],
            no_env,
            r#"--log-level: "loud" is not allowed: must be [component=]level with a level of trace, debug, info, warn, error"#,
        ),
        (&["agnet"], no_env, r#""agnet" is no command: did you mean agent?"#),
        (&["version", "-o", "xml"], no_env, r#"--output: "xml" is not allowed: must be one of text, json, yaml"#),
        (&["principal", "a\nb"], no_env, "`a\\nb` is not expected here: values of bools are given as --flag=false"),
    ] {
        let output = process::run(args, env).await;
        assert_eq!(stderr(&output), format!("argocd-agent: {line}\n"), "{args:?} {env:?}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_started_is_told_in_one_line_with_its_cause() {
    let site = Site::new();
    let missing = site.folder().join("missing").display().to_string();
    let empty = harness::pki::write(site.folder(), "empty", "").display().to_string();
    let other = site.ca.client("other").write(site.folder(), "other").1.display().to_string();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let (healthz, metrics) = (port(), port());
    let principal = |more: &str| site.principal_args(healthz, metrics, &[more]);
    let server = Faulty::on_demand().await;
    let kubeconfig = server.kubeconfig(site.folder());
    let ports = (healthz, metrics);
    let agent = |more: &str| site.agent_args(AGENT, taken, &kubeconfig, ports, &[more]);
    for (args, parts) in [
        (principal(&format!("--tls-cert={missing}")), [missing.as_str(), "No such file"]),
        (principal(&format!("--root-ca-path={empty}")), [&empty, "grpc"]),
        (principal(&format!("--resource-proxy-key-path={missing}")), [&missing, "kube"]),
        (principal(&format!("--tls-key={other}")), [&other, "grpc"]),
        (principal(&format!("--listen-port={}", taken.port())), ["cannot listen on 127.0.0.1", "in use"]),
        (principal(&format!("--resource-proxy-listen={taken}")), ["cannot listen on 127.0.0.1", "in use"]),
        (principal(&format!("--metrics-port={healthz}")), ["healthz", "in use"]),
        (principal("--listen-host=not.a.name.invalid"), ["not.a.name.invalid", "grpc"]),
        (agent(&format!("--tls-client-cert={missing}")), [&missing, "link"]),
        (agent(&format!("--root-ca-path={missing}")), [&missing, "link"]),
        (agent(&format!("--kubeconfig={missing}")), [&missing, "API server"]),
        (agent("--kubecontext=none"), ["none", "API server"]),
        (agent(&format!("--healthz-port={metrics}")), ["healthz", "in use"]),
    ] {
        let output = process::run(&args, &[]).await;
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("argocd-agent: cannot start: ") && said.lines().count() == 1, "{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{parts:?} in {said}");
    }
}

#[tokio::test]
async fn every_setting_may_come_from_the_environment() {
    let site = Site::new();
    let server = Faulty::on_demand().await;
    let as_env = |args: &[String], prefix: &str| {
        let args = args.iter().skip(1).map(|arg| arg.trim_start_matches("--").split_once('=').unwrap());
        args.map(|(flag, value)| (variable(prefix, flag), value.to_owned())).collect::<Vec<_>>()
    };
    let (healthz, metrics) = (port(), port());
    let env = as_env(&site.principal_args(healthz, metrics, &[]), "ARGOCD_PRINCIPAL");
    let mut principal = Process::start_with("principal", &["principal".into()], &env, site.folder());
    let started = principal.logged("a start", |line| says(line, "principal started")).await;
    let address = |field: &str| -> std::net::SocketAddr {
        let text = started[field].as_str().unwrap();
        text.trim_start_matches("Some(").trim_end_matches(')').parse().unwrap()
    };
    let ports = (port(), port());
    let kubeconfig = server.kubeconfig(site.folder());
    let args = site.agent_args(AGENT, address("grpc"), &kubeconfig, ports, &[]);
    // A kubeconfig has no variable.
    let (kept, args): (Vec<_>, Vec<_>) = args.into_iter().partition(|arg| arg.starts_with("--kubeconfig"));
    let env = as_env(&args, "ARGOCD_AGENT");
    let words = [vec!["agent".to_owned()], kept].concat();
    let mut agent = Process::start_with("agent", &words, &env, site.folder());
    agent.logged("the session", |line| says(line, "attached to the principal")).await;
    let caller = Caller::new(site.ca.pem(), Some(site.ca.client(AGENT)));
    assert_eq!(caller.ask(address("kube_door"), get("/version")).await.status, 200);
    let local = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(page(local(healthz), "/readyz").await.status, 200);
    assert_eq!(page(local(ports.1), "/metrics").await.status, 200);
}

#[tokio::test]
async fn flags_without_effect_are_taken_and_told_once() {
    let site = Site::new();
    let args = site.principal_args(port(), port(), &["--label-selector=a=b", "--event-processors=3"]);
    let mut principal = Process::start("principal", &args, site.folder());
    principal.logged("a start", |line| says(line, "principal started")).await;
    let log = principal.log();
    let told: Vec<_> =
        log.iter().filter(|line| says(line, "flags that are set have no effect in this version")).collect();
    assert_eq!(told.len(), 1, "{log:?}");
    assert_eq!(told[0]["flags"], "event-processors, label-selector");
    assert!(principal.stderr().is_empty());
}

#[tokio::test]
async fn the_version_is_told_in_every_form() {
    let said = async |args: &[&str]| {
        let output = process::run(args, &[]).await;
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{args:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let (version, commit) = (common::build_info::VERSION, common::build_info::COMMIT);
    assert_eq!(said(&["version"]).await, format!("argocd-agent-{version} (commit {commit})\n"));
    for short in [&["version", "-s"][..], &["version", "--short"], &["version", "-s", "-o", "json"]] {
        assert_eq!(said(short).await, format!("{version}\n"));
    }
    let json: Value = serde_json::from_str(&said(&["version", "-o", "json"]).await).unwrap();
    assert_eq!((&json["version"], &json["gitRevision"]), (&version.into(), &commit.into()));
    let yaml = said(&["version", "--output=yaml"]).await;
    assert!(yaml.contains(&format!("version: {version:?}\n")), "{yaml}");
    assert!(said(&["--version"]).await.contains(version));
}

#[tokio::test]
async fn help_groups_the_flags_and_names_their_variables() {
    for (half, groups, flags) in [
        (
            "principal",
            &[
                "Listener:",
                "Agents' identity:",
                "TLS:",
                "Resource proxy (the Kubernetes door):",
                "Redis proxy (the Redis door):",
                "Control plane:",
                "Logging:",
                "Limits:",
            ][..],
            &["--listen-port <PORT>", "ARGOCD_PRINCIPAL_LISTEN_PORT", "[default: 8443]"][..],
        ),
        (
            "agent",
            &[
                "Principal:",
                "TLS:",
                "Workload cluster:",
                "Managed filter:",
                "Health and metrics:",
                "Logging:",
                "Limits:",
            ],
            &["--server-address <HOST>", "ARGOCD_AGENT_REMOTE_SERVER"],
        ),
    ] {
        let output = process::run([half, "--help"], &[]).await;
        let help = String::from_utf8(output.stdout).unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
        let places: Vec<_> = groups.iter().map(|group| help.find(&format!("\n{group}\n"))).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} in {help}");
        assert!(flags.iter().all(|flag| help.contains(flag)), "{help}");
        assert!(help.find("Not supported yet").is_some_and(|at| help.find("No effect").is_some_and(|next| at < next)));
    }
    let output = process::run([] as [&str; 0], &[]).await;
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    assert!(stderr(&output).contains("Usage: argocd-agent <COMMAND>"));
}

#[tokio::test]
async fn the_cipher_suites_are_listed_before_anything_else_is_asked_for() {
    for half in ["principal", "agent"] {
        let output = process::run([half, "--tls-ciphersuites=list"], &[]).await;
        let listed = String::from_utf8(output.stdout).unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
        assert!(listed.lines().count() >= 3 && listed.contains("TLS_AES_256_GCM_SHA384\n"), "{listed}");
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The variable of a flag that the harness uses; most are called as the flag is.
fn variable(prefix: &str, flag: &str) -> String {
    let name = match (prefix, flag) {
        (_, "healthz-port") => "HEALTH_CHECK_PORT",
        ("ARGOCD_PRINCIPAL", "tls-cert") => "TLS_SERVER_CERT_PATH",
        ("ARGOCD_PRINCIPAL", "tls-key") => "TLS_SERVER_KEY_PATH",
        ("ARGOCD_PRINCIPAL", "root-ca-path") => "TLS_SERVER_ROOT_CA_PATH",
        ("ARGOCD_PRINCIPAL", "resource-proxy-cert-path") => "RESOURCE_PROXY_TLS_CERT_PATH",
        ("ARGOCD_PRINCIPAL", "resource-proxy-key-path") => "RESOURCE_PROXY_TLS_KEY_PATH",
        ("ARGOCD_PRINCIPAL", "resource-proxy-ca-path") => "RESOURCE_PROXY_TLS_CA_PATH",
        ("ARGOCD_AGENT", "server-address") => "REMOTE_SERVER",
        ("ARGOCD_AGENT", "server-port") => "REMOTE_PORT",
        ("ARGOCD_AGENT", "agent-mode") => "MODE",
        ("ARGOCD_AGENT", "root-ca-path") => "TLS_ROOT_CA_PATH",
        ("ARGOCD_AGENT", "tls-client-cert") => "TLS_CLIENT_CERT_PATH",
        ("ARGOCD_AGENT", "tls-client-key") => "TLS_CLIENT_KEY_PATH",
        _ => return format!("{prefix}_{}", flag.replace('-', "_").to_ascii_uppercase()),
    };
    format!("{prefix}_{name}")
}
