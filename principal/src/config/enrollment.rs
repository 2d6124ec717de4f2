//! How agents get their certificates, where the principal gives any.

use std::time::Duration;

use common::{auth::PeerIdentity, config::FlagError, tls::SecretName};

use super::KubeSource;
use crate::{agents::auth::AuthMethod, args::Args};

/// Agents get their certificates here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrollmentConfig {
    /// The Secret with certificate and key of the authority that signs them.
    pub authority: SecretName,
    /// How long each is valid.
    pub lifetime: Duration,
}

pub(super) fn enrollment(
    args: &Args,
    auth: &AuthMethod,
    kube: Option<&KubeSource>,
) -> Result<Option<EnrollmentConfig>, FlagError> {
    let flags = &args.enrollment;
    if !flags.enable_enrollment {
        return Ok(None);
    }
    let refused = |why: &str| FlagError::not_allowed("enable-enrollment", "true", why);
    if kube.is_none() {
        let why = "must go with the control plane's Kubernetes API, which has the authority and the join tokens: give \
                   --kubeconfig outside of a Pod there";
        return Err(refused(why));
    }
    if !names_by_common_name(auth) {
        let why = "must go with an --auth that takes the name from the common name, which is all that these certificates \
                   have, such as mtls:CN=([^,]+)";
        return Err(refused(why));
    }
    let name = flags.enrollment_ca_secret_name.trim();
    let authority =
        SecretName::parse(name).map_err(|error| FlagError::not_allowed("enrollment-ca-secret-name", name, error))?;
    let lifetime = flags.enrollment_certificate_lifetime;
    if !(SHORTEST..=LONGEST).contains(&lifetime) {
        let (flag, value) = ("enrollment-certificate-lifetime", format!("{}s", lifetime.as_secs()));
        return Err(FlagError::not_allowed(flag, value, "must be from 10s to 876000h (a hundred years)"));
    }
    Ok(Some(EnrollmentConfig { authority, lifetime }))
}

/// Whether an agent would be known again by a certificate that we make.
fn names_by_common_name(auth: &AuthMethod) -> bool {
    let AuthMethod::Certificate(rule) = auth else { return false };
    let name = "agent-0123456789";
    let certificate = PeerIdentity {
        common_name: Some(name.to_owned()),
        subject: format!("CN={name}"),
        uri_sans: Vec::new(),
        fingerprint: String::new(),
        not_after: 0,
    };
    rule.name(&certificate) == Ok(name)
}

/// Shorter ones would be renewed all the time, and end while a clock is wrong.
const SHORTEST: Duration = Duration::from_secs(10);
/// A hundred years: what is longer is a slip.
const LONGEST: Duration = Duration::from_secs(876_000 * 60 * 60);
