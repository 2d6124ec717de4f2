use clap::{ArgAction, Args as _, Command};
use common::{
    auth::Secret,
    config::command::go_style,
    redis::{Credentials, Login},
    tls::InvalidSecretName,
};

use super::*;
use crate::args::{Later, NoEffect};

/// What an agent needs at least.
const LEAST: [&str; 4] = [
    "--server-address=principal.example.com",
    "--tls-client-cert=/tls/tls.crt",
    "--tls-client-key=/tls/tls.key",
    "--root-ca-path=/tls/ca.crt",
];

/// What the shipped `argocd-agent-params` sets beside empty values, as flags; `REDIS_PASSWORD` comes from a Secret.
const SHIPPED: [&str; 27] = [
    "--agent-mode=autonomous",
    "--creds=userpass:/app/config/creds/userpass.creds",
    "--insecure-plaintext=false",
    "--insecure-tls=false",
    "--root-ca-secret-name=argocd-agent-ca",
    "--tls-secret-name=argocd-agent-client-tls",
    "--log-level=info",
    "--namespace=argocd",
    "--server-address=argocd-agent-principal.example.com",
    "--server-port=443",
    "--metrics-port=8181",
    "--healthz-port=8002",
    "--log-format=text",
    "--enable-websocket=false",
    "--enable-compression=false",
    "--keep-alive-ping-interval=0",
    "--pprof-port=0",
    "--enable-resource-proxy=true",
    "--redis-addr=argocd-redis:6379",
    "--destination-based-mapping=false",
    "--create-namespace=false",
    "--redis-tls-enabled=false",
    "--redis-tls-ca-path=/app/config/redis-tls/ca.crt",
    "--redis-tls-insecure=false",
    "--informer-sync-timeout=10s",
    "--cache-refresh-interval=10s",
    "--redis-password=secret",
];

pub(super) fn config(flags: &[&str]) -> Result<Config, FlagError> {
    Config::try_from(Args::from_flags(flags.iter().copied()).unwrap())
}

/// `LEAST`, with `flags` in place of those of the same name.
pub(super) fn with(flags: &[&str]) -> Result<Config, FlagError> {
    config(&[&LEAST, flags].concat())
}

pub(super) fn given_login(user: Option<&str>, password: &str) -> Credentials {
    Credentials::Given(Login { user: user.map(str::to_owned), password: Secret::new(password) })
}

pub(super) fn line(flags: &[&str]) -> String {
    config(flags).unwrap_err().to_string()
}

pub(super) fn line_with(flags: &[&str]) -> String {
    with(flags).unwrap_err().to_string()
}

#[test]
fn the_defaults_are_those_of_the_design() {
    assert_eq!(
        with(&[]).unwrap(),
        Config {
            server: ("principal.example.com".into(), 443),
            tls: Some(AgentTls {
                identity: Some(IdentitySource::Files {
                    certificate: "/tls/tls.crt".into(),
                    key: "/tls/tls.key".into(),
                }),
                root_ca: Some(RootsSource::File("/tls/ca.crt".into())),
            }),
            creds: Creds::Certificate,
            join_token: None,
            tls_versions: TlsVersions::ALL,
            mode: AgentMode::Autonomous,
            namespace: "argocd".into(),
            application_namespaces: vec!["argocd".into()],
            destination_based_mapping: false,
            cluster_labels: BTreeMap::new(),
            proxies: Proxies::read(|name| std::env::var(name).ok()).unwrap(),
            kube: KubeSource { kubeconfig: None, context: None },
            redis: RedisConfig {
                address: "argocd-redis:6379".into(),
                tls: RedisTls::Off,
                credentials: Credentials::None,
                database: 0,
                key_prefix: String::new(),
                compression: Compression::Gzip,
            },
            resource_proxy: true,
            managed_only: true,
            managed_creates_only: false,
            metrics_port: Some(8181),
            healthz_port: Some(8001),
            stream_window: limits::STREAM_WINDOW,
            drain_grace: Duration::from_secs(25),
            max_pipes: 8192,
            ping_interval: Duration::from_secs(10),
            silence: Duration::from_secs(20),
            no_effect: vec![],
        }
    );
}

