//! How the agent gets its certificate from the principal, and the next one before that ends.
//!
//! What must always be true: the private key is made here and goes nowhere but to where the agent loads its certificate
//! from; what is there and good is never replaced by a join; what others manage is never renewed.

mod join;
mod metrics;
mod place;
mod renewal;
mod secrets;

pub use join::JoinError;
pub(crate) use join::join;
pub(crate) use metrics::EnrollmentMetrics;
pub(crate) use place::Place;
pub use place::PlaceError;
pub(crate) use renewal::Renewal;
