//! Which build this is.

/// The product's version, from Cargo.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that was built, where the build said so (`ARGOCD_AGENT_COMMIT` at compile time), else `unknown`.
pub const COMMIT: &str = match option_env!("ARGOCD_AGENT_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
