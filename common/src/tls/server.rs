//! The server's side: who we are and whose certificates we accept.

use std::sync::Arc;

use rustls::{ServerConfig, server::NoServerSessionStorage};

use super::{Identity, Roots, TlsError, authorities};
use crate::config::TlsVersions;

/// What a server asks of its clients.
#[derive(Debug, Clone)]
pub enum ClientAuth {
    /// Nothing; a client certificate is not even asked for.
    None,
    /// A client may come without a certificate; one that is not valid fails the handshake all the same.
    Optional(Roots),
    /// A client without a valid certificate fails the handshake.
    Required(Roots),
}

/// Makes a server's configuration; the first of `alpn` that the client offers too is chosen.
///
/// A client that offers protocols by ALPN and none of ours fails the handshake; one that does not use ALPN passes.
///
/// # Errors
/// When the versions or the roots cannot be used.
pub fn server_config(
    identity: Identity,
    clients: ClientAuth,
    versions: TlsVersions,
    alpn: &[&[u8]],
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(versions.provider())
        .with_protocol_versions(versions.protocols())
        .map_err(TlsError::Versions)?;
    let builder = match clients {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Optional(roots) => {
            builder.with_client_cert_verifier(authorities::of_clients(roots, true).map_err(TlsError::Clients)?)
        }
        ClientAuth::Required(roots) => {
            builder.with_client_cert_verifier(authorities::of_clients(roots, false).map_err(TlsError::Clients)?)
        }
    };
    let mut config = builder.with_cert_resolver(identity.into_resolver());
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    // No resumption, neither by session id nor by ticket: see the module's doc. The ticketer, for TLS 1.2, is off by
    // default.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
