//! PEM text to certificate chains, keys and roots, with errors that tell the operator which file to look at.
//!
//! An [`Identity`] always holds a key that belongs to its certificate, and [`Roots`] are never empty.

use std::{fs, io, path::Path, sync::Arc};

use rustls::{
    Error, InconsistentKeys, RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::provider;

/// PEM text, and the name under which the operator knows it.
#[derive(Clone)]
pub struct Pem {
    name: String,
    text: Vec<u8>,
}

/// A certificate chain, leaf first, with the leaf's private key.
#[derive(Debug, Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
}

/// The certificates of the authorities whose word counts.
#[derive(Debug, Clone)]
pub struct Roots {
    store: Arc<RootCertStore>,
}

/// What is wrong with a PEM text.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// It cannot be read.
    #[error("cannot read {name}")]
    Read {
        /// The file's path.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no PEM.
    #[error("{name} is not valid PEM: {problem}")]
    Pem {
        /// Which text.
        name: String,
        /// What a reader can look for; the bytes themselves may be a key and are not repeated.
        problem: &'static str,
    },
    /// It holds no certificate.
    #[error("no certificate in {name}")]
    NoCertificate {
        /// Which text.
        name: String,
    },
    /// One of its certificates cannot be used.
    #[error("certificate {number} in {name} cannot be used")]
    BadCertificate {
        /// Which text.
        name: String,
        /// Which certificate in it, counted from 1.
        number: usize,
        /// Why.
        #[source]
        source: Error,
    },
    /// It holds no private key.
    #[error("no private key in {name}")]
    NoKey {
        /// Which text.
        name: String,
    },
    /// Its private key is protected by a passphrase.
    #[error("the private key in {name} is encrypted, which is not supported")]
    EncryptedKey {
        /// Which text.
        name: String,
    },
    /// Its private key cannot be used.
    #[error("the private key in {name} cannot be used")]
    BadKey {
        /// Which text.
        name: String,
        /// Why.
        #[source]
        source: Error,
    },
    /// Key and certificate are not a pair.
    #[error("the private key in {key} does not belong to the first certificate in {certificate}")]
    KeyMismatch {
        /// Where the key is.
        key: String,
        /// Where the certificate is.
        certificate: String,
    },
}

// === impl Pem ===

impl Pem {
    /// Takes text that came from elsewhere than a file; `name` goes into errors.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// Reads a file, blocking.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &Path) -> Result<Self, MaterialError> {
        let name = path.display().to_string();
        match fs::read(path) {
            Ok(text) => Ok(Self { name, text }),
            Err(source) => Err(MaterialError::Read { name, source }),
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.text).collect();
        let certificates = found.map_err(|error| self.broken(&error))?;
        if certificates.is_empty() {
            return Err(MaterialError::NoCertificate { name: self.name.clone() });
        }
        Ok(certificates)
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, MaterialError> {
        match PrivateKeyDer::from_pem_slice(&self.text) {
            Ok(key) => Ok(key),
            Err(pem::Error::NoItemsFound) if self.text.windows(ENCRYPTED.len()).any(|text| text == ENCRYPTED) => {
                Err(MaterialError::EncryptedKey { name: self.name.clone() })
            }
            Err(pem::Error::NoItemsFound) => Err(MaterialError::NoKey { name: self.name.clone() }),
            Err(error) => Err(self.broken(&error)),
        }
    }

    fn broken(&self, error: &pem::Error) -> MaterialError {
        let problem = match error {
            pem::Error::MissingSectionEnd { .. } => "a section has no END line",
            pem::Error::IllegalSectionStart { .. } => "a BEGIN line is malformed",
            pem::Error::Base64Decode(_) => "a section is not base64",
            pem::Error::SectionTooLarge => "a section is too large",
            _ => "it cannot be decoded",
        };
        MaterialError::Pem { name: self.name.clone(), problem }
    }
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pem").field("name", &self.name).finish_non_exhaustive()
    }
}

// === impl Identity ===

impl Identity {
    /// Reads a certificate chain and its key from two files, blocking.
    ///
    /// # Errors
    /// When one cannot be read, or as [`Identity::from_pem`].
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, MaterialError> {
        Self::from_pem(&Pem::read(certificate)?, &Pem::read(key)?)
    }

    /// Reads a certificate chain, leaf first, and the leaf's key.
    ///
    /// # Errors
    /// When there is no certificate or no key, or they cannot be used, or are not a pair.
    pub fn from_pem(certificate: &Pem, key: &Pem) -> Result<Self, MaterialError> {
        let chain = certificate.certificates()?;
        let signer = provider()
            .key_provider
            .load_private_key(key.key()?)
            .map_err(|source| MaterialError::BadKey { name: key.name.clone(), source })?;
        let certified = CertifiedKey::new(chain, signer);
        match certified.keys_match() {
            // "Unknown" is a key whose public half cannot be told, as in a hardware module.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Self { certified: Arc::new(certified) })
            }
            Err(Error::InconsistentKeys(_)) => {
                Err(MaterialError::KeyMismatch { key: key.name.clone(), certificate: certificate.name.clone() })
            }
            Err(source) => Err(MaterialError::BadCertificate { name: certificate.name.clone(), number: 1, source }),
        }
    }

    /// The certificate chain, leaf first; never empty.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    pub(super) fn into_resolver(self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(self.certified))
    }
}

