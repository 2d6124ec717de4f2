//! How agents are known: `--auth`, and what goes with it and what does not.

use common::config::{FlagError, values::given};

use super::ClientCertificates;
use crate::{agents::auth::AuthMethod, args::Args};

/// The method, if nothing else that was given contradicts it.
pub(super) fn auth(args: &Args) -> Result<AuthMethod, FlagError> {
    let text = given(args.identity.auth.as_ref())
        .ok_or_else(|| FlagError::missing(&["auth"], "must be mtls:[subject:|uri:]<regex>, such as mtls:CN=([^,]+)"))?;
    let method = AuthMethod::parse(text).map_err(|error| FlagError::not_allowed("auth", text, error))?;
    let plaintext = args.tls.insecure_plaintext;
    let certificates = [
        ("require-client-certs", args.identity.require_client_certs),
        ("client-cert-subject-match", args.identity.client_cert_subject_match),
    ];
    match (&method, plaintext) {
        (AuthMethod::Header(_), false) => {
            let allowed = "must be another method without --insecure-plaintext: whoever connects could set the header";
            Err(FlagError::not_allowed("auth", text, allowed))
        }
        (AuthMethod::Certificate(_), true) => {
            let allowed = "must be another method with --insecure-plaintext: without TLS there are no certificates";
            Err(FlagError::not_allowed("auth", text, allowed))
        }
        (_, true) => match certificates.into_iter().find(|(_, on)| *on) {
            Some((flag, _)) => {
                let allowed = "must be false with --insecure-plaintext: without TLS there are no certificates";
                Err(FlagError::not_allowed(flag, "true", allowed))
            }
            None => Ok(method),
        },
        (_, false) => Ok(method),
    }
}

/// By certificate they must have one, and where its name must match: who shows none would get around that.
pub(super) fn client_certificates(args: &Args, auth: &AuthMethod) -> ClientCertificates {
    let flags = &args.identity;
    let by_certificate = matches!(auth, AuthMethod::Certificate(_));
    if by_certificate || flags.require_client_certs || flags.client_cert_subject_match {
        ClientCertificates::Required
    } else {
        ClientCertificates::IfGiven
    }
}
