//! The authorities in the principal's namespace.

use anyhow::{Context, anyhow};

use super::secret;
use crate::{
    kube::Side,
    names::{CA, CLIENT_CA},
    pki::{Authority, Certificate},
};

/// The authority that signs for everybody, or, with `client_ca`, the one of the doors' callers.
///
/// # Errors
/// When it is not there, or cannot sign.
pub(super) async fn load(side: &Side, client_ca: bool) -> anyhow::Result<Authority> {
    let name = if client_ca { CLIENT_CA } else { CA };
    let called = side.secrets.called(name);
    let found = side.secrets.get(name).await?;
    let cure = if client_ca { "pki init --client-ca" } else { "pki init" };
    let found =
        found.ok_or_else(|| anyhow!("CA is not initialized: {called} does not exist: make it with `{cure}`"))?;
    let pair = secret::pair(&called, &found)
        .with_context(|| format!("CA cannot be used: mend {called}, or make a new one with `{cure} --force`"))?;
    Authority::read(&called, &pair)
}

/// The authority for a certificate that takes the place of `old`: whoever signed that, unless `client_ca` asks for the
/// callers' own. Else a certificate would move to an authority that the door does not trust.
pub(super) async fn successor(side: &Side, old: Option<&Certificate>, client_ca: bool) -> anyhow::Result<Authority> {
    if client_ca {
        return load(side, true).await;
    }
    let is_there = side.secrets.get(CLIENT_CA).await?.is_some();
    if let Some(old) = old.filter(|_| is_there) {
        let clients = load(side, true).await?;
        if clients.signed(old) {
            return Ok(clients);
        }
    }
    load(side, false).await
}
