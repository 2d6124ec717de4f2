//! What a join token knows of the principal's authorities.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls_pki_types::CertificateDer;

/// A hash over certificates in their order: of the SHA-256 of each. It is no secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

// === impl Pin ===

impl Pin {
    /// Of these. A bundle counts whole, so that what a token brings is what the operator saw.
    #[must_use]
    pub fn of(certificates: &[CertificateDer<'_>]) -> Self {
        let mut all = Context::new(&SHA256);
        for certificate in certificates {
            all.update(digest(&SHA256, certificate).as_ref());
        }
        Self(all.finish().as_ref().try_into().expect("a SHA-256 has 32 bytes"))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({self})")
    }
}
