//! Private keys: which kinds there are, how they are made, and what can be told of one that is there.

use anyhow::{Context, anyhow};
use clap::ValueEnum;
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256,
    PublicKeyData, RsaKeySize,
};
use x509_parser::{prelude::FromDer, public_key::PublicKey, x509::SubjectPublicKeyInfo};

/// `--key-algorithm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyAlgorithm {
    Rsa,
    EcdsaP256,
    EcdsaP384,
    EcdsaP521,
    Ed25519,
}

/// `--key-size`, which only RSA has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeySize {
    #[value(name = "2048")]
    Bits2048,
    #[value(name = "3072")]
    Bits3072,
    #[value(name = "4096")]
    Bits4096,
}

/// A key that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeySpec {
    pub(crate) algorithm: KeyAlgorithm,
    pub(crate) size: KeySize,
}

// === impl KeySpec ===

impl KeySpec {
    /// What JWTs are signed with (RS512 with 4096 bits, as upstream's principal expects).
    pub(crate) const JWT: Self = Self { algorithm: KeyAlgorithm::Rsa, size: KeySize::Bits4096 };

    /// A new key; `serialize_pem` gives PKCS#8.
    pub(crate) fn generate(self) -> anyhow::Result<KeyPair> {
        let made = match (self.algorithm, self.size) {
            (KeyAlgorithm::Rsa, size) => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size.into()),
            (KeyAlgorithm::EcdsaP256, _) => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            (KeyAlgorithm::EcdsaP384, _) => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            (KeyAlgorithm::EcdsaP521, _) => KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512),
            (KeyAlgorithm::Ed25519, _) => KeyPair::generate_for(&PKCS_ED25519),
        };
        made.context("cannot make a private key")
    }
}

impl From<KeySize> for RsaKeySize {
    fn from(size: KeySize) -> Self {
        match size {
            KeySize::Bits2048 => Self::_2048,
            KeySize::Bits3072 => Self::_3072,
            KeySize::Bits4096 => Self::_4096,
        }
    }
}

/// The public half of a private key as DER (`SubjectPublicKeyInfo`); `name` goes into the error.
pub(crate) fn public_key(name: &str, pem: &str) -> anyhow::Result<Vec<u8>> {
    // The cause may repeat what it read, which is a key.
    let pair = KeyPair::from_pem(pem).map_err(|_| anyhow!("{name} is no private key in PEM"))?;
    Ok(pair.subject_public_key_info())
}

/// The kind of a public key, and how many bits it has, in the words of `openssl`.
pub(super) fn kind(info: &SubjectPublicKeyInfo<'_>) -> (&'static str, usize) {
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => ("RSA", key.key_size()),
        // The curve's size: its points are padded, so P-521's look like 528 bits.
        Ok(PublicKey::EC(point)) => ("ECDSA", if point.key_size() == 528 { 521 } else { point.key_size() }),
        _ if info.algorithm.algorithm == x509_parser::oid_registry::OID_SIG_ED25519 => ("Ed25519", 256),
        _ => ("unknown", 0),
    }
}

/// [`kind`] of what [`public_key`] gave.
pub(crate) fn kind_of_der(der: &[u8]) -> (&'static str, usize) {
    SubjectPublicKeyInfo::from_der(der).map_or(("unknown", 0), |(_, info)| kind(&info))
}
