//! The cipher suites that an end offers, from `--tls-ciphersuites`: by the names that Go has for them.

use rustls::{CipherSuite, SupportedCipherSuite};

use super::{FlagError, values::items};
use crate::tls::provider;

/// A choice among those that this build has; all of them unless one was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CipherSuites(u32);

// === impl CipherSuites ===

impl CipherSuites {
    /// All that this build has.
    pub const ALL: Self = Self(u32::MAX);

    /// Reads the flag. No name means all; and where none of TLS 1.3 is named, all of TLS 1.3 are offered, as in Go, where
    /// there is no choosing among them.
    ///
    /// # Errors
    /// When a name is none of those that this build has.
    pub fn parse(names: &[String]) -> Result<Self, FlagError> {
        let mut chosen = 0;
        for name in items(names) {
            let Some(bit) = bits().find_map(|(bit, suite)| (go_name(suite.suite()) == name).then_some(bit)) else {
                let allowed = format!("must be one of {}", Self::names().join(", "));
                return Err(FlagError::not_allowed(FLAG, name, allowed));
            };
            chosen |= bit;
        }
        let tls13 = bits().filter(|(_, suite)| suite.tls13().is_some()).fold(0, |all, (bit, _)| all | bit);
        Ok(match chosen {
            0 => Self::ALL,
            _ if chosen & tls13 == 0 => Self(chosen | tls13),
            _ => Self(chosen),
        })
    }

    /// The names of all that this build has, the favourite first.
    #[must_use]
    pub fn names() -> Vec<String> {
        bits().map(|(_, suite)| go_name(suite.suite())).collect()
    }

    /// Whether any of them is one of TLS 1.2.
    pub(super) fn has_tls12(self) -> bool {
        self.chosen().any(|suite| suite.tls13().is_none())
    }

    /// Those that are offered, the favourite first.
    pub(crate) fn chosen(self) -> impl Iterator<Item = SupportedCipherSuite> {
        bits().filter(move |(bit, _)| self.0 & bit != 0).map(|(_, suite)| suite)
    }
}

fn bits() -> impl Iterator<Item = (u32, SupportedCipherSuite)> {
    let suites = provider().cipher_suites.clone();
    suites.into_iter().enumerate().map(|(index, suite)| (1 << index, suite))
}

/// Those of TLS 1.3 are written `TLS13_` here, as nowhere else.
fn go_name(suite: CipherSuite) -> String {
    let name = format!("{suite:?}");
    name.strip_prefix("TLS13_").map_or_else(|| name.clone(), |rest| format!("TLS_{rest}"))
}

pub(super) const FLAG: &str = "tls-ciphersuites";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(names: &[&str]) -> Result<Vec<String>, String> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let suites = CipherSuites::parse(&names).map_err(|error| error.to_string())?;
        Ok(suites.chosen().map(|suite| go_name(suite.suite())).collect())
    }

    #[test]
    fn none_means_all_and_names_are_those_of_go() {
        assert_eq!(parse(&[]).unwrap(), CipherSuites::names());
        assert_eq!(parse(&[""]).unwrap(), CipherSuites::names());
        for name in ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]
        {
            assert!(CipherSuites::names().contains(&name.to_owned()), "{name}");
        }
    }

    #[test]
    fn those_of_tls_1_3_are_all_offered_unless_one_of_them_is_named() {
        let rsa = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
        assert_eq!(parse(&[rsa]).unwrap().len(), 4);
        assert_eq!(parse(&["TLS_AES_128_GCM_SHA256", rsa]).unwrap(), ["TLS_AES_128_GCM_SHA256", rsa]);
        assert_eq!(parse(&["TLS_AES_128_GCM_SHA256"]).unwrap(), ["TLS_AES_128_GCM_SHA256"]);
    }

    #[test]
    fn what_we_do_not_have_is_refused_with_what_we_have() {
        let error = parse(&["TLS_RSA_WITH_AES_128_CBC_SHA"]).unwrap_err();
        assert!(
            error.starts_with(
                r#"--tls-ciphersuites: "TLS_RSA_WITH_AES_128_CBC_SHA" is not allowed: must be one of TLS_"#
            )
        );
    }
}
