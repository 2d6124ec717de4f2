//! A bearer token in a file that somebody else renews, as the kubelet does with a ServiceAccount's.

use std::{
    fmt,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use arc_swap::ArcSwap;
use common::Report;
use http::HeaderValue;
use tokio::{sync::Mutex, time::Instant};
use tracing::warn;

/// The token, read again once in a while, and at once when it was not accepted.
pub(super) struct TokenFile {
    path: PathBuf,
    current: ArcSwap<Token>,
    rejected: AtomicBool,
    /// Held by whoever reads the file. The others go on with the token at hand, and are not made to wait.
    reading: Mutex<()>,
}

struct Token {
    header: HeaderValue,
    read_at: Instant,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("{path} holds no token")]
    NoToken {
        /// The file.
        path: PathBuf,
    },
}

// === impl TokenFile ===

impl TokenFile {
    /// Reads the token for the first time.
    pub(super) async fn open(path: PathBuf) -> Result<Self, TokenError> {
        let header = read(&path).await?;
        let current = ArcSwap::from_pointee(Token { header, read_at: Instant::now() });
        Ok(Self { path, current, rejected: AtomicBool::new(false), reading: Mutex::new(()) })
    }

    /// The value of `Authorization`.
    pub(super) async fn header(&self) -> HeaderValue {
        let token = self.current.load();
        let age = token.read_at.elapsed();
        let due = age >= REREAD || (age >= REREAD_REJECTED && self.rejected.load(Ordering::Relaxed));
        if due && let Ok(_reading) = self.reading.try_lock() {
            drop(token);
            return self.reread().await;
        }
        token.header.clone()
    }

    /// Has the file read again with the next request.
    pub(super) fn rejected(&self) {
        self.rejected.store(true, Ordering::Relaxed);
    }

    async fn reread(&self) -> HeaderValue {
        self.rejected.store(false, Ordering::Relaxed);
        let header = read(&self.path).await.unwrap_or_else(|error| {
            // As client-go: the file may be gone on purpose, and the token at hand may still be good.
            warn!(error = %Report(&error), "going on with the token at hand");
            self.current.load().header.clone()
        });
        self.current.store(Token { header: header.clone(), read_at: Instant::now() }.into());
        header
    }
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFile").field("path", &self.path).finish_non_exhaustive()
    }
}

async fn read(path: &PathBuf) -> Result<HeaderValue, TokenError> {
    let text =
        tokio::fs::read_to_string(path).await.map_err(|source| TokenError::Read { path: path.clone(), source })?;
    let token = text.trim();
    let mut header = HeaderValue::try_from(format!("Bearer {token}"))
        .ok()
        .filter(|_| !token.is_empty())
        .ok_or_else(|| TokenError::NoToken { path: path.clone() })?;
    header.set_sensitive(true);
    Ok(header)
}

/// A token lives an hour and more, and is renewed when four fifths are over. The same as client-go's.
const REREAD: Duration = Duration::from_secs(60);
/// So that an API server which refuses everything does not make us read all the time.
const REREAD_REJECTED: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    async fn world(token: &str) -> (tempfile::NamedTempFile, TokenFile) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), token).unwrap();
        let token_file = TokenFile::open(file.path().to_owned()).await.unwrap();
        (file, token_file)
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewed_token_is_used_within_a_minute() {
        let (file, token) = world("one\n").await;
        assert_eq!(token.header().await, "Bearer one");
        std::fs::write(file.path(), "two").unwrap();
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(token.header().await, "Bearer one");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(token.header().await, "Bearer two");
        assert!(token.header().await.is_sensitive());
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_was_not_accepted_is_read_again_but_not_without_end() {
        let (file, token) = world("one").await;
        std::fs::write(file.path(), "two").unwrap();
        token.rejected();
        assert_eq!(token.header().await, "Bearer one");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(token.header().await, "Bearer two");
    }

    #[tokio::test(start_paused = true)]
    async fn the_token_at_hand_outlives_its_file() {
        let (file, token) = world("one").await;
        drop(file);
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(token.header().await, "Bearer one");
    }

    #[tokio::test]
    async fn a_file_without_a_token_is_an_error_that_does_not_show_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in ["", " \n", "a\u{1}b"] {
            std::fs::write(file.path(), text).unwrap();
            let error = TokenFile::open(file.path().to_owned()).await.unwrap_err();
            assert_eq!(error.to_string(), format!("{} holds no token", file.path().display()));
        }
    }
}
