//! What both command lines share: values as Go's flag packages read them, errors that name the flag, and the settings
//! that mean the same on both ends.
//!
//! The flags themselves are in `principal::args` and `agent::args`: the same flag has another environment variable on
//! each side.

pub mod cipher_suites;
pub mod command;
pub mod error;
pub mod log;
pub mod tls_versions;
pub mod usage;
pub mod values;

pub use cipher_suites::CipherSuites;
pub use error::FlagError;
pub use log::{LogConfig, LogFormat};
pub use tls_versions::{TlsVersion, TlsVersions};
