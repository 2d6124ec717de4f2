//! The flags of how agents get their certificates.

use std::time::Duration;

use common::config::values::positive_duration;

#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct Enrollment {
    /// Give agents certificates: the first one for a join token, and the next one before each ends
    ///
    /// The principal then signs with the key of the authority, which it reads
    /// from a Secret, and the port of agents answers who has no certificate yet.
    /// Beside what it needs anyway, it needs `get` and `delete` on Secrets in
    /// its namespace: join tokens are Secrets there.
    #[arg(long, env = "ARGOCD_PRINCIPAL_ENABLE_ENROLLMENT", verbatim_doc_comment)]
    pub(crate) enable_enrollment: bool,

    /// Secret with certificate and key of the authority that signs them
    #[arg(
        long,
        env = "ARGOCD_PRINCIPAL_ENROLLMENT_CA_SECRET_NAME",
        value_name = "SECRET",
        default_value = "argocd-agent-ca"
    )]
    pub(crate) enrollment_ca_secret_name: String,

    /// Time that such a certificate is valid; agents renew it after two thirds of that
    #[arg(long, env = "ARGOCD_PRINCIPAL_ENROLLMENT_CERTIFICATE_LIFETIME", value_name = "DURATION", default_value = "720h", value_parser = positive_duration)]
    pub(crate) enrollment_certificate_lifetime: Duration,
}
