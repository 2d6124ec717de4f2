//! The table of commands: names, aliases, flags and defaults, and how what is wrong is told.

use std::ffi::OsString;

use super::*;
use crate::pki::{KeyAlgorithm, KeySize};

fn parsed(line: &str) -> Result<Cli, String> {
    let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    parse(&words).map_err(|refused| match refused {
        Refused::Help(_) => "help".to_owned(),
        Refused::Line(line) => line,
    })
}

#[test]
fn the_tree_is_sound() {
    command().debug_assert();
}

#[test]
fn every_command_of_upstream_is_taken_with_its_flags() {
    let fingerprint = "ab".repeat(32);
    for line in [
        "version -i",
        "version -o yaml",
        "agent create a",
        "agents create a --resource-proxy-server=p:1 -l k=v -l x/y=z --tls-from-secret=n/s --ca-from-secret=c",
        "agent create a --days 7 --key-algorithm ecdsa-p521",
        "agent create a --key-algorithm=rsa --key-size=3072",
        "agent list -l tier=front,other",
        "agent inspect a -o text",
        "agent show a",
        "agent print-tls a -t key",
        "agent dump-tls a --type=ca",
        "agent reconfigure a --resource-proxy-server=p:1 --resource-proxy-username=u --resource-proxy-password=p \
         --reissue-client-cert --days=1",
        "pki init -f --days=10 --key-algorithm=ed25519",
        "pki propagate --force",
        "pki inspect -f -o yaml",
        "pki delete",
        "pki dump --all",
        "pki issue principal --ip=10.0.0.1,::1 --dns=a --dns=b -u",
        "pki new-cert principal",
        "pki issue resource-proxy --no-san --upsert",
        "pki issue agent a -u --same-context --agent-namespace=other --days=3",
        "jwt create-key -u",
        "jwt inspect-key -o json",
        "jwt delete-key -f",
        &format!("blocklist tls add {fingerprint}"),
        &format!("blocklist tls remove {fingerprint}"),
        "blocklist tls list",
        "config create --kubeconfig-path=f --output-path=g",
        "config add principal --name=p --context=c --namespace=n --set-default",
        "config edit agent --name=a --context=c",
        "config delete principal --name=p",
        "config list agent",
        "validate principal",
        "check-config agent",
        "--principal-context=c --principal-namespace=n --principal=p --agent=a --config=f agent list",
        "agent list --agent-context c --principal-namespace n",
        // Ours.
        "agent rotate a --revoke --client-ca",
        "agent delete a --revoke -f",
        "agent join-token a --principal-address=p:8443 --ttl=1h",
        "agent join --token-file=f -u",
        "pki init --client-ca",
        "pki init --force --keep-old",
        "pki drop-old --force --client-ca",
        "kubeconfig a --server=localhost:9090 --tls-server-name=p --issue --output-path=f",
        "doctor a --server=localhost:9090",
        "completion bash",
    ] {
        let line = format!("argocd-agentctl {line}");
        let words: Vec<_> = line.split_whitespace().collect();
        if let Err(error) = parsed(&words.join(" ")) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn defaults_are_those_of_upstream() {
    let Command::Agent(Agent::Create(create)) = parsed("x agent create a").unwrap().command else { panic!() };
    let spec = create.certificate.key.spec().unwrap();
    assert_eq!((spec.algorithm, spec.size), (KeyAlgorithm::Rsa, KeySize::Bits4096));
    assert_eq!(
        (create.certificate.lifetime.days, create.resource_proxy_server.as_str()),
        (180, "argocd-agent-resource-proxy:9090")
    );
    let Command::Pki(Pki::Init(init)) = parsed("x pki init").unwrap().command else { panic!() };
    assert_eq!(init.lifetime.days, 3650);
    let Command::Pki(Pki::Issue(Issue::Principal(issue))) = parsed("x pki issue principal").unwrap().command else {
        panic!()
    };
    assert_eq!((issue.ip, issue.dns), (vec!["127.0.0.1".parse().unwrap()], vec!["localhost".to_owned()]));
}

#[test]
fn what_cannot_be_taken_is_told_in_one_line() {
    for (line, expected) in [
        ("x jwtt inspect-key", r#""jwtt" is no command: did you mean jwt?"#),
        ("x agent list --lable=a", "--lable is no flag of this command: did you mean --label?"),
        (
            "x agent create A",
            r#"<AGENT>: "A" is not allowed: must be a DNS-1123 label: up to 63 characters of a-z, 0-9 and -, not - at its ends"#,
        ),
        (
            "x blocklist tls add abc",
            r#"<FINGERPRINT>: "abc" is not allowed: must be the SHA-256 of a certificate: 64 hexadecimal digits, with or without colons"#,
        ),
        ("x pki init --days=0", r#"--days: "0" is not allowed: must be a whole number from 1 to 36500"#),
        (
            "x agent create a -l nolabel",
            r#"--label: "nolabel" is not allowed: must be <key>=<value>, both as Kubernetes lets labels be"#,
        ),
        ("x agent inspect a -o xml", r#"--output: "xml" is not allowed: must be one of text, json, yaml"#),
        ("x pki init --key-size=1024", r#"--key-size: "1024" is not allowed: must be one of 2048, 3072, 4096"#),
        ("x pki issue principal --ip=home", r#"--ip: "home" is not allowed: invalid IP address syntax"#),
        ("x config add agent", "--name <NAME> must be given"),
        ("x agent join-token a", "--principal-address <HOST:PORT> must be given"),
        (
            "x agent join-token a --principal-address=p",
            r#"--principal-address: "p" is not allowed: must be <host>:<port>, an IPv6 address in brackets"#,
        ),
        ("x agent inspect", "<AGENT> must be given"),
    ] {
        assert_eq!(parsed(line).unwrap_err(), expected, "{line}");
    }
    assert_eq!(parsed("x").unwrap_err(), "help");
    assert_eq!(parsed("x agent").unwrap_err(), "help");
    let Command::Pki(Pki::Init(init)) = parsed("x pki init --key-algorithm=ed25519 --key-size=2048").unwrap().command
    else {
        panic!()
    };
    assert!(init.key.spec().unwrap_err().0.starts_with("--key-size is for --key-algorithm=rsa only"));
}
