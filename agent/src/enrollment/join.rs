//! The first certificate, for a join token.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use common::{
    Report,
    config::TlsVersions,
    drain,
    enrollment::{EnrollError, Enrolled, InvalidToken, JoinToken, discover},
    pki::now,
    proxy::Proxies,
};
use rustls::pki_types::UnixTime;
use tokio::time::sleep;
use tracing::{info, warn};

use super::{Place, PlaceError};
use crate::link::backoff::Backoff;

/// Why the agent did not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The token's file cannot be read.
    #[error("cannot read the join token in {} (--join-token-file)", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// It is no token.
    #[error("cannot use the join token in {} (--join-token-file)", .0.display())]
    Token(PathBuf, #[source] InvalidToken),
    /// The principal gives no certificate.
    #[error("cannot join as agent {agent} at {principal}")]
    Enroll {
        /// As whom.
        agent: String,
        /// Where.
        principal: String,
        /// Why.
        #[source]
        source: EnrollError,
    },
    /// What comes of it cannot be kept.
    #[error("cannot keep what comes of a join")]
    Place(#[source] PlaceError),
    /// It was asked to stop first.
    #[error("asked to stop before there was a certificate")]
    Stopped,
}

/// Sees to it that there is a certificate: one that is there and not over counts, else the token is exchanged for one. What
/// may pass is tried again for as long as the token is good.
///
/// # Errors
/// When there is none, and will be none.
pub(crate) async fn join(
    place: &Place,
    token: &Path,
    proxies: &Proxies,
    versions: TlsVersions,
    drain: &drain::Watch,
) -> Result<(), JoinError> {
    tokio::select! {
        joined = joined(place, token, proxies, versions) => joined,
        () = drain.draining() => Err(JoinError::Stopped),
    }
}

async fn joined(place: &Place, file: &Path, proxies: &Proxies, versions: TlsVersions) -> Result<(), JoinError> {
    let mut backoff = Backoff::default();
    loop {
        let error = match place.read().await {
            Ok(Some(stored)) if stored.identity.validity().is_none_or(|time| time.left(UnixTime::now()) > 0) => {
                info!("there is a certificate, the join token is not needed");
                return Ok(());
            }
            Ok(_) => break,
            Err(error) if error.is_passing() => error,
            Err(error) => return Err(JoinError::Place(error)),
        };
        pause(&mut backoff, &error).await;
    }
    let token = read_token(file).await?;
    let mut backoff = Backoff::default();
    let enrolled = loop {
        let error = match attempt(place, &token, proxies, versions).await {
            Ok(enrolled) => break Arc::new(enrolled),
            Err(error) => error,
        };
        let passing = match &error {
            JoinError::Enroll { source, .. } => source.is_passing(),
            JoinError::Place(source) => source.is_passing(),
            JoinError::Read(..) | JoinError::Token(..) | JoinError::Stopped => false,
        };
        if !passing || token.end < now() {
            return Err(error);
        }
        pause(&mut backoff, &error).await;
    };
    // The token is used up: nothing but this agent's end may keep it from keeping what it got for it.
    let mut backoff = Backoff::default();
    while let Err(error) = place.keep(&enrolled).await {
        if !error.is_passing() {
            return Err(JoinError::Place(error));
        }
        pause(&mut backoff, &error).await;
    }
    info!(agent = %token.agent, principal = %token.principal, "joined");
    Ok(())
}

/// Everything that may fail comes before the token is told.
async fn attempt(
    place: &Place,
    token: &JoinToken,
    proxies: &Proxies,
    versions: TlsVersions,
) -> Result<Enrolled, JoinError> {
    let failed =
        |source| JoinError::Enroll { agent: token.agent.to_string(), principal: token.principal.to_string(), source };
    let principal = discover(token, proxies, versions).await.map_err(failed)?;
    place.keep_authorities(principal.authorities()).await.map_err(JoinError::Place)?;
    place.rehearse().await.map_err(JoinError::Place)?;
    principal.join().await.map_err(failed)
}

/// A token in a file.
///
/// # Errors
/// When there is none.
pub(crate) async fn read_token(file: &Path) -> Result<JoinToken, JoinError> {
    let text = tokio::fs::read_to_string(file).await.map_err(|error| JoinError::Read(file.to_owned(), error))?;
    JoinToken::parse(&text).map_err(|error| JoinError::Token(file.to_owned(), error))
}

async fn pause(backoff: &mut Backoff, error: &(dyn std::error::Error + 'static)) {
    let wait = backoff.fail().max(LEAST);
    warn!(error = %Report(error), retry_millis = wait.as_millis(), "cannot join yet");
    sleep(wait).await;
}

/// An attempt is four connections.
const LEAST: Duration = Duration::from_millis(200);
