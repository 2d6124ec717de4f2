//! Fingerprints of certificates in the one form that the blocklist compares.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest;

/// SHA-256 of a certificate: 64 hexadecimal digits in upper case, without colons, as the principal writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fingerprint(String);

/// What is no fingerprint; the text says what would have been one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoFingerprint;

// === impl Fingerprint ===

impl Fingerprint {
    pub(crate) fn of(der: &[u8]) -> Self {
        Self(sha256(der).to_uppercase())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Takes any case, colons and space, and the words that `openssl x509 -fingerprint` puts before it: upstream stored what
/// was typed, and what was not its own spelling never matched.
impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    fn from_str(text: &str) -> Result<Self, NoFingerprint> {
        let text = text.rsplit_once('=').map_or(text, |(_, digits)| digits).trim();
        let lower = text.to_ascii_lowercase();
        let digits = lower.strip_prefix("sha256:").unwrap_or(&lower);
        let digits: String = digits.chars().filter(|c| !matches!(c, ':' | ' ')).collect();
        let is_one = digits.len() == 2 * digest::SHA256_OUTPUT_LEN && digits.bytes().all(|b| b.is_ascii_hexdigit());
        if is_one { Ok(Self(digits.to_ascii_uppercase())) } else { Err(NoFingerprint) }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl NoFingerprint ===

impl fmt::Display for NoFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be the SHA-256 of a certificate: 64 hexadecimal digits, with or without colons")
    }
}

impl std::error::Error for NoFingerprint {}

/// SHA-256 in lower-case hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_one_fingerprint() {
        let expected = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
        assert_eq!(Fingerprint::of(b"abc").as_str(), expected);
        let colons: Vec<String> = expected.as_bytes().chunks(2).map(|c| String::from_utf8_lossy(c).into()).collect();
        let colons = colons.join(":");
        for text in [
            expected.to_owned(),
            expected.to_lowercase(),
            colons.clone(),
            colons.to_lowercase(),
            format!("SHA256:{expected}"),
            format!("sha256 Fingerprint={colons}\n"),
        ] {
            assert_eq!(text.parse::<Fingerprint>().unwrap().as_str(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        let short = "A".repeat(63);
        let letters = "G".repeat(64);
        for text in ["", "abc", short.as_str(), &letters, &"A".repeat(65), "sha1:00", &"é".repeat(32)] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }
}
