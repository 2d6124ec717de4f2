//! An authority that signs the certificates of principal, doors, agents and callers.
//!
//! Every certificate has a random serial number, the usages of its kind and no other, and a chain up to its root. None
//! outlives the authority that signed it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail, ensure};
use common::{
    auth::Secret,
    enrollment::Pin,
    pki::{self, Signer, Usage},
    tls::{Identity, Pem, Roots},
};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyUsagePurpose};

use super::{Certificate, KeySpec, now};

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
    signer: Signer,
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
        let certificate = bundle.first().ok_or_else(|| anyhow!("no certificate in {name}"))?;
        ensure!(certificate.is_ca, "the certificate in {name} is not one of a CA: put the CA's own into it");
        if let Some(why) = certificate.out_of_time(now()) {
            bail!("the CA in {name} {why}: make a new one with `pki init --force`, then issue all certificates again");
        }
        let called = |text: &str| Pem::new(name, text);
        let signer = Signer::from_pem(&called(&pair.certificate), &called(pair.key.reveal()))?;
        Ok(Self { name: name.to_owned(), signer, bundle, pem: pair.certificate.clone() })
    }

    /// What others have to trust, PEM: every certificate that came with it.
    pub(crate) fn roots(&self) -> &str {
        &self.pem
    }

    /// By what an agent that joins knows the principal: all of them.
    pub(crate) fn pin(&self) -> Pin {
        Pin::of(self.signer.bundle())
    }

    /// Whether it signed a certificate, or an older one did that it took the place of.
    pub(crate) fn signed(&self, certificate: &Certificate) -> bool {
        self.bundle.iter().any(|one| certificate.is_signed_by(one))
    }

    /// Makes a key and signs its certificate.
    pub(crate) fn issue(&self, order: &Order) -> anyhow::Result<Pair> {
        let key = order.key.generate()?;
        let lifetime = Duration::from_secs(u64::from(order.days) * super::DAY.unsigned_abs());
        let wanted = pki::Order { common_name: &order.common_name, usage: order.usage.clone(), lifetime };
        let chain = self.signer.sign(&wanted, &key);
        let chain = chain.with_context(|| format!("the CA in {} cannot sign the certificate", self.name))?;
        let pair = Pair { certificate: pki::pem(&chain), key: Secret::new(key.serialize_pem()) };
        // Nothing leaves that would not pass.
        let named = |text: &str| Pem::new("the new certificate", text);
        Identity::from_pem(&named(&pair.certificate), &named(pair.key.reveal()))?;
        Roots::from_pem(&Pem::new(self.name.as_str(), self.pem.as_str()))?;
        Ok(pair)
    }
}

/// What every certificate has.
fn params(common_name: &str) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.serial_number = Some(pki::serial());
    // Clocks differ, and who gets it uses it at once.
    params.not_before = at(now() - pki::BACKDATED)?.into();
    Ok(params)
}

fn at(seconds: i64) -> anyhow::Result<SystemTime> {
    let since = u64::try_from(seconds).ok().and_then(|since| UNIX_EPOCH.checked_add(Duration::from_secs(since)));
    since.ok_or_else(|| anyhow!("this machine's clock is before 1970: set it"))
}
