//! Signs certificates with an authority's key.
//!
//! Every certificate has a random serial number, the usages of its kind and no other, and a chain up to its root. None
//! outlives the authority that signed it, and none leaves whose signature does not verify.

use std::{fmt, net::IpAddr, time::Duration};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_RSA_SHA256, PKCS_RSA_SHA384, PKCS_RSA_SHA512, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{
    is_signed_by, parsed,
    time::{at, now},
};
use crate::tls::{Identity, MaterialError, Pem, Validity};

/// An authority that can sign.
pub struct Signer {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    validity: Validity,
    /// All certificates that came with it, its own first: those above it, and older ones that still count.
    bundle: Vec<CertificateDer<'static>>,
}

/// A certificate that is wanted.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    /// Whose it is.
    pub common_name: &'a str,
    /// What it may be used for.
    pub usage: Usage,
    /// For how long from now on; less, where the authority ends earlier.
    pub lifetime: Duration,
}

/// What a certificate may be used for; a server's has the names that it is called by.
#[derive(Debug, Clone)]
pub enum Usage {
    /// To say who connects.
    Client,
    /// To say who is connected to.
    Server {
        /// DNS names that it is called by.
        dns: Vec<String>,
        /// Addresses that it is called by.
        ips: Vec<IpAddr>,
    },
}

/// Why an authority cannot sign at all.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// Certificate and key are not there, or are no pair.
    #[error("certificate or key cannot be used")]
    Pair(#[source] MaterialError),
    /// Its certificate is that of somebody else.
    #[error("the certificate in {name} is not one of a CA")]
    NoAuthority {
        /// Where it is.
        name: String,
    },
    /// Its key is of a kind that cannot sign certificates. What says why may repeat what it read, which is a key.
    #[error("the private key in {name} cannot sign")]
    Key {
        /// Where it is.
        name: String,
    },
    /// Its certificate says what cannot be put into those that it signs.
    #[error("the certificate in {name} cannot be used to sign")]
    Certificate {
        /// Where it is.
        name: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
}

/// Why there is no such certificate.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The authority is of no use now.
    #[error("the authority is not valid now: {0}")]
    OutOfTime(String),
    /// This machine's clock.
    #[error("this machine's clock is before 1970, or far from now")]
    Clock,
    /// What a server is to be called by is no name.
    #[error("{0:?} is no DNS name")]
    Name(String),
    /// It cannot be signed.
    #[error("the certificate cannot be signed")]
    Sign(#[source] rcgen::Error),
    /// A certificate of an unusual authority may be signed and not verify.
    #[error("what the authority signs does not verify")]
    NotVerified,
}

// === impl Signer ===

impl Signer {
    /// Reads an authority, which may have been made by upstream or by hand.
    ///
    /// # Errors
    /// When it can never sign. One whose time is over, or has not come, is taken, and refuses to sign.
    pub fn from_pem(certificate: &Pem, key: &Pem) -> Result<Self, SignerError> {
        let name = || certificate.name().to_owned();
        let identity = Identity::from_pem(certificate, key).map_err(SignerError::Pair)?;
        let bundle = identity.chain().to_vec();
        let no_authority = || SignerError::NoAuthority { name: name() };
        let own = bundle.first().cloned().ok_or_else(no_authority)?;
        let validity = Validity::of(&own).ok_or_else(no_authority)?;
        if !parsed(&own).is_some_and(|certificate| certificate.is_ca()) {
            return Err(no_authority());
        }
        let unable = || SignerError::Key { name: key.name().to_owned() };
        let text = std::str::from_utf8(key.text()).map_err(|_| unable())?;
        let key = KeyPair::from_pem(text).map_err(|_| unable())?;
        let issuer =
            Issuer::from_ca_cert_der(&own, key).map_err(|source| SignerError::Certificate { name: name(), source })?;
        Ok(Self { issuer, certificate: own, validity, bundle })
    }

    /// Its own certificate and all that came with it: what others have to trust.
    #[must_use]
    pub fn bundle(&self) -> &[CertificateDer<'static>] {
        &self.bundle
    }

    /// When it ends.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Whether it is of any use now.
    ///
    /// # Errors
    /// When its time is over, or has not come.
    pub fn usable(&self) -> Result<(), SignError> {
        self.validity.now(UnixTime::now()).map_err(SignError::OutOfTime)
    }

    /// Signs a certificate for whoever has the private half of `key`. The leaf comes first, and behind it what is between
    /// it and a root.
    ///
    /// # Errors
    /// When it cannot be signed, or would not be good.
    pub fn sign(&self, order: &Order<'_>, key: &impl PublicKeyData) -> Result<Vec<CertificateDer<'static>>, SignError> {
        self.usable()?;
        let seconds = i64::try_from(order.lifetime.as_secs()).unwrap_or(i64::MAX);
        let mut params = client_or_server(order, key)?;
        let (begin, end) = (now() - BACKDATED.min(seconds / 10), now().saturating_add(seconds));
        params.not_before = at(begin).ok_or(SignError::Clock)?.into();
        params.not_after = at(end.min(self.validity.end())).ok_or(SignError::Clock)?.into();
        let signed = params.signed_by(key, &self.issuer).map_err(SignError::Sign)?;
        let mut chain = vec![signed.der().clone()];
        if !is_signed_by(signed.der(), &self.certificate) {
            return Err(SignError::NotVerified);
        }
        chain.extend(self.intermediates());
        Ok(chain)
    }

    /// The certificates between what it signs and a root: none where it is the root itself.
    fn intermediates(&self) -> Vec<CertificateDer<'static>> {
        let is_root = |certificate: &CertificateDer<'_>| {
            parsed(certificate).is_none_or(|parsed| parsed.issuer().as_raw() == parsed.subject().as_raw())
        };
        let mut between = Vec::new();
        let mut next = Some(&self.certificate);
        // Each at most once: certificates that name each other would go round for ever.
        for _ in &self.bundle {
            let Some(certificate) = next.filter(|certificate| !is_root(certificate)) else { break };
            between.push(certificate.clone());
            next = self.bundle.iter().find(|other| is_signed_by(certificate, other));
        }
        between
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("validity", &self.validity).finish_non_exhaustive()
    }
}

fn client_or_server(order: &Order<'_>, key: &impl PublicKeyData) -> Result<CertificateParams, SignError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, order.common_name);
    params.serial_number = Some(serial());
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    if [&PKCS_RSA_SHA256, &PKCS_RSA_SHA384, &PKCS_RSA_SHA512].contains(&key.algorithm()) {
        // For TLS 1.2 peers that have no other key exchange; a signature is all that the others need.
        params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
    }
    match &order.usage {
        Usage::Client => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
        Usage::Server { dns, ips } => {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            for name in dns {
                let text = name.as_str().try_into().map_err(|_| SignError::Name(name.clone()))?;
                params.subject_alt_names.push(SanType::DnsName(text));
            }
            params.subject_alt_names.extend(ips.iter().map(|ip| SanType::IpAddress(*ip)));
        }
    }
    Ok(params)
}

/// RFC 5280 section 4.1.2.2 wants positive, unique and at most 20 octets; CAs give at least 64 random bits.
#[must_use]
pub fn serial() -> SerialNumber {
    let mut bytes: [u8; 16] = rand::random();
    if let Some(first) = bytes.first_mut() {
        // Neither negative nor shorter than the others.
        *first = (*first & 0x7f) | 0x40;
    }
    SerialNumber::from_slice(&bytes)
}

/// In seconds. Clocks differ, and who gets a certificate uses it at once; of a short one a tenth is enough.
pub const BACKDATED: i64 = 5 * 60;
