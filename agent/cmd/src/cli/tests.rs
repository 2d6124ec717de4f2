//! The tables of flags, as they are told to operators: a flag that is lost, renamed or gets another default, type or
//! variable fails here.

use clap::ArgAction;
use common::config::command::without_environment;

use self::Type::{Bool, Duration, Int, String, StringSlice};
use super::*;

/// Flag, type, environment variable (empty for none), default (empty for none).
type Row = (&'static str, Type, &'static str, &'static str);

/// A type of Go's pflag.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Type {
    Bool,
    Duration,
    Int,
    String,
    StringSlice,
}

/// The flags of `argocd-agent principal`.
const PRINCIPAL: [Row; 84] = [
    ("listen-host", String, "ARGOCD_PRINCIPAL_LISTEN_HOST", ""),
    ("listen-port", Int, "ARGOCD_PRINCIPAL_LISTEN_PORT", "8443"),
    ("log-level", StringSlice, "ARGOCD_PRINCIPAL_LOG_LEVEL", "info"),
    ("log-format", String, "ARGOCD_PRINCIPAL_LOG_FORMAT", "text"),
    ("full-detail", StringSlice, "ARGOCD_PRINCIPAL_FULL_DETAIL", ""),
    ("metrics-port", Int, "ARGOCD_PRINCIPAL_METRICS_PORT", "8000"),
    ("namespace", String, "ARGOCD_PRINCIPAL_NAMESPACE", ""),
    ("allowed-namespaces", StringSlice, "ARGOCD_PRINCIPAL_ALLOWED_NAMESPACES", ""),
    ("namespace-create-enable", Bool, "ARGOCD_PRINCIPAL_NAMESPACE_CREATE_ENABLE", "false"),
    ("namespace-create-pattern", String, "ARGOCD_PRINCIPAL_NAMESPACE_CREATE_PATTERN", ""),
    ("namespace-create-labels", StringSlice, "ARGOCD_PRINCIPAL_NAMESPACE_CREATE_LABELS", ""),
    ("tls-secret-name", String, "ARGOCD_PRINCIPAL_TLS_SECRET_NAME", "argocd-agent-principal-tls"),
    ("tls-cert", String, "ARGOCD_PRINCIPAL_TLS_SERVER_CERT_PATH", ""),
    ("tls-key", String, "ARGOCD_PRINCIPAL_TLS_SERVER_KEY_PATH", ""),
    ("insecure-tls-generate", Bool, "ARGOCD_PRINCIPAL_TLS_SERVER_ALLOW_GENERATE", "false"),
    ("insecure-plaintext", Bool, "ARGOCD_PRINCIPAL_INSECURE_PLAINTEXT", "false"),
    ("tls-ca-secret-name", String, "ARGOCD_PRINCIPAL_TLS_SERVER_ROOT_CA_SECRET_NAME", "argocd-agent-ca"),
    ("root-ca-path", String, "ARGOCD_PRINCIPAL_TLS_SERVER_ROOT_CA_PATH", ""),
    ("require-client-certs", Bool, "ARGOCD_PRINCIPAL_TLS_CLIENT_CERT_REQUIRE", "false"),
    ("client-cert-subject-match", Bool, "ARGOCD_PRINCIPAL_TLS_CLIENT_CERT_MATCH_SUBJECT", "false"),
    ("tls-min-version", String, "ARGOCD_PRINCIPAL_TLS_MIN_VERSION", "tls1.3"),
    ("tls-max-version", String, "ARGOCD_PRINCIPAL_TLS_MAX_VERSION", ""),
    ("tls-ciphersuites", StringSlice, "ARGOCD_PRINCIPAL_TLS_CIPHERSUITES", ""),
    (
        "resource-proxy-secret-name",
        String,
        "ARGOCD_PRINCIPAL_RESOURCE_PROXY_SECRET_NAME",
        "argocd-agent-resource-proxy-tls",
    ),
    ("resource-proxy-cert-path", String, "ARGOCD_PRINCIPAL_RESOURCE_PROXY_TLS_CERT_PATH", ""),
    ("resource-proxy-key-path", String, "ARGOCD_PRINCIPAL_RESOURCE_PROXY_TLS_KEY_PATH", ""),
    ("resource-proxy-ca-secret-name", String, "ARGOCD_PRINCIPAL_RESOURCE_PROXY_CA_SECRET_NAME", "argocd-agent-ca"),
    ("resource-proxy-ca-path", String, "ARGOCD_PRINCIPAL_RESOURCE_PROXY_TLS_CA_PATH", ""),
    ("jwt-secret-name", String, "ARGOCD_PRINCIPAL_JWT_SECRET_NAME", "argocd-agent-jwt"),
    ("jwt-key", String, "ARGOCD_PRINCIPAL_JWT_KEY_PATH", ""),
    ("insecure-jwt-generate", Bool, "ARGOCD_PRINCIPAL_JWT_ALLOW_GENERATE", "false"),
    ("auth", String, "ARGOCD_PRINCIPAL_AUTH", ""),
    ("enable-websocket", Bool, "ARGOCD_PRINCIPAL_ENABLE_WEBSOCKET", "false"),
    ("enable-resource-proxy", Bool, "ARGOCD_PRINCIPAL_ENABLE_RESOURCE_PROXY", "true"),
    ("resource-proxy-address", String, "ARGOCD_PRINCIPAL_RESOURCE_PROXY_ADDRESS", "argocd-agent-resource-proxy:9090"),
    ("keepalive-min-interval", Duration, "ARGOCD_PRINCIPAL_KEEP_ALIVE_MIN_INTERVAL", "0"),
    ("redis-server-address", String, "ARGOCD_PRINCIPAL_REDIS_SERVER_ADDRESS", "argocd-redis:6379"),
    ("redis-password", String, "REDIS_PASSWORD", ""),
    ("redis-creds-dir-path", String, "REDIS_CREDS_DIR_PATH", ""),
    ("disable-redis-proxy", Bool, "ARGOCD_PRINCIPAL_DISABLE_REDIS_PROXY", "false"),
    ("redis-compression-type", String, "ARGOCD_PRINCIPAL_REDIS_COMPRESSION_TYPE", "gzip"),
    ("pprof-port", Int, "ARGOCD_PRINCIPAL_PPROF_PORT", "0"),
    ("healthz-port", Int, "ARGOCD_PRINCIPAL_HEALTH_CHECK_PORT", "8003"),
    ("admin-port", Int, "ARGOCD_PRINCIPAL_ADMIN_PORT", "8004"),
    ("grpc-max-message-size", Int, "ARGOCD_PRINCIPAL_GRPC_MAX_MESSAGE_SIZE", "209715200"),
    ("event-processors", Int, "ARGOCD_PRINCIPAL_EVENT_PROCESSORS", "10"),
    ("otlp-address", String, "ARGOCD_PRINCIPAL_OTLP_ADDRESS", ""),
    ("otlp-insecure", Bool, "ARGOCD_PRINCIPAL_OTLP_INSECURE", "false"),
    ("redis-tls-enabled", Bool, "ARGOCD_PRINCIPAL_REDIS_TLS_ENABLED", "false"),
    ("redis-proxy-server-tls-cert", String, "ARGOCD_PRINCIPAL_REDIS_PROXY_SERVER_TLS_CERT_PATH", ""),
    ("redis-proxy-server-tls-key", String, "ARGOCD_PRINCIPAL_REDIS_PROXY_SERVER_TLS_KEY_PATH", ""),
    (
        "redis-proxy-server-tls-secret-name",
        String,
        "ARGOCD_PRINCIPAL_REDIS_PROXY_SERVER_TLS_SECRET_NAME",
        "argocd-redis-proxy-tls",
    ),
    ("redis-ca-path", String, "ARGOCD_PRINCIPAL_REDIS_CA_PATH", ""),
    ("redis-ca-secret-name", String, "ARGOCD_PRINCIPAL_REDIS_CA_SECRET_NAME", "argocd-redis-tls"),
    ("redis-tls-insecure", Bool, "ARGOCD_PRINCIPAL_REDIS_TLS_INSECURE", "false"),
    ("destination-based-mapping", Bool, "ARGOCD_PRINCIPAL_DESTINATION_BASED_MAPPING", "false"),
    ("label-selector", String, "ARGOCD_PRINCIPAL_LABEL_SELECTOR", ""),
    ("kubeconfig", String, "", ""),
    ("kubecontext", String, "", ""),
    ("enable-self-cluster-registration", Bool, "ARGOCD_PRINCIPAL_ENABLE_SELF_CLUSTER_REGISTRATION", "false"),
    ("self-registration-client-cert-secret", String, "ARGOCD_PRINCIPAL_SELF_REGISTRATION_CLIENT_CERT_SECRET", ""),
    ("ha-enabled", Bool, "ARGOCD_PRINCIPAL_HA_ENABLED", "false"),
    ("ha-preferred-role", String, "ARGOCD_PRINCIPAL_HA_PREFERRED_ROLE", "primary"),
    ("ha-peer-address", String, "ARGOCD_PRINCIPAL_HA_PEER_ADDRESS", ""),
    ("ha-failover-timeout", Duration, "ARGOCD_PRINCIPAL_HA_FAILOVER_TIMEOUT", "30s"),
    ("ha-admin-port", Int, "ARGOCD_PRINCIPAL_HA_ADMIN_PORT", "0"),
    ("ha-allowed-replication-clients", StringSlice, "ARGOCD_PRINCIPAL_HA_ALLOWED_REPLICATION_CLIENTS", ""),
    ("ha-replication-initial-ack-timeout", Duration, "ARGOCD_PRINCIPAL_HA_REPLICATION_INITIAL_ACK_TIMEOUT", "0"),
    // Ours.
    ("self-registration-allowed-labels", String, "ARGOCD_PRINCIPAL_SELF_REGISTRATION_ALLOWED_LABELS", ""),
    ("self-registration-token-lifetime", Duration, "ARGOCD_PRINCIPAL_SELF_REGISTRATION_TOKEN_LIFETIME", "168h"),
    ("resource-proxy-listen", String, "ARGOCD_PRINCIPAL_RESOURCE_PROXY_LISTEN", "0.0.0.0:9090"),
    ("resource-proxy-timeout", Duration, "ARGOCD_PRINCIPAL_RESOURCE_PROXY_TIMEOUT", "10s"),
    ("redis-proxy-listen", String, "ARGOCD_PRINCIPAL_REDIS_PROXY_LISTEN", "0.0.0.0:6379"),
    ("enable-enrollment", Bool, "ARGOCD_PRINCIPAL_ENABLE_ENROLLMENT", "false"),
    ("enrollment-ca-secret-name", String, "ARGOCD_PRINCIPAL_ENROLLMENT_CA_SECRET_NAME", "argocd-agent-ca"),
    ("enrollment-certificate-lifetime", Duration, "ARGOCD_PRINCIPAL_ENROLLMENT_CERTIFICATE_LIFETIME", "720h"),
    ("redis-max-bulk", Int, "ARGOCD_PRINCIPAL_REDIS_MAX_BULK", "536870912"),
    ("redis-max-args", Int, "ARGOCD_PRINCIPAL_REDIS_MAX_ARGS", "1048576"),
    ("tunnel-stream-window", Int, "ARGOCD_PRINCIPAL_TUNNEL_STREAM_WINDOW", "1048576"),
    ("drain-grace", Duration, "ARGOCD_PRINCIPAL_DRAIN_GRACE", "25s"),
    ("worker-threads", Int, "ARGOCD_PRINCIPAL_WORKER_THREADS", "0"),
    ("max-connections", Int, "ARGOCD_PRINCIPAL_MAX_CONNECTIONS", "16384"),
    ("max-requests-per-agent", Int, "ARGOCD_PRINCIPAL_MAX_REQUESTS_PER_AGENT", "4096"),
    ("max-requests", Int, "ARGOCD_PRINCIPAL_MAX_REQUESTS", "65536"),
];

