//! Who is at the other end of a connection, as far as its certificate says.

mod identity;
mod subject;

pub use identity::{IdentityError, PeerIdentity};
pub use subject::SubjectError;
