//! What a verified peer certificate says about its owner, read once per connection.
//!
//! Reading is not verifying: only certificates that the TLS handshake accepted may come here.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use x509_parser::{certificate::X509Certificate, error::X509Error, extensions::GeneralName, prelude::FromDer};

use super::subject::{Subject, SubjectError};

/// The peer of a connection whose certificate was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The subject's common name: the last one if there are several, none if it is empty.
    pub common_name: Option<String>,
    /// The whole subject as Go's `pkix.Name.String()` prints it, which is what `--auth mtls:subject:<regex>` matches.
    pub subject: String,
    /// The URIs among the subject alternative names, in the certificate's order.
    pub uri_sans: Vec<String>,
    /// SHA-256 of the certificate in upper-case hexadecimal, which is the key of the blocklist.
    pub fingerprint: String,
    /// When the certificate expires, in seconds since the Unix epoch.
    pub not_after: i64,
}

/// A certificate that TLS accepted says nothing we can use.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It is no X.509 certificate.
    #[error("the peer's certificate cannot be parsed")]
    Certificate(#[source] x509_parser::nom::Err<X509Error>),
    /// Bytes follow the certificate.
    #[error("{0} bytes follow the peer's certificate")]
    TrailingBytes(usize),
    /// Its subject is malformed.
    #[error("the subject of the peer's certificate cannot be read")]
    Subject(#[source] SubjectError),
    /// Its subject alternative names are malformed, or there twice.
    #[error("the alternative names of the peer's certificate cannot be read")]
    AlternativeNames(#[source] X509Error),
}

// === impl PeerIdentity ===

impl PeerIdentity {
    /// Reads a verified certificate.
    ///
    /// # Errors
    /// When the certificate is malformed, even in parts that TLS verification does not look at: who it names must not
    /// depend on how far a parser got.
    pub fn from_der(der: &[u8]) -> Result<Self, IdentityError> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(IdentityError::Certificate)?;
        if !rest.is_empty() {
            return Err(IdentityError::TrailingBytes(rest.len()));
        }
        let subject = Subject::from_der(certificate.subject().as_raw()).map_err(IdentityError::Subject)?;
        let alternatives = certificate.subject_alternative_name().map_err(IdentityError::AlternativeNames)?;
        let uri_sans = alternatives
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some((*uri).to_owned()),
                _ => None,
            })
            .collect();
        Ok(Self {
            common_name: subject.common_name,
            subject: subject.text,
            uri_sans,
            fingerprint: fingerprint(der),
            not_after: certificate.validity().not_after.timestamp(),
        })
    }
}

fn fingerprint(der: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, der);
    digest.as_ref().iter().fold(String::with_capacity(2 * digest::SHA256_OUTPUT_LEN), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, SanType};

    use super::*;

    #[test]
    fn reads_what_the_certificate_says() {
        let mut params = params(&[(DnType::OrganizationName, "org"), (DnType::CommonName, "agent-1")]);
        params.not_after = rcgen::date_time_ymd(2030, 1, 2);
        let uri = |text: &str| SanType::URI(text.try_into().unwrap());
        params.subject_alt_names =
            vec![uri("spiffe://td/b"), SanType::DnsName("x.example".try_into().unwrap()), uri("spiffe://td/a")];
        let der = sign(&params);
        let identity = PeerIdentity::from_der(&der).unwrap();
        assert_eq!(identity.common_name.as_deref(), Some("agent-1"));
        assert_eq!(identity.subject, "CN=agent-1,O=org");
        assert_eq!(identity.uri_sans, ["spiffe://td/b", "spiffe://td/a"]);
        assert_eq!(identity.not_after, 1_893_542_400);
        assert_eq!(identity.fingerprint.len(), 64);
        assert!(identity.fingerprint.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)));
    }

    #[test]
    fn the_fingerprint_is_the_sha_256_of_the_der() {
        assert_eq!(fingerprint(b"abc"), "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD");
    }

    #[test]
    fn the_subject_is_in_the_order_of_go_whatever_the_order_in_the_certificate() {
        let forward = [
            (DnType::CountryName, "DE"),
            (DnType::StateOrProvinceName, "Hessen"),
            (DnType::LocalityName, "Frankfurt"),
            (DnType::OrganizationName, "org"),
            (DnType::OrganizationalUnitName, "unit"),
            (DnType::CommonName, "agent"),
        ];
        let mut backward = forward.clone();
        backward.reverse();
        let expected = "CN=agent,OU=unit,O=org,L=Frankfurt,ST=Hessen,C=DE";
        assert_eq!(PeerIdentity::from_der(&sign(&params(&forward))).unwrap().subject, expected);
        assert_eq!(PeerIdentity::from_der(&sign(&params(&backward))).unwrap().subject, expected);
    }

    #[test]
    fn a_certificate_without_a_name_has_no_common_name() {
        for names in [&[][..], &[(DnType::CommonName, "")]] {
            let identity = PeerIdentity::from_der(&sign(&params(names))).unwrap();
            assert_eq!((identity.common_name, identity.subject.as_str()), (None, ""));
        }
    }

    #[test]
    fn a_subject_that_go_could_not_read_is_refused() {
        let mut params = params(&[]);
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 10]), DnValue::Utf8String("org".into()));
        let name = DnType::CustomDnType(vec![2, 5, 4, 3]);
        params.distinguished_name.push(name, DnValue::UniversalString("a".try_into().unwrap()));
        assert!(matches!(PeerIdentity::from_der(&sign(&params)), Err(IdentityError::Subject(_))));
    }

    #[test]
    fn cut_or_padded_certificates_are_refused() {
        let der = sign(&params(&[(DnType::CommonName, "agent")]));
        for length in 0..der.len() {
            assert!(PeerIdentity::from_der(&der[..length]).is_err(), "{length} of {} bytes", der.len());
        }
        let padded = [&der[..], &[0]].concat();
        assert!(matches!(PeerIdentity::from_der(&padded), Err(IdentityError::TrailingBytes(1))));
    }

    fn params(names: &[(DnType, &str)]) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in names {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params
    }

    fn sign(params: &CertificateParams) -> Vec<u8> {
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }
}