/// The flags of `argocd-agent agent`.
const AGENT: [Row; 61] = [
    ("server-address", String, "ARGOCD_AGENT_REMOTE_SERVER", ""),
    ("server-port", Int, "ARGOCD_AGENT_REMOTE_PORT", "443"),
    ("log-level", StringSlice, "ARGOCD_AGENT_LOG_LEVEL", "info"),
    ("full-detail", StringSlice, "ARGOCD_AGENT_FULL_DETAIL", ""),
    ("redis-addr", String, "REDIS_ADDR", "argocd-redis:6379"),
    ("redis-creds-dir-path", String, "REDIS_CREDS_DIR_PATH", ""),
    ("redis-username", String, "REDIS_USERNAME", ""),
    ("redis-password", String, "REDIS_PASSWORD", ""),
    ("redis-tls-enabled", Bool, "ARGOCD_AGENT_REDIS_TLS_ENABLED", "false"),
    ("redis-tls-ca-path", String, "ARGOCD_AGENT_REDIS_TLS_CA_PATH", ""),
    ("redis-tls-ca-secret-name", String, "ARGOCD_AGENT_REDIS_TLS_CA_SECRET_NAME", "argocd-redis-tls"),
    ("redis-tls-insecure", Bool, "ARGOCD_AGENT_REDIS_TLS_INSECURE", "false"),
    ("log-format", String, "ARGOCD_AGENT_LOG_FORMAT", "text"),
    ("insecure-tls", Bool, "ARGOCD_AGENT_TLS_INSECURE", "false"),
    ("insecure-plaintext", Bool, "ARGOCD_AGENT_INSECURE_PLAINTEXT", "false"),
    ("namespace", String, "ARGOCD_AGENT_NAMESPACE", "argocd"),
    ("agent-mode", String, "ARGOCD_AGENT_MODE", "autonomous"),
    ("creds", String, "ARGOCD_AGENT_CREDS", ""),
    ("root-ca-secret-name", String, "ARGOCD_AGENT_TLS_ROOT_CA_SECRET_NAME", "argocd-agent-ca"),
    ("root-ca-path", String, "ARGOCD_AGENT_TLS_ROOT_CA_PATH", ""),
    ("tls-secret-name", String, "ARGOCD_AGENT_TLS_SECRET_NAME", "argocd-agent-client-tls"),
    ("tls-client-cert", String, "ARGOCD_AGENT_TLS_CLIENT_CERT_PATH", ""),
    ("tls-client-key", String, "ARGOCD_AGENT_TLS_CLIENT_KEY_PATH", ""),
    ("tls-min-version", String, "ARGOCD_AGENT_TLS_MIN_VERSION", ""),
    ("tls-max-version", String, "ARGOCD_AGENT_TLS_MAX_VERSION", ""),
    ("tls-ciphersuites", StringSlice, "ARGOCD_AGENT_TLS_CIPHERSUITES", ""),
    ("enable-websocket", Bool, "ARGOCD_AGENT_ENABLE_WEBSOCKET", "false"),
    ("metrics-port", Int, "ARGOCD_AGENT_METRICS_PORT", "8181"),
    ("healthz-port", Int, "ARGOCD_AGENT_HEALTH_CHECK_PORT", "8001"),
    ("keep-alive-ping-interval", Duration, "ARGOCD_AGENT_KEEP_ALIVE_PING_INTERVAL", "0"),
    ("enable-compression", Bool, "ARGOCD_AGENT_ENABLE_COMPRESSION", "false"),
    ("pprof-port", Int, "ARGOCD_AGENT_PPROF_PORT", "0"),
    ("enable-resource-proxy", Bool, "ARGOCD_AGENT_ENABLE_RESOURCE_PROXY", "true"),
    ("cache-refresh-interval", Duration, "ARGOCD_AGENT_CACHE_REFRESH_INTERVAL", "10s"),
    ("informer-sync-timeout", Duration, "ARGOCD_AGENT_INFORMER_SYNC_TIMEOUT", "10s"),
    ("buffer-informer-event-interval", Duration, "ARGOCD_AGENT_BUFFER_INFORMER_EVENT_INTERVAL", "0"),
    ("heartbeat-interval", Duration, "ARGOCD_AGENT_HEARTBEAT_INTERVAL", "0"),
    ("grpc-max-message-size", Int, "ARGOCD_AGENT_GRPC_MAX_MESSAGE_SIZE", "209715200"),
    ("otlp-address", String, "ARGOCD_AGENT_OTLP_ADDRESS", ""),
    ("otlp-insecure", Bool, "ARGOCD_AGENT_OTLP_INSECURE", "false"),
    ("destination-based-mapping", Bool, "ARGOCD_AGENT_DESTINATION_BASED_MAPPING", "false"),
    ("create-namespace", Bool, "ARGOCD_AGENT_CREATE_NAMESPACE", "false"),
    ("ignore-unmanaged-apps", Bool, "ARGOCD_AGENT_IGNORE_UNMANAGED_APPS", "false"),
    ("source-uid-mismatch-policy", String, "ARGOCD_AGENT_SOURCE_UID_MISMATCH_POLICY", "recreate"),
    ("on-application-recreate", String, "ARGOCD_AGENT_ON_APPLICATION_RECREATE", "ignore"),
    ("allowed-namespaces", StringSlice, "ARGOCD_AGENT_ALLOWED_NAMESPACES", ""),
    ("label-selector", String, "ARGOCD_AGENT_LABEL_SELECTOR", ""),
    ("adoption-policy", String, "ARGOCD_AGENT_ADOPTION_POLICY", "always"),
    ("kubeconfig", String, "", ""),
    ("kubecontext", String, "", ""),
    // Ours.
    ("cluster-label", StringSlice, "ARGOCD_AGENT_CLUSTER_LABELS", ""),
    ("join-token-file", String, "ARGOCD_AGENT_JOIN_TOKEN_FILE", ""),
    ("redis-db", Int, "ARGOCD_AGENT_REDIS_DB", "0"),
    ("redis-key-prefix", String, "ARGOCD_AGENT_REDIS_KEY_PREFIX", ""),
    ("redis-compression-type", String, "ARGOCD_AGENT_REDIS_COMPRESSION_TYPE", "gzip"),
    ("managed-resources-only", Bool, "ARGOCD_AGENT_MANAGED_RESOURCES_ONLY", "true"),
    ("managed-creates-only", Bool, "ARGOCD_AGENT_MANAGED_CREATES_ONLY", "false"),
    ("tunnel-stream-window", Int, "ARGOCD_AGENT_TUNNEL_STREAM_WINDOW", "1048576"),
    ("max-pipes", Int, "ARGOCD_AGENT_MAX_PIPES", "8192"),
    ("drain-grace", Duration, "ARGOCD_AGENT_DRAIN_GRACE", "25s"),
    ("worker-threads", Int, "ARGOCD_AGENT_WORKER_THREADS", "0"),
];

