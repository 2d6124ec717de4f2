//! When a certificate is valid.

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, UnixTime};

use super::MaterialError;

/// The time between a certificate's `notBefore` and its `notAfter`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    not_before: i64,
    not_after: i64,
}

// === impl Validity ===

impl Validity {
    /// That of a certificate. None where rustls may read it and this reader cannot: then nothing is said of its time.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let validity = certificate.validity();
        Some(Self { not_before: validity.not_before.timestamp(), not_after: validity.not_after.timestamp() })
    }

    /// The one that ends later.
    pub(super) fn longest(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        one.into_iter().chain(other).max_by_key(|validity| validity.not_after)
    }

    /// When it ends, in seconds since 1970.
    #[must_use]
    pub fn end(self) -> i64 {
        self.not_after
    }

    /// The end as people read it.
    #[must_use]
    pub fn end_text(self) -> String {
        text(self.not_after)
    }

    /// How long it lasts from `now` on, in seconds; negative when it is over.
    #[must_use]
    pub fn left(self, now: UnixTime) -> i64 {
        self.not_after.saturating_sub(seconds(now))
    }

    /// When it begins, in seconds since 1970.
    #[must_use]
    pub fn begin(self) -> i64 {
        self.not_before
    }

    /// Refuses a `time` that is not between its ends.
    ///
    /// # Errors
    /// With the words for it.
    pub fn now(self, time: UnixTime) -> Result<(), String> {
        if self.left(time) < 0 {
            return Err(format!("it expired at {}", self.end_text()));
        }
        if seconds(time) < self.not_before {
            return Err(format!("it is not valid before {}", text(self.not_before)));
        }
        Ok(())
    }

    /// Refuses what is not valid at `now`; `name` goes into the error.
    pub(super) fn check(self, now: UnixTime, name: &str) -> Result<(), MaterialError> {
        if self.left(now) < 0 {
            return Err(MaterialError::Expired { name: name.to_owned(), end: self.end_text() });
        }
        if seconds(now) < self.not_before {
            return Err(MaterialError::NotYetValid { name: name.to_owned(), begin: text(self.not_before) });
        }
        Ok(())
    }
}

fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// RFC 3339, which a certificate's time may be too far away for.
fn text(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| format!("second {seconds} of 1970"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const VALIDITY: Validity = Validity { not_before: 1000, not_after: 2000 };

    fn at(second: u64) -> String {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(second));
        VALIDITY.check(now, "tls.crt").map_or_else(|error| error.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn both_ends_belong_to_it() {
        assert_eq!(at(999), "the certificate in tls.crt is not valid before 1970-01-01T00:16:40Z");
        assert_eq!((at(1000), at(2000)), ("fine".to_owned(), "fine".to_owned()));
        assert_eq!(at(2001), "the certificate in tls.crt expired at 1970-01-01T00:33:20Z");
    }

    #[test]
    fn of_a_bundle_the_end_that_is_last_counts() {
        let longer = Validity { not_before: 0, not_after: 3000 };
        assert_eq!(Validity::longest(Some(VALIDITY), Some(longer)), Some(longer));
        assert_eq!(Validity::longest(Some(longer), Some(VALIDITY)), Some(longer));
        assert_eq!(Validity::longest(None, Some(VALIDITY)), Some(VALIDITY));
        assert_eq!(Validity::longest(None, None), None);
    }
}
