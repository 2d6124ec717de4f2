//! What a certificate says, as operators read it.

use anyhow::{Context, anyhow};
use common::auth::PeerIdentity;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use super::{Fingerprint, key};

/// The parts of a certificate that any command tells or judges.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    /// In the order of Go's `pkix.Name.String()`.
    pub(crate) subject: String,
    pub(crate) common_name: Option<String>,
    /// The raw names, which chains are compared by.
    pub(crate) subject_der: Vec<u8>,
    pub(crate) issuer_der: Vec<u8>,
    pub(crate) key_type: &'static str,
    pub(crate) key_length: usize,
    /// Seconds since the Unix epoch.
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) is_ca: bool,
    /// DNS names and addresses that a server with it may be called by.
    pub(crate) server_names: Vec<String>,
    pub(crate) serial: String,
    der: CertificateDer<'static>,
}

// === impl Certificate ===

impl Certificate {
    /// All certificates of a PEM text, in its order; `name` goes into errors.
    ///
    /// # Errors
    /// When there is none, or one of them cannot be read.
    pub(crate) fn chain(name: &str, pem: &str) -> anyhow::Result<Vec<Self>> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let found = found.map_err(|_| anyhow!("{name} is not valid PEM"))?;
        anyhow::ensure!(!found.is_empty(), "no certificate in {name}");
        let each = found.into_iter().enumerate();
        each.map(|(index, der)| {
            Self::from_der(&der).with_context(|| format!("certificate {} in {name} cannot be read", index + 1))
        })
        .collect()
    }

    /// The first certificate of a PEM text, which is the one that its key belongs to.
    pub(crate) fn leaf(name: &str, pem: &str) -> anyhow::Result<Self> {
        Self::chain(name, pem)?.into_iter().next().ok_or_else(|| anyhow!("no certificate in {name}"))
    }

    fn from_der(der: &CertificateDer<'static>) -> anyhow::Result<Self> {
        let identity = PeerIdentity::from_der(der)?;
        let (_, parsed) = X509Certificate::from_der(der).map_err(|_| anyhow!("it is no X.509 certificate"))?;
        let (key_type, key_length) = key::kind(parsed.public_key());
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.iter().flat_map(|extension| &extension.value.general_names);
        let server_names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        });
        Ok(Self {
            subject: identity.subject,
            common_name: identity.common_name,
            subject_der: parsed.subject().as_raw().to_vec(),
            issuer_der: parsed.issuer().as_raw().to_vec(),
            key_type,
            key_length,
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            fingerprint: Fingerprint::of(der),
            is_ca: parsed.is_ca(),
            server_names: server_names.collect(),
            serial: parsed.raw_serial_as_string(),
            der: der.clone(),
        })
    }

    #[cfg(test)]
    /// For whoever reads more of it than operators do.
    #[cfg(test)]
    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// As PEM, in lines of 64 (RFC 7468 section 2).
    pub(crate) fn pem(&self) -> String {
        common::pki::pem([&self.der])
    }

    /// Whether it signed itself, as a root does.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.subject_der == self.issuer_der
    }

    /// Whether `authority` signed it: by name, and by a signature of any kind that our TLS takes.
    pub(crate) fn is_signed_by(&self, authority: &Self) -> bool {
        common::pki::is_signed_by(&self.der, &authority.der)
    }

    /// Whether a server with it may be called `host`, a name or an address.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        self.server_names.iter().any(|known| {
            let wildcard = known.strip_prefix("*.").zip(host.split_once('.'));
            known.eq_ignore_ascii_case(host)
                || wildcard.is_some_and(|(rest, (_, tail))| rest.eq_ignore_ascii_case(tail))
        })
    }

    /// Why it is of no use at `time`, if it is not.
    pub(crate) fn out_of_time(&self, time: i64) -> Option<String> {
        if time < self.not_before {
            Some(format!("is not valid before {}", date(self.not_before)))
        } else if time > self.not_after {
            Some(format!("expired on {}", date(self.not_after)))
        } else {
            None
        }
    }

    /// That it ends soon, if it does at all.
    pub(crate) fn ends_soon(&self, time: i64) -> Option<String> {
        let left = self.not_after - time;
        (0..SOON).contains(&left).then(|| format!("expires in {} days, on {}", left / DAY, date(self.not_after)))
    }

    /// `not_before` as Go's RFC1123Z, which upstream prints.
    pub(crate) fn not_before_text(&self) -> String {
        date(self.not_before)
    }

    pub(crate) fn not_after_text(&self) -> String {
        date(self.not_after)
    }
}

/// Go's `time.RFC1123Z`, in UTC.
pub(crate) fn date(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds);
    time.map_or_else(|_| seconds.to_string(), |time| time.strftime("%a, %d %b %Y %H:%M:%S %z").to_string())
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string())).ok()
}

/// Two weeks: time enough to be told, and to do something about it.
const SOON: i64 = 14 * DAY;

/// In seconds.
pub(crate) const DAY: i64 = 24 * 60 * 60;
