//! The Secret with the authority that signs agents' certificates.

use std::sync::Arc;

use common::{pki::Signer, tls::Pem};
use k8s_openapi::api::core::v1::Secret;

use crate::enrollment::{Authority, AuthorityError};

/// Keeps `authority` as the Secret says.
pub(super) fn teller(
    namespace: &str,
    name: &str,
    authority: Arc<Authority>,
) -> impl Fn(Option<&Secret>) + Send + Sync + use<> + 'static {
    let object = format!("Secret {namespace}/{name}");
    move |secret| match secret {
        None => authority.gone(&object),
        Some(secret) => authority.take(&object, signer(&object, secret)),
    }
}

fn signer(object: &str, secret: &Secret) -> Result<Signer, AuthorityError> {
    let text = |key: &'static str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key)).ok_or(AuthorityError::NoKey(key))?;
        Ok(Pem::new(format!("key {key} of {object}"), bytes.0.as_slice()))
    };
    Signer::from_pem(&text("tls.crt")?, &text("tls.key")?).map_err(AuthorityError::Signer)
}
