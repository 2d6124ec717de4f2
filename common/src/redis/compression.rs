//! How Argo CD writes what it keeps.

/// How Argo CD compresses what it keeps in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Compression {
    /// By gzip; its keys say so.
    Gzip,
    /// Not at all.
    None,
}
