//! A certificate signing request (RFC 2986), of which nothing counts but the key that it proves to have.

use common::{enrollment::LONGEST_REQUEST, pki::verifies};
use rcgen::{PublicKeyData, SignatureAlgorithm, SubjectPublicKeyInfo};
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer, public_key::PublicKey};

/// The public key of whoever made the request; the private half was used to sign it.
#[derive(Debug)]
pub(super) struct ProvenKey(SubjectPublicKeyInfo);

/// Why a request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadRequest {
    #[error("it has more than {LONGEST_REQUEST} bytes")]
    TooLong,
    #[error("it is no PKCS#10 request")]
    Malformed,
    #[error("its key is none of ECDSA P-256, P-384 and P-521, Ed25519, and RSA of 2048 to 4096 bits")]
    Key,
    #[error("it is not signed by the key that it is for")]
    Signature,
}

// === impl ProvenKey ===

impl ProvenKey {
    pub(super) fn read(der: &[u8]) -> Result<Self, BadRequest> {
        if der.len() > LONGEST_REQUEST {
            return Err(BadRequest::TooLong);
        }
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| BadRequest::Malformed)?;
        if !rest.is_empty() {
            return Err(BadRequest::Malformed);
        }
        let info = &request.certification_request_info;
        // Before the signature, which costs the more the larger the key is.
        let key = &info.subject_pki;
        let size_is_good = match key.parsed() {
            Ok(PublicKey::RSA(rsa)) => (2048..=4096).contains(&rsa.key_size()),
            Ok(PublicKey::EC(_)) => true,
            _ => key.algorithm.algorithm == x509_parser::oid_registry::OID_SIG_ED25519,
        };
        let taken = SubjectPublicKeyInfo::from_der(key.raw).map_err(|_| BadRequest::Key)?;
        if !size_is_good {
            return Err(BadRequest::Key);
        }
        if verifies(&key.subject_public_key.data, info.raw, &request.signature_value.data) {
            Ok(Self(taken))
        } else {
            Err(BadRequest::Signature)
        }
    }
}

impl PublicKeyData for ProvenKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512,
        PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize,
    };

    use super::*;

    fn request(key: &KeyPair) -> Vec<u8> {
        CertificateParams::new(vec!["admin".to_owned()]).unwrap().serialize_request(key).unwrap().der().to_vec()
    }

    #[test]
    fn keys_of_every_kind_that_is_taken_are_proven() {
        let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let others = [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ECDSA_P521_SHA512, &PKCS_ED25519];
        let others = others.map(|kind| KeyPair::generate_for(kind).unwrap());
        for key in others.iter().chain([&rsa]) {
            let read = ProvenKey::read(&request(key)).unwrap();
            assert_eq!(read.subject_public_key_info(), key.subject_public_key_info());
        }
    }

    #[test]
    fn a_request_that_was_changed_anywhere_is_refused() {
        let key = KeyPair::generate().unwrap();
        let der = request(&key);
        for at in 0..der.len() {
            let mut changed = der.clone();
            changed[at] ^= 1;
            // Where the algorithm stands nobody looks: the key says which it is. What comes out is the same then.
            if let Ok(read) = ProvenKey::read(&changed) {
                assert_eq!(read.subject_public_key_info(), key.subject_public_key_info(), "{at}");
            }
        }
        for length in 0..der.len() {
            assert!(ProvenKey::read(&der[..length]).is_err(), "{length}");
        }
        assert_eq!(ProvenKey::read(&[&der[..], &[0]].concat()).unwrap_err(), BadRequest::Malformed);
        assert_eq!(ProvenKey::read(&[0; LONGEST_REQUEST + 1]).unwrap_err(), BadRequest::TooLong);
    }

    #[test]
    fn nobody_gets_a_certificate_for_a_key_that_another_has() {
        // The part that is signed says another's key, and the signature is one's own.
        let (own, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let (own_der, other_der) = (request(&own), request(&other));
        let point = |key: &KeyPair| key.public_key_raw().to_vec();
        let mut forged = own_der.clone();
        let at = own_der.windows(65).position(|window| window == point(&own)).unwrap();
        forged[at..at + 65].copy_from_slice(&point(&other));
        assert_eq!(ProvenKey::read(&forged).unwrap_err(), BadRequest::Signature);
        assert!(ProvenKey::read(&other_der).is_ok());
    }
}
