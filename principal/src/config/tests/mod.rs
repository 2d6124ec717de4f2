mod agents;
mod redis;

use clap::{ArgAction, Args as _, Command};
use common::{
    auth::Secret,
    config::{TlsVersion, command::go_style},
    redis::{Compression, Credentials, Login},
    tls::{RootsKey, SecretName},
};

use super::*;
use crate::args::{Later, NoEffect};

/// What a principal needs at least.
const LEAST: [&str; 8] = [
    "--namespace=argocd",
    "--auth=mtls:CN=([^,]+)",
    "--tls-cert=/tls/tls.crt",
    "--tls-key=/tls/tls.key",
    "--root-ca-path=/tls/ca.crt",
    "--resource-proxy-cert-path=/proxy/tls.crt",
    "--resource-proxy-key-path=/proxy/tls.key",
    "--resource-proxy-ca-path=/proxy/ca.crt",
];

/// What the shipped `argocd-agent-params` sets beside empty values, as flags; `REDIS_PASSWORD` comes from a Secret.
const SHIPPED: [&str; 36] = [
    "--listen-host=127.0.0.1",
    "--listen-port=8443",
    "--log-level=info",
    "--metrics-port=8000",
    "--healthz-port=8003",
    "--namespace=argocd",
    "--namespace-create-enable=false",
    "--tls-secret-name=argocd-agent-principal-tls",
    "--insecure-tls-generate=false",
    "--insecure-plaintext=false",
    "--require-client-certs=false",
    "--tls-ca-secret-name=argocd-agent-ca",
    "--client-cert-subject-match=false",
    "--tls-min-version=tls1.3",
    "--resource-proxy-secret-name=argocd-agent-resource-proxy-tls",
    "--resource-proxy-ca-secret-name=argocd-agent-ca",
    "--insecure-jwt-generate=false",
    "--jwt-secret-name=argocd-agent-jwt",
    "--auth=mtls:CN=([^,]+)",
    "--log-format=text",
    "--enable-websocket=false",
    "--redis-compression-type=gzip",
    "--enable-resource-proxy=true",
    "--keepalive-min-interval=0",
    "--pprof-port=0",
    "--redis-server-address=argocd-redis:6379",
    "--destination-based-mapping=false",
    "--redis-tls-enabled=false",
    "--redis-proxy-server-tls-cert=/app/config/redis-proxy-server-tls/tls.crt",
    "--redis-proxy-server-tls-key=/app/config/redis-proxy-server-tls/tls.key",
    "--redis-proxy-server-tls-secret-name=argocd-redis-proxy-tls",
    "--redis-ca-path=/app/config/redis-tls/ca.crt",
    "--redis-ca-secret-name=argocd-redis-tls",
    "--redis-tls-insecure=false",
    "--event-processors=10",
    "--redis-password=secret",
];

fn config(flags: &[&str]) -> Result<Config, FlagError> {
    Config::try_from(Args::from_flags(flags.iter().copied()).unwrap())
}

/// `LEAST`, with `flags` in place of those of the same name.
fn with(flags: &[&str]) -> Result<Config, FlagError> {
    config(&[&LEAST, flags].concat())
}

fn line(flags: &[&str]) -> String {
    config(flags).unwrap_err().to_string()
}

fn line_with(flags: &[&str]) -> String {
    with(flags).unwrap_err().to_string()
}

#[test]
fn the_defaults_are_those_of_the_design() {
    let config = with(&[]).unwrap();
    assert_eq!(config.grpc_listen.to_string(), ":8443");
    assert_eq!(
        config.grpc_tls.unwrap(),
        ServerTls {
            identity: IdentitySource::Files { certificate: "/tls/tls.crt".into(), key: "/tls/tls.key".into() },
            client_ca: RootsSource::File("/tls/ca.crt".into()),
        }
    );
    assert_eq!(config.tls_versions, TlsVersions::TLS13);
    let door = config.kube_door.unwrap();
    assert_eq!((door.listen.to_string().as_str(), door.response_timeout.as_secs()), ("0.0.0.0:9090", 10));
    assert_eq!(door.tls.client_ca, RootsSource::File("/proxy/ca.crt".into()));
    let door = config.redis_door.unwrap();
    assert_eq!(door.listen.to_string(), "0.0.0.0:6379");
    assert_eq!((door.max_bulk, door.max_args), (512 << 20, 1 << 20));
    assert_eq!(
        (door.tls, door.redis),
        (
            None,
            RedisConfig {
                address: "argocd-redis:6379".into(),
                tls: None,
                credentials: Credentials::None,
                compression: Compression::Gzip
            }
        )
    );
    assert_eq!(config.mapping, Mapping::Namespace);
    assert_eq!(config.kube, Path::new(POD_TOKEN).exists().then_some(KubeSource::Pod));
    assert_eq!((config.metrics_port, config.healthz_port), (Some(8000), Some(8003)));
    assert_eq!((config.stream_window, config.drain_grace.as_secs()), (limits::STREAM_WINDOW, 25));
    assert_eq!((config.max_connections, config.max_requests_per_agent), (16384, 4096));
    assert_eq!((config.ping_interval.as_secs(), config.silence.as_secs()), (10, 20));
    assert_eq!(config.no_effect, Vec::<&str>::new());
}

