//! Where certificates, keys and authorities come from: files, or Secrets of the cluster.

use std::{fmt, path::PathBuf};

/// Where a certificate chain and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentitySource {
    /// In two files, PEM.
    Files {
        /// The certificate chain, leaf first.
        certificate: PathBuf,
        /// The private key of the chain's first certificate.
        key: PathBuf,
    },
    /// Under the keys `tls.crt` and `tls.key` of a Secret.
    Secret(SecretName),
    /// Nowhere: they are made, and end with the process. Nobody can know them before; for experiments only.
    Generated,
}

/// Where the certificates of authorities are. During a roll-over the old and the new one stand side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootsSource {
    /// In a file, PEM.
    File(PathBuf),
    /// In a Secret.
    Secret {
        /// Which.
        name: SecretName,
        /// Under which key.
        key: RootsKey,
    },
}

/// Under which key of a Secret an authority is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootsKey {
    /// `tls.crt`, else `ca.crt`: in the control plane the Secret is the authority's own, with certificate and key, unless
    /// somebody made it of the certificate alone.
    Authority,
    /// `ca.crt`, else `tls.crt`: in a workload cluster it is a copy of the certificate alone, unless both are one cluster.
    Copy,
    /// `ca.crt`: beside it there is the certificate of a server.
    Beside,
}

/// The name of a Secret: a DNS-1123 subdomain, up to 253 characters of `a-z`, `0-9`, `-` and `.`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretName(String);

/// The text can be no Secret's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a Secret's name: up to 253 characters of a-z, 0-9, - and ., each part beginning and ending with a-z or 0-9"
)]
pub struct InvalidSecretName;

// === impl RootsKey ===

impl RootsKey {
    /// The keys for the one text that is wanted, of which the first that is there counts.
    pub(super) fn wanted(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Authority => &[&[CERTIFICATE, AUTHORITY]],
            Self::Copy => &[&[AUTHORITY, CERTIFICATE]],
            Self::Beside => &[&[AUTHORITY]],
        }
    }
}

// === impl SecretName ===

impl SecretName {
    /// The only way in.
    ///
    /// # Errors
    /// When `text` is no DNS-1123 subdomain.
    pub fn parse(text: &str) -> Result<Self, InvalidSecretName> {
        let part = |part: &str| {
            let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            let bytes = part.as_bytes();
            bytes.first().is_some_and(alphanumeric)
                && bytes.last().is_some_and(alphanumeric)
                && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
        };
        if text.len() <= LONGEST && text.split('.').all(part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSecretName)
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As in a Secret of type `kubernetes.io/tls`.
pub(super) const CERTIFICATE: &str = "tls.crt";
pub(super) const KEY: &str = "tls.key";
/// As cert-manager and Kubernetes itself call it.
const AUTHORITY: &str = "ca.crt";

/// As Kubernetes has it.
const LONGEST: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secrets_name_is_a_dns_subdomain() {
        for good in ["a", "argocd-agent-ca", "my.tls-1", &"a".repeat(253)] {
            assert_eq!(SecretName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "A", "-a", "a-", "a..b", "a.", "a/b", "a,b", "a=b", "a b", &"a".repeat(254)] {
            assert_eq!(SecretName::parse(bad), Err(InvalidSecretName), "{bad:?}");
        }
    }
}
