//! The fingerprint of a certificate, in the one form in which two can be compared.

use std::{borrow::Borrow, fmt};

/// SHA-256 of a certificate's DER: 64 digits in upper-case hexadecimal, however it was typed. It is no secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint(Box<str>);

/// A text that is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the SHA-256 of a certificate: 64 hexadecimal digits")]
pub struct InvalidFingerprint;

// === impl Fingerprint ===

impl Fingerprint {
    /// Takes what tools print: in either case, with colons or without (`openssl x509 -fingerprint -sha256`). A key of a
    /// ConfigMap cannot hold a colon, so `-`, `.` and `_` may stand in its place.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, InvalidFingerprint> {
        let digits: String = text.trim().chars().filter(|c| !SEPARATORS.contains(c)).collect();
        let all = digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        all.then(|| Self(digits.to_ascii_uppercase().into())).ok_or(InvalidFingerprint)
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Fingerprint {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const DIGITS: usize = 64;
const SEPARATORS: [char; 4] = [':', '-', '.', '_'];

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";

    #[test]
    fn however_it_is_typed_it_is_the_same() {
        let pairs: Vec<_> = ABC.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
        for text in [
            ABC.to_owned(),
            ABC.to_lowercase(),
            pairs.join(":"),
            pairs.join("-").to_lowercase(),
            pairs.join("."),
            format!(" {ABC}\n"),
        ] {
            assert_eq!(Fingerprint::parse(&text).unwrap().as_str(), ABC, "{text}");
        }
    }

    #[test]
    fn what_is_no_fingerprint_is_refused() {
        for text in
            ["", "abc", ABC.trim_start_matches('B'), &format!("{ABC}0"), &ABC.replace('B', "G"), &"ä".repeat(32)]
        {
            assert_eq!(Fingerprint::parse(text), Err(InvalidFingerprint), "{text}");
        }
    }
}
