//! What an operator can see from outside: logs, metrics, and whether we are alive and ready.

mod admin;
mod fields;
pub mod label;
mod lines;
pub mod logging;
mod metrics;
mod process;
mod readiness;

pub use admin::{Admin, Health, Healthz, JsonPage};
pub use metrics::{Exposition, Registry};
pub use readiness::{Latch, Readiness};
