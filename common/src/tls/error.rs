//! What can be wrong with certificates, keys and authorities, and what mends it.

use std::io;

use rustls::Error;

use super::{SecretError, TlsError};

/// What is wrong with a PEM text, or with the place where it should be.
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
    /// It is longer than anything sensible.
    #[error("{name} has more than {most} bytes")]
    TooLarge {
        /// The file's path.
        name: String,
        /// What is taken.
        most: u64,
    },
    /// The Secret that holds it cannot be used.
    #[error("cannot load {name}")]
    Secret {
        /// The Secret, with its namespace.
        name: String,
        /// Why.
        #[source]
        source: SecretError,
    },
    /// It is no PEM.
    #[error("{name} is not valid PEM: {problem}")]
    Pem {
        /// Which text.
        name: String,
        /// What a reader can look for; the bytes themselves may be a key and are not repeated.
        problem: &'static str,
    },
    /// None can be made.
    #[error("no certificate can be made")]
    Generate(#[source] rcgen::Error),
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
    /// It was good once.
    #[error("the certificate in {name} expired at {end}")]
    Expired {
        /// Which text.
        name: String,
        /// When.
        end: String,
    },
    /// It will be good.
    #[error("the certificate in {name} is not valid before {begin}")]
    NotYetValid {
        /// Which text.
        name: String,
        /// Before when.
        begin: String,
    },
}

/// Why no TLS configuration comes of what the sources hold.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Certificate, key or authorities cannot be used.
    #[error("certificate, key or authorities cannot be used")]
    Material(#[source] MaterialError),
    /// No TLS can be spoken with them.
    #[error("no TLS can be spoken with them")]
    Tls(#[source] TlsError),
}

// === impl MaterialError ===

impl MaterialError {
    /// What the operator does about it; the object and its key are in the error itself.
    #[must_use]
    pub fn cure(&self) -> &'static str {
        match self {
            Self::Read { .. } => "put the file there and let the process read it",
            Self::Secret { source, .. } => source.cure(),
            Self::Generate(_) => "give one by files or a Secret",
            Self::TooLarge { .. } | Self::Pem { .. } => "write PEM text there, whole",
            Self::NoCertificate { .. } => "write the certificate there as PEM, the leaf first and its chain behind it",
            Self::BadCertificate { .. } => "write X.509 certificates there",
            Self::NoKey { .. } => "write the private key there as PEM",
            Self::EncryptedKey { .. } => "write the private key without a passphrase",
            Self::BadKey { .. } => "write an RSA, ECDSA or Ed25519 key as PKCS#8, PKCS#1 or SEC1",
            Self::KeyMismatch { .. } => "write certificate and key of one pair, in one go",
            Self::Expired { .. } => "write one that was renewed",
            Self::NotYetValid { .. } => "set the clock, or wait: it is looked at again every minute",
        }
    }
}
