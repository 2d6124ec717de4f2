//! Who is at the other end of a connection, as far as its certificate says, and what we show to others.

mod fingerprint;
mod identity;
mod secret;
mod subject;

pub use fingerprint::{Fingerprint, InvalidFingerprint};
pub use identity::{IdentityError, PeerIdentity};
pub use secret::Secret;
pub use subject::SubjectError;