fn sub(name: &str) -> Command {
    command().find_subcommand(name).unwrap().clone()
}

/// What is refused, with no environment.
fn line(words: &[&str]) -> std::string::String {
    let error = without_environment(command()).try_get_matches_from(words).unwrap_err();
    let line = UsageLine::from_clap(&error).unwrap().text;
    assert_eq!(line.lines().count(), 1, "{line}");
    line
}

/// Whether `half` takes these flags, with no environment.
fn takes(half: &str, flags: &[&str]) -> bool {
    let words = [&[NAME, half], flags].concat();
    without_environment(command())
        .try_get_matches_from(words)
        .is_ok_and(|matches| Cli::from_arg_matches(&matches).is_ok())
}

#[test]
fn every_flag_has_its_name_variable_and_default() {
    for (half, table) in [("principal", &PRINCIPAL[..]), ("agent", &AGENT)] {
        let command = sub(half);
        for (flag, _, variable, default) in table {
            let arg = command.get_arguments().find(|arg| arg.get_long() == Some(flag));
            let arg = arg.unwrap_or_else(|| panic!("{half} has no --{flag}"));
            let found = arg.get_env().map(|name| name.to_str().unwrap()).unwrap_or_default();
            assert_eq!(found, *variable, "{half} --{flag}");
            let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!(defaults.join(","), *default, "{half} --{flag}");
            assert_eq!(arg.get_short(), (*flag == "namespace").then_some('n'), "{half} --{flag}");
        }
    }
}