#[test]
fn cluster_labels_are_what_kubernetes_takes() {
    let typed = ["--cluster-label=tier=prod,example.com/region=eu", "--cluster-label=tier=test"];
    let labels = with(&typed).unwrap().cluster_labels;
    let expected = [("example.com/region", "eu"), ("tier", "test")].map(|(key, value)| (key.into(), value.into()));
    assert_eq!(labels, BTreeMap::from(expected));
    for (bad, why) in
        [("tier", "must be <key>=<value>"), ("a b=c", "a label's key must"), ("a=b c", "a label's value must")]
    {
        let refused = line_with(&[&format!("--cluster-label={bad}")]);
        assert!(refused.starts_with(&format!("--cluster-label: \"{bad}\" is not allowed: {why}")), "{refused}");
    }
    let many: Vec<_> = (0..=MOST_LABELS).map(|number| format!("key-{number}=x")).collect();
    let refused = line_with(&[&format!("--cluster-label={}", many.join(","))]);
    assert!(refused.ends_with("is not allowed: must be at most 32 labels"), "{refused}");
}

#[test]
fn the_shipped_parameters_start_it() {
    let config = config(&SHIPPED).unwrap();
    assert_eq!(config.creds, Creds::Password("/app/config/creds/userpass.creds".into()));
    let tls = config.tls.as_ref().unwrap();
    assert_eq!(tls.identity, Some(IdentitySource::Secret(secret_name("argocd-agent-client-tls"))));
    assert_eq!(tls.root_ca, Some(in_secret("argocd-agent-ca", RootsKey::Copy)));
    assert!(config.loads_secrets());
    assert_eq!(config.redis.credentials, given_login(None, "secret"));
    assert_eq!(config.redis.tls, RedisTls::Off);
    assert_eq!(config.no_effect, Vec::<&str>::new());
}

#[test]
fn flags_that_act_act() {
    let config = with(&[
        "--server-port=8443",
        "--creds=mtls:whatever",
        "--agent-mode=managed",
        "-n",
        "cd",
        "--allowed-namespaces=team-a, team-b,cd",
        "--allowed-namespaces=team-*",
        "--kubeconfig=/k",
        "--kubecontext=c",
        "--enable-resource-proxy=false",
        "--managed-resources-only=false",
        "--managed-creates-only",
        "--metrics-port=0",
        "--healthz-port=9",
        "--tls-min-version=tls1.3",
        "--tunnel-stream-window=2147483647",
        "--drain-grace=1m",
        "--max-pipes=7",
        "--heartbeat-interval=30s",
        "--destination-based-mapping",
    ])
    .unwrap();
    assert_eq!(config.server.1, 8443);
    assert_eq!(config.mode.to_string(), "managed");
    assert_eq!(config.namespace, "cd");
    assert_eq!(config.application_namespaces, ["cd", "team-a", "team-b", "team-*"]);
    assert_eq!(config.kube, KubeSource { kubeconfig: Some("/k".into()), context: Some("c".into()) });
    assert_eq!((config.resource_proxy, config.managed_only, config.managed_creates_only), (false, false, true));
    assert_eq!((config.metrics_port, config.healthz_port), (None, Some(9)));
    assert!(config.destination_based_mapping);
    assert_eq!(config.tls_versions, TlsVersions::TLS13);
    assert_eq!((config.stream_window, config.max_pipes), (2_147_483_647, 7));
    assert_eq!(config.drain_grace, Duration::from_secs(60));
    assert_eq!(config.no_effect, Vec::<&str>::new());
}

#[test]
fn pings_stay_often_enough_to_tell_a_quiet_peer_from_a_dead_one() {
    for (asked, used) in [("0", 10_000), ("50s", 10_000), ("10s", 10_000), ("2500ms", 2_500), ("1ns", 1_000)] {
        let interval = with(&[&format!("--keep-alive-ping-interval={asked}")]).unwrap().ping_interval;
        assert_eq!(interval, Duration::from_millis(used), "{asked}");
    }
}

#[test]
fn without_verification_no_ca_is_needed() {
    let config = config(&["--server-address=::1", "--insecure-tls", LEAST[1], LEAST[2]]).unwrap();
    assert_eq!(config.tls.unwrap().root_ca, None);
}

