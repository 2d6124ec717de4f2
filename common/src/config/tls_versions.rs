//! The TLS versions that an end offers, from `--tls-min-version` and `--tls-max-version`, and the cipher suites for them.

use std::sync::Arc;

use rustls::{SupportedProtocolVersion, crypto::CryptoProvider};
use tracing::warn;

use super::{CipherSuites, FlagError, cipher_suites::FLAG};
use crate::tls::provider;

/// A range of versions; never empty when it was parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsVersions {
    /// The lowest that is offered.
    pub min: TlsVersion,
    /// The highest that is offered.
    pub max: TlsVersion,
    /// The cipher suites that are offered.
    pub suites: CipherSuites,
}

/// A version of TLS that is still safe to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

// === impl TlsVersions ===

impl TlsVersions {
    /// TLS 1.3 alone: what a principal offers unless told otherwise.
    pub const TLS13: Self = Self { min: TlsVersion::Tls13, max: TlsVersion::Tls13, suites: CipherSuites::ALL };

    /// All that we know.
    pub const ALL: Self = Self { min: TlsVersion::Tls12, max: TlsVersion::Tls13, suites: CipherSuites::ALL };

    /// Reads the values of both flags; a missing minimum is TLS 1.2 and a missing maximum is TLS 1.3, as in Go.
    ///
    /// # Errors
    /// When a value names no version, or the range is empty.
    pub fn parse(min: Option<&str>, max: Option<&str>) -> Result<Self, FlagError> {
        let lowest = match min {
            None => TlsVersion::Tls12,
            // Whoever allows 1.1 gets what is left of it: no build of ours speaks less than 1.2.
            Some("tls1.1") => {
                warn!("TLS 1.1 is not spoken any more: the minimum is TLS 1.2");
                TlsVersion::Tls12
            }
            Some(text) => TlsVersion::parse(text)
                .ok_or_else(|| FlagError::not_allowed(MIN, text, "must be one of tls1.1, tls1.2, tls1.3"))?,
        };
        let highest = match max {
            None => TlsVersion::Tls13,
            Some(text) => TlsVersion::parse(text)
                .ok_or_else(|| FlagError::not_allowed(MAX, text, "must be one of tls1.2, tls1.3"))?,
        };
        if lowest > highest {
            let allowed = format!("must be at most --{MAX}, which is {}", max.unwrap_or_default());
            return Err(FlagError::not_allowed(MIN, min.unwrap_or_default(), allowed));
        }
        Ok(Self { min: lowest, max: highest, suites: CipherSuites::ALL })
    }

    /// The same versions with these cipher suites.
    ///
    /// # Errors
    /// When none of the suites is for any of the versions.
    pub fn with_suites(self, suites: CipherSuites) -> Result<Self, FlagError> {
        if self.max == TlsVersion::Tls12 && !suites.has_tls12() {
            let names: Vec<_> = suites.chosen().map(|suite| format!("{:?}", suite.suite())).collect();
            let allowed = format!("must hold one of TLS 1.2, which is --{MAX}");
            return Err(FlagError::not_allowed(FLAG, names.join(","), allowed));
        }
        Ok(Self { suites, ..self })
    }

    /// Our crypto provider with these cipher suites.
    #[must_use]
    pub fn provider(self) -> Arc<CryptoProvider> {
        if self.suites == CipherSuites::ALL {
            return provider();
        }
        let cipher_suites = self.suites.chosen().collect();
        Arc::new(CryptoProvider { cipher_suites, ..(*provider()).clone() })
    }

    /// The versions as rustls takes them; empty, which rustls refuses, when the minimum is above the maximum.
    #[must_use]
    pub fn protocols(self) -> &'static [&'static SupportedProtocolVersion] {
        static TLS12: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS12];
        static TLS13: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
        static BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
        match (self.min, self.max) {
            (TlsVersion::Tls12, TlsVersion::Tls12) => &TLS12,
            (TlsVersion::Tls12, TlsVersion::Tls13) => &BOTH,
            (TlsVersion::Tls13, TlsVersion::Tls13) => &TLS13,
            (TlsVersion::Tls13, TlsVersion::Tls12) => &[],
        }
    }
}

// === impl TlsVersion ===

impl TlsVersion {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "tls1.2" => Some(Self::Tls12),
            "tls1.3" => Some(Self::Tls13),
            _ => None,
        }
    }
}

const MIN: &str = "tls-min-version";
const MAX: &str = "tls-max-version";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ranges_and_their_defaults() {
        let parse = |min, max| TlsVersions::parse(min, max).map(|versions| versions.protocols().len());
        assert_eq!(parse(None, None), Ok(2));
        assert_eq!(parse(Some("tls1.3"), None), Ok(1));
        assert_eq!(parse(Some("tls1.2"), Some("tls1.2")), Ok(1));
        assert_eq!(parse(None, Some("tls1.3")), Ok(2));
        assert_eq!(TlsVersions::parse(Some("tls1.3"), Some("tls1.3")), Ok(TlsVersions::TLS13));
    }

    #[test]
    fn tls_1_1_as_a_minimum_means_1_2_and_as_a_maximum_is_refused() {
        assert_eq!(TlsVersions::parse(Some("tls1.1"), None).unwrap().min, TlsVersion::Tls12);
        assert_eq!(
            TlsVersions::parse(None, Some("tls1.1")).unwrap_err().to_string(),
            r#"--tls-max-version: "tls1.1" is not allowed: must be one of tls1.2, tls1.3"#
        );
    }

    #[test]
    fn suites_that_no_version_has_are_refused() {
        let only13 = CipherSuites::parse(&["TLS_AES_128_GCM_SHA256".to_owned()]).unwrap();
        let only12 = TlsVersions::parse(None, Some("tls1.2")).unwrap();
        let error = only12.with_suites(only13).unwrap_err().to_string();
        assert!(error.ends_with("must hold one of TLS 1.2, which is --tls-max-version"), "{error}");
        assert_eq!(TlsVersions::TLS13.with_suites(only13).unwrap().provider().cipher_suites.len(), 1);
        assert_eq!(only12.provider().cipher_suites.len(), CipherSuites::names().len());
    }

    #[test]
    fn an_empty_range_is_refused() {
        assert_eq!(
            TlsVersions::parse(Some("tls1.3"), Some("tls1.2")).unwrap_err().to_string(),
            r#"--tls-min-version: "tls1.3" is not allowed: must be at most --tls-max-version, which is tls1.2"#
        );
        assert!(TlsVersions::parse(Some("ssl3"), None).is_err());
    }
}
