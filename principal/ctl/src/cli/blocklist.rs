//! `argocd-agentctl blocklist`.

use clap::Subcommand;

use super::values;
use crate::pki::Fingerprint;

#[derive(Debug, Subcommand)]
pub(crate) enum Blocklist {
    /// Certificates, by their fingerprint
    #[command(subcommand)]
    Tls(Tls),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tls {
    /// Keep a certificate out
    Add {
        /// SHA-256 of the certificate, with or without colons
        #[arg(value_parser = values::fingerprint)]
        fingerprint: Fingerprint,
    },
    /// Let a certificate in again
    Remove {
        /// SHA-256 of the certificate, with or without colons
        #[arg(value_parser = values::fingerprint)]
        fingerprint: Fingerprint,
    },
    /// List what is kept out
    List,
}
