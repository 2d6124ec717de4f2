//! Verifiers that take an authority's word only while its own certificate is valid.
//!
//! rustls knows an authority by its name and key alone (RFC 5280, section 6.1.1 (d), leaves it to us), where Go and OpenSSL
//! look at its time, too. The time counts at each handshake: a process outlives its authorities.

use std::{fmt, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        VerifierBuilderError, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::{Roots, provider};

/// Verifies as `whole` does, but for authorities that are out of their time.
#[derive(Debug)]
struct InTime<V: ?Sized> {
    roots: Roots,
    /// With all authorities.
    whole: Arc<V>,
}

/// Only an authority that is out of its time vouches for the peer.
struct OutOfTime;

pub(super) fn of_servers(roots: Roots) -> Result<Arc<dyn ServerCertVerifier>, VerifierBuilderError> {
    let whole = server_verifier(roots.store())?;
    Ok(Arc::new(InTime { roots, whole }))
}

pub(super) fn of_clients(
    roots: Roots,
    may_come_without: bool,
) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
    let builder = WebPkiClientVerifier::builder_with_provider(roots.store(), provider());
    let whole = if may_come_without { builder.allow_unauthenticated().build() } else { builder.build() }?;
    Ok(Arc::new(InTime { roots, whole }))
}

fn server_verifier(roots: Arc<RootCertStore>) -> Result<Arc<WebPkiServerVerifier>, VerifierBuilderError> {
    WebPkiServerVerifier::builder_with_provider(roots, provider()).build()
}

// === impl InTime ===

impl<V: ?Sized> InTime<V> {
    /// Asks `verify` with the authorities that are in their time, none of which means all of them.
    fn verify<T>(
        &self,
        now: UnixTime,
        verify: impl Fn(Option<Arc<RootCertStore>>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(left) = self.roots.in_time(now) else { return verify(None) };
        if !left.is_empty()
            && let Ok(verified) = verify(Some(left))
        {
            return Ok(verified);
        }
        // Where all of them would have done, it is the time.
        verify(None)?;
        Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(OutOfTime)))))
    }
}

impl ServerCertVerifier for InTime<WebPkiServerVerifier> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(now, |left| {
            let verifier = match left {
                Some(left) => server_verifier(left).map_err(|error| Error::General(error.to_string()))?,
                None => Arc::clone(&self.whole),
            };
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.whole.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.whole.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.whole.supported_verify_schemes()
    }
}

impl ClientCertVerifier for InTime<dyn ClientCertVerifier> {
    fn offer_client_auth(&self) -> bool {
        self.whole.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.whole.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.whole.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(now, |left| {
            let verifier = match left {
                Some(left) => WebPkiClientVerifier::builder_with_provider(left, provider())
                    .build()
                    .map_err(|error| Error::General(error.to_string()))?,
                None => Arc::clone(&self.whole),
            };
            verifier.verify_client_cert(end_entity, intermediates, now)
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.whole.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.whole.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.whole.supported_verify_schemes()
    }
}

// === impl OutOfTime ===

impl fmt::Display for OutOfTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificate of its authority has expired or is not valid yet: renew the authority")
    }
}

/// In the same words, since rustls shows it so to whoever reads an error.
impl fmt::Debug for OutOfTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for OutOfTime {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_says_that_it_is_the_authority_and_what_to_do() {
        let error = Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(OutOfTime))));
        let text = error.to_string();
        assert!(text.contains("its authority has expired or is not valid yet: renew the authority"), "{text}");
    }
}