#[test]
fn the_shipped_parameters_start_it_where_secrets_can_be_loaded_or_the_paths_are_given() {
    let needs = "needs the control plane's Kubernetes API: give --kubeconfig outside of a Pod there";
    assert_eq!(
        line(&SHIPPED),
        format!(r#"--tls-cert and --tls-key are not given: loading from Secret "argocd-agent-principal-tls" {needs}"#)
    );
    let secrets = config(&[&SHIPPED[..], &["--kubeconfig=/k"]].concat()).unwrap();
    assert!(secrets.loads_secrets());
    assert_eq!(secrets.grpc_tls.unwrap(), in_secrets("argocd-agent-principal-tls"));
    assert_eq!(secrets.kube_door.unwrap().tls, in_secrets("argocd-agent-resource-proxy-tls"));
    let config = config(&[&LEAST[..], &SHIPPED].concat()).unwrap();
    assert_eq!(config.grpc_listen.to_string(), "127.0.0.1:8443");
    let door = config.redis_door.unwrap();
    assert_eq!((door.tls, door.redis.tls), (None, None));
    assert_eq!(door.redis.credentials, Credentials::Given(Login { user: None, password: Secret::new("secret") }));
    assert_eq!(config.no_effect, Vec::<&str>::new());
}

#[test]
fn flags_that_act_act() {
    let config = with(&[
        "--listen-host=::1",
        "--listen-port=0",
        "--metrics-port=0",
        "--healthz-port=9",
        "-n=control",
        "--tls-min-version=tls1.1",
        "--tls-max-version=tls1.2",
        "--enable-resource-proxy=false",
        "--tunnel-stream-window=65535",
        "--drain-grace=0",
        "--max-connections=1",
        "--max-requests-per-agent=2",
    ])
    .unwrap();
    assert_eq!(config.grpc_listen.to_string(), "[::1]:0");
    assert_eq!((config.metrics_port, config.healthz_port), (None, Some(9)));
    assert_eq!(config.namespace, "control");
    assert_eq!((config.tls_versions.min, config.tls_versions.max), (TlsVersion::Tls12, TlsVersion::Tls12));
    assert!(config.kube_door.is_none());
    assert_eq!((config.stream_window, config.drain_grace), (65535, Duration::ZERO));
    assert_eq!((config.max_connections, config.max_requests_per_agent), (1, 2));

    let door = with(&["--resource-proxy-listen=127.0.0.1:0", "--resource-proxy-timeout=300ms"]).unwrap().kube_door;
    let door = door.unwrap();
    assert_eq!((door.listen.to_string().as_str(), door.response_timeout.as_millis()), ("127.0.0.1:0", 300));
}

#[test]
fn the_key_of_tokens_is_where_the_first_of_its_flags_says() {
    let source = |flags: &[&str]| with(flags).unwrap().jwt_key;
    let secret = |name: &str| JwtKeySource::Secret(name.into());
    assert_eq!(source(&[]), secret("argocd-agent-jwt"));
    assert_eq!(source(&["--jwt-secret-name=my.own"]), secret("my.own"));
    assert_eq!(source(&["--insecure-jwt-generate", "--jwt-secret-name=x"]), JwtKeySource::Generated);
    let all = ["--jwt-key=/jwt.key", "--insecure-jwt-generate", "--jwt-secret-name=x"];
    assert_eq!(source(&all), JwtKeySource::File("/jwt.key".into()));
    assert_eq!(source(&["--jwt-key="]), secret("argocd-agent-jwt"));
    assert_eq!(line_with(&["--jwt-secret-name="]), "--jwt-secret-name is not given: must be the name of a Secret");
    assert_eq!(
        line_with(&["--jwt-secret-name=a,metadata.namespace!=b"]),
        r#"--jwt-secret-name: "a,metadata.namespace!=b" is not allowed: must be a DNS-1123 subdomain"#
    );
}

#[test]
fn self_registration_is_all_that_it_needs_or_nothing() {
    const ON: [&str; 3] =
        ["--enable-self-cluster-registration", "--kubeconfig=/k", "--self-registration-client-cert-secret=shared"];
    let usual = with(&ON).unwrap().registration.unwrap();
    assert_eq!(usual.client_certificate, secret_name("shared"));
    assert_eq!(usual.proxy_address, "argocd-agent-resource-proxy:9090");
    assert_eq!(usual.token_lifetime, Duration::from_secs(7 * 86_400));
    let line_on = |flags: &[&str]| line_with(&[&ON[..], flags].concat());
    assert_eq!(
        line_with(&ON[..2]),
        "--self-registration-client-cert-secret is not given: must be the name of a Secret with tls.crt, tls.key and \
         ca.crt, beside --enable-self-cluster-registration"
    );
    let refused = "--enable-self-cluster-registration: \"true\" is not allowed: ";
    assert!(
        line_with(&[ON[0], ON[2]]).starts_with(&format!("{refused}must come with the control plane's Kubernetes API"))
    );
    assert!(line_on(&["--enable-resource-proxy=false"]).starts_with(&format!("{refused}must not be given with")));
    for (flag, allowed) in [
        ("--self-registration-client-cert-secret=A", "must be a Secret's name"),
        ("--self-registration-allowed-labels=(", "must be a regular expression"),
        ("--self-registration-token-lifetime=9m", "must be a duration from 10m"),
        ("--resource-proxy-address=proxy", "must be <host>:<port>"),
        ("--resource-proxy-address=https://proxy:1", "must be <host>:<port>"),
        ("--resource-proxy-address=a@proxy:1", "must be <host>:<port>"),
        ("--resource-proxy-address=proxy:0", "must be <host>:<port>"),
    ] {
        let line = line_on(&[flag]);
        assert!(line.contains(&format!("is not allowed: {allowed}")), "{flag}: {line}");
    }
    // Of no effect without the switch, and told.
    let off = with(&["--resource-proxy-address=proxy", "--self-registration-token-lifetime=1s"]).unwrap();
    assert!(off.registration.is_none());
    assert_eq!(off.no_effect, ["resource-proxy-address", "self-registration-token-lifetime"]);
}

#[test]
fn the_control_plane_is_where_it_is_said_to_be() {
    let kubeconfig = |file: Option<&str>, context: Option<&str>| {
        Some(KubeSource::Kubeconfig { file: file.map(Into::into), context: context.map(Into::into) })
    };
    assert_eq!(with(&["--kubeconfig=/k"]).unwrap().kube, kubeconfig(Some("/k"), None));
    assert_eq!(with(&["--kubeconfig=/k", "--kubecontext=c"]).unwrap().kube, kubeconfig(Some("/k"), Some("c")));
    assert_eq!(with(&["--kubecontext=c"]).unwrap().kube, kubeconfig(None, Some("c")));
    assert_eq!(with(&["--destination-based-mapping"]).unwrap().mapping, Mapping::Destination);
}

#[test]
fn what_is_missing_is_named_in_one_line() {
    let without = |name: &str| -> Vec<&str> { LEAST.into_iter().filter(|flag| !flag.contains(name)).collect() };
    assert_eq!(
        line(&without("--auth")),
        "--auth is not given: must be mtls:[subject:|uri:]<regex>, such as mtls:CN=([^,]+)"
    );
    assert_eq!(line(&without("--tls-key")), "--tls-key is not given: --tls-cert and --tls-key go together");
    assert_eq!(line(&without("--tls-cert")), "--tls-cert is not given: --tls-cert and --tls-key go together");
    let needs = "needs the control plane's Kubernetes API: give --kubeconfig outside of a Pod there";
    for path in ["root-ca-path", "resource-proxy-ca-path"] {
        let expected = format!(r#"--{path} is not given: loading from Secret "argocd-agent-ca" {needs}"#);
        assert_eq!(line(&without(path)), expected);
    }
    let together = "--resource-proxy-cert-path and --resource-proxy-key-path go together";
    assert_eq!(line(&without("proxy-key")), format!("--resource-proxy-key-path is not given: {together}"));
    assert_eq!(line(&without("proxy-cert")), format!("--resource-proxy-cert-path is not given: {together}"));
    let empty = line_with(&["--auth="]);
    assert!(empty.starts_with("--auth is not given"), "given but empty is not given: {empty}");
}

#[test]
fn what_is_not_allowed_is_named_in_one_line() {
    for (flag, expected) in [
        ("--namespace=A", r#"--namespace: "A" is not allowed: must be a DNS-1123 label"#),
        (
            "--auth=x",
            r#"--auth: "x" is not allowed: must be mtls:[subject:|uri:]<regex>, userpass:<file> or header:<name>:<regex>"#,
        ),
        ("--auth=mtls:(", r#"--auth: "mtls:(" is not allowed: must hold a regular expression of RE2's syntax"#),
        (
            "--tls-max-version=tls1.2",
            r#"--tls-min-version: "tls1.3" is not allowed: must be at most --tls-max-version, which is tls1.2"#,
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
            "keepalive-min-interval" => ("30s", "0s"),
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
            ("ha-preferred-role", _) => "replica",
            ("grpc-max-message-size" | "event-processors" | "ha-admin-port", _) => "7",
            ("ha-failover-timeout" | "ha-replication-initial-ack-timeout", _) => "7s",
            (_, ArgAction::Append) => "a,b",
            _ if arg.get_num_args().is_some_and(|range| range.min_values() == 0) => "true",
            _ => "something",
        };
        assert_eq!(with(&[&format!("--{flag}={value}")]).unwrap().no_effect, [flag]);
    }
}

#[test]
fn a_path_that_is_given_counts_before_a_secret() {
    let without = |name: &str| -> Vec<&str> { LEAST.into_iter().filter(|flag| !flag.contains(name)).collect() };
    assert!(!with(&["--kubeconfig=/k"]).unwrap().loads_secrets());
    let config = config(&[&without("proxy-ca")[..], &["--kubeconfig=/k"]].concat()).unwrap();
    assert!(config.loads_secrets());
    let tls = config.kube_door.unwrap().tls;
    assert!(matches!(tls.identity, IdentitySource::Files { .. }));
    assert_eq!(tls.client_ca, in_secrets("any").client_ca);
    let redis = |flag: &str| {
        let config = with(&["--kubeconfig=/k", "--redis-tls-enabled", flag]).unwrap();
        assert!(config.loads_secrets());
        config.redis_door.unwrap()
    };
    let key = RootsKey::Beside;
    let usual = redis("--redis-ca-path=");
    assert_eq!(usual.tls, Some(in_secrets("argocd-redis-proxy-tls").identity));
    let ca = RootsSource::Secret { name: secret_name("argocd-redis-tls"), key };
    assert_eq!(usual.redis.tls, Some(RedisTls::Verified { ca }));
    let ca = RootsSource::Secret { name: secret_name("mine"), key };
    assert_eq!(redis("--redis-ca-secret-name=mine").redis.tls, Some(RedisTls::Verified { ca }));
    let bad = line(&[&without("proxy-ca")[..], &["--kubeconfig=/k", "--resource-proxy-ca-secret-name=a/b"]].concat());
    assert!(
        bad.starts_with(r#"--resource-proxy-ca-secret-name: "a/b" is not allowed: must be a Secret's name"#),
        "{bad}"
    );
}

fn in_secrets(name: &str) -> ServerTls {
    ServerTls {
        identity: IdentitySource::Secret(secret_name(name)),
        client_ca: RootsSource::Secret { name: secret_name("argocd-agent-ca"), key: RootsKey::Authority },
    }
}

fn secret_name(name: &str) -> SecretName {
    SecretName::parse(name).unwrap()
}

#[test]
fn certificates_are_given_only_where_they_would_be_of_use() {
    let kubeconfig = "--kubeconfig=/kube";
    let enable = "--enable-enrollment";
    let made = config(&[&LEAST[..], &[kubeconfig, enable]].concat()).unwrap();
    let enrollment = made.enrollment.unwrap();
    assert_eq!((enrollment.authority.as_str(), enrollment.lifetime.as_secs()), ("argocd-agent-ca", 30 * 24 * 60 * 60));
    assert_eq!(made.client_certificates, ClientCertificates::IfGiven);
    for (more, expected) in [
        (
            &[enable][..],
            "--enable-enrollment: \"true\" is not allowed: must go with the control plane's Kubernetes API",
        ),
        (
            &[enable, kubeconfig, "--auth=mtls:uri:spiffe://(.+)"],
            "--enable-enrollment: \"true\" is not allowed: must go with an --auth that takes the name from the common name",
        ),
        (
            &[enable, kubeconfig, "--enrollment-certificate-lifetime=9s"],
            "--enrollment-certificate-lifetime: \"9s\" is not allowed: must be from 10s to 876000h",
        ),
        (&[enable, kubeconfig, "--enrollment-ca-secret-name=A"], "--enrollment-ca-secret-name: \"A\" is not allowed"),
    ] {
        let without =
            LEAST.iter().filter(|flag| !more.iter().any(|m| m.starts_with("--auth") && flag.starts_with("--auth")));
        let flags: Vec<&str> = without.chain(more).copied().collect();
        let error = config(&flags).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    assert_eq!(config(&LEAST).unwrap().enrollment, None);
}
