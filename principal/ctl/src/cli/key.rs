//! What is asked of a certificate that is to be made.

use clap::Args;
use common::config::values::number;

use super::BadUsage;
use crate::pki::{KeyAlgorithm, KeySize, KeySpec};

/// The flags of a key.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct KeyArgs {
    /// Kind of the private key
    #[arg(long, value_name = "ALGORITHM", default_value = "rsa")]
    key_algorithm: KeyAlgorithm,

    /// Bits of an RSA key [default: 4096]
    #[arg(long, value_name = "BITS")]
    key_size: Option<KeySize>,
}

/// How long a certificate is valid.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Lifetime {
    /// Days that the certificate is valid; never longer than its authority
    #[arg(long, value_name = "DAYS", default_value = "180", value_parser = number::<u32>(1..=MOST_DAYS))]
    pub(crate) days: u32,
}

/// How long an authority is valid.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct AuthorityLifetime {
    /// Days that the authority is valid
    #[arg(long, value_name = "DAYS", default_value = "3650", value_parser = number::<u32>(1..=MOST_DAYS))]
    pub(crate) days: u32,
}

/// What is asked of the certificate of somebody who calls a door.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct CallerArgs {
    /// Sign the certificate with the authority of the doors' callers (`pki init --client-ca`), also where another signed
    /// the one before
    #[arg(long)]
    pub(crate) client_ca: bool,

    #[command(flatten)]
    pub(crate) lifetime: Lifetime,

    #[command(flatten)]
    pub(crate) key: KeyArgs,
}

// === impl KeyArgs ===

impl KeyArgs {
    /// The key that is to be made.
    ///
    /// # Errors
    /// When a size is given for a kind that has but one.
    pub(crate) fn spec(self) -> Result<KeySpec, BadUsage> {
        if self.key_size.is_some() && self.key_algorithm != KeyAlgorithm::Rsa {
            return Err(BadUsage("--key-size is for --key-algorithm=rsa only: the others have one size each".into()));
        }
        Ok(KeySpec { algorithm: self.key_algorithm, size: self.key_size.unwrap_or(KeySize::Bits4096) })
    }
}

/// A hundred years: what is longer is a slip.
const MOST_DAYS: u64 = 36_500;
