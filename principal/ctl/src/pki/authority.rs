//! An authority that signs the certificates of principal, doors, agents and callers.
//!
//! Every certificate has a random serial number, the usages of its kind and no other, and a chain up to its root. None
//! outlives the authority that signed it.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, anyhow, bail, ensure};
use common::{
    auth::Secret,
    tls::{Identity, Pem, Roots},
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};

use super::{Certificate, KeyAlgorithm, KeySpec, now};

/// A certificate chain, leaf first, and the leaf's key, both PEM. They belong together.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: Secret,
}

/// An authority that can sign.
#[derive(Debug)]
pub(crate) struct Authority {
    name: String,
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
    /// All certificates that came with it: those above it, and older ones that still count.
    bundle: Vec<Certificate>,
    pem: String,
}

/// A certificate that is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) common_name: String,
    pub(crate) usage: Usage,
    pub(crate) days: u32,
    pub(crate) key: KeySpec,
}

/// What a certificate may be used for; a server's has the names that it is called by.
#[derive(Debug, Clone)]
pub(crate) enum Usage {
    Client,
    Server { dns: Vec<String>, ips: Vec<IpAddr> },
}

// === impl Pair ===

impl Pair {
    /// Takes a pair that is there already; the names go into errors.
    ///
    /// # Errors
    /// When there is no certificate or no key, or they cannot be used, or are not a pair.
    pub(crate) fn read(certificate: (&str, &str), key: (&str, &str)) -> anyhow::Result<Self> {
        Identity::from_pem(&Pem::new(certificate.0, certificate.1), &Pem::new(key.0, key.1))?;
        Ok(Self { certificate: certificate.1.to_owned(), key: Secret::new(key.1) })
    }
}

// === impl Authority ===

impl Authority {
    /// A new one, which signed itself.
    pub(crate) fn create(common_name: &str, organization: &str, days: u32, key: KeySpec) -> anyhow::Result<Pair> {
        let pair = key.generate()?;
        let mut params = params(common_name)?;
        params.distinguished_name.push(DnType::OrganizationName, organization);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let end = now() + i64::from(days) * super::DAY;
        params.not_after = at(end)?.into();
        let certificate = params.self_signed(&pair).context("cannot sign the authority's certificate")?;
        Ok(Pair { certificate: certificate.pem(), key: Secret::new(pair.serialize_pem()) })
    }

    /// Reads one, which may have been made by upstream or by hand; `name` goes into errors.
    ///
    /// # Errors
    /// When it cannot sign now.
    pub(crate) fn read(name: &str, pair: &Pair) -> anyhow::Result<Self> {
        let bundle = Certificate::chain(name, &pair.certificate)?;
        let certificate = bundle.first().cloned().ok_or_else(|| anyhow!("no certificate in {name}"))?;
        ensure!(certificate.is_ca, "the certificate in {name} is not one of a CA: put the CA's own into it");
        if let Some(why) = certificate.out_of_time(now()) {
            bail!("the CA in {name} {why}: make a new one with `pki init --force`, then issue all certificates again");
        }
        // The cause may repeat what it read, which is a key.
        let key = KeyPair::from_pem(pair.key.reveal()).map_err(|_| anyhow!("the private key in {name} cannot sign"))?;
        let issuer = Issuer::from_ca_cert_der(certificate.der(), key);
        let issuer = issuer.with_context(|| format!("the certificate in {name} cannot be used to sign"))?;
        Ok(Self { name: name.to_owned(), issuer, certificate, bundle, pem: pair.certificate.clone() })
    }

    /// What others have to trust, PEM: every certificate that came with it.
    pub(crate) fn roots(&self) -> &str {
        &self.pem
    }

    /// Whether it signed a certificate, or an older one did that it took the place of.
    pub(crate) fn signed(&self, certificate: &Certificate) -> bool {
        self.bundle.iter().any(|one| certificate.is_signed_by(one))
    }

    /// Makes a key and signs its certificate.
    pub(crate) fn issue(&self, order: &Order) -> anyhow::Result<Pair> {
        let key = order.key.generate()?;
        let mut params = params(&order.common_name)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if order.key.algorithm == KeyAlgorithm::Rsa {
            // For TLS 1.2 peers that have no other key exchange; a signature is all that the others need.
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        match &order.usage {
            Usage::Client => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            Usage::Server { dns, ips } => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                let named = |name: &String| {
                    let text = name.as_str().try_into();
                    text.map(SanType::DnsName).map_err(|_| anyhow!("{name:?} is no DNS name"))
                };
                let dns: anyhow::Result<Vec<_>> = dns.iter().map(named).collect();
                params.subject_alt_names = dns?;
                params.subject_alt_names.extend(ips.iter().map(|ip| SanType::IpAddress(*ip)));
            }
        }
        let end = now() + i64::from(order.days) * super::DAY;
        params.not_after = at(end.min(self.certificate.not_after))?.into();
        let signed = params.signed_by(&key, &self.issuer).context("cannot sign the certificate")?;
        let certificate = signed.pem() + &self.intermediates();
        let pair = Pair { certificate, key: Secret::new(key.serialize_pem()) };
        self.judge(&pair)?;
        Ok(pair)
    }

    /// The certificates between what it signs and a root, PEM: none where it is the root itself.
    fn intermediates(&self) -> String {
        let mut pem = String::new();
        let mut next = Some(&self.certificate);
        // Each at most once: certificates that name each other would go round for ever.
        for _ in &self.bundle {
            let Some(certificate) = next.filter(|certificate| !certificate.is_self_issued()) else { break };
            pem += &certificate.pem();
            next = self.bundle.iter().find(|other| certificate.is_signed_by(other));
        }
        pem
    }

    /// Nothing leaves that would not pass: a certificate of an unusual authority may be signed and not verify.
    fn judge(&self, pair: &Pair) -> anyhow::Result<()> {
        let leaf = Certificate::leaf("the new certificate", &pair.certificate)?;
        let name = &self.name;
        ensure!(leaf.is_signed_by(&self.certificate), "certificates signed with the key in {name} do not verify");
        Identity::from_pem(
            &Pem::new("the new certificate", pair.certificate.as_str()),
            &Pem::new("its key", pair.key.reveal()),
        )?;
        Roots::from_pem(&Pem::new(name.as_str(), self.pem.as_str()))?;
        Ok(())
    }
}

/// What every certificate has.
fn params(common_name: &str) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.serial_number = Some(serial());
    // Clocks differ, and who gets it uses it at once.
    params.not_before = at(now() - BACKDATED)?.into();
    Ok(params)
}

/// RFC 5280 section 4.1.2.2 wants positive, unique and at most 20 octets; CAs give at least 64 random bits.
fn serial() -> SerialNumber {
    let mut bytes: [u8; 16] = rand::random();
    if let Some(first) = bytes.first_mut() {
        // Neither negative nor shorter than the others.
        *first = (*first & 0x7f) | 0x40;
    }
    SerialNumber::from_slice(&bytes)
}

fn at(seconds: i64) -> anyhow::Result<SystemTime> {
    let since = u64::try_from(seconds).ok().and_then(|since| UNIX_EPOCH.checked_add(Duration::from_secs(since)));
    since.ok_or_else(|| anyhow!("this machine's clock is before 1970: set it"))
}

const BACKDATED: i64 = 5 * 60;