#[test]
fn the_principals_address_is_a_host() {
    for host in ["principal", "principal.example.com", "10.0.0.1", "::1", "[::1]"] {
        let server = with(&[&format!("--server-address={host}")]).unwrap().server.0;
        assert_eq!(server, host.trim_matches(['[', ']']));
    }
    for host in ["https://principal", "principal:8443", "a b", "a/b", "-"] {
        assert_eq!(
            line_with(&[&format!("--server-address={host}")]),
            format!(
                "--server-address: {host:?} is not allowed: \
                 must be a host name or an IP address; its port is --server-port"
            )
        );
    }
}

#[test]
fn a_join_token_says_where_the_principal_is_unless_a_flag_does() {
    use common::enrollment::{JoinToken, Pin, TokenId, TokenSecret};
    let folder = tempfile::tempdir().unwrap();
    let (file, missing) = (folder.path().join("token"), folder.path().join("missing"));
    let token = JoinToken {
        principal: common::grpc::Address::parse("[::1]:8443").unwrap(),
        agent: AgentName::parse("edge").unwrap(),
        id: TokenId::random(),
        secret: TokenSecret::random(),
        pin: Pin::of(&[]),
        end: 0,
    };
    std::fs::write(&file, token.reveal()).unwrap();
    let flag = |file: &std::path::Path| format!("--join-token-file={}", file.display());
    let made = config(&[&flag(&file), "--insecure-tls"]).unwrap();
    assert_eq!((made.server, made.join_token.as_deref()), (("::1".into(), 8443), Some(file.as_path())));
    assert_eq!(with(&[&flag(&missing)]).unwrap().server.0, "principal.example.com", "it may be gone once it was used");
    let line = line(&[&flag(&missing), "--insecure-tls"]);
    let expected = "--server-address is not given: must be the principal's host name or IP address, unless ";
    assert!(line.starts_with(expected) && line.lines().count() == 1, "{line}");
    std::fs::write(&file, "x").unwrap();
    assert!(config(&[&flag(&file)]).unwrap_err().to_string().ends_with("those begin with `argocd-agent-join.`"));
}

