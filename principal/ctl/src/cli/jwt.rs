//! `argocd-agentctl jwt`.

use clap::Subcommand;

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Jwt {
    /// Make the key (RSA 4096) and store it in its Secret
    #[command(name = "create-key")]
    Create {
        /// Replace the key if there is one: tokens signed with it end
        #[arg(long, short)]
        upsert: bool,
    },
    /// Show what kind of key it is
    #[command(name = "inspect-key")]
    Inspect,
    /// Delete the key
    #[command(name = "delete-key")]
    Delete {
        /// Do not ask
        #[arg(long, short)]
        force: bool,
    },
}
