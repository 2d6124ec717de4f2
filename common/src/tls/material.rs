//! PEM text to certificate chains, keys and roots, with errors that tell the operator which file to look at.
//!
//! An [`Identity`] always holds a key that belongs to its certificate, and [`Roots`] are never empty.

use std::{fs::File, io::Read, path::Path, sync::Arc};

use rustls::{
    Error, InconsistentKeys, RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer, UnixTime,
        pem::{self, PemObject},
    },
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::{MaterialError, Validity, provider};

/// PEM text, and the name under which the operator knows it.
#[derive(Clone)]
pub struct Pem {
    pub(super) name: String,
    pub(super) text: Vec<u8>,
}

/// A certificate chain, leaf first, with the leaf's private key.
#[derive(Debug, Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    validity: Option<Validity>,
}

/// The certificates of the authorities whose word counts.
#[derive(Debug, Clone)]
pub struct Roots {
    store: Arc<RootCertStore>,
    /// Of each of them, in the order of the store.
    each: Arc<[Option<Validity>]>,
    validity: Option<Validity>,
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
        let mut text = Vec::new();
        // One more than there may be, to see that there are.
        let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut text));
        match read {
            Ok(_) if text.len() as u64 > LARGEST => Err(MaterialError::TooLarge { name, most: LARGEST }),
            Ok(_) => Ok(Self { name, text }),
            Err(source) => Err(MaterialError::Read { name, source }),
        }
    }

    /// What errors call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text, whatever it is.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The certificates that it holds, in its order.
    ///
    /// # Errors
    /// When there is none, or it is not PEM.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
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
        let validity = chain.first().and_then(|leaf| Validity::of(leaf));
        let signer = provider()
            .key_provider
            .load_private_key(key.key()?)
            .map_err(|source| MaterialError::BadKey { name: key.name.clone(), source })?;
        let certified = CertifiedKey::new(chain, signer);
        match certified.keys_match() {
            // "Unknown" is a key whose public half cannot be told, as in a hardware module.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Self { certified: Arc::new(certified), validity })
            }
            Err(Error::InconsistentKeys(_)) => {
                Err(MaterialError::KeyMismatch { key: key.name.clone(), certificate: certificate.name.clone() })
            }
            Err(source) => Err(MaterialError::BadCertificate { name: certificate.name.clone(), number: 1, source }),
        }
    }

    /// Makes a certificate that signs itself, and its key.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn generate() -> Result<Self, MaterialError> {
        let made = rcgen::generate_simple_self_signed(GENERATED_NAMES.map(str::to_owned));
        let made = made.map_err(MaterialError::Generate)?;
        let key = Pem::new("the generated key", made.signing_key.serialize_pem());
        Self::from_pem(&Pem::new("the generated certificate", made.cert.pem()), &key)
    }

    /// The certificate chain, leaf first; never empty.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// When the leaf is valid, if that can be told.
    #[must_use]
    pub fn validity(&self) -> Option<Validity> {
        self.validity
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
        let mut each = Vec::new();
        for (index, certificate) in bundle.certificates()?.into_iter().enumerate() {
            each.push(Validity::of(&certificate));
            store.add(certificate).map_err(|source| MaterialError::BadCertificate {
                name: bundle.name.clone(),
                number: index + 1,
                source,
            })?;
        }
        let validity = each.iter().copied().fold(None, Validity::longest);
        Ok(Self { store: Arc::new(store), each: each.into(), validity })
    }

    /// Those that are valid at `now`, or of which that cannot be told; none where that is all of them.
    pub(super) fn in_time(&self, now: UnixTime) -> Option<Arc<RootCertStore>> {
        let is_in_time = |validity: &Option<Validity>| validity.is_none_or(|validity| validity.now(now).is_ok());
        if self.each.iter().all(is_in_time) {
            return None;
        }
        let both = self.store.roots.iter().zip(self.each.iter());
        let roots = both.filter(|(_, validity)| is_in_time(validity)).map(|(root, _)| root.clone()).collect();
        Some(Arc::new(RootCertStore { roots }))
    }

    /// The certificates as rustls takes them.
    #[must_use]
    pub fn store(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.store)
    }

    /// When the last of the authorities is valid, if that can be told: while a bundle holds an old one and a new one, the
    /// new one counts.
    #[must_use]
    pub fn validity(&self) -> Option<Validity> {
        self.validity
    }
}

/// Of the one that is made. Nobody verifies it, so they only tell readers what they look at.
const GENERATED_NAMES: [&str; 2] = ["argocd-agent-principal", "localhost"];

/// As much as a Secret holds; a bundle of all public authorities is a quarter of it.
const LARGEST: u64 = 1 << 20;

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
