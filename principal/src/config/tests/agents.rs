//! How agents are known, and by what TLS.

use super::*;

#[test]
fn methods_and_what_is_done_about_tls_go_together_or_not() {
    let without_tls = "without TLS there are no certificates";
    for (flags, expected) in [
        (
            &["--auth=header:x:(.*)"][..],
            "--auth: \"header:x:(.*)\" is not allowed: must be another method without --insecure-plaintext: whoever \
             connects could set the header"
                .to_owned(),
        ),
        (
            &["--auth=mtls:", "--insecure-plaintext"],
            format!(
                r#"--auth: "mtls:" is not allowed: must be another method with --insecure-plaintext: {without_tls}"#
            ),
        ),
        (
            &["--auth=userpass:/f", "--insecure-plaintext", "--require-client-certs"],
            format!(
                r#"--require-client-certs: "true" is not allowed: must be false with --insecure-plaintext: {without_tls}"#
            ),
        ),
        (
            &["--auth=header:x:(.*)", "--insecure-plaintext", "--client-cert-subject-match"],
            format!(
                r#"--client-cert-subject-match: "true" is not allowed: must be false with --insecure-plaintext: {without_tls}"#
            ),
        ),
    ] {
        assert_eq!(line_with(flags), expected);
    }
    let asked = |flags: &[&str]| {
        let config = with(flags).unwrap();
        (config.grpc_tls.is_some(), config.client_certificates)
    };
    use ClientCertificates::{IfGiven, Required};
    assert_eq!(asked(&["--auth=mtls:"]), (true, Required));
    assert_eq!(asked(&["--auth=userpass:/f"]), (true, IfGiven));
    assert_eq!(asked(&["--auth=userpass:/f", "--require-client-certs"]), (true, Required));
    assert_eq!(asked(&["--auth=userpass:/f", "--client-cert-subject-match"]), (true, Required));
    assert_eq!(asked(&["--auth=userpass:/f", "--insecure-plaintext"]), (false, IfGiven));
    assert_eq!(asked(&["--auth=header:x:(.*)", "--insecure-plaintext"]), (false, IfGiven));
    // As upstream: the first of them counts.
    let made = with(&["--insecure-tls-generate"]).unwrap().grpc_tls.unwrap();
    assert_eq!(made.identity, IdentitySource::Generated);
    assert!(
        with(&["--insecure-plaintext", "--insecure-tls-generate", "--auth=userpass:/f"]).unwrap().grpc_tls.is_none()
    );
}

#[test]
fn cipher_suites_are_chosen_by_their_names() {
    let suites = |flags: &[&str]| with(flags).unwrap().tls_versions.provider().cipher_suites.len();
    assert_eq!(suites(&["--tls-ciphersuites=TLS_AES_128_GCM_SHA256"]), 1);
    assert!(line_with(&["--tls-ciphersuites=A,B"]).starts_with(
        r#"--tls-ciphersuites: "A" is not allowed: must be one of TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256, "#
    ));
}