#[test]
fn every_flag_is_in_the_tables() {
    for (half, table) in [("principal", &PRINCIPAL[..]), ("agent", &AGENT)] {
        for arg in sub(half).get_arguments() {
            let flag = arg.get_long().unwrap();
            assert!(table.iter().any(|row| row.0 == flag), "{half} --{flag} is in no table");
        }
        assert_eq!(sub(half).get_arguments().count(), table.len());
    }
}

#[test]
fn every_flag_has_its_type() {
    for (half, table) in [("principal", &PRINCIPAL[..]), ("agent", &AGENT)] {
        let command = sub(half);
        for (flag, kind, _, default) in table {
            let arg = command.get_arguments().find(|arg| arg.get_long() == Some(flag)).unwrap();
            assert_eq!(matches!(arg.get_action(), ArgAction::Append), *kind == StringSlice, "{half} --{flag}");
            let with = |value: &str| takes(half, &[&format!("--{flag}={value}")]);
            let apart = |value: &str| takes(half, &[&format!("--{flag}"), value]);
            match kind {
                Bool => {
                    assert!(takes(half, &[&format!("--{flag}")]), "{half} --{flag}");
                    assert!(with("true") && with("F") && with("1") && !with("yes"), "{half} --{flag}");
                    assert!(!apart("true"), "{half} --{flag}");
                }
                Duration => {
                    assert!(with("1h2m3.5s") && with("300ms") && !with("5") && !with("1d"), "{half} --{flag}");
                    assert!(apart("5s"), "{half} --{flag}");
                }
                Int => {
                    // A number that is within the bounds of each.
                    let number = match *flag {
                        "tunnel-stream-window" => "65536",
                        "redis-max-bulk" => "1048576",
                        _ => "7",
                    };
                    assert!(with(number) && apart(number), "{half} --{flag}");
                    assert!(!with("x") && !with("1.5") && !with("-1"), "{half} --{flag}");
                    let is_port = flag.ends_with("-port");
                    assert!(!is_port || (with("65535") && !with("65536")), "{half} --{flag}");
                }
                String => assert!(with(default) || default.is_empty(), "{half} --{flag}"),
                StringSlice => {
                    let (one, two) = if *flag == "full-detail" { ("events", "actions") } else { ("a", "b") };
                    let both = format!("--{flag}={one},{two}");
                    assert!(takes(half, &[&both, &both]) && apart(one), "{half} --{flag}");
                }
            }
        }
    }
}

