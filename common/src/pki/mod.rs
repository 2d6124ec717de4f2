//! Making certificates. Pure: it asks no API server and reads no file.
//!
//! `argocd-agentctl` signs with it for the operator, and the principal for agents that join.

mod signer;
mod time;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls_pki_types::CertificateDer;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

pub use signer::{BACKDATED, Order, SignError, Signer, SignerError, Usage, serial};
pub use time::now;

/// Whether `authority` signed `certificate`: by name, and by a signature of any kind that our TLS takes.
#[must_use]
pub fn is_signed_by(certificate: &CertificateDer<'_>, authority: &CertificateDer<'_>) -> bool {
    let (Some(own), Some(other)) = (parsed(certificate), parsed(authority)) else { return false };
    let key = &other.public_key().subject_public_key.data;
    own.issuer().as_raw() == other.subject().as_raw()
        && verifies(key, own.tbs_certificate.as_ref(), &own.signature_value.data)
}

/// Whether a signature is one of `key`, by any algorithm that our TLS takes. `key` is what stands in the BIT STRING of a
/// `SubjectPublicKeyInfo`.
#[must_use]
pub fn verifies(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let provider = crate::tls::provider();
    let mut algorithms = provider.signature_verification_algorithms.all.iter();
    algorithms.any(|algorithm| algorithm.verify_signature(key, message, signature).is_ok())
}

/// As PEM, in lines of 64 (RFC 7468 section 2).
#[must_use]
pub fn pem<'a>(certificates: impl IntoIterator<Item = &'a CertificateDer<'a>>) -> String {
    let mut pem = String::new();
    for certificate in certificates {
        let text = STANDARD.encode(certificate);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        pem += &format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    }
    pem
}

/// Bytes behind a certificate make it none.
fn parsed<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, certificate)| certificate)
}
