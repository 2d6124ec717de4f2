//! Agents get their certificates here, where the operator wants it: the first one for a join token, each other one for the
//! one before.
//!
//! What must always be true: a token is consumed before anything is signed for it, so that of two only one gets a
//! certificate; whatever else can fail has been looked at by then; a certificate names the agent that the control plane's
//! record, or the certificate before, names, and nothing that a caller wrote; strangers may ask a few at a time.

mod authority;
mod metrics;
mod request;
mod service;

pub use authority::{Authority, AuthorityError};
pub use metrics::EnrollmentMetrics;
pub use service::{EnrollmentService, Options};
