//! TLS as both ends speak it: rustls with one crypto provider, named explicitly.
//!
//! Sessions are never resumed: a resumed session carries over the certificates of the first one without asking the
//! verifier again, so a client that was shut out in between would get in.
//!
//! Where certificates come from is in `source`; `reload` keeps configurations as their sources are.

mod authorities;
mod client;
mod error;
mod files;
mod keeper;
mod material;
mod metrics;
mod reload;
mod secrets;
mod server;
mod source;
#[cfg(test)]
mod tests;
mod validity;

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;

pub use client::{Verification, client_config};
pub use error::{LoadError, MaterialError};
pub use files::{Folders, FollowedFiles};
pub use material::{Identity, Pem, Roots};
pub use metrics::What;
pub use reload::{AskClients, ClientParts, ClientTls, Materials, ServerParts};
pub use secrets::{SecretError, Secrets};
pub use server::{ClientAuth, server_config};
pub use source::{IdentitySource, InvalidSecretName, RootsKey, RootsSource, SecretName};
pub use validity::Validity;

/// Why no TLS configuration can be made of what was given.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No version, or no cipher suite for one.
    #[error("no TLS version can be offered")]
    Versions(#[source] rustls::Error),
    /// The roots for client certificates cannot be used.
    #[error("client certificates cannot be verified with these roots")]
    Clients(#[source] rustls::server::VerifierBuilderError),
    /// The roots for the server's certificate cannot be used.
    #[error("the server's certificate cannot be verified with these roots")]
    Roots(#[source] rustls::client::VerifierBuilderError),
}

/// The one crypto provider: AWS-LC, which has post-quantum key exchange and P-521 client certificates.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