#[test]
fn bad_values_are_one_line_with_flag_value_and_what_is_allowed() {
    for (words, expected) in [
        (
            &["argocd-agent", "principal", "--metrics-port=abc"][..],
            r#"--metrics-port: "abc" is not allowed: must be a whole number from 0 to 65535"#,
        ),
        (
            &["argocd-agent", "agent", "--healthz-port", "0"],
            r#"--healthz-port: "0" is not allowed: must be a whole number from 1 to 65535"#,
        ),
        (
            &["argocd-agent", "principal", "--log-format=xml"],
            r#"--log-format: "xml" is not allowed: must be one of text, json"#,
        ),
        (
            &["argocd-agent", "agent", "--agent-mode=both"],
            r#"--agent-mode: "both" is not allowed: must be one of managed, autonomous"#,
        ),
        (
            &["argocd-agent", "principal", "--resource-proxy-timeout=0"],
            r#"--resource-proxy-timeout: "0" is not allowed: must be a duration above 0, such as 300ms, 10s or 1h2m3.5s"#,
        ),
        (
            &["argocd-agent", "principal", "--resource-proxy-listen=:9090"],
            r#"--resource-proxy-listen: ":9090" is not allowed: must be an IP address and a port, such as 0.0.0.0:9090"#,
        ),
        (
            &["argocd-agent", "principal", "--redis-proxy-listen=6379"],
            r#"--redis-proxy-listen: "6379" is not allowed: must be an IP address and a port, such as 0.0.0.0:6379"#,
        ),
        (
            &["argocd-agent", "agent", "--insecure-tls=maybe"],
            r#"--insecure-tls: "maybe" is not allowed: must be true or false (or 1, 0, t, f)"#,
        ),
        (
            &["argocd-agent", "agent", "--server-adress=x"],
            "--server-adress is no flag of this command: did you mean --server-address?",
        ),
        (&["argocd-agent", "agnet"], r#""agnet" is no command: did you mean agent?"#),
        (
            &["argocd-agent", "version", "-o", "xml"],
            r#"--output: "xml" is not allowed: must be one of text, json, yaml"#,
        ),
    ] {
        assert_eq!(line(words), expected);
    }
}

#[test]
fn help_has_every_flag_under_a_heading_with_its_variable() {
    for (half, table, headings) in [
        (
            "principal",
            &PRINCIPAL[..],
            &["Listener", "TLS", "Resource proxy", "Redis proxy", "Control plane", "Logging", "Limits"][..],
        ),
        ("agent", &AGENT, &["Principal", "TLS", "Workload cluster", "Managed filter", "Logging", "Limits"]),
    ] {
        let mut command = command();
        command.build();
        let help = command.find_subcommand_mut(half).unwrap().render_long_help().to_string();
        for heading in headings.iter().chain(&["Not supported yet", "No effect in this version"]) {
            assert!(help.lines().any(|line| line.starts_with(heading)), "{half}: {heading}");
        }
        for (flag, _, variable, default) in table {
            let section = help.split(&format!("--{flag}")).find(|rest| rest.starts_with([' ', '[', '\n']));
            let section = section.unwrap_or_else(|| panic!("{half} --{flag} is not in the help"));
            let section = section.split("\n      --").next().unwrap();
            assert!(
                variable.is_empty() || section.contains(&format!("[env: {variable}]")),
                "{half} --{flag}: {section}"
            );
            assert!(
                default.is_empty() || section.contains(&format!("[default: {default}]")),
                "{half} --{flag}: {section}"
            );
        }
        let unnamed = sub(half).get_arguments().find(|arg| arg.get_help_heading().is_none()).map(ToString::to_string);
        assert_eq!(unnamed, None, "{half}");
    }
    let filter = sub("agent").render_long_help().to_string();
    assert!(filter.contains("get, list, watch  on ConfigMaps"), "the RBAC that the filter needs is told");
}

#[test]
fn what_prints_and_exits_does_not_run() {
    let printed = |words: &[&str]| {
        let words: Vec<_> = words.iter().map(OsString::from).collect();
        match parse(&words) {
            Ok(Invocation::Print(text)) => text,
            other => panic!("{words:?}: {other:?}"),
        }
    };
    assert_eq!(printed(&[NAME, "version", "--short"]), build_info::VERSION);
    for half in HALVES {
        assert!(printed(&[NAME, half, "--tls-ciphersuites=list"]).contains("TLS_AES_128_GCM_SHA256"));
    }
    for words in [&[NAME][..], &[NAME, "--help"], &[NAME, "principal", "-h"], &[NAME, "help", "agent"]] {
        let words: Vec<_> = words.iter().map(OsString::from).collect();
        assert!(matches!(parse(&words), Err(Refused::Help(_))), "{words:?}");
    }
}
