//! Self-registration: all that it needs, or nothing.

use std::time::Duration;

use common::{
    config::{FlagError, values::given},
    tls::SecretName,
};

use crate::{
    args::Args,
    registration::{LabelRule, RegistrationConfig},
};

/// The settings, where it is enabled; `has_kube` says whether there is an API server to write to.
pub(super) fn registration(args: &Args, has_kube: bool) -> Result<Option<RegistrationConfig>, FlagError> {
    let flags = &args.registration;
    if !flags.enable_self_cluster_registration {
        return Ok(None);
    }
    let refused = |why: &str| FlagError::not_allowed(ENABLE, "true", why);
    if !args.resource_proxy.enable_resource_proxy {
        return Err(refused(
            "must not be given with --enable-resource-proxy=false: clusters are registered by its address",
        ));
    }
    if !has_kube {
        return Err(refused(
            "must come with the control plane's Kubernetes API: give --kubeconfig outside of a Pod there",
        ));
    }
    let secret = given(flags.self_registration_client_cert_secret.as_ref()).ok_or_else(|| {
        FlagError::missing(
            &[CERTIFICATE],
            "must be the name of a Secret with tls.crt, tls.key and ca.crt, beside --enable-self-cluster-registration",
        )
    })?;
    let client_certificate =
        SecretName::parse(secret).map_err(|error| FlagError::not_allowed(CERTIFICATE, secret, error))?;
    let labels = match given(flags.self_registration_allowed_labels.as_ref()) {
        Some(pattern) => LabelRule::parse(pattern).map_err(|error| FlagError::not_allowed(LABELS, pattern, error))?,
        None => LabelRule::default(),
    };
    let token_lifetime = flags.self_registration_token_lifetime;
    if !(SHORTEST_LIFE..=LONGEST_LIFE).contains(&token_lifetime) {
        let allowed = "must be a duration from 10m to 87600h, such as 168h";
        return Err(FlagError::not_allowed(LIFETIME, format!("{token_lifetime:?}"), allowed));
    }
    Ok(Some(RegistrationConfig { client_certificate, proxy_address: address(args)?, token_lifetime, labels }))
}

/// The flags that were given and lead to nothing.
pub(super) fn without_effect(args: &Args, usual: &Args) -> Vec<&'static str> {
    let (set, usual) = (&args.registration, &usual.registration);
    if set.enable_self_cluster_registration {
        return Vec::new();
    }
    let flags = [
        ("resource-proxy-address", set.resource_proxy_address != usual.resource_proxy_address),
        (CERTIFICATE, given(set.self_registration_client_cert_secret.as_ref()).is_some()),
        (LABELS, given(set.self_registration_allowed_labels.as_ref()).is_some()),
        (LIFETIME, set.self_registration_token_lifetime != usual.self_registration_token_lifetime),
    ];
    flags.into_iter().filter_map(|(flag, is_set)| is_set.then_some(flag)).collect()
}

fn address(args: &Args) -> Result<String, FlagError> {
    let text = args.registration.resource_proxy_address.trim();
    let parsed = text.parse::<http::uri::Authority>().ok();
    let is_good = parsed.is_some_and(|address| {
        !address.host().is_empty() && !text.contains('@') && address.port_u16().is_some_and(|port| port > 0)
    });
    match is_good {
        true => Ok(text.to_owned()),
        false => Err(FlagError::not_allowed("resource-proxy-address", text, "must be <host>:<port>")),
    }
}

const ENABLE: &str = "enable-self-cluster-registration";
const CERTIFICATE: &str = "self-registration-client-cert-secret";
const LABELS: &str = "self-registration-allowed-labels";
const LIFETIME: &str = "self-registration-token-lifetime";

/// Argo CD reads all of a cluster anew with each token.
const SHORTEST_LIFE: Duration = Duration::from_secs(10 * 60);

/// Ten years: a token that outlives its operator.
const LONGEST_LIFE: Duration = Duration::from_secs(87_600 * 60 * 60);
