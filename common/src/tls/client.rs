//! The client's side: who we are and whose word about the server we take.

use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{Identity, Roots, TlsError, authorities, provider};
use crate::config::TlsVersions;

/// How a client convinces itself that it speaks with the right server.
#[derive(Debug, Clone)]
pub enum Verification {
    /// The server's certificate comes from one of these and carries the name that was dialled.
    Roots(Roots),
    /// Any certificate will do (`--insecure-tls`). The server still has to hold the key of the one it shows.
    Insecure,
}

/// Makes a client's configuration. The certificate, if any, is shown to whoever asks for one.
///
/// # Errors
/// When the versions cannot be used.
pub fn client_config(
    identity: Option<Identity>,
    verification: Verification,
    versions: TlsVersions,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(versions.provider())
        .with_protocol_versions(versions.protocols())
        .map_err(TlsError::Versions)?;
    let builder = match verification {
        Verification::Roots(roots) => builder
            .dangerous()
            .with_custom_certificate_verifier(authorities::of_servers(roots).map_err(TlsError::Roots)?),
        Verification::Insecure => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate { provider: provider() }))
        }
    };
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(identity.into_resolver()),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Takes any certificate, but lets nobody borrow one: handshake signatures are checked.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

// === impl AnyCertificate ===

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
