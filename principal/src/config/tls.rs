//! Where certificates, keys and authorities come from: files where paths are given, else Secrets.

use common::{
    config::{FlagError, values::given},
    tls::{IdentitySource, RootsKey, RootsSource, SecretName},
};

use super::ServerTls;
use crate::args::{Args, ResourceProxy};

/// Reads flags, for a principal that may have no Kubernetes API to load Secrets from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader {
    pub(super) reads_secrets: bool,
}

/// The flags of a certificate and its key: each by its name and value.
pub(super) struct PairFlags<'a> {
    pub(super) certificate: (&'static [&'static str], Option<&'a String>),
    pub(super) key: (&'static [&'static str], Option<&'a String>),
    /// Both paths' names.
    pub(super) paths: &'static [&'static str],
    pub(super) secret: (&'static str, &'a str),
}

/// What agents see, and whose agents are taken.
pub(super) fn grpc(args: &Args, reader: Reader) -> Result<ServerTls, FlagError> {
    let tls = &args.tls;
    // As upstream: before what was given by paths.
    let identity = match tls.insecure_tls_generate {
        true => IdentitySource::Generated,
        false => reader.identity(&PairFlags {
            certificate: (&["tls-cert"], tls.tls_cert.as_ref()),
            key: (&["tls-key"], tls.tls_key.as_ref()),
            paths: &["tls-cert", "tls-key"],
            secret: ("tls-secret-name", &tls.tls_secret_name),
        })?,
    };
    let secret = ("tls-ca-secret-name", tls.tls_ca_secret_name.as_str());
    let client_ca = reader.roots(&["root-ca-path"], tls.root_ca_path.as_ref(), secret, RootsKey::Authority)?;
    Ok(ServerTls { identity, client_ca })
}

/// What callers of the Kubernetes door see, and whose callers are taken. Upstream reads all three from Secrets as soon
/// as one path is missing; here a path that was given counts.
pub(super) fn kube_door(proxy: &ResourceProxy, reader: Reader) -> Result<ServerTls, FlagError> {
    let identity = reader.identity(&PairFlags {
        certificate: (&["resource-proxy-cert-path"], proxy.resource_proxy_cert_path.as_ref()),
        key: (&["resource-proxy-key-path"], proxy.resource_proxy_key_path.as_ref()),
        paths: &["resource-proxy-cert-path", "resource-proxy-key-path"],
        secret: ("resource-proxy-secret-name", &proxy.resource_proxy_secret_name),
    })?;
    let secret = ("resource-proxy-ca-secret-name", proxy.resource_proxy_ca_secret_name.as_str());
    let path = proxy.resource_proxy_ca_path.as_ref();
    let client_ca = reader.roots(&["resource-proxy-ca-path"], path, secret, RootsKey::Authority)?;
    Ok(ServerTls { identity, client_ca })
}

// === impl Reader ===

impl Reader {
    /// Two files, of which neither goes without the other; else a Secret.
    pub(super) fn identity(self, flags: &PairFlags<'_>) -> Result<IdentitySource, FlagError> {
        let PairFlags { certificate: (certificate_flag, certificate), key: (key_flag, key), paths, secret } = flags;
        let together = || format!("--{} go together", paths.join(" and --"));
        match (given(*certificate), given(*key)) {
            (Some(certificate), Some(key)) => {
                Ok(IdentitySource::Files { certificate: certificate.into(), key: key.into() })
            }
            (Some(_), None) => Err(FlagError::missing(key_flag, together())),
            (None, Some(_)) => Err(FlagError::missing(certificate_flag, together())),
            (None, None) => self.secret(paths, *secret).map(IdentitySource::Secret),
        }
    }

    /// A file, else a Secret.
    pub(super) fn roots(
        self,
        path_flag: &'static [&'static str],
        path: Option<&String>,
        secret: (&'static str, &str),
        key: RootsKey,
    ) -> Result<RootsSource, FlagError> {
        match given(path) {
            Some(path) => Ok(RootsSource::File(path.into())),
            None => self.secret(path_flag, secret).map(|name| RootsSource::Secret { name, key }),
        }
    }

    fn secret(
        self,
        paths: &'static [&'static str],
        (flag, name): (&'static str, &str),
    ) -> Result<SecretName, FlagError> {
        let name = name.trim();
        if !self.reads_secrets {
            let allowed = format!(
                "loading from Secret {name:?} needs the control plane's Kubernetes API: give --kubeconfig outside of a \
                 Pod there"
            );
            return Err(FlagError::missing(paths, allowed));
        }
        SecretName::parse(name).map_err(|error| FlagError::not_allowed(flag, name, error))
    }
}
