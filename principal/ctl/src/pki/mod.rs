//! Making and reading certificates. Pure: it asks no API server and reads no file.
//!
//! What is made here passes the TLS of our own principal and agent, which the tests hold.

mod authority;
mod certificate;
mod fingerprint;
mod key;
#[cfg(test)]
mod tests;

pub(crate) use authority::{Authority, Order, Pair};
pub(crate) use certificate::{Certificate, DAY, date};
pub(crate) use common::pki::{Usage, now};
pub(crate) use fingerprint::{Fingerprint, NoFingerprint, sha256};
pub(crate) use key::{KeyAlgorithm, KeySize, KeySpec, kind_of_der, public_key};