// === impl Roots ===

impl Roots {
    /// Reads a bundle of certificates from a file, blocking.
    ///
    /// # Errors
    /// When it cannot be read, or as [`Roots::from_pem`].
    pub fn from_file(path: &Path) -> Result<Self, MaterialError> {
        Self::from_pem(&Pem::read(path)?)
    }

    /// Reads a bundle of certificates.
    ///
    /// # Errors
    /// When there is none, or one of them cannot be used: a bundle that is half understood would shut out peers
    /// without a word.
    pub fn from_pem(bundle: &Pem) -> Result<Self, MaterialError> {
        let mut store = RootCertStore::empty();
        for (index, certificate) in bundle.certificates()?.into_iter().enumerate() {
            store.add(certificate).map_err(|source| MaterialError::BadCertificate {
                name: bundle.name.clone(),
                number: index + 1,
                source,
            })?;
        }
        Ok(Self { store: Arc::new(store) })
    }

    /// The certificates as rustls takes them.
    #[must_use]
    pub fn store(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.store)
    }
}

/// RFC 7468 section 11; the older "Proc-Type: 4,ENCRYPTED" form stands between the same lines as a plain key.
const ENCRYPTED: &[u8] = b"BEGIN ENCRYPTED PRIVATE KEY";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::tests::Authority;

    fn identity(certificate: &str, key: &str) -> String {
        Identity::from_pem(&Pem::new("cert.pem", certificate), &Pem::new("key.pem", key))
            .map_or_else(|error| error.to_string(), |_| "fine".into())
    }

    #[test]
    fn a_pair_is_accepted_with_its_chain() {
        let authority = Authority::new("ca");
        let leaf = authority.leaf("agent");
        let chain = format!("{}{}", leaf.certificate, authority.certificate);
        let identity = Identity::from_pem(&Pem::new("c", chain), &Pem::new("k", leaf.key.as_str())).unwrap();
        assert_eq!(identity.chain().len(), 2);
        let combined = format!("{}{}", leaf.key, leaf.certificate);
        assert!(Identity::from_pem(&Pem::new("c", combined.as_str()), &Pem::new("k", combined.as_str())).is_ok());
    }

    #[test]
    fn errors_name_the_file_and_what_is_wrong_with_it() {
        let authority = Authority::new("ca");
        let (leaf, other) = (authority.leaf("agent"), authority.leaf("other"));
        assert_eq!(identity("", &leaf.key), "no certificate in cert.pem");
        assert_eq!(identity(&leaf.key, &leaf.key), "no certificate in cert.pem");
        assert_eq!(identity(&leaf.certificate, ""), "no private key in key.pem");
        assert_eq!(identity(&leaf.certificate, &leaf.certificate), "no private key in key.pem");
        assert_eq!(
            identity(&leaf.certificate, &other.key),
            "the private key in key.pem does not belong to the first certificate in cert.pem"
        );
        assert_eq!(
            identity(&leaf.certificate, &leaf.key.replace("PRIVATE", "ENCRYPTED PRIVATE")),
            "the private key in key.pem is encrypted, which is not supported"
        );
        assert_eq!(
            identity(leaf.certificate.split("-----END").next().unwrap(), &leaf.key),
            "cert.pem is not valid PEM: a section has no END line"
        );
        assert_eq!(
            identity("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", &leaf.key),
            "cert.pem is not valid PEM: a section is not base64"
        );
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(identity(nonsense, &leaf.key), "certificate 1 in cert.pem cannot be used");
        assert_eq!(
            Roots::from_pem(&Pem::new("ca.pem", format!("{}{nonsense}", authority.certificate)))
                .unwrap_err()
                .to_string(),
            "certificate 2 in ca.pem cannot be used"
        );
        assert_eq!(
            identity(&leaf.certificate, &nonsense.replace("CERTIFICATE", "PRIVATE KEY")),
            "the private key in key.pem cannot be used"
        );
    }

    #[test]
    fn files_that_are_missing_or_no_files_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing.pem");
        for path in [missing.as_path(), directory.path()] {
            let error = Roots::from_file(path).unwrap_err();
            assert_eq!(error.to_string(), format!("cannot read {}", path.display()));
            assert!(std::error::Error::source(&error).is_some());
        }
    }

    #[test]
    fn debug_output_does_not_show_the_text() {
        assert_eq!(format!("{:?}", Pem::new("key.pem", "secret")), r#"Pem { name: "key.pem", .. }"#);
    }
}