#[test]
fn what_is_missing_or_not_allowed_is_named_in_one_line() {
    let without = |name: &str| -> Vec<&str> { LEAST.into_iter().filter(|flag| !flag.contains(name)).collect() };
    assert_eq!(
        line(&without("--server")),
        "--server-address is not given: must be the principal's host name or IP address"
    );
    let pair = "--tls-client-cert and --tls-client-key go together";
    assert_eq!(line(&without("-key")), format!("--tls-client-key is not given: {pair}"));
    assert_eq!(line(&without("-cert")), format!("--tls-client-cert is not given: {pair}"));
    for (flag, expected) in [
        ("--namespace=", r#"--namespace: "" is not allowed: must be a DNS-1123 label"#),
        ("--creds=mtls", r#"--creds: "mtls" is not allowed: must be mtls:any, userpass:<file> or header:"#),
        ("--creds=userpass:", r#"--creds: "userpass:" is not allowed: must be mtls:any, userpass:<file> or header:"#),
        (
            "--insecure-plaintext",
            r#"--creds: "mtls:any" is not allowed: must be userpass:<file> or header: with --insecure-plaintext: without TLS there are no certificates"#,
        ),
    ] {
        assert_eq!(line_with(&[flag]), expected);
    }
}

#[test]
fn later_work_is_refused_once_it_would_matter() {
    for arg in go_style(Later::augment_args(Command::new(""))).get_arguments() {
        let flag = arg.get_long().unwrap();
        let (value, same) = match flag {
            "pprof-port" => ("6060", "0"),
            "otlp-address" => ("there", ""),
            _ => ("true", "false"),
        };
        assert_eq!(line_with(&[&format!("--{flag}={value}")]), format!("--{flag}={value} is not supported yet"));
        assert!(with(&[&format!("--{flag}={same}")]).is_ok(), "{flag}");
    }
}

#[test]
fn every_flag_without_effect_is_told_once_it_is_set() {
    for arg in go_style(NoEffect::augment_args(Command::new(""))).get_arguments() {
        let flag = arg.get_long().unwrap();
        let value = match (flag, arg.get_action()) {
            ("full-detail", _) => "all",
            ("source-uid-mismatch-policy", _) => "upsert",
            ("on-application-recreate", _) => "resync",
            ("adoption-policy", _) => "never",
            ("grpc-max-message-size", _) => "7",
            _ if flag.ends_with("-interval") || flag.ends_with("-timeout") => "7s",
            (_, ArgAction::Append) => "a,b",
            _ if arg.get_num_args().is_some_and(|range| range.min_values() == 0) => "true",
            _ => "something",
        };
        assert_eq!(with(&[&format!("--{flag}={value}")]).unwrap().no_effect, [flag]);
    }
}

#[test]
fn what_has_no_path_comes_from_a_secret() {
    let without = |names: &[&str]| {
        LEAST.into_iter().filter(|flag| !names.iter().any(|name| flag.contains(name))).collect::<Vec<_>>()
    };
    assert!(!with(&[]).unwrap().loads_secrets());
    let ca = config(&without(&["--root-ca-path"])).unwrap();
    assert_eq!(ca.tls.unwrap().root_ca, Some(in_secret("argocd-agent-ca", RootsKey::Copy)));
    let both = [&without(&["--tls-client"])[..], &["--tls-secret-name= mine "]].concat();
    assert_eq!(config(&both).unwrap().tls.unwrap().identity, Some(IdentitySource::Secret(secret_name("mine"))));
    assert_eq!(with(&["--insecure-tls", "--root-ca-path="]).unwrap().tls.unwrap().root_ca, None);
    let redis = |flags: &[&str]| with(&[&["--redis-tls-enabled"], flags].concat()).unwrap().redis.tls;
    assert_eq!(redis(&[]), RedisTls::Verified(in_secret("argocd-redis-tls", RootsKey::Beside)));
    let path_wins = redis(&["--redis-tls-ca-path=/ca", "--redis-tls-ca-secret-name=other"]);
    assert_eq!(path_wins, RedisTls::Verified(RootsSource::File("/ca".into())));
    let no_name = [&without(&["--tls-client"])[..], &["--tls-secret-name="]].concat();
    assert_eq!(line(&no_name), format!(r#"--tls-secret-name: "" is not allowed: {InvalidSecretName}"#));
}

#[test]
fn whoever_proves_by_something_else_who_it_is_needs_no_certificate_and_shows_one_that_is_given() {
    let without: Vec<&str> = LEAST.into_iter().filter(|flag| !flag.contains("--tls-client")).collect();
    for (creds, expected) in [("userpass: /f:1 ", Creds::Password("/f:1".into())), ("header:", Creds::Mesh)] {
        let creds = &*format!("--creds={creds}");
        let none = config(&[&without[..], &[creds, "--tls-secret-name="]].concat()).unwrap();
        assert_eq!((none.tls.unwrap().identity, none.creds), (None, expected.clone()));
        assert!(matches!(with(&[creds]).unwrap().tls.unwrap().identity, Some(IdentitySource::Files { .. })));
        let plain = with(&[creds, "--insecure-plaintext"]).unwrap();
        assert_eq!((plain.tls, plain.creds), (None, expected));
    }
}

#[test]
fn cipher_suites_are_chosen_by_their_names() {
    let suites = |flags: &[&str]| with(flags).unwrap().tls_versions.provider().cipher_suites.len();
    assert_eq!(suites(&["--tls-ciphersuites=TLS_AES_128_GCM_SHA256,TLS_AES_256_GCM_SHA384"]), 2);
    assert!(line_with(&["--tls-ciphersuites=A"]).starts_with(
        r#"--tls-ciphersuites: "A" is not allowed: must be one of TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256, "#
    ));
    let none = line_with(&["--tls-ciphersuites=TLS_AES_128_GCM_SHA256", "--tls-max-version=tls1.2"]);
    assert!(none.ends_with("must hold one of TLS 1.2, which is --tls-max-version"), "{none}");
}

fn secret_name(name: &str) -> SecretName {
    SecretName::parse(name).unwrap()
}

pub(super) fn in_secret(name: &str, key: RootsKey) -> RootsSource {
    RootsSource::Secret { name: secret_name(name), key }
}
